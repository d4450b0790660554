"""Exact neighbors by torch: products in blocks, on a GPU where there is one."""

from typing import Any

import numpy as np

from skfsl.support._index_distances import centred, nearest_first

__all__ = ["DeviceIndex"]

# Queries and scores that are on the device at a time, beside the samples.
_QUERIES, _SCORES = 256, 2**24
# Neighbors in float32 beyond those wanted: exact distances decide among them.
_SLACK = 16
# Parts that samples come in, before they are put together.
_PARTS = 32


class DeviceIndex:
    """Samples in the memory of a device, all of which are compared with a query.

    It is immutable: what is added is another part, over the same parts as before.

    Parameters
    ----------
    device : torch.device or str
        Where samples are.
    center : ndarray of shape (n_features,), dtype=float64
        What samples are taken about.
    parts : list of Tensor of shape (n, n_features), float32
        Samples, in their order.
    halves : list of Tensor of shape (n,)
        Half the squared length of each.
    """

    kind = "torch"

    def __init__(
        self, device: Any, center: np.ndarray, parts: list, halves: list
    ) -> None:
        self._device, self._center = device, center
        self._parts, self._halves = parts, halves

    @staticmethod
    def of(samples: np.ndarray, device: Any = None) -> "DeviceIndex":
        """Bring samples, (n_samples, n_features), to a device: None is any GPU."""
        import torch

        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        center = samples.mean(axis=0, dtype=np.float64)
        return DeviceIndex(device, center, [], []).append(samples)

    def append(self, samples: np.ndarray) -> "DeviceIndex":
        """Return the index with samples added."""
        import torch

        new = self._on_device(samples)
        parts, halves = [*self._parts, new], [*self._halves, _half_squares(new)]
        if len(parts) > _PARTS:
            # The first one is large: the others are put together many times more.
            n_first = 1 if len(parts[0]) > sum(map(len, parts[1:])) else 0
            parts[n_first:] = [torch.cat(parts[n_first:])]
            halves[n_first:] = [torch.cat(halves[n_first:])]
        return DeviceIndex(self._device, self._center, parts, halves)

    def take(self, stays: np.ndarray) -> "DeviceIndex":
        """Return the index of some samples, told by a mask."""
        import torch

        at = torch.as_tensor(np.flatnonzero(stays), device=self._device)
        samples = torch.cat(self._parts)[at]
        halves = [_half_squares(samples)]
        return DeviceIndex(self._device, self._center, [samples], halves)

    def search(
        self, queries: np.ndarray, samples: np.ndarray, n_neighbors: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest samples.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_features)
            Queries.
        samples : ndarray of shape (n_samples, n_features)
            The samples, for exact distances.
        n_neighbors : int
            How many are wanted, not more than there are.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Euclidean distances, nearest first.
        indices : ndarray of shape (n_queries, n_neighbors)
            Positions among the samples.
        """
        import torch

        n_found = min(n_neighbors + _SLACK, len(samples))
        found = np.empty((len(queries), n_found), dtype=np.int64)
        with torch.inference_mode():
            for i in range(0, len(queries), _QUERIES):
                block = self._on_device(queries[i : i + _QUERIES])
                found[i : i + _QUERIES] = self._top(block, n_found).cpu().numpy()
        distances, indices = nearest_first(queries, samples, found)
        return distances[:, :n_neighbors], indices[:, :n_neighbors]

    def _top(self, queries: Any, n_found: int) -> Any:
        import torch

        scores = queries.new_empty((len(queries), 0))
        rows = torch.empty_like(scores, dtype=torch.int64)
        size, start = max(1, _SCORES // len(queries)), 0
        for part, half in zip(self._parts, self._halves, strict=True):
            for x, x_half in zip(part.split(size), half.split(size), strict=True):
                # As near as they are: |q|² / 2 - |q - x|² / 2.
                near = torch.addmm(-x_half, queries, x.T)
                top = near.topk(min(n_found, len(x)), dim=1)
                scores = torch.cat([scores, top.values], dim=1)
                rows = torch.cat([rows, top.indices + start], dim=1)
                if scores.shape[1] > n_found:
                    scores, at = scores.topk(n_found, dim=1)
                    rows = rows.gather(1, at)
                start += len(x)
        return rows

    def _on_device(self, X: np.ndarray) -> Any:
        import torch

        return torch.as_tensor(centred(X, self._center), device=self._device)


def _half_squares(samples: Any) -> Any:
    return samples.square().sum(dim=1) / 2
