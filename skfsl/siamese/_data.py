"""Arrays on their way into the network: staged once, taken by index."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from skfsl.images import ImageRows
from skfsl.siamese._views import mean_over_views

__all__ = ["Batches", "Staged", "autocast", "embed", "to_tensor"]

# Elements of a batch at inference. Large activations fall out of the caches and are
# given back to the kernel at each step: on CPUs small batches are the faster ones.
_ELEMENTS = {"cpu": 64 * 28 * 28, "other": 2048 * 28 * 28}

# Images that are brought to the device at a time.
_ROWS = 256

# Products of few rows are summed in another order than those of many: with as many at
# least, a row of a table is embedded alike in whatever company it comes.
_MIN_ROWS = 16


def to_tensor(X: Any) -> torch.Tensor:
    """View an array as a tensor; copy what torch cannot view safely."""
    if isinstance(X, torch.Tensor):
        return X
    if not X.flags.writeable or any(stride < 0 for stride in X.strides):
        X = X.copy(order="K")
        if any(stride < 0 for stride in X.strides):
            X = np.ascontiguousarray(X)
    return torch.from_numpy(X)


def _to_float(x: torch.Tensor) -> torch.Tensor:
    """Scale pixels of bytes to [0, 1]; take floats as they are."""
    return x.to(torch.float32).mul_(1 / 255) if x.dtype == torch.uint8 else x


class Staged:
    """Samples and labels on the device, for the whole of the training.

    Parameters
    ----------
    X : ndarray of shape (n, d) or (n, c, h, w), or ImageRows
        float32, or uint8 images.
    y : ndarray of int64, shape (n,)
        Class codes.
    device : torch.device
        Where to put them; what would fill more than half of the free memory of a
        CUDA device stays in the memory of the host and travels by batches.
    """

    def __init__(self, X: Any, y: np.ndarray, device: torch.device):
        self.device = device
        self.codes = y
        self.X: Any = X if isinstance(X, ImageRows) else to_tensor(X)
        self.y = to_tensor(y)
        if X.nbytes <= _room_for_staging(device):
            self.X, self.y = _stage(self.X, device), self.y.to(device)

    def __len__(self) -> int:
        return len(self.X)

    def part(self, indices: np.ndarray) -> torch.Tensor | ImageRows:
        """Return samples as they are kept."""
        if isinstance(self.X, ImageRows):
            return self.X.part(indices)
        at = torch.from_numpy(indices).to(self.X.device, non_blocking=True)
        return self.X.index_select(0, at)

    def take(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return samples, floats on the device, and their labels."""
        x = self.part(indices)
        if isinstance(x, ImageRows):
            x = to_tensor(x[:])
        y = self.y[torch.from_numpy(indices).to(self.y.device, non_blocking=True)]
        return _to_float(x.to(self.device, non_blocking=True)), y.to(self.device)


def _stage(X: torch.Tensor | ImageRows, device: torch.device) -> Any:
    """Bring samples to the device; images that are not at hand yet by blocks."""
    if not isinstance(X, ImageRows):
        return X.to(device)
    if device.type == "cpu":
        return X
    staged = torch.empty(X.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(X), _ROWS):
        block = to_tensor(X[start : start + _ROWS])
        staged[start : start + _ROWS].copy_(block)
    return staged


def _room_for_staging(device: torch.device) -> float:
    if device.type != "cuda":
        return float("inf")
    return torch.cuda.mem_get_info(device)[0] / 2


class Batches:
    """One epoch of batches each time it is iterated.

    A batch of indices of shape (n,) is samples, all of whose pairs count. One of shape
    (2, k) is k pairs, and only these count: its samples are taken once each, and the
    places of the pairs among them go along.

    Parameters
    ----------
    staged : Staged
        The training samples.
    sampler : bound sampler
        Batches of indices, an epoch at a time.
    rng : RandomState
        Draws the batches.
    tell : callable
        Called once an epoch by a sampler with ``wants_scores``: what it returns are
        further arguments of ``sampler.epoch``.
    """

    def __init__(
        self, staged: Staged, sampler: Any, rng: np.random.RandomState, tell: Callable
    ):
        self.staged = staged
        self.sampler = sampler
        self.rng = rng
        self.tell = tell

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        told = self.tell() if getattr(self.sampler, "wants_scores", False) else {}
        for drawn in self.sampler.epoch(self.rng, **told):
            indices = np.asarray(drawn, dtype=np.int64)
            if indices.ndim == 1:
                yield self.staged.take(indices)
                continue
            if indices.ndim != 2 or len(indices) != 2:
                raise ValueError(
                    f"A sampler must draw indices of samples, of shape (n,), or of "
                    f"pairs, of shape (2, n_pairs). Got shape {indices.shape}."
                )
            samples, places = np.unique(indices, return_inverse=True)
            pairs = torch.from_numpy(places.reshape(indices.shape))
            yield *self.staged.take(samples), pairs.to(self.staged.device)


def embed(
    module: nn.Module,
    X: np.ndarray | torch.Tensor | ImageRows,
    device: torch.device,
    dtype: torch.dtype,
    views: Sequence[Callable] = (),
) -> torch.Tensor:
    """Embed samples in blocks; only one block is on the device at a time.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode: its mode is not touched, so that threads may share it.
    X : ndarray, Tensor or ImageRows of shape (n, d) or (n, c, h, w)
        float32, or uint8 images.
    device : torch.device
        The device of `module`.
    dtype : torch.dtype
        torch.bfloat16 computes under autocast, torch.float32 does not.
    views : sequence of callables, default=()
        Transforms of a batch, whose embeddings are averaged with the batch's own.

    Returns
    -------
    embeddings : Tensor of shape (n, embedding_dim)
        float32, on the CPU.
    """
    per_batch = _ELEMENTS.get(device.type, _ELEMENTS["other"])
    size = max(4, per_batch // int(np.prod(X.shape[1:])))
    blocks: list[torch.Tensor] = []
    with torch.inference_mode(), autocast(device, dtype):
        for start in range(0, len(X), size):
            x = to_tensor(X[start : start + size])
            # A copy: layers that work in place would write into the caller's array.
            x = x.to(device, non_blocking=True, copy=x.dtype != torch.uint8)
            n_rows = len(x)
            if x.ndim == 2 and n_rows < _MIN_ROWS:
                x = torch.cat([x, x.new_zeros(_MIN_ROWS - n_rows, x.shape[1])])
            blocks.append(mean_over_views(module, _to_float(x), views)[:n_rows])
        return torch.cat(blocks).cpu()


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return the context that computes in `dtype`; float32 switches autocast off."""
    reduced = dtype != torch.float32
    return torch.autocast(
        device.type,
        dtype=dtype if reduced else None,
        enabled=reduced,
        # Kept as long as any autocast is open around us: casts of weights of old steps.
        cache_enabled=False,
    )
