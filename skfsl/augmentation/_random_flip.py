"""Mirror images."""

from numbers import Real

import torch

from skfsl.augmentation._image_transform import ImageTransform
from skfsl.utils._sklearn_private import Interval

__all__ = ["RandomFlip"]


class RandomFlip(ImageTransform):
    """Mirror each image of a batch, or leave it, by a draw of its own.

    Use it for photos of what has no left and right. Text and characters have, and a
    vertical flip suits pictures taken from above only.

    Parameters
    ----------
    horizontal : float, default=0.5
        Probability that left and right are exchanged, in [0, 1].

    vertical : float, default=0
        Probability that top and bottom are exchanged, in [0, 1].

    Notes
    -----
    Randomness comes from torch's global generator on the device of the images, which
    the caller has seeded.

    Examples
    --------
    >>> import torch
    >>> from skfsl.augmentation import RandomFlip
    >>> RandomFlip(horizontal=1).build()(torch.tensor([[[[1.0, 2.0, 3.0]]]]))
    tensor([[[[3., 2., 1.]]]])
    """

    _parameter_constraints: dict = {
        "horizontal": [Interval(Real, 0, 1, closed="both")],
        "vertical": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, horizontal=0.5, *, vertical=0):
        self.horizontal = horizontal
        self.vertical = vertical

    def _transform(self, images: torch.Tensor) -> torch.Tensor:
        for axis, p in ((3, self.horizontal), (2, self.vertical)):
            if p:
                flips = torch.rand(len(images), 1, 1, 1, device=images.device) < p
                images = torch.where(flips, images.flip(axis), images)
        return images
