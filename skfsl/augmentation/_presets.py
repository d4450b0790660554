"""Augmentations that have a name."""

from skfsl.augmentation._color_jitter import ColorJitter
from skfsl.augmentation._image_transform import ImageTransform
from skfsl.augmentation._random_crop import RandomCrop
from skfsl.augmentation._random_flip import RandomFlip

__all__ = ["photos"]


def photos() -> list[ImageTransform]:
    """Return a mild augmentation of photos: flips, crops, a little of colour."""
    return [
        RandomFlip(),
        RandomCrop(scale=(0.5, 1)),
        ColorJitter(0.2, contrast=0.2, saturation=0.2),
    ]
