"""Own class against all others, by a softmax over samples."""

from numbers import Real

from skfsl.losses._pairs import PairLoss, Pairs, masked_logsumexp, mean_over_anchors
from skfsl.utils._sklearn_private import Interval

__all__ = ["SupConLoss"]


class SupConLoss(PairLoss):
    """Tell each sample's class mates from all other samples of the batch.

    Every sample is an anchor. It costs the mean, over its class mates, of the
    cross-entropy of finding this one among all other samples of the batch by a
    softmax of the scores. With two samples of each class it is NT-Xent [2]_.

    Use it with many classes in a batch: each sample has as many contrasts as there
    are others. It is less sensitive to the temperature than losses on prototypes, and
    draws whole classes together rather than to a mean.

    Parameters
    ----------
    temperature : float, default=None
        What scores are divided by. None is a quarter of the width of the embeddings,
        between 1 and 16, for squared distances; 0.02 for cosines, where [1]_ has 0.1
        for large batches; 1 for logits.

    Attributes
    ----------
    accepts : tuple of str
        ("neg_sq_distance", "cosine", "logit").

    See Also
    --------
    NPairLoss : Leaves the other class mates out of the softmax.
    NCALoss : The probability of any class mate rather than of each.

    Notes
    -----
    With ``z_ij = s_ij / temperature``, A(i) all samples but i and P(i) those of its
    class, it is equation 2 of [1]_, the loss L_out::

        mean over i of  -1 / |P(i)| sum_{p in P(i)} log p_ip
        p_ip = exp z_ip / sum_{a in A(i)} exp z_ia

    where i runs over the samples that have a class mate in the batch: the others are
    contrasts only. The paper sums over i and knows cosines only.

    References
    ----------
    .. [1] P. Khosla, P. Teterwak, C. Wang, A. Sarna, Y. Tian, P. Isola, A. Maschinot,
       C. Liu and D. Krishnan. Supervised Contrastive Learning. NeurIPS, 2020.
    .. [2] T. Chen, S. Kornblith, M. Norouzi and G. Hinton. A Simple Framework for
       Contrastive Learning of Visual Representations. ICML, 2020.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import CosineHead
    >>> from skfsl.losses import SupConLoss
    >>> loss = SupConLoss(temperature=1.0).build(embedding_dim=2, n_classes=2)
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
        costs = masked_logsumexp(logits, pairs.others)[:, None] - logits  # equation 2
        return mean_over_anchors(costs, pairs.same)
