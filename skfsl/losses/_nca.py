"""The probability that a random neighbour is a class mate."""

from numbers import Real

from skfsl.losses._pairs import PairLoss, Pairs, masked_logsumexp, mean_over_anchors
from skfsl.utils._sklearn_private import Interval

__all__ = ["NCALoss"]


class NCALoss(PairLoss):
    """Raise the probability that a sample's neighbour is of its class.

    A sample chooses one of the others as its neighbour by a softmax of the scores;
    the loss is the mean negative log-probability that the neighbour is of its class.

    Use it where embeddings are read by nearest neighbours: it is enough that *some*
    class mates are near, so that a class may lie in several clusters.

    Parameters
    ----------
    temperature : float, default=None
        What scores are divided by. None is a quarter of the width of the embeddings,
        between 1 and 16, for squared distances; 0.02 for cosines; 1 for logits, and
        in [1]_.

    Attributes
    ----------
    accepts : tuple of str
        ("neg_sq_distance", "cosine", "logit").

    See Also
    --------
    SupConLoss : Asks for every class mate rather than for any.
    sklearn.neighbors.NeighborhoodComponentsAnalysis : The linear map of the paper.

    Notes
    -----
    With ``z_ij = s_ij / temperature`` and P(i) the class mates of i, the probability
    is that of equations 1 and 2 of [1]_::

        p_i = sum_{p in P(i)} exp z_ip / sum_{a != i} exp z_ia

    and the loss is the mean of ``-log p_i`` over the samples that have a class mate:
    the second objective of the paper, the logarithm rather than the expected number
    of errors. It does not lose the samples that are far from their class.

    References
    ----------
    .. [1] J. Goldberger, S. Roweis, G. Hinton and R. Salakhutdinov. Neighbourhood
       Components Analysis. NeurIPS, 2004.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import EuclideanHead
    >>> from skfsl.losses import NCALoss
    >>> loss = NCALoss(temperature=1.0).build(embedding_dim=1, n_classes=2)
    >>> embeddings = torch.tensor([[0.0], [1.0], [-1.0]])
    >>> loss(embeddings, torch.tensor([0, 0, 1]), EuclideanHead())
    tensor(0.3709)
    """

    _parameter_constraints: dict = {
        "temperature": [Interval(Real, 0, None, closed="neither"), None]
    }

    def __init__(self, temperature=None):
        self.temperature = temperature

    def _of(self, pairs: Pairs):
        logits = pairs.logits(self.temperature)
        # -log p_i, in logarithms throughout.
        mates = masked_logsumexp(logits, pairs.same)
        costs = masked_logsumexp(logits, pairs.others) - mates
        return mean_over_anchors(costs[:, None].expand_as(logits), pairs.same)
