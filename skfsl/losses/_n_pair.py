"""One class mate against all strangers at once."""

from numbers import Real

from torch.nn import functional as F

from skfsl.losses._pairs import PairLoss, Pairs, masked_logsumexp, mean_over_anchors
from skfsl.utils._sklearn_private import Interval

__all__ = ["NPairLoss"]


class NPairLoss(PairLoss):
    """Score each class mate above all samples of other classes at once.

    A pair of class mates costs the cross-entropy of telling the mate from all samples
    of other classes; further class mates stay out of the softmax, so that close ones
    do not push each other away. Every sample is an anchor.

    Use it in the place of :class:`SupConLoss` where batches have many samples a class:
    there the class mates in the softmax of that loss keep it far above zero.

    Parameters
    ----------
    temperature : float, default=None
        What scores are divided by. None is a quarter of the width of the embeddings,
        between 1 and 16, for squared distances; 0.02 for cosines; 1 for logits.

    Attributes
    ----------
    accepts : tuple of str
        ("neg_sq_distance", "cosine", "logit").

    See Also
    --------
    SupConLoss : Has all other samples in the softmax.

    Notes
    -----
    With ``z_ij = s_ij / temperature``, P(i) the class mates of i and N(i) the samples
    of other classes, a pair of i and p in P(i) costs

        log(1 + sum_{n in N(i)} exp(z_in - z_ip)),

    the (N+1)-tuplet loss of [1]_; the loss is the mean over P(i), then over the samples
    that have a class mate. A batch without other classes costs nothing.

    It departs from [1]_, where a batch has two samples a class, one of them the
    anchor, and only the other is met by the anchors of other classes: here all are
    anchors, and all are met. The paper's scores are products of embeddings that are
    not brought to length 1, with a penalty on their lengths: distances and cosines
    need none.

    References
    ----------
    .. [1] K. Sohn. Improved Deep Metric Learning with Multi-class N-pair Loss
       Objective. NeurIPS, 2016.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import CosineHead
    >>> from skfsl.losses import NPairLoss
    >>> loss = NPairLoss(temperature=1.0).build(embedding_dim=2, n_classes=2)
    >>> embeddings = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> loss(embeddings, torch.tensor([0, 0, 1]), CosineHead())
    tensor(0.3133)
    """

    _parameter_constraints: dict = {
        "temperature": [Interval(Real, 0, None, closed="neither"), None]
    }

    def __init__(self, temperature=None):
        self.temperature = temperature

    def _of(self, pairs: Pairs):
        logits = pairs.logits(self.temperature)
        strangers = masked_logsumexp(logits, pairs.different)[:, None]
        costs = F.softplus(strangers - logits)
        return mean_over_anchors(costs, pairs.same)
