"""Groups of samples, and of classes."""

from typing import Any

import numpy as np

from skfsl.utils._validation import as_numpy

__all__ = ["check_groups", "groups_of_classes"]


def check_groups(
    groups: Any, n_samples: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Check groups: one a sample, of one kind, no missing ones.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        What can be sorted: numbers, strings, dates.
    n_samples : int or None, default=None
        How many are due. None is any number.

    Returns
    -------
    names : ndarray of shape (n_groups,)
        The groups, sorted.
    codes : ndarray of shape (n_samples,)
        Place in `names` of each sample's group.

    Raises
    ------
    ValueError
        If groups are missing, are not one a sample, or are sequences.
    TypeError
        If they are of several kinds.
    """
    groups = as_numpy(groups)
    dtype = getattr(groups, "dtype", None)
    # Of a list of mixed kinds, and of pandas' own dtypes, NumPy would make others.
    plain = isinstance(dtype, np.dtype) and dtype.kind != "T"
    groups = np.asarray(groups) if plain else np.asarray(groups, dtype=object)
    if groups.ndim == 2 and groups.shape[1] == 1:
        groups = groups[:, 0]
    if groups.ndim != 1:
        raise ValueError(
            f"Expected groups of shape (n_samples,), one for each sample. Got shape "
            f"{groups.shape}. Join several columns to one string first."
        )
    if n_samples is not None and len(groups) != n_samples:
        raise ValueError(
            f"Expected one group for each sample. Got {len(groups)} groups for "
            f"{n_samples} samples."
        )
    missing = _missing(groups)
    if missing.any():
        raise ValueError(
            f"groups contains NaN or None: {missing.sum()} of {len(groups)}, the first "
            f"at index {missing.argmax()}. Every sample needs a group; give a sample "
            f"that belongs to no other a group of its own."
        )
    try:
        return np.unique(groups, return_inverse=True)
    except TypeError:
        kinds = sorted({type(group).__name__ for group in groups})
        raise TypeError(
            f"Expected groups of one kind that can be sorted: numbers, strings or "
            f"dates. Got {', '.join(kinds)}. Use [str(group) for group in groups]."
        )


def _missing(groups: np.ndarray) -> np.ndarray:
    if groups.dtype.kind in "fc":
        return np.isnan(groups)
    if groups.dtype.kind in "mM":
        return np.isnat(groups)
    if groups.dtype != object:
        return np.zeros(len(groups), dtype=bool)
    # pandas' NA is asked by name, for it does not say whether it equals itself.
    return np.array(
        [g is None or type(g).__name__ == "NAType" or bool(g != g) for g in groups],
        dtype=bool,
    )


def groups_of_classes(
    codes: np.ndarray, groups: np.ndarray, classes: np.ndarray, names: np.ndarray
) -> np.ndarray:
    """Return the group of each class; a class is in one group.

    Parameters
    ----------
    codes : ndarray of int, shape (n_samples,)
        Place of each sample's class in `classes`; all of them are there.
    groups : ndarray of int, shape (n_samples,)
        Place of each sample's group in `names`.
    classes, names : ndarray
        What classes and groups are called in the error.

    Returns
    -------
    group : ndarray of int, shape (n_classes,)
        Place in `names` of each class's group.

    Raises
    ------
    ValueError
        If samples of one class are in two groups.
    """
    group = np.empty(len(classes), dtype=np.int64)
    group[codes] = groups
    other = np.flatnonzero(group[codes] != groups)
    if len(other):
        code, first = codes[other[0]], groups[other[0]]
        # tolist: Python's own objects, whatever the dtype.
        label = classes[[code]].tolist()[0]
        one, two = names[[first, group[code]]].tolist()
        raise ValueError(
            f"Expected groups of classes: all samples of a class in one group. Class "
            f"{label!r} is in groups {one!r} and {two!r}."
        )
    return group
