"""Rows that only grow, and estimators whose state is published in one step."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from skfsl.support._labels import warn_if_disjoint
from skfsl.utils._publish import publish, shadow
from skfsl.utils._validation import as_numpy

__all__ = ["Rows", "SupportMixin"]

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

    def keep_codes(self, kept: np.ndarray, n_codes: int) -> "Rows":
        """Return the rows of some classes, whose codes become 0, 1, ... in turn.

        Parameters
        ----------
        kept : ndarray of shape (n_kept,), dtype=intp
            Codes of the classes that stay, in the order of their new codes.
        n_codes : int
            Number of codes before. They are the second column.
        """
        renamed = np.full(n_codes, -1)
        renamed[kept] = np.arange(len(kept))
        codes = renamed[self.columns[1]]
        rows = self.take(codes >= 0)
        first, _, *others = rows.columns
        return Rows(first, codes[codes >= 0], *others)


# Outside the estimators, so that their state, copies and pickles hold no lock.
_LOCKS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_LOCKS_GUARD = threading.Lock()


class SupportMixin:
    """What classifiers over an internal support set share.

    Readers work on a snapshot, writers on a copy of the fitted state that takes its
    place in one step. A call that raises leaves the estimator as it was.

    Subclasses have their support set in ``_support`` and define ``_without``.
    """

    _doc_link_module = "skfsl"
    _doc_link_template = (
        "https://skfsl.readthedocs.io/en/stable/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

    def forget(self, classes):
        """Take classes out of the support set, with all of their samples.

        The samples are gone from memory and from pickles. Unlike `partial_fit`,
        this copies what stays.

        Parameters
        ----------
        classes : label or array-like of labels
            Classes to take out.

        Returns
        -------
        self : object
            The classifier without them.

        Raises
        ------
        ValueError
            If a class is not in the support set, or if no class would be left.
        """
        with self._updating() as work:
            check_is_fitted(work)
            work._without(classes)
        return self

    def _without(self, classes):
        raise NotImplementedError

    def score(self, X, y, sample_weight=None):
        """Return the mean accuracy of predictions.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            Queries, whatever `predict` takes.

        y : array-like of shape (n_queries,) or (n_queries, n_outputs)
            True labels.

        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries.

        Returns
        -------
        score : float
            Accuracy of ``predict(X)``, in [0, 1].

        Warns
        -----
        DisjointClassesWarning
            If no label of `y` is in `classes_`: the accuracy is 0 whatever the
            queries are, as in folds that share no class.
        """
        snapshot, y = self._snapshot(), as_numpy(y)
        accuracy = super(SupportMixin, snapshot).score(X, y, sample_weight)
        several = getattr(snapshot, "outputs_2d_", False) or sparse.issparse(y)
        # One right answer, and a class is shared.
        if accuracy == 0 and not several:
            warn_if_disjoint(y, snapshot.classes_)
        return accuracy

    def _snapshot(self):
        """Return a fitted copy that no writer changes."""
        snapshot = shadow(self, fitted=True)
        check_is_fitted(snapshot)
        return snapshot

    @contextmanager
    def _updating(self, *, fitted: bool = True) -> Iterator:
        """Change a copy, one writer at a time, and publish it if nothing raised."""
        with _LOCKS_GUARD:
            lock = _LOCKS.setdefault(self, threading.RLock())
        with lock:
            work = shadow(self, fitted=fitted)
            yield work
            publish(self, work)
