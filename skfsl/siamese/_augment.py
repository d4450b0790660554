"""What batches are augmented by, of whatever it is given as."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from skfsl.siamese._module import resolve_part
from skfsl.utils._parts import Part

__all__ = ["build_augment"]


class _InOrder:
    """Transforms one after the other."""

    def __init__(self, transforms: Sequence[Callable]):
        self.transforms = transforms

    def __call__(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x


class _EachImage:
    """A transform of torchvision, which draws once a call: for each image anew."""

    def __init__(self, transform: Callable):
        self.transform = transform

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.transform(image) for image in x])


def build_augment(augment: Any, device: torch.device) -> Any:
    """Make what batches are augmented by.

    Parameters
    ----------
    augment : None, str, Part, nn.Module, callable, or list of these
        A list is applied in order. What is not a part is copied.
    device : torch.device
        Where the batches are: a module goes there.

    Returns
    -------
    transform : callable or None
        Batch (n, ...) -> batch.

    Raises
    ------
    TypeError
        If it is, or a list holds, what cannot be called.
    ValueError
        If a parameter of a part is out of its range.
    """
    augment = resolve_part(augment, "augment")
    if isinstance(augment, list | tuple):
        return _InOrder([build_augment(a, device) for a in augment])
    if isinstance(augment, Part):
        return augment.build()
    if augment is not None and not callable(augment):
        raise TypeError(
            f"The 'augment' parameter must be a name, a part of skfsl.augmentation, a "
            f"torch.nn.Module, a callable, or a list of these. Got {augment!r}."
        )
    augment = copy.deepcopy(augment)
    if isinstance(augment, nn.Module):
        augment = augment.to(device)
    return _EachImage(augment) if _is_torchvision(augment) else augment


def _is_torchvision(augment: Any) -> bool:
    """Tell by the name of a base class; a Sequential may hold one."""
    parts = augment.modules() if isinstance(augment, nn.Module) else [augment]
    return any(
        base.__module__.startswith("torchvision.transforms")
        for part in parts
        for base in type(part).__mro__
    )
