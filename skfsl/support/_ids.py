"""Ids of stored samples: running numbers, or what users give."""

from typing import Any

import numpy as np

from skfsl.support._store import Rows
from skfsl.utils._label_kinds import shown, shown_some
from skfsl.utils._validation import as_numpy

__all__ = ["SampleIds", "check_ids"]


def check_ids(ids: Any, n_samples: int | None = None) -> np.ndarray:
    """Check ids, and bring them to the form in which they are stored.

    Parameters
    ----------
    ids : array-like of int or str, shape (n_samples,)
        Ids; without `n_samples` also a set of them, or one.
    n_samples : int, default=None
        How many there have to be, each another one; None: any number of them.

    Returns
    -------
    ids : ndarray of shape (n_samples,), int64 or object
        Strings are objects: an array of one width would cut longer ones.

    Raises
    ------
    TypeError
        If they are neither all int nor all str.
    ValueError
        If they are not one for each sample, or if one occurs twice.
    """
    ids = as_numpy(ids)
    if n_samples is None:
        ids = list(ids) if isinstance(ids, set | frozenset) else ids
        ids = [ids] if np.ndim(ids) == 0 else ids
    # As Python's objects: NumPy would make one kind of 1 and "1".
    dtype = getattr(ids, "dtype", None)
    given = np.asarray(ids, None if isinstance(dtype, np.dtype) else object)
    if given.ndim != 1 or (n_samples is not None and len(given) != n_samples):
        raise ValueError(
            f"Expected ids of shape ({'n' if n_samples is None else n_samples},), one "
            f"a sample. Got shape {given.shape}."
        )
    values = given.tolist()
    kinds = {type(v.item() if isinstance(v, np.generic) else v) for v in values}
    if kinds == {str}:
        given = np.empty(len(values), dtype=object)
        given[:] = [str(value) for value in values]
    elif kinds <= {int} and (
        not values or -(2**63) <= min(values) <= max(values) < 2**63
    ):
        given = np.array(values, dtype=np.int64)
    else:
        names = sorted(kind.__name__ for kind in kinds)
        raise TypeError(
            f"Expected ids that are all int (of 64 bits) or all str. Got "
            f"{' and '.join(names)}, such as {shown(values[0])}."
        )
    if n_samples is not None and len(set(values)) < n_samples:
        distinct, counts = np.unique(given, return_counts=True)
        raise ValueError(
            f"ids has some ids twice: {shown_some(distinct[counts > 1])}. Each sample "
            f"needs one of its own."
        )
    return given


class SampleIds:
    """Ids of stored samples, in the order of arrival; immutable.

    Parameters
    ----------
    rows : Rows of one column, (n_samples,)
        The ids, int64 or object.
    following : int or None
        The running number of the next sample; None where users give ids.
    """

    __slots__ = ("_following", "_rows")

    def __init__(self, rows: Rows, following: int | None) -> None:
        self._rows = rows
        self._following = following

    def __reduce__(self) -> tuple:
        return (SampleIds, (self._rows, self._following))

    @property
    def values(self) -> np.ndarray:
        """The ids, (n_samples,)."""
        return self._rows.columns[0]

    @staticmethod
    def of(ids: np.ndarray | None, n_samples: int) -> "SampleIds":
        """Return the first ids: those of `check_ids`, or running numbers for None."""
        if ids is None:
            return SampleIds(Rows(np.arange(n_samples)), n_samples)
        return SampleIds(Rows(ids), None)

    def add(self, ids: np.ndarray | None, n_samples: int) -> "SampleIds":
        """Return the ids with those of more samples, as of `of`.

        Raises
        ------
        TypeError
            If they are of another kind than those that are stored.
        ValueError
            If there should be some, or one is stored already.
        """
        if ids is None:
            if self._following is None:
                raise ValueError(
                    f"The samples of the support set have ids of their own, such as "
                    f"{shown(self.values[0])}. Give ids= for new ones, too."
                )
            following = self._following + n_samples
            new = np.arange(self._following, following)
            return SampleIds(self._rows.append(new), following)
        self._check_kind(ids)
        taken = set(ids.tolist()).intersection(self.values.tolist())
        if taken:
            raise ValueError(
                f"ids has ids that are in the support set: "
                f"{shown_some(np.array(sorted(taken)))}. Give others, or take these "
                f"samples out first by forget_samples."
            )
        return SampleIds(self._rows.append(ids), None)

    def take(self, index: np.ndarray) -> "SampleIds":
        """Return the ids at `index`, positions or a mask."""
        return SampleIds(self._rows.take(index), self._following)

    def others(self, ids: Any) -> np.ndarray:
        """Tell which samples have none of `ids`: bool, (n_samples,).

        Raises
        ------
        TypeError
            If they are of another kind than those that are stored.
        ValueError
            If one is not stored.
        """
        gone = check_ids(ids)
        if len(gone):
            self._check_kind(gone)
        wanted, stored = set(gone.tolist()), self.values.tolist()
        unknown = wanted.difference(stored)
        if unknown:
            raise ValueError(
                f"Cannot forget samples that are not in the support set, of ids "
                f"{shown_some(np.array(sorted(unknown)))}. Its {len(stored)} samples "
                f"are in support_."
            )
        return np.fromiter((i not in wanted for i in stored), bool, len(stored))

    def _check_kind(self, ids: np.ndarray) -> None:
        if ids.dtype == self.values.dtype:
            return
        known, got = (
            "str" if values.dtype == object else "int" for values in (self.values, ids)
        )
        hint = (
            "Samples that came without ids are numbered as they came: give ids= in "
            "fit, too, or numbers."
            if self._following is not None
            else "Convert them."
        )
        raise TypeError(
            f"Expected ids of the kind of the support set's: {known} (such as "
            f"{shown(self.values[0])}). Got {got} (such as {shown(ids[0])}). {hint}"
        )
