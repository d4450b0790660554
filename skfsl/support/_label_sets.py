"""Sets of labels that hold the true one as often as they promise."""

import warnings
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from skfsl.utils._outside import outside
from skfsl.utils._scores import log_softmax
from skfsl.utils._sklearn_private import Interval, validate_parameter_constraints

__all__ = ["predict_set"]

_CONSTRAINTS: dict = {"alpha": [Interval(Real, 0, 1, closed="neither")]}


class _Surprise(NamedTuple):
    """How surprising the own class of left-out samples is: minus log-probability.

    Attributes
    ----------
    temperature : float
        That of the probabilities.
    values : ndarray of shape (n_values,)
        Ascending.
    share : ndarray of shape (n_values,)
        Of all classes, up to here.
    n_samples : int
        That were left out.
    """

    temperature: float
    values: np.ndarray
    share: np.ndarray
    n_samples: int


def predict_set(self, X, alpha=0.1):
    """Return the classes that a query may be of: all but the too surprising ones.

    Of queries of enrolled classes, the set holds the true class in a share of
    ``1 - alpha`` of the cases, whatever the accuracy: sets are small where the
    classifier is sure, and large where it is not.

    Parameters
    ----------
    X : array-like of shape (n_queries, ...)
        Queries, as `fit` takes samples.

    alpha : float, default=0.1
        The share of queries whose set may miss the true class, in (0, 1).

    Returns
    -------
    sets : ndarray of shape (n_queries, n_classes), dtype=bool
        Whether a class is in the set, in the order of `classes_`. A set may be empty,
        where `alpha` is more than the share of errors. Rows that are wholly NaN have
        no class.

    Warns
    -----
    UserWarning
        If the support set is too small for the promise: all classes are returned. It
        takes ``1 / alpha - 1`` stored samples that can be left out, of classes that
        have another one and that the metric was not trained on.

    See Also
    --------
    predict_proba : One probability a class.

    Notes
    -----
    Conformal prediction [1]_ by stored samples, each scored by the support set without
    it, so that it needs no other data and is renewed as classes come and go. A class is
    in the set where its negative log-probability is not above a quantile of those of
    the own classes of stored samples (their score "LAC"). The temperature is that of
    ``temperature="auto"``, whatever the parameter says.

    Classes count alike, and the promise is for their average: classes of few examples
    are missed more often than ``alpha``, those of many less. Classes of one example are
    stood for by samples of others, each compared with one of its class. Queries of no
    class are no part of the promise; see `score_samples`.

    References
    ----------
    .. [1] M. Sadinle, J. Lei and L. Wasserman, "Least Ambiguous Set-Valued Classifiers
       with Bounded Error Levels", Journal of the American Statistical Association,
       2019.
    """
    validate_parameter_constraints(
        _CONSTRAINTS, {"alpha": alpha}, caller_name="predict_set"
    )
    snapshot, queries, blank = self._ask(X)
    n_queries = len(queries) if blank is None else len(blank)
    sets = np.zeros((n_queries, len(snapshot.classes_)), dtype=bool)
    if queries is not None:
        sets[slice(None) if blank is None else ~blank] = _sets(snapshot, queries, alpha)
    return sets


def _sets(snapshot: Any, queries: Any, alpha: float) -> np.ndarray | bool:
    surprise = snapshot._support.cached(
        ("surprise", *snapshot._scored_by()), lambda: _surprise(snapshot)
    )
    needed = np.ceil(1 / alpha - 1 - 1e-9)
    if surprise.n_samples < needed:
        warnings.warn(
            f"alpha={alpha:g} asks for {needed:.0f} stored samples or more that can be "
            f"left out, of classes that have another one and that the metric was not "
            f"trained on, of two classes or more in all. There are "
            f"{surprise.n_samples}: all classes are in each set. Enrol more examples, "
            f"or allow a larger alpha.",
            UserWarning,
            stacklevel=outside(),
        )
        return True
    # A query counts as one more sample, which may be more surprising than all.
    known = surprise.n_samples / (surprise.n_samples + 1)
    at = np.searchsorted(surprise.share, (1 - alpha) / known - 1e-12)
    limit = surprise.values[min(at, len(surprise.values) - 1)]
    scores = snapshot._scores(queries).astype(np.float64, copy=False)
    return log_softmax(scores, surprise.temperature) >= -limit


def _surprise(snapshot: Any) -> _Surprise:
    scores, own = snapshot._left_out()
    rows = np.arange(len(own))
    seen = ~np.isnan(scores[rows, own])
    n_alone = len(np.setdiff1d(own, own[seen]))
    if not seen.any() or scores.shape[1] < 2:
        return _Surprise(1.0, np.empty(0), np.empty(0), 0)
    temperature = snapshot._auto_temperature()
    kinds, weight = [scores], 1 / np.bincount(own[seen])[own[seen]]
    weights = [weight]
    if n_alone:
        kinds.append(snapshot._left_out(single=True).scores)
        weights.append(weight * (n_alone / weight.sum()))
    values = np.concatenate(
        [
            -log_softmax(kind[seen].astype(np.float64), temperature)[
                rows[: seen.sum()], own[seen]
            ]
            for kind in kinds
        ]
    )
    weight = np.concatenate(weights)
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    return _Surprise(temperature, values[order], share / share[-1], int(seen.sum()))
