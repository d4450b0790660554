"""The state of a training in a file, so that one that was killed can go on."""

import hashlib
import io
import os
import platform
import random
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.utils import check_random_state
from torch import nn

from skfsl.utils._atomic import write_whole
from skfsl.utils._outside import outside
from skfsl.utils._parts import Part

__all__ = ["Checkpoint", "fingerprint"]

# Parameters that change nothing of what is learned, or are in the data by then.
_WITHOUT_EFFECT = {
    "cache",
    "callbacks",
    "checkpoint",
    "device",
    "memory_budget",
    "on_error",
    "random_state",
    "verbose",
    "views",
    "warm_start",
}


class Checkpoint:
    """The file of one training.

    It is written whole, under another name, before it takes the place of the one
    before: whenever the process is killed, there is a complete one.

    Parameters
    ----------
    directory : str or path-like
        Made if need be; files of other trainings may be in it.
    fingerprint : str
        Names the file: equal for equal trainings only.
    """

    def __init__(self, directory: str | os.PathLike, fingerprint: str):
        self.path = Path(directory) / f"{fingerprint}.pt"
        self.n_epochs = 0
        try:  # now, and not when the first epoch is over
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"Cannot use checkpoint={os.fspath(directory)!r}: {error.strerror}. "
                f"Name a folder that can be made and written to."
            ) from error

    def save(self, net: Any, next_stage: int | None = None) -> None:
        """Store the state of a net, after a complete epoch.

        Parameters
        ----------
        net : SiameseNet
            Training.
        next_stage : int or None
            The stage that comes now; None where this one goes on.
        """
        goes_on = next_stage is None
        validation = net.validation
        self.n_epochs = len(net.history)
        state = {
            "stage": net.stage if goes_on else next_stage,
            "n_before": net.n_before if goes_on else self.n_epochs,
            "start": net.start,
            "history": _plain(list(net.history)),
            "module": net.module_.state_dict(),
            "criterion": net.criterion_.state_dict(),
            "optimizer": net.optimizer_.state_dict() if goes_on else None,
            "sampler": _plain(_private(net.sampler)),
            "validation": validation and _plain(vars(validation), _OF_VALIDATION),
            "generators": _generators(net),
        }
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(self.path, content.getbuffer())

    def restore(self, net: Any) -> dict | None:
        """Put a net where the stored one was; None where there is no file.

        Its optimizer and the generators come last, by `restore_optimizer`.
        """
        if not self.path.exists():
            return None
        try:
            # Weights only: a file may come from anywhere, and runs no code.
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            rows = state["history"]
        except Exception as error:
            warnings.warn(
                f"The checkpoint {self.path} cannot be read ({error}): training starts "
                f"from the beginning.",
                stacklevel=outside(),
            )
            return None
        net.module_.load_state_dict(state["module"])
        net.criterion_.load_state_dict(state["criterion"])
        net.history[:] = rows
        net.stage, net.n_before = state["stage"], state["n_before"]
        net.start, net.embeddings = state["start"], None
        vars(net.sampler).update(_arrays(state["sampler"]))
        if net.validation is not None:
            vars(net.validation).update(state["validation"])
        self.n_epochs = len(rows)
        if net.verbose and net.stage < len(net.stages):
            print(f"Going on after epoch {self.n_epochs}, from {self.path}", flush=True)
        return state

    def restore_optimizer(self, net: Any, state: dict) -> None:
        """Put back what the first stage that goes on has changed."""
        if state["optimizer"] is not None:
            net.optimizer_.load_state_dict(state["optimizer"])
        stored = state["generators"]
        torch.set_rng_state(stored["torch"])
        if "device" in stored and torch.device(net.device).type == "cuda":
            torch.cuda.set_rng_state(stored["device"], net.device)
        random.setstate(stored["python"])
        check_random_state(None).set_state(_to_numpy(stored["numpy"]))
        net.rng.set_state(_to_numpy(stored["batches"]))

    def note(self) -> str:
        """Return what to tell after a Ctrl-C."""
        return (
            f"{self.n_epochs} complete epochs are in {self.path}: fit with the same "
            f"arguments goes on after them."
        )


