"""Weights from a file, in whatever wrapping it was saved, into a network."""

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import nn

__all__ = ["load_weights", "read_state_dict", "reason", "set_weights"]

# Where training loops put the weights, beside the optimizer's state and the like.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "encoder", "backbone")
# What layers behind an encoder are called by: they may be left over.
_HEADS = {
    "AuxLogits", "aux1", "aux2", "classifier", "fc", "head", "heads", "last_linear",
}  # fmt: skip


def load_weights(module: nn.Module, path: str | os.PathLike) -> None:
    """Set the weights of a network from a file, and mark it as ``pretrained``.

    Parameters
    ----------
    module : nn.Module
        Is changed.
    path : str or path-like
        See `read_state_dict`.
    """
    set_weights(module, read_state_dict(path), source=str(path))
    module.pretrained = True  # type: ignore[assignment]


def read_state_dict(path: str | os.PathLike) -> Mapping[str, torch.Tensor]:
    """Read the weights in a file; nothing in it is executed.

    Parameters
    ----------
    path : str or path-like
        What ``torch.save(module.state_dict(), path)`` wrote, or a checkpoint that
        holds such a dict under a usual name; or a file of safetensors.

    Returns
    -------
    state : mapping of str to Tensor
        On the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If it is of safetensors, and the package is not installed.
    ValueError
        If it is damaged, or holds anything but weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"weights={str(path)!r} must be the path of a saved state_dict, and there "
            f"is no such file."
        )
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError:
            raise ImportError(
                f"{path} is read by safetensors: python -m pip install safetensors"
            )
        read: Callable = load_file
    else:
        read = partial(torch.load, map_location="cpu", weights_only=True)
    try:
        saved = read(path)
    except Exception as error:  # of whatever kind a damaged file, or a text, leads to
        raise ValueError(
            f"Cannot read weights from {path}. It must hold a state_dict and no other "
            f"objects, as torch.save(module.state_dict(), path) writes it. Got "
            f"{reason(error)}"
        )
    while not _is_state_dict(saved):
        keys = list(saved) if isinstance(saved, Mapping) else []
        inner = [k for k in _WRAPPERS if k in keys and isinstance(saved[k], Mapping)]
        if not inner:
            found = f"a dict of {keys[:10]}" if keys else type(saved).__name__
            raise ValueError(
                f"Expected a state_dict in {path}, plain or under one of "
                f"{list(_WRAPPERS)}. Got {found}. Save the dict of weights alone."
            )
        saved = saved[inner[0]]
    return saved


def reason(error: Exception) -> str:
    """Say why a file cannot be read.

    Not what torch says next: to load it all the same, and run what is in it.
    """
    first = str(error).partition("\n")[0].split(". ")[0]
    return f"{type(error).__name__}: {first}"


def _is_state_dict(saved: object) -> bool:
    return isinstance(saved, Mapping) and all(
        isinstance(value, torch.Tensor) for value in saved.values()
    )


def set_weights(
    module: nn.Module,
    state: Mapping[str, torch.Tensor],
    *,
    source: str,
    head: str = "head",
) -> None:
    """Set the weights of a network from those of it and a classifier behind it.

    Parameters
    ----------
    module : nn.Module
        Is changed.
    state : mapping of str to Tensor
        Its ``state_dict()``. A prefix of all names ("module.", "model.encoder.") is
        taken off; what has not got it belongs to something else.
    source : str
        Where they come from, named in errors.
    head : str, default="head"
        The layer that may be left over, beside those of the usual names.

    Raises
    ------
    ValueError
        If weights are missing, left over, of another shape, infinite or NaN.
    """
    wanted = module.state_dict()
    prefix = _prefix(wanted, state)
    given = OrderedDict(
        (name.removeprefix(prefix), value)
        for name, value in state.items()
        if name.startswith(prefix)
    )
    for name in [n for n in given if n not in wanted]:
        if name.split(".")[0] in _HEADS or name.startswith(f"{head}."):
            del given[name]
    broken = [n for n, v in given.items() if not torch.isfinite(v).all()]
    _refuse(broken, "infinite or NaN", module, source)
    # By its version a network brings weights of older ones into its own form.
    own = {} if prefix else getattr(state, "_metadata", {})
    given._metadata = own or wanted._metadata  # type: ignore[attr-defined]
    try:
        missing, left_over = module.load_state_dict(given, strict=False)
    except RuntimeError as error:
        wrong = [line.strip(" \t.") for line in str(error).splitlines()[1:]]
        _refuse(wrong, "of another shape", module, source)
        raise
    # Old files are without this counter, which nothing of ours reads.
    missing = [n for n in missing if not n.endswith("num_batches_tracked")]
    _refuse(missing, "missing", module, source)
    _refuse(left_over, "left over", module, source)


def _prefix(wanted: Mapping, state: Mapping) -> str:
    """Return what stands before the names, the shortest that fits most of them."""
    first = next(iter(wanted), "")
    prefixes = {name.removesuffix(first) for name in state if name.endswith(first)}
    return max(
        sorted(prefixes, key=len) if first else [],
        key=lambda prefix: sum(prefix + name in state for name in wanted),
        default="",
    )


def _refuse(names: list[str], what: str, module: nn.Module, source: str) -> None:
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise ValueError(
            f"The weights of {source} are not those of this {type(module).__name__}. "
            f"These are {what}: {', '.join(names[:3])}{more}. Choose the encoder that "
            f"they were saved from."
        )
