"""Same class or not, for each pair."""

import math
from numbers import Real

import torch
from torch.nn import functional as F

from skfsl.losses._pairs import PairLoss, Pairs, masked_mean, of_given_pairs
from skfsl.losses._temperature import default_temperature
from skfsl.utils._sklearn_private import Interval, StrOptions

__all__ = ["BinaryCrossEntropyLoss"]

# Where a pair is as likely of one class as of two: at a squared distance of four
# temperatures, at a cosine of one half.
_BIASES = {"neg_sq_distance": 4.0, "cosine": -5.0, "logit": 0.0}


class BinaryCrossEntropyLoss(PairLoss):
    """Decide for each pair whether it is of one class.

    Every pair of the batch but those of a sample with itself costs the binary
    cross-entropy of its logit. Nearly all pairs are of two classes, and nearly all of
    these are easy: `balanced` and `reduction` keep them from drowning the others.

    Use it with heads that give logits, Koch's siamese network [1]_ above all, and
    where the probability that two samples are of one class is wanted.

    Parameters
    ----------
    reduction : {"mean", "clipped", "top", "focal"}, default="mean"
        How the costs of pairs become one number. "mean": their mean. "clipped": the
        mean of what is above `clip`, over the pairs that cost more; a pair that is
        right by so much teaches nothing. "top": the mean over the share `top` of the
        pairs that cost most. "focal": their mean, each times ``(1 - p)**gamma`` with
        p the probability given to the truth [2]_.

    balanced : bool, default=True
        Whether pairs of one class and pairs of two weigh the same: half the loss is
        the reduction of the ones, half that of the others. Otherwise all are reduced
        at once.

    clip : float, default=0.1
        Cost below which a pair teaches nothing, for "clipped": 0.1 is that of a
        probability of 0.9.

    top : float, default=0.1
        Share of the pairs, in (0, 1], for "top"; rounded up.

    gamma : float, default=2.0
        Exponent for "focal"; 0 is the mean.

    temperature : float, default=None
        The logit of a pair is ``score / temperature + bias``. None is a quarter of the
        width of the embeddings, between 1 and 16, for squared distances; 0.1 for
        cosines; 1 for logits.

    bias : float, default=None
        None is 4 for squared distances, -5 for cosines and 0 for logits.

    Attributes
    ----------
    accepts : tuple of str
        ("neg_sq_distance", "cosine", "logit").

    See Also
    --------
    ContrastiveLoss : The same decision by a margin on the distance.

    Notes
    -----
    With the logit z of a pair and t = 1 for pairs of one class, else -1, the cost is
    ``log(1 + exp(-t z))``. A kind of pairs that the batch does not have costs nothing.

    [1]_ averages over a list of pairs, half of them of one class; here they are all
    pairs of the batch. [2]_ divides the sum by the number of positives and has a
    weight alpha for them: here each kind has a mean of its own instead.

    References
    ----------
    .. [1] G. Koch, R. Zemel and R. Salakhutdinov. Siamese Neural Networks for
       One-shot Image Recognition. ICML Deep Learning Workshop, 2015.
    .. [2] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár. Focal Loss for Dense
       Object Detection. ICCV, 2017.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import EuclideanHead
    >>> from skfsl.losses import BinaryCrossEntropyLoss
    >>> loss = BinaryCrossEntropyLoss(temperature=1.0, bias=1.0)
    >>> loss = loss.build(embedding_dim=1, n_classes=2)
    >>> embeddings = torch.tensor([[0.0], [1.0], [2.0]])
    >>> loss(embeddings, torch.tensor([0, 0, 1]), EuclideanHead())
    tensor(0.5320)
    """

    _parameter_constraints: dict = {
        "reduction": [StrOptions({"mean", "clipped", "top", "focal"})],
        "balanced": ["boolean"],
        "clip": [Interval(Real, 0, None, closed="left")],
        "top": [Interval(Real, 0, 1, closed="right")],
        "gamma": [Interval(Real, 0, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither"), None],
        "bias": [Interval(Real, None, None, closed="neither"), None],
    }

    paired = of_given_pairs

    def __init__(
        self, reduction="mean", *, balanced=True, clip=0.1, top=0.1, gamma=2.0,
        temperature=None, bias=None,
    ):  # fmt: skip
        self.reduction = reduction
        self.balanced = balanced
        self.clip = clip
        self.top = top
        self.gamma = gamma
        self.temperature = temperature
        self.bias = bias

    def _of(self, pairs: Pairs):
        temperature, bias = self.temperature, self.bias
        if temperature is None:
            # The bias puts the boundary at a cosine of one half.
            temperature = default_temperature(
                pairs.score_type, pairs.embedding_dim, cosine=0.1
            )
        if bias is None:
            bias = _BIASES[pairs.score_type]
        logits = pairs.scores / temperature + bias
        wrong = torch.where(pairs.same, -logits, logits)  # -t z
        kinds = (pairs.same, pairs.different) if self.balanced else (pairs.others,)
        total = sum(self._reduce(wrong, kind) for kind in kinds)
        return total / len(kinds)

    def _reduce(self, wrong: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """Return one number for the costs of one kind of pairs."""
        costs = F.softplus(wrong)
        if self.reduction == "clipped":
            return masked_mean(costs - self.clip, kind & (costs > self.clip))
        if self.reduction == "top":
            # As many as the share could be; how many it is stays on the device.
            most = max(1, math.ceil(self.top * kind.numel()))
            ranked = costs.masked_fill(~kind, -1).flatten().topk(most)[0]
            # 0.1 of 30 is 3, whatever its last digit.
            count = (self.top * kind.sum() - 1e-3).ceil().clamp(min=1) * kind.any()
            return masked_mean(ranked, torch.arange(most, device=kind.device) < count)
        if self.reduction == "focal":
            # (1 - p)**gamma, whose gradient is finite also where p is 1.
            costs = costs * (-self.gamma * F.softplus(-wrong)).exp()
        return masked_mean(costs, kind)
