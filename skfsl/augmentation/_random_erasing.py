"""A box of each image made unreadable."""

from numbers import Real

import torch

from skfsl.augmentation._boxes import draw_boxes
from skfsl.augmentation._image_transform import ImageTransform, check_range
from skfsl.utils._sklearn_private import Interval, StrOptions

__all__ = ["RandomErasing"]


class RandomErasing(ImageTransform):
    """Fill a box in each image of a batch, so that no one detail is relied on.

    The defaults are those of [1]_. Use it where things are seen partly covered.

    Parameters
    ----------
    p : float, default=0.5
        Probability that an image gets a box, in [0, 1].

    scale : tuple of (float, float), default=(0.02, 0.4)
        Range of the box's share of the image's area, in (0, 1].

    ratio : tuple of (float, float), default=(0.3, 10 / 3)
        Range of the box's width by its height, relative to that of the image.

    fill : "noise" or float, default="noise"
        What is put in: "noise" is uniform in [0, 1) for each number of each pixel;
        a number is the same for all. 0 on black and 1 on white leave no trace but what
        is missing.

    Notes
    -----
    The logarithm of the ratio is uniform, so that wide boxes are as frequent as tall
    ones; in [1]_ it is the ratio itself. Where a side would be longer than the image's
    it is cut to it, where [1]_ draws again.

    Randomness comes from torch's global generator on the device of the images, which
    the caller has seeded.

    References
    ----------
    .. [1] Z. Zhong, L. Zheng, G. Kang, S. Li and Y. Yang. Random Erasing Data
       Augmentation. AAAI, 2020.

    Examples
    --------
    >>> import torch
    >>> from skfsl.augmentation import RandomErasing
    >>> erase = RandomErasing(p=1, scale=(0.25, 0.25), ratio=(1, 1), fill=0).build()
    >>> erase(torch.ones(2, 1, 8, 8)).sum(dim=(1, 2, 3))  # 16 of 64 are gone
    tensor([48., 48.])
    """

    _parameter_constraints: dict = {
        "p": [Interval(Real, 0, 1, closed="both")],
        "scale": [tuple, list],
        "ratio": [tuple, list],
        "fill": [StrOptions({"noise"}), Interval(Real, None, None, closed="neither")],
    }

    def __init__(self, p=0.5, *, scale=(0.02, 0.4), ratio=(0.3, 10 / 3), fill="noise"):
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.fill = fill

    def _validate_params(self) -> None:
        super()._validate_params()
        check_range(self, "scale", largest=1)
        check_range(self, "ratio")

    def _transform(self, images: torch.Tensor) -> torch.Tensor:
        n, _, h, w = images.shape
        top, left, height, width = draw_boxes(
            n, (h, w), scale=self.scale, ratio=self.ratio, device=images.device
        )
        erased = torch.rand(n, device=images.device) < self.p
        rows = _between(top, height, h) & erased[:, None]
        box = (rows[:, :, None] & _between(left, width, w)[:, None, :])[:, None]
        if self.fill == "noise":
            return torch.where(box, torch.rand_like(images), images)
        return images.masked_fill(box, self.fill)


def _between(start: torch.Tensor, length: torch.Tensor, size: int) -> torch.Tensor:
    """Tell which places of an axis lie in each range, (n, size)."""
    places = torch.arange(size, device=start.device)
    return (places >= start[:, None]) & (places < (start + length)[:, None])
