"""Scores of stored samples, each against prototypes that it has no part in."""

from collections.abc import Callable

import numpy as np

from skfsl.support._support_set import PrototypeSet
from skfsl.utils._scores import unit_rows

__all__ = [
    "another_of_class", "have_others", "leave_one_out_scores", "mean_variances",
]  # fmt: skip


def leave_one_out_scores(
    support: PrototypeSet,
    metric: str | Callable,
    *,
    unbiased: bool = False,
    single: bool = False,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Score each stored sample against the prototypes of a set without it.

    A prototype of k samples without one of them is (k·mu - x) / (k - 1); those of other
    classes are as they are. That is a shot less for the own class only, which looks
    farther than it will to a query: with two shots by a third. Calibrate on `unbiased`
    scores.

    Parameters
    ----------
    support : PrototypeSet
        The support set, with its samples.
    metric : {"euclidean", "cosine", "manhattan"} or callable
        What is compared.
    unbiased : bool, default=False
        Whether own scores are to be, on average, those of new queries against the
        whole set. Under "euclidean" the expected square of a distance to a mean of k
        is in proportion to 1 + 1/k, whatever the distribution, and is scaled by that
        (by 1 - 1/k² without weights). Under "cosine" what a score lacks of 1 is scaled
        by how much less it will be, the spread of all classes pooled. Other metrics are
        left as they are.
    single : bool, default=False
        Whether own scores are against one other sample of the class, as if it had no
        more, in the place of the mean of the others. These have no bias.
    rows : ndarray of shape (n_rows,), default=None
        The samples that are scored; None is all of them.

    Returns
    -------
    scores : ndarray of shape (n_samples, n_classes) or (n_rows, n_classes)
        Higher is closer; rows in the order of arrival, columns in that of classes_. NaN
        where a sample is all that its own class has.

    Raises
    ------
    ValueError
        If the set has no samples: it was kept as sums.
    """
    if support.samples is None:
        raise ValueError(
            "Leaving samples out needs the samples, and store='sums' keeps none. Call "
            "fit with store='samples'."
        )
    X, codes, weight = support.samples.columns
    own = support.labels.rank[codes]
    at = slice(None) if rows is None else rows
    others = X[another_of_class(own)[at]] if single else None
    X, own, weight = X[at], own[at], weight[at]
    scores = support.scorer(metric, X.dtype).scores(X)
    scores[np.arange(len(X)), own] = _own_scores(
        support, metric, X, own, weight.astype(np.float64), unbiased, others
    )
    return scores


def another_of_class(own: np.ndarray) -> np.ndarray:
    """Return the next sample of its class for each, the first for the last one.

    Parameters
    ----------
    own : ndarray of shape (n_samples,), dtype=intp
        The class of each, as a position.

    Returns
    -------
    others : ndarray of shape (n_samples,), dtype=intp
        Positions of samples; its own for one that is alone.
    """
    order = np.argsort(own, kind="stable")
    ends = np.flatnonzero(np.diff(own[order], append=-1))
    following = np.roll(order, -1)
    following[ends] = order[np.append(0, ends[:-1] + 1)]
    others = np.empty_like(order)
    others[order] = following
    return others


def have_others(
    support: PrototypeSet, own: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Tell which samples have others in their class that weigh something beside them.

    Parameters
    ----------
    support : PrototypeSet
        The support set.
    own : ndarray of shape (n_rows,), dtype=intp
        Positions of their classes.
    weight : ndarray of shape (n_rows,), dtype=float64
        Their weights.

    Returns
    -------
    have : ndarray of shape (n_rows,), dtype=bool
        False also where the others are lost in the rounding of the sum.
    """
    total = support.counts[own]
    return total - weight > 8 * np.finfo(float).eps * total


def _own_scores(support, metric, X, own, weight, unbiased, others):
    totals = support.counts
    known = have_others(support, own, weight)
    out = np.full(len(X), np.nan)
    X, own, weight = X[known].astype(np.float64), own[known], weight[known]
    if others is None:
        full = support.prototypes[own]
        rest_weight = (totals[own] - weight)[:, np.newaxis]
        # From the mean, not from the sum: far from the origin that loses fewer digits.
        rest = full + (full - X) * (weight[:, np.newaxis] / rest_weight)
    else:
        rest, unbiased = others[known].astype(np.float64), False
    if metric == "euclidean":
        own_scores = -_squares(X - rest)
        if unbiased:
            full, rest = mean_variances(support, own, weight, totals)
            own_scores *= (1 + full) / (1 + rest)
    elif metric == "cosine":
        units = unit_rows(X)[0]
        own_scores = np.einsum("ij,ij->i", units, unit_rows(rest)[0])
        if unbiased and len(X):
            variances = mean_variances(support, own, weight, totals)
            own_scores = 1 - (1 - own_scores) * _nearer(units, X, rest, *variances)
    elif metric == "manhattan":
        own_scores = -np.abs(X - rest).sum(axis=1)
    else:
        own_scores = -np.array([metric(x, p) for x, p in zip(X, rest, strict=True)])
    out[known] = own_scores
    return out


def _squares(X):
    return np.einsum("ij,ij->i", X, X)


def mean_variances(support, own, weight, totals):
    """Return variances of the mean and of that of the others, in those of samples."""
    _, codes, weights = support.samples.columns
    squares = np.bincount(
        support.labels.rank[codes], np.square(weights, dtype=np.float64)
    )[own]
    full = squares / totals[own] ** 2
    # Rounding may leave less than nothing of a square.
    rest = np.maximum(squares - weight**2, 0) / (totals[own] - weight) ** 2
    return full, rest


def _nearer(units, X, rest, full_variance, rest_variance):
    """Return by how much 1 - cosine is less, on average, to the mean of one more."""
    spread = np.mean(_squares(X - rest) / (1 + rest_variance))
    length = np.mean(_squares(rest) - spread * rest_variance)
    dot = np.mean(np.einsum("ij,ij->i", units, rest))
    # The expected lengths of means: the fewer samples, the longer.
    to_full, to_rest = (
        1 - dot / np.sqrt(np.maximum(length + spread * v, 1e-300))
        for v in (full_variance, rest_variance)
    )
    ratio = np.divide(to_full, to_rest, out=np.ones_like(to_rest), where=to_rest > 0)
    return np.clip(ratio, 0, 1)
