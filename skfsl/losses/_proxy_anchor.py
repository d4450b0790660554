"""Class proxies as anchors, which the samples of a batch gather round."""

from numbers import Real

import torch
from torch.nn import functional as F

from skfsl.losses._pairs import masked_logsumexp
from skfsl.losses._proxies import ProxyLoss
from skfsl.utils._sklearn_private import Interval

__all__ = ["ProxyAnchorLoss"]


class ProxyAnchorLoss(ProxyLoss):
    """Draw the samples of a batch to the proxies of their classes, and from others.

    Each class has a proxy, a direction that is trained along. A proxy is an anchor: it
    draws the samples of its class in the batch, most of all the farthest, and pushes
    the others away, most of all the nearest.

    Use it with many samples a class and large batches, whose samples are weighed by
    each other. With a few samples a class it takes more epochs than the other losses.

    Parameters
    ----------
    margin : float, default=0.1
        Cosines of a proxy with samples of its class are to be above it, and with
        others below its negative.

    scale : float, default=32
        Sharpness: higher looks at the hardest samples alone. The alpha of [1]_.

    Attributes
    ----------
    accepts : tuple of str
        ("cosine",).

    See Also
    --------
    MultiSimilarityLoss : The like for samples as anchors.
    NormalizedSoftmaxLoss : Samples are the anchors, proxies what they choose from.

    Notes
    -----
    With the cosine ``s_xp`` of sample x and proxy p, P all proxies, P+ those of the
    classes in the batch, and X+ and X- the samples of the class of p and the others,
    it is equation 4 of [1]_::

        1 / |P+| sum_{p in P+} log(1 + sum_{x in X+} e^(-scale (s_xp - margin)))
        + 1 / |P| sum_{p in P} log(1 + sum_{x in X-} e^(scale (s_xp + margin)))

    References
    ----------
    .. [1] S. Kim, D. Kim, M. Cho and S. Kwak. Proxy Anchor Loss for Deep Metric
       Learning. CVPR, 2020.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import CosineHead
    >>> from skfsl.losses import ProxyAnchorLoss
    >>> loss = ProxyAnchorLoss(margin=0.0, scale=1).build(2, n_classes=2)
    >>> _ = loss.load_state_dict({"proxies": torch.eye(2)[:, None]})
    >>> x = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> print(f"{loss(x, torch.tensor([0, 1]), CosineHead()).item():.4f}")
    1.0064
    """

    _parameter_constraints: dict = {
        "margin": [Interval(Real, 0, None, closed="left")],
        "scale": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, margin=0.1, *, scale=32):
        self.margin = margin
        self.scale = scale

    def _of(self, cosines: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        by_proxy = cosines.T
        codes = torch.arange(len(by_proxy), device=labels.device)
        own = codes[:, None] == labels[None, :]
        pull = _softplus_sum(-self.scale * (by_proxy - self.margin), own)
        push = _softplus_sum(self.scale * (by_proxy + self.margin), ~own)
        n_present = own.any(dim=1).sum()
        return pull.sum() / n_present + push.mean()  # equation 4


def _softplus_sum(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return log(1 + sum exp) of each row over `mask`; 0 where that is empty."""
    return F.softplus(masked_logsumexp(values, mask))
