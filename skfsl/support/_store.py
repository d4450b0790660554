"""Rows that only grow."""

import threading

import numpy as np

__all__ = ["Rows"]

_MIN_CAPACITY = 16


class _Block:
    """Arrays of one capacity, and how many of their rows are taken by anybody."""

    __slots__ = ("arrays", "lock", "used")

    def __init__(self, arrays: tuple[np.ndarray, ...], used: int) -> None:
        self.arrays = arrays
        self.used = used
        self.lock = threading.Lock()

    def reserve(self, start: int, stop: int) -> bool:
        """Take rows [start, stop) if nobody has gone beyond `start` and they fit."""
        with self.lock:
            if self.used != start or stop > len(self.arrays[0]):
                return False
            self.used = stop
            return True


class Rows:
    """Columns of one length that are only ever appended to.

    A `Rows` is an immutable view of the first rows of a block with spare capacity.
    `append` answers a longer one, over the same block where the rows behind this
    view are free and over a copy, twice as large, where they are taken: by another
    view (a shallow copy of an estimator) or by the end of the block. Rows that a
    view shows are never written again, so that views may be read while others grow.

    Parameters
    ----------
    *columns : ndarrays of shape (n_rows, ...)
        Adopted without a copy, and without spare capacity.
    """

    __slots__ = ("_block", "columns")

    columns: tuple[np.ndarray, ...]

    def __init__(self, *columns: np.ndarray) -> None:
        self._block = _Block(columns, len(columns[0]))
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __reduce__(self) -> tuple:
        # Pickles and deep copies carry what is shown, no spare capacity.
        return (Rows, self.columns)

    def append(self, *columns: np.ndarray) -> "Rows":
        """Return these rows followed by those of `columns`."""
        start, stop = len(self), len(self) + len(columns[0])
        block = self._block
        dtypes = [
            np.result_type(old.dtype, new.dtype)
            for old, new in zip(self.columns, columns, strict=True)
        ]
        fits = all(a.dtype == t for a, t in zip(block.arrays, dtypes, strict=True))
        if not (fits and block.reserve(start, stop)):
            capacity = max(2 * stop, _MIN_CAPACITY)
            arrays = tuple(
                np.empty((capacity, *old.shape[1:]), dtype)
                for old, dtype in zip(self.columns, dtypes, strict=True)
            )
            for array, old in zip(arrays, self.columns, strict=True):
                array[:start] = old
            block = _Block(arrays, stop)
        for array, new in zip(block.arrays, columns, strict=True):
            array[start:stop] = new
        grown = object.__new__(Rows)
        grown._block = block
        grown.columns = tuple(array[:stop] for array in block.arrays)
        return grown

    def take(self, index: np.ndarray) -> "Rows":
        """Return the rows at `index` (positions or a mask), in a block of their own."""
        return Rows(*(column[index] for column in self.columns))
