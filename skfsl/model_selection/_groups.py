"""Groups of samples that are never split across train and test."""

from typing import Any

import numpy as np

from skfsl.utils._validation import as_numpy

__all__ = ["check_groups", "keep_groups_whole"]


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


def keep_groups_whole(
    train: np.ndarray,
    test: np.ndarray,
    groups: np.ndarray,
    queue: np.ndarray,
    test_share: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each group that is on both sides to one of them.

    Parameters
    ----------
    train, test : ndarray of bool of shape (n_samples,)
        Which samples are on each side.
    groups : ndarray of shape (n_samples,)
        Codes of the groups: 0 to n_groups - 1.
    queue : ndarray of shape (n_groups,)
        All groups, in the order in which they are dealt to the test side.
    test_share : float
        Share of the groups on both sides that go to the test side.

    Returns
    -------
    train, test : ndarray of bool of shape (n_samples,)
        Both sides, without the samples whose group went to the other.
    queue : ndarray of shape (n_groups,)
        The queue of the next fold: groups that went to the test side stand last.

    Raises
    ------
    ValueError
        If a side would be empty: all samples are of one group.
    """
    in_train = np.bincount(groups[train], minlength=len(queue))
    in_test = np.bincount(groups[test], minlength=len(queue))
    shared = (in_train > 0) & (in_test > 0)
    n_shared = int(shared.sum())
    if n_shared == 1:
        n_test = int(_single_goes_to_test(shared, in_train, in_test))
    else:
        # With one of them on each side, neither is empty.
        n_test = max(min(round(n_shared * test_share), n_shared - 1), min(n_shared, 1))
    to_test = np.zeros(len(queue), dtype=bool)
    to_test[queue[shared[queue]][:n_test]] = True
    queue = np.concatenate([queue[~to_test[queue]], queue[to_test[queue]]])
    return train & ~to_test[groups], test & ~(shared & ~to_test)[groups], queue


def _single_goes_to_test(shared, in_train, in_test) -> bool:
    """Tell whether the one group on both sides is more of the test side's."""
    needed_in_train = in_train[~shared].sum() == 0
    needed_in_test = in_test[~shared].sum() == 0
    if needed_in_train and needed_in_test:
        raise ValueError(
            "Cannot keep groups whole: all samples of the train and of the test "
            "classes are of one group, and one side would be empty. Pass finer groups, "
            "or none."
        )
    if needed_in_train or needed_in_test:
        return needed_in_test
    return in_test[shared][0] > in_train[shared][0]
