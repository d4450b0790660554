"""What random transforms of batches have in common."""

import math
from numbers import Real
from typing import Self

import torch

from skfsl.utils._parts import Part

__all__ = ["ImageTransform", "check_range"]

# Numbers in a block of images on a CPU: what its caches hold is changed much faster.
_BLOCK = 2**19


class ImageTransform(Part):
    """Base of the transforms of whole batches; each image has a draw of its own.

    Subclasses have ``_transform``, from images (n, c, h, w) to as many of the same
    shape.
    """

    def build(self) -> Self:
        """Return the transform itself: it has no weights.

        Returns
        -------
        transform : object
            This transform.

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        """
        self._validate_params()
        return self

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Change a batch.

        Parameters
        ----------
        images : Tensor of shape (n, c, h, w)
            Images of floating-point numbers; they are left as they are.

        Returns
        -------
        images : Tensor of shape (n, c, h, w)
            The changed images, of the same dtype on the same device.

        Raises
        ------
        ValueError
            If `images` is not a batch of images of floating-point numbers.
        TypeError
            If `images` is no tensor.
        """
        name = type(self).__name__
        if not isinstance(images, torch.Tensor):
            raise TypeError(f"{name} takes torch tensors. Got {type(images).__name__}.")
        if images.ndim != 4 or not images.is_floating_point() or not images.numel():
            raise ValueError(
                f"{name} takes floating-point images of shape (n, c, h, w), one or "
                f"more. Got {images.dtype} of shape {tuple(images.shape)}."
            )
        with torch.autocast(images.device.type, enabled=False):
            if images.device.type != "cpu" or images.numel() <= _BLOCK:
                return self._transform(images)
            blocks = images.split(max(1, _BLOCK // images[0].numel()))
            return torch.cat([self._transform(block) for block in blocks])

    def _transform(self, images: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def check_range(part: Part, name: str, *, largest: float = math.inf) -> None:
    """Refuse a parameter that is not two numbers, 0 < low <= high <= `largest`."""
    value = getattr(part, name)
    numbers = isinstance(value, tuple | list) and len(value) == 2
    numbers = numbers and all(isinstance(v, Real) and v < math.inf for v in value)
    if not numbers or not 0 < value[0] <= value[1] <= largest:
        bound = "" if largest == math.inf else f" <= {largest:g}"
        raise ValueError(
            f"The {name!r} parameter of {type(part).__name__} must be two numbers, "
            f"0 < smallest <= largest{bound}. Got {value!r} instead."
        )
