"""Hard pairs weighed by how they compare with a base and with each other."""

from numbers import Real

import torch
from torch.nn import functional as F

from skfsl.losses._pairs import PairLoss, Pairs, masked_logsumexp
from skfsl.utils._sklearn_private import Interval

__all__ = ["MultiSimilarityLoss"]


class MultiSimilarityLoss(PairLoss):
    """Mine informative pairs, and weigh them by soft maxima.

    Class mates are drawn above the cosine `base` and strangers pushed below it. For
    each sample only such pairs count as are hard relative to its pairs of the other
    kind, and among these the hardest weigh most.

    Use it with cosine scores and batches of many samples, where most pairs of
    different classes are easy.

    Parameters
    ----------
    alpha : float, default=2.0
        Sharpness for pairs of one class: higher looks at the farthest alone.

    beta : float, default=50.0
        Sharpness for pairs of two classes: higher looks at the nearest alone.

    base : float, default=0.5
        The cosine, in [-1, 1], that parts the two kinds.

    epsilon : float, default=0.1
        Slack of the mining, in cosines. None mines nothing: all pairs count.

    Attributes
    ----------
    accepts : tuple of str
        ("cosine",).

    See Also
    --------
    TripletLoss : Mines triplets.

    Notes
    -----
    With cosines ``s``, a stranger n of the sample i counts where ``s_in`` is above its
    lowest cosine with a class mate, less `epsilon`; a class mate p counts where
    ``s_ip`` is below its highest cosine with a stranger, plus `epsilon`. With these
    pairs the loss is that of [1]_, the mean over all samples of::

        log(1 + sum_p exp(-alpha (s_ip - base))) / alpha
        + log(1 + sum_n exp(beta (s_in - base))) / beta

    A sample without class mates, or without strangers, has nothing to be mined by and
    costs nothing, but where `epsilon` is None.

    References
    ----------
    .. [1] X. Wang, X. Han, W. Huang, D. Dong and M. R. Scott. Multi-Similarity Loss
       with General Pair Weighting for Deep Metric Learning. CVPR, 2019.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import CosineHead
    >>> from skfsl.losses import MultiSimilarityLoss
    >>> loss = MultiSimilarityLoss(beta=2.0).build(embedding_dim=2, n_classes=2)
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    >>> loss(embeddings, torch.tensor([0, 0, 1]), CosineHead())
    tensor(0.7088)
    """

    _parameter_constraints: dict = {
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "beta": [Interval(Real, 0, None, closed="neither")],
        "base": [Interval(Real, -1, 1, closed="both")],
        "epsilon": [Interval(Real, 0, None, closed="left"), None],
    }
    accepts = ("cosine",)

    def __init__(self, alpha=2.0, *, beta=50.0, base=0.5, epsilon=0.1):
        self.alpha = alpha
        self.beta = beta
        self.base = base
        self.epsilon = epsilon

    def _of(self, pairs: Pairs):
        mates, strangers = self._mine(pairs)
        above = pairs.scores - self.base
        pull = masked_logsumexp(-self.alpha * above, mates)
        push = masked_logsumexp(self.beta * above, strangers)
        costs = F.softplus(pull) / self.alpha + F.softplus(push) / self.beta
        return costs.mean()

    def _mine(self, pairs: Pairs):
        """Return masks of the informative pairs."""
        if self.epsilon is None:
            return pairs.same, pairs.different
        scores = pairs.scores.detach()
        farthest = scores.masked_fill(~pairs.same, torch.inf).amin(1, keepdim=True)
        nearest = scores.masked_fill(~pairs.different, -torch.inf).amax(1, keepdim=True)
        return (
            pairs.same & (scores < nearest + self.epsilon),
            pairs.different & (scores > farthest - self.epsilon),
        )
