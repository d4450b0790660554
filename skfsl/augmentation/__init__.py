"""Change images: random transforms of batches, and classes made of classes."""

from skfsl.augmentation._random_affine import RandomAffine
from skfsl.augmentation._rotate_as_classes import rotate_as_classes

__all__ = ["RandomAffine", "rotate_as_classes"]
