"""Scores of stored samples, each against prototypes that it has no part in."""

from collections.abc import Callable

import numpy as np

from skfsl.support._support_set import PrototypeSet
from skfsl.utils._scores import unit_rows

__all__ = ["leave_one_out_scores"]


def leave_one_out_scores(
    support: PrototypeSet,
    metric: str | Callable,
    *,
    unbiased: bool = False,
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
        (by 1 - 1/k² without weights). Under "cosine" the mean of the others is divided
        by the length of the full mean in the place of its own. Other metrics are left
        as they are.
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
    counts = np.bincount(own, weight > 0)
    if rows is not None:
        X, own, weight = X[rows], own[rows], weight[rows]
    scores = support.scorer(metric, X.dtype).scores(X)
    scores[np.arange(len(X)), own] = _own_scores(
        support, metric, X, own, weight.astype(np.float64), counts, unbiased
    )
    return scores


def _own_scores(support, metric, X, own, weight, counts, unbiased):
    totals = support.counts
    known = counts[own] - (weight > 0) > 0
    out = np.full(len(X), np.nan)
    X, own, weight = X[known].astype(np.float64), own[known], weight[known]
    full = support.prototypes[own]
    rest_weight = (totals[own] - weight)[:, np.newaxis]
    # From the mean, not from the sum: far from the origin that loses fewer digits.
    rest = full + (full - X) * (weight[:, np.newaxis] / rest_weight)
    if metric == "euclidean":
        difference = X - rest
        own_scores = -np.einsum("ij,ij->i", difference, difference)
        if unbiased:
            own_scores *= _shrinkage(support, own, weight, totals)
    elif metric == "cosine":
        X = unit_rows(X)[0]
        if unbiased:
            norms = np.sqrt(np.einsum("ij,ij->i", full, full))
            dots = np.einsum("ij,ij->i", X, rest)
            own_scores = np.divide(
                dots, norms, out=np.zeros_like(dots), where=norms > 0
            )
            np.clip(own_scores, -1, 1, out=own_scores)
        else:
            own_scores = np.einsum("ij,ij->i", X, unit_rows(rest)[0])
    elif metric == "manhattan":
        own_scores = -np.abs(X - rest).sum(axis=1)
    else:
        own_scores = -np.array([metric(x, p) for x, p in zip(X, rest, strict=True)])
    out[known] = own_scores
    return out


def _shrinkage(support, own, weight, totals):
    """Return (1 + v) / (1 + v'), v the variance of a mean in units of a sample's."""
    _, codes, weights = support.samples.columns
    squares = np.bincount(
        support.labels.rank[codes], np.square(weights, dtype=np.float64)
    )[own]
    with_it = squares / totals[own] ** 2
    # Rounding may leave less than nothing of a square.
    without = np.maximum(squares - weight**2, 0) / (totals[own] - weight) ** 2
    return (1 + with_it) / (1 + without)
