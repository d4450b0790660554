"""Change images: random transforms of batches, and classes made of classes."""

from skfsl.augmentation._color_jitter import ColorJitter
from skfsl.augmentation._random_affine import RandomAffine
from skfsl.augmentation._random_crop import RandomCrop
from skfsl.augmentation._random_erasing import RandomErasing
from skfsl.augmentation._random_flip import RandomFlip
from skfsl.augmentation._rotate_as_classes import rotate_as_classes

__all__ = [
    "AUGMENTATIONS",
    "ColorJitter",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "rotate_as_classes",
]

# name -> "module:maker"; what an augmentation may be called by.
AUGMENTATIONS = {
    "characters": "skfsl.augmentation._random_affine:RandomAffine",
    "photos": "skfsl.augmentation._presets:photos",
}
