"""Rotation, shear, scale and shift, drawn anew for each image."""

import math
from numbers import Real

import torch
from torch.nn import functional as F

from skfsl.augmentation._image_transform import ImageTransform, check_range
from skfsl.utils._sklearn_private import Interval

__all__ = ["RandomAffine"]


class RandomAffine(ImageTransform):
    """Distort each image of a batch by an affine map of its own.

    The map is a rotation, a shear along each axis, a scale of each axis and a shift
    along each axis: seven components, each of them drawn with probability `p` and
    left out otherwise. The whole batch is resampled at once, where it is (on a GPU,
    too). The defaults are those of [1]_ for characters of 105 × 105 pixels.

    Parameters
    ----------
    degrees : float, default=10
        Rotations are drawn from [-degrees, degrees].

    shear : float, default=0.3
        Shears are drawn from [-shear, shear]: pixels of one axis a pixel of the other.
        In [0, 1).

    scale : tuple of (float, float), default=(0.8, 1.2)
        Range of the scales; above 1 is larger.

    translate : float, default=2
        Shifts are drawn from [-translate, translate], in pixels.

    p : float, default=0.5
        Probability of each component, in [0, 1].

    fill : float, default=0
        Value of the background that comes into view: 0 is black; for ink on white
        paper it is 1.

    Notes
    -----
    Randomness comes from torch's global generator on the device of the images, which
    the caller has seeded.

    References
    ----------
    .. [1] G. Koch, R. Zemel and R. Salakhutdinov. Siamese Neural Networks for
       One-shot Image Recognition. ICML Deep Learning Workshop, 2015.

    Examples
    --------
    >>> import torch
    >>> from skfsl.augmentation import RandomAffine
    >>> _ = torch.manual_seed(0)
    >>> images = torch.rand(8, 1, 28, 28)
    >>> RandomAffine(degrees=15).build()(images).shape
    torch.Size([8, 1, 28, 28])
    """

    _parameter_constraints: dict = {
        "degrees": [Interval(Real, 0, 180, closed="both")],
        "shear": [Interval(Real, 0, 1, closed="left")],
        "scale": [tuple, list],
        "translate": [Interval(Real, 0, None, closed="left")],
        "p": [Interval(Real, 0, 1, closed="both")],
        "fill": [Interval(Real, None, None, closed="neither")],
    }

    def __init__(
        self, degrees=10, *, shear=0.3, scale=(0.8, 1.2), translate=2, p=0.5, fill=0
    ):
        self.degrees = degrees
        self.shear = shear
        self.scale = scale
        self.translate = translate
        self.p = p
        self.fill = fill

    def _validate_params(self) -> None:
        super()._validate_params()
        check_range(self, "scale")

    def _transform(self, images: torch.Tensor) -> torch.Tensor:
        h, w = images.shape[2:]
        maps = self._draw(len(images), h, w, images.device)
        grid = F.affine_grid(maps, list(images.shape), align_corners=False)
        shown = F.grid_sample(
            images - self.fill, grid.to(images.dtype), align_corners=False
        )
        return shown + self.fill

    def _draw(self, n: int, h: int, w: int, device: torch.device) -> torch.Tensor:
        """Return maps (n, 2, 3) from places in the new image to places in the old."""
        drawn = torch.rand(n, 7, device=device)
        left_out = torch.rand(n, 7, device=device) >= self.p
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * drawn[:, :2]
        scale_x, scale_y = scale.masked_fill(left_out[:, :2], 1).unbind(1)
        signed = (2 * drawn[:, 2:] - 1).masked_fill(left_out[:, 2:], 0)
        shear_x, shear_y = (signed[:, 0:2] * self.shear).unbind(1)
        shift_x, shift_y = (signed[:, 2:4] * self.translate).unbind(1)
        angle = signed[:, 4] * math.radians(self.degrees)
        sin, cos = angle.sin(), angle.cos()
        # The inverse of rotation · shear · scale, in pixels from the centre.
        in_x, in_y = (
            scale_x * (1 - shear_x * shear_y),
            scale_y * (1 - shear_x * shear_y),
        )
        xx, xy = (cos + shear_x * sin) / in_x, (sin - shear_x * cos) / in_x
        yx, yy = (-sin - shear_y * cos) / in_y, (cos - shear_y * sin) / in_y
        x0, y0 = -(xx * shift_x + xy * shift_y), -(yx * shift_x + yy * shift_y)
        # affine_grid measures each axis in halves of its length.
        rows = (xx, xy * (h / w), x0 * (2 / w), yx * (w / h), yy, y0 * (2 / h))
        return torch.stack(rows, dim=1).view(n, 2, 3)
