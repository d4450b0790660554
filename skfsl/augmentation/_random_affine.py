"""Rotation, shear, scale and shift, drawn anew for each image."""

import math
from numbers import Real
from typing import Self

import torch
from torch.nn import functional as F

from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["RandomAffine"]


class RandomAffine(Part):
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

    def build(self) -> Self:
        """Return the transform itself: it has no weights.

        Returns
        -------
        transform : RandomAffine
            This transform.

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        """
        self._validate_params()
        numbers = all(isinstance(s, Real) and s < math.inf for s in self.scale)
        if (
            len(self.scale) != 2
            or not numbers
            or not 0 < self.scale[0] <= self.scale[1]
        ):
            raise ValueError(
                "The 'scale' parameter of RandomAffine must be two numbers, "
                f"0 < smallest <= largest. Got {self.scale!r} instead."
            )
        return self

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Distort a batch.

        Parameters
        ----------
        images : Tensor of shape (n, c, h, w)
            Images of floating-point numbers.

        Returns
        -------
        images : Tensor of shape (n, c, h, w)
            New images; between pixels the values are interpolated linearly.

        Raises
        ------
        ValueError
            If `images` is not a batch of images of floating-point numbers.
        TypeError
            If `images` is no tensor.
        """
        if not isinstance(images, torch.Tensor):
            raise TypeError(
                f"RandomAffine takes torch tensors. Got {type(images).__name__}."
            )
        if images.ndim != 4 or not images.is_floating_point() or not images.numel():
            raise ValueError(
                "RandomAffine takes floating-point images of shape (n, c, h, w), one "
                f"or more. Got {images.dtype} of shape {tuple(images.shape)}."
            )
        h, w = images.shape[2:]
        with torch.autocast(images.device.type, enabled=False):
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