_OF_VALIDATION = ("best_score", "best_epoch", "best_state", "stage_began")


def _private(sampler: Any) -> dict:
    """Return what a sampler keeps from epoch to epoch, in attributes with a "_"."""
    return {k: v for k, v in vars(sampler).items() if k.startswith("_")}


def _plain(value: Any, only: Iterable[str] | None = None) -> Any:
    """Return numbers, texts, lists, dicts and tensors: all that is read safely."""
    if isinstance(value, dict):
        keys = value if only is None else only
        return {k: _plain(value[k]) for k in keys}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str | torch.Tensor):
        return value
    return repr(value)  # of a user's callback, in the history


def _arrays(value: Any) -> Any:
    """Return arrays in place of tensors."""
    if isinstance(value, dict):
        return {k: _arrays(v) for k, v in value.items()}
    if isinstance(value, list):
        return list(map(_arrays, value))
    return value.numpy() if isinstance(value, torch.Tensor) else value


def _generators(net: Any) -> dict:
    device = torch.device(net.device)
    states = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": _from_numpy(check_random_state(None).get_state()),
        "batches": _from_numpy(net.rng.get_state()),
    }
    if device.type == "cuda":
        states["device"] = torch.cuda.get_rng_state(device)
    return states


def _from_numpy(state: Any) -> tuple:
    name, key, *rest = state
    return (name, key.tolist(), *rest)


def _to_numpy(state: tuple) -> tuple:
    name, key, *rest = state
    return (name, np.array(key, dtype=np.uint32), *rest)


def fingerprint(estimator: Any, *of_the_training: Any) -> str:
    """Name a training: by its parameters, its data, and what computes it.

    Parameters
    ----------
    estimator : SiameseTransformer
        For its parameters.
    *of_the_training : object
        Arrays, modules, numbers: all else that the result depends on.

    Returns
    -------
    fingerprint : str
        32 hexadecimal digits.
    """
    parameters = {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if name not in _WITHOUT_EFFECT
    }
    versions = [platform.python_version(), np, sklearn, torch, torch.get_num_threads()]
    digest = hashlib.sha256()
    _add(digest, [type(estimator).__qualname__, parameters, versions])
    _add(digest, list(of_the_training))
    return digest.hexdigest()[:32]


def _add(digest: Any, value: Any) -> None:
    """Put a value into a digest, by what it is made of."""
    digest.update(f"<{type(value).__qualname__}>".encode())
    if isinstance(value, dict):
        for key, one in value.items():
            digest.update(f"{key}=".encode())
            _add(digest, one)
    elif isinstance(value, list | tuple):
        for one in value:
            _add(digest, one)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        _add(digest, value.tolist())
    elif isinstance(value, torch.Tensor):
        # As bytes: NumPy has no bfloat16.
        value = value.detach().cpu().contiguous()
        _add(digest, [str(value.dtype), list(value.shape)])
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray):
        _add(digest, [str(value.dtype), list(value.shape)])
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, nn.Module):
        _add(digest, [_words(value), value.state_dict()])
    elif isinstance(value, Part):
        _add(digest, value.get_params())
    elif hasattr(value, "__version__"):
        digest.update(value.__version__.encode())
    elif hasattr(value, "__code__"):
        code = value.__code__
        digest.update(f"{value.__module__}.{value.__qualname__}".encode())
        digest.update(code.co_code)
        inside = [cell.cell_contents for cell in value.__closure__ or ()]
        seen = (code.co_consts, code.co_names, value.__defaults__, inside)
        digest.update(_words(seen).encode())
    else:
        digest.update(_words(value).encode())


def _words(value: Any) -> str:
    """Return the repr without addresses: they differ from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
