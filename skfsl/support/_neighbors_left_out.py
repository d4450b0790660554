"""Stored samples as queries to their neighbors: all samples but themselves."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import pairwise_distances

from skfsl.support._open_set import Familiar, LeftOut, choose_rows

__all__ = ["familiar_left_out", "nearest_left_out", "nearest_to_others"]

# Distances that are in memory at a time.
_BLOCK = 2**22


def nearest_left_out(classifier: Any, *, rows: np.ndarray | None = None) -> LeftOut:
    """Score stored samples by the nearest other sample of each class.

    Parameters
    ----------
    classifier : KNeighborsClassifier
        One that no writer changes.
    rows : ndarray of shape (n_rows,), dtype=intp, default=None
        The samples that are left out. None: of classes that the metric was not
        trained on, thousands at most.

    Raises
    ------
    ValueError
        If its support set is not one that samples can be left out of.
    """
    support = _checked_support(classifier)
    own = support.positions
    if rows is None:
        rows = choose_rows(classifier._learnt()[own])
    scores = np.empty((len(rows), len(support.labels)))
    for block, classes, nearest in _nearest(classifier, rows, 0):
        scores[block, classes] = nearest
    # Of a class without another sample nothing is near, and nothing is known.
    scores[np.isinf(scores)] = np.nan
    return LeftOut(scores, own[rows])


class _Left(NamedTuple):
    """How near samples are to all others, of so many: the first `n_samples`."""

    rows: np.ndarray
    n_samples: int
    # The highest score with their own class and with others; minus infinity if none.
    same: np.ndarray
    other: np.ndarray


_NONE = _Left(np.empty(0, dtype=np.intp), 0, np.empty(0), np.empty(0))


def familiar_left_out(classifier: Any) -> Familiar:
    """Tell how familiar stored samples are, thousands at most, to all others.

    What was found before samples were added is compared with these only.

    Parameters
    ----------
    classifier : KNeighborsClassifier
        One that no writer changes.

    Raises
    ------
    ValueError
        If its support set is not one that samples can be left out of.
    """
    support = _checked_support(classifier)
    own = support.positions
    rows = choose_rows(classifier._learnt()[own])
    before = support.left_out or _NONE
    n = len(before.rows)
    if not np.array_equal(rows[:n], before.rows):
        before, n = _NONE, 0
    same, other = np.full((2, len(rows)), -np.inf)
    same[:n], other[:n] = before.same, before.other
    for start, stop, first in ((0, n, before.n_samples), (n, len(rows), 0)):
        for block, classes, nearest in _nearest(classifier, rows[start:stop], first):
            at = slice(start, stop)
            mine = classes == own[rows[at][block], np.newaxis]
            for best, which in ((same, mine), (other, ~mine)):
                found = np.max(nearest, axis=1, where=which, initial=-np.inf)
                best[at][block] = np.maximum(best[at][block], found)
    support.left_out = _Left(rows, len(own), same, other)
    alone = np.isinf(same)
    known = np.where(alone, np.nan, np.maximum(same, other))
    return Familiar(known, other, own[rows])


def nearest_to_others(classifier: Any) -> np.ndarray:
    """Return positions of samples whose nearest other one is of another class.

    Faster than distances to all classes, of which only these are in need.

    Parameters
    ----------
    classifier : KNeighborsClassifier
        One that no writer changes, with its samples.
    """
    own = classifier._support.positions
    if len(own) == 1:
        return np.empty(0, dtype=np.intp)
    nearest = classifier.kneighbors(None, 1, return_distance=False)[:, 0]
    return np.flatnonzero(own[nearest] != own)


def _checked_support(classifier):
    if classifier._support is None:
        raise ValueError(
            f"reject={classifier.reject!r} leaves stored samples out, which trees, "
            f"sparse data and precomputed distances do not allow. Set threshold=, or "
            f"reject=None."
        )
    return classifier._support


def _nearest(
    classifier: Any, rows: np.ndarray, first: int
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield a slice of `rows`, classes, and scores of both, (n_rows, n_classes).

    The nearest other one counts of samples from `first` on; minus infinity if none.
    """
    support = classifier._support
    X, own = support.samples.columns[0], support.positions[first:]
    order = np.argsort(own, kind="stable")
    classes, starts = np.unique(own[order], return_index=True)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    stored = X[first:][order]
    size = max(1, _BLOCK // max(1, len(stored)))
    for start in range(0, len(rows) if len(stored) else 0, size):
        block = rows[start : start + size]
        distances = pairwise_distances(
            X[block], stored, metric=classifier.effective_metric_,
            **classifier.effective_metric_params_,
        ).astype(np.float64, copy=False)  # fmt: skip
        itself = np.flatnonzero(block >= first)
        distances[itself, place[block[itself] - first]] = np.inf
        nearest = np.minimum.reduceat(distances, starts, axis=1)
        yield slice(start, start + size), classes, -nearest
