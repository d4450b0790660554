"""The settings of SiameseTransformer: what each may be, and how parts get theirs."""

import numbers
import os
from collections.abc import Callable
from typing import Any

import torch

from skfsl.augmentation import AUGMENTATIONS
from skfsl.images import RESIZES
from skfsl.siamese._learn import OPTIMIZERS
from skfsl.siamese._module import PARTS, resolve_part
from skfsl.siamese._views import VIEWS
from skfsl.utils._sklearn_private import HasMethods, Interval, StrOptions

__all__ = ["CONSTRAINTS", "set_plain"]

CONSTRAINTS: dict = {
    "encoder": [str, callable, HasMethods("build")],
    "weights": [str, os.PathLike, HasMethods(["get_state_dict", "transforms"]), None],
    "embedding_dim": [Interval(numbers.Integral, 1, None, closed="left"), None],
    "head": [str, HasMethods("build")],
    "loss": [str, callable, HasMethods("build")],
    "sampler": [str, HasMethods("build")],
    "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
    "lr": [Interval(numbers.Real, 0, None, closed="neither")],
    "weight_decay": [Interval(numbers.Real, 0, None, closed="left")],
    "max_epochs": [Interval(numbers.Integral, 0, None, closed="left")],
    "schedule": [StrOptions({"auto", "cosine", "staged"}), list, tuple],
    "validation_fraction": [Interval(numbers.Real, 0, 1, closed="left")],
    "early_stopping": [
        "boolean",
        Interval(numbers.Integral, 1, None, closed="left"),
    ],
    "augment": [StrOptions(set(AUGMENTATIONS)), callable, list, tuple, None],
    "views": [StrOptions(set(VIEWS)), list, tuple, None],
    "input_layout": [StrOptions({"auto", "channels_first", "channels_last"})],
    "image_size": [
        Interval(numbers.Integral, 1, None, closed="left"),
        tuple,
        list,
        None,
    ],
    "resize": [StrOptions(set(RESIZES))],
    "on_error": [StrOptions({"raise", "skip"})],
    "cache": [str, os.PathLike, None],
    "memory_budget": [Interval(numbers.Real, 0, None, closed="left")],
    "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    "device": [str, torch.device],
    "callbacks": [list, tuple, None],
    "checkpoint": [str, os.PathLike, None],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def set_plain(estimator: Any, set_params: Callable, params: dict) -> dict:
    """Set the parameters without "__", and parts in place of names that need one.

    Parameters
    ----------
    estimator : SiameseTransformer
        Is changed.
    set_params : callable
        scikit-learn's own ``set_params``.
    params : dict
        As given to ``set_params``.

    Returns
    -------
    nested : dict
        The parameters with "__", which may be set now.

    Raises
    ------
    ValueError
        If the part that they are meant for is "auto", or a list of parts.
    """
    set_params(**{k: v for k, v in params.items() if "__" not in k})
    nested = {k: v for k, v in params.items() if "__" in k}
    for name in {key.partition("__")[0] for key in nested} & set(PARTS):
        value = getattr(estimator, name)
        if isinstance(value, str) and value != "auto":
            value = resolve_part(value, name)
            setattr(estimator, name, value)
        elif isinstance(value, str):
            raise ValueError(
                f"Cannot set parameters of {name}='auto': what it stands for is "
                f"known in fit only. Name it, e.g. {name}='conv4'."
            )
        if isinstance(value, list | tuple):
            raise ValueError(
                f"Cannot set parameters of {name}={value}, a list of parts. Set the "
                f"whole of it: {name}=[...]."
            )
    return nested
