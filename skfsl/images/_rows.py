"""Images in memory or in a file, taken by index."""

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FileRows", "ImageRows", "part_of"]


class FileRows:
    """Images of one size in a file, one behind the other.

    The file is mapped for as long as a batch is copied out of it: what was read is
    not counted as memory of this process, and nothing is held open.

    Parameters
    ----------
    path : Path
        The file.
    shape : tuple of int
        Of one image, (3, h, w).
    """

    def __init__(self, path: Path, shape: tuple[int, ...]):
        self.path = path
        self.shape = shape

    def __getitem__(self, at: Any) -> np.ndarray:
        if not np.size(at):
            return np.empty((0, *self.shape), dtype=np.uint8)
        shape = (int(np.max(at)) + 1, *self.shape)
        mapped = np.memmap(self.path, dtype=np.uint8, mode="r", shape=shape)
        return np.take(np.asarray(mapped), at, axis=0)


class ImageRows:
    """uint8 images (n, 3, h, w) that are taken by index, wherever they are.

    Indexing copies, into an array; `part` does not.

    Parameters
    ----------
    source : ndarray of shape (m, 3, h, w), uint8, or FileRows
        The images.
    at : ndarray of shape (n,), int64
        Which of them, in which order.
    shape : tuple of int
        Of one image, (3, h, w).
    """

    dtype = np.dtype(np.uint8)
    itemsize = 1
    ndim = 4

    def __init__(
        self, source: np.ndarray | FileRows, at: np.ndarray, shape: tuple[int, ...]
    ):
        self._source = source
        self._at = at
        self.shape = (len(at), *shape)

    @property
    def nbytes(self) -> int:
        """Bytes that all of them would take in memory."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self._source[self._at[index]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("These images cannot be viewed as an array, only copied.")
        return self[:].astype(dtype or self.dtype, copy=False)

    def whole(self) -> np.ndarray:
        """Return all of them as one array; not a copy where that is what they are."""
        if isinstance(self._source, np.ndarray) and np.array_equal(
            self._at, np.arange(len(self._source))
        ):
            return self._source
        return self[:]

    def part(self, index: Any) -> "ImageRows":
        """Return some of them, without a copy."""
        return ImageRows(self._source, self._at[index], self.shape[1:])


def part_of(samples: Any, index: Any) -> Any:
    """Return some of the samples, without a copy where they are `ImageRows`."""
    return samples.part(index) if isinstance(samples, ImageRows) else samples[index]
