"""The network that a file describes, laid out before any memory is taken for it."""

import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

__all__ = ["check_plan", "check_same"]


class _AtMost(TorchFunctionMode):
    """Ends what calls torch without end, as an encoder of 10**9 layers does."""

    def __init__(self, n_calls: int):
        super().__init__()
        self.left = n_calls

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.left -= 1
        if self.left < 0:
            raise ValueError(
                "The file describes a network of far more layers than it has weights "
                "for. It was not written by skfsl."
            )
        return func(*args, **(kwargs or {}))


def check_plan(
    build: Callable, weights: dict, what: str, prefix: str, *, ours: bool = True
) -> None:
    """Check that what will be built takes weights, of which nothing is allocated.

    Parameters
    ----------
    build : callable
        Makes what may be a module; here on torch's meta device, and thrown away.
    weights : dict of str to Tensor
        From the file, among others those of the module: their names begin with
        `prefix`.
    what : str
        What the module comes from, for the error.
    prefix : str
        Of the names.
    ours : bool, default=True
        Whether `build` is of skfsl. What a user's function cannot do without numbers
        is not checked; of ours these are networks of torchvision that read some.

    Raises
    ------
    ValueError
        If weights differ in name, shape or dtype.
    """
    weights = {name: w for name, w in weights.items() if name.startswith(prefix)}
    # No network of skfsl or torchvision calls torch 20 times for a weight of its own.
    bound = _AtMost(100 * (len(weights) + 10))
    try:
        with warnings.catch_warnings(), torch.device("meta"), bound:
            warnings.simplefilter("ignore")  # weights that a function loads go nowhere
            planned = build()
    except Exception as error:
        if ours and not isinstance(error, NotImplementedError):
            raise
        return
    state = planned.state_dict() if isinstance(planned, nn.Module) else {}
    check_same({prefix + name: value for name, value in state.items()}, weights, what)


def check_same(mine: dict, weights: dict, what: str) -> None:
    """Check that two have tensors of the same names, shapes and dtypes.

    Raises
    ------
    ValueError
        If not.
    """
    differing = sorted(
        name
        for name in {*mine, *weights}
        if name not in mine
        or name not in weights
        or mine[name].shape != weights[name].shape
        or mine[name].dtype != weights[name].dtype
    )
    if differing:
        raise ValueError(
            f"The trained weights are not those of {what}: {len(differing)} differ in "
            f"name, shape or dtype, {differing[0]!r} for one. Set the parameters to "
            f"what they were in fit, and give the encoder that was trained."
        )
