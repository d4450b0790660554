"""Class mates agree in what they are taken for."""

from numbers import Real

import torch
from torch.nn import functional as F

from skfsl.losses._mean_score import class_mean_logits
from skfsl.losses._pairs import PairLoss, Pairs, masked_mean
from skfsl.utils._sklearn_private import Interval

__all__ = ["ClassConsistencyLoss"]


class ClassConsistencyLoss(PairLoss):
    """Classify by mean scores, and let class mates agree on all classes.

    The mean scores of a sample with each class of the batch make, by a softmax, a
    distribution over classes. The loss is its cross-entropy, as in
    :class:`MeanScoreLoss`, plus `weight` times the divergence between the
    distributions of class mates, in the manner of [1]_.

    Use it where samples of one class look different: it asks that they are alike also
    in which other classes they resemble.

    Parameters
    ----------
    weight : float, default=1.0
        Weight of the divergence; 0 is `MeanScoreLoss`.

    temperature : float, default=None
        What scores are divided by. None is a quarter of the width of the embeddings,
        between 1 and 16, for squared distances; 0.02 for cosines; 1 for logits.

    Attributes
    ----------
    accepts : tuple of str
        ("neg_sq_distance", "cosine", "logit").

    See Also
    --------
    MeanScoreLoss : The first term alone.

    Notes
    -----
    With P_i the softmax of the mean scores of sample i (see `MeanScoreLoss`) and y its
    class::

        mean over i of  -log P_i(y)
        + weight * mean over i, j of one class of
          (KL(P_i, P_j) + KL(P_j, P_i)) / 2

    The second term alone would collapse: it is 0 where all embeddings are the same
    point. The first is at its worst there, so that both have to stand together.
    [1]_ compares two passes of one sample through dropout; here two samples of a class
    are compared.

    References
    ----------
    .. [1] X. Liang, L. Wu, J. Li, Y. Wang, Q. Meng, T. Qin, W. Chen, M. Zhang and T.
       Liu. R-Drop: Regularized Dropout for Neural Networks. NeurIPS, 2021.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import EuclideanHead
    >>> from skfsl.losses import ClassConsistencyLoss
    >>> loss = ClassConsistencyLoss(temperature=1.0).build(embedding_dim=1, n_classes=2)
    >>> embeddings = torch.tensor([[0.0], [1.0], [2.0]])
    >>> loss(embeddings, torch.tensor([0, 0, 1]), EuclideanHead())
    tensor(1.0497)
    """

    _parameter_constraints: dict = {
        "weight": [Interval(Real, 0, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(self, weight=1.0, *, temperature=None):
        self.weight = weight
        self.temperature = temperature

    def _of(self, pairs: Pairs):
        logits, codes = class_mean_logits(pairs, self.temperature)
        log_p = F.log_softmax(logits, dim=1)
        is_query = pairs.same.any(dim=1)
        costs = F.nll_loss(log_p, codes, reduction="none")
        error = torch.where(is_query, costs, 0).sum() / is_query.sum().clamp(min=1)
        # KL(P_i, P_j) = sum_c P_i(c) (log P_i(c) - log P_j(c)); over both orders of a
        # pair its mean is the symmetric one.
        p = log_p.exp()
        divergence = (p * log_p).sum(dim=1, keepdim=True) - p @ log_p.T
        return error + self.weight * masked_mean(divergence, pairs.same)
