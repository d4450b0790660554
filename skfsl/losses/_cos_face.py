"""A softmax over cosines with class proxies, by a margin on the cosine."""

from numbers import Real

import torch
from torch.nn import functional as F

from skfsl.losses._proxies import ProxyLoss
from skfsl.utils._sklearn_private import Interval

__all__ = ["CosFaceLoss"]


class CosFaceLoss(ProxyLoss):
    """Classify samples by class proxies, the own cosine lowered by a margin.

    Each class has a proxy, a direction that is trained along. The logits of a sample
    are its cosines with all proxies times the scale, the own one lowered by the margin
    before, and the loss is the mean cross-entropy: a sample has to be closer to its
    own proxy than to any other by the margin.

    Use it as :class:`ArcFaceLoss`; the margin is easier to train with.

    Parameters
    ----------
    margin : float, default=0.35
        What is taken from the cosine with the own proxy; 0 asks for no margin.

    scale : float, default=64
        What cosines are multiplied by.

    Attributes
    ----------
    accepts : tuple of str
        ("cosine",).

    See Also
    --------
    ArcFaceLoss : The margin is an angle.
    NormalizedSoftmaxLoss : Without a margin.

    Notes
    -----
    With the cosine ``s_c`` of a sample and the proxy of class c, and y its own class,
    it is the mean over the batch of equation 4 of [1]_::

        -log( e^(scale (s_y - margin)) /
              (e^(scale (s_y - margin)) + sum_{c != y} e^(scale s_c)) )

    References
    ----------
    .. [1] H. Wang, Y. Wang, Z. Zhou, X. Ji, D. Gong, J. Zhou, Z. Li and W. Liu.
       CosFace: Large Margin Cosine Loss for Deep Face Recognition. CVPR, 2018.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import CosineHead
    >>> from skfsl.losses import CosFaceLoss
    >>> loss = CosFaceLoss(margin=0.5, scale=2).build(embedding_dim=2, n_classes=2)
    >>> _ = loss.load_state_dict({"proxies": torch.eye(2)[:, None]})
    >>> x = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> print(f"{loss(x, torch.tensor([0, 1]), CosineHead()).item():.4f}")
    0.3133
    """

    _parameter_constraints: dict = {
        "margin": [Interval(Real, 0, None, closed="left")],
        "scale": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, margin=0.35, *, scale=64):
        self.margin = margin
        self.scale = scale

    def _of(self, cosines: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        own = F.one_hot(labels, cosines.shape[1]).to(cosines.dtype)
        logits = self.scale * (cosines - self.margin * own)
        return F.cross_entropy(logits, labels)  # equation 4
