"""A softmax over cosines with class proxies, by a margin on the angle."""

import math
from numbers import Integral, Real

import torch
from torch.nn import functional as F

from skfsl.losses._proxies import ProxyLoss
from skfsl.utils._sklearn_private import Interval

__all__ = ["ArcFaceLoss"]


class ArcFaceLoss(ProxyLoss):
    """Classify samples by class proxies, the own angle widened by a margin.

    Each class has a proxy, a direction that is trained along. The logits of a sample
    are its cosines with all proxies times the scale; to the angle with its own proxy
    the margin is added before. The loss is the mean cross-entropy: a sample has to be
    closer to its own proxy than to any other by that angle.

    Use it with many classes of many samples each. In few epochs a lower scale, such as
    16, learns more.

    Parameters
    ----------
    margin : float, default=0.5
        What is added to the angle with the own proxy, in radians, at most pi / 2;
        0 asks for no margin.

    scale : float, default=64
        What cosines are multiplied by.

    n_centers : int, default=1
        Number of proxies a class; a sample is compared with the nearest. With 3 it is
        the sub-center ArcFace of [2]_, for classes that have several faces, or labels
        that are sometimes wrong.

    Attributes
    ----------
    accepts : tuple of str
        ("cosine",).

    See Also
    --------
    CosFaceLoss : The margin is taken from the cosine.
    NormalizedSoftmaxLoss : Without a margin.

    Notes
    -----
    With the angle ``a_c`` between a sample and the proxy of class c, and y its own
    class, it is the mean over the batch of equation 3 of [1]_::

        -log( e^(scale cos(a_y + margin)) /
              (e^(scale cos(a_y + margin)) + sum_{c != y} e^(scale cos a_c)) )

    Where ``a_y + margin`` is above pi the cosine would rise again. There it is
    ``cos(a_y) - margin sin(margin)`` instead, as in the program of the authors of [1]_,
    so that a smaller angle always costs less.

    References
    ----------
    .. [1] J. Deng, J. Guo, N. Xue and S. Zafeiriou. ArcFace: Additive Angular Margin
       Loss for Deep Face Recognition. CVPR, 2019.
    .. [2] J. Deng, J. Guo, T. Liu, M. Gong and S. Zafeiriou. Sub-center ArcFace:
       Boosting Face Recognition by Large-scale Noisy Web Faces. ECCV, 2020.

    Examples
    --------
    >>> import math
    >>> import torch
    >>> from skfsl.heads import CosineHead
    >>> from skfsl.losses import ArcFaceLoss
    >>> loss = ArcFaceLoss(math.pi / 3, scale=2).build(embedding_dim=2, n_classes=2)
    >>> _ = loss.load_state_dict({"proxies": torch.eye(2)[:, None]})
    >>> x = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> print(f"{loss(x, torch.tensor([0, 1]), CosineHead()).item():.4f}")
    0.3133
    """

    _parameter_constraints: dict = {
        "margin": [Interval(Real, 0, math.pi / 2, closed="both")],
        "scale": [Interval(Real, 0, None, closed="neither")],
        "n_centers": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, margin=0.5, *, scale=64, n_centers=1):
        self.margin = margin
        self.scale = scale
        self.n_centers = n_centers

    def _of(self, cosines: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        at = labels[:, None]
        own = cosines.gather(1, at)
        logits = self.scale * cosines.scatter(1, at, self._widened(own))
        return F.cross_entropy(logits, labels)  # equation 3

    def _widened(self, cosines: torch.Tensor) -> torch.Tensor:
        """Return the cosines of angles to which the margin is added."""
        cos, sin = math.cos(self.margin), math.sin(self.margin)
        squared = 1 - cosines.square()
        # The root has no finite gradient at 0: there the sine is held.
        slanted = squared > 0
        sines = torch.where(slanted, squared, 1).sqrt() * slanted
        return torch.where(
            cosines >= -cos, cosines * cos - sines * sin, cosines - self.margin * sin
        )
