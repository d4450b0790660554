"""A part of each image, stretched to its size."""

from numbers import Integral, Real

import torch
from torch.nn import functional as F

from skfsl.augmentation._boxes import draw_boxes
from skfsl.augmentation._image_transform import ImageTransform, check_range
from skfsl.utils._sklearn_private import Interval

__all__ = ["RandomCrop"]


class RandomCrop(ImageTransform):
    """Cut a box out of each image of a batch, and stretch it to the image's size.

    Both crops in use are settings of it. The defaults are the resized crop of [1]_,
    for photos in which the object takes more or less of the picture.
    ``RandomCrop(scale=(1, 1), ratio=(1, 1), padding=8)`` is the padded crop of [2]_:
    a shift by whole pixels, which changes no size, for small images and for objects
    that fill the picture.

    Parameters
    ----------
    scale : tuple of (float, float), default=(0.2, 1.0)
        Range of the share of the image's area, in (0, 1]. From 0.08 in [1]_, which
        asks for long training.

    ratio : tuple of (float, float), default=(3 / 4, 4 / 3)
        Range of the box's width by its height, relative to that of the image.

    padding : int, default=0
        Pixels by which the box may lie outside of the image, on each side.

    fill : float, default=0
        Value of what lies outside.

    Notes
    -----
    Boxes have whole pixels, and pixels between them are interpolated linearly within
    the box. Where a side would be longer than the image's it is cut to it; others
    draw again, which makes smaller boxes.

    Randomness comes from torch's global generator on the device of the images, which
    the caller has seeded.

    References
    ----------
    .. [1] C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan,
       V. Vanhoucke and A. Rabinovich. Going Deeper with Convolutions. CVPR, 2015.
    .. [2] K. Lee, S. Maji, A. Ravichandran and S. Soatto. Meta-Learning with
       Differentiable Convex Optimization. CVPR, 2019.

    Examples
    --------
    >>> import torch
    >>> from skfsl.augmentation import RandomCrop
    >>> _ = torch.manual_seed(0)
    >>> RandomCrop(scale=(0.5, 1)).build()(torch.rand(8, 3, 84, 84)).shape
    torch.Size([8, 3, 84, 84])
    """

    _parameter_constraints: dict = {
        "scale": [tuple, list],
        "ratio": [tuple, list],
        "padding": [Interval(Integral, 0, None, closed="left")],
        "fill": [Interval(Real, None, None, closed="neither")],
    }

    def __init__(self, scale=(0.2, 1.0), *, ratio=(3 / 4, 4 / 3), padding=0, fill=0):
        self.scale = scale
        self.ratio = ratio
        self.padding = padding
        self.fill = fill

    def _validate_params(self) -> None:
        super()._validate_params()
        check_range(self, "scale", largest=1)
        check_range(self, "ratio")

    def _transform(self, images: torch.Tensor) -> torch.Tensor:
        n, _, h, w = images.shape
        top, left, height, width = draw_boxes(
            n, (h, w), scale=self.scale, ratio=self.ratio, padding=self.padding,
            device=images.device,
        )  # fmt: skip
        y, x = _places(top, height, h), _places(left, width, w)
        grid = torch.stack(
            [x[:, None, :].expand(n, h, w), y[:, :, None].expand(n, h, w)], dim=3
        )
        shown = F.grid_sample(
            images - self.fill, grid.to(images.dtype), align_corners=False
        )
        return shown + self.fill


def _places(start: torch.Tensor, length: torch.Tensor, size: int) -> torch.Tensor:
    """Return where the pixels of the new image lie in the old one, (n, size)."""
    start, length = start[:, None], length[:, None]
    steps = torch.arange(size, device=start.device) + 0.5
    # Not beyond the middles of the first and last pixel: others are not in the box.
    inside = (steps * (length / size) - 0.5).clamp(min=0).minimum(length - 1)
    # grid_sample measures from -1 to 1, edge to edge.
    return (start + inside + 0.5) * (2 / size) - 1
