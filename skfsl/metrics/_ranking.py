"""The true class in the order of scores: mean average precision at k."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length, gen_batches

from skfsl.metrics._checks import (
    check_column_labels,
    check_score_matrix,
    check_score_vector,
    check_targets,
    check_unknown_label,
    check_weights,
    weighted_mean,
)
from skfsl.utils._label_kinds import shown
from skfsl.utils._sklearn_private import Interval, validate_parameter_constraints

__all__ = ["mean_average_precision_at_k"]

_CONSTRAINTS = {"k": [Interval(Integral, 1, None, closed="left")]}
_BLOCK = 2**22


def mean_average_precision_at_k(
    y_true: object,
    y_score: object,
    *,
    k: int = 5,
    labels: object = None,
    unknown_label: object = None,
    unknown_score: object = None,
    sample_weight: object = None,
) -> float:
    """Compute how early the true class stands in the order of scores.

    Each query has one true class. Its average precision at `k` is one divided by the
    place of that class, 1 for the best score, and 0 beyond place `k`. The mean is
    taken over queries.

    With an unknown label, queries of no known class are counted too, as in the
    contests on humpback whales [1]_: the unknown label stands among the classes as
    one more, whose score is `unknown_score`.

    Parameters
    ----------
    y_true : array-like of shape (n_queries,)
        True labels, each in `labels` or the unknown label.

    y_score : array-like of shape (n_queries, n_classes)
        Scores, higher is closer, such as those of ``decision_function`` or
        ``predict_proba``. Only their order within a row counts. -inf stands last.

    k : int, default=5
        How many places count. 1 gives accuracy.

    labels : array-like of shape (n_classes,), default=None
        Labels of the columns, sorted and unique, such as ``clf.classes_``. None is
        the labels that occur in `y_true`, which must then be as many as the columns.

    unknown_label : int or str, default=None
        The label in `y_true` of queries that are of no known class. It has no
        column. None where there are no such queries.

    unknown_score : float or array-like of shape (n_queries,), default=None
        Score of the unknown label, on the scale of `y_score`: a threshold below which
        classes stand after it. Given with `unknown_label`, and only with it.

    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries. None is 1 for each.

    Returns
    -------
    score : float
        Between 0 and 1, higher is better.

    Raises
    ------
    ValueError
        If a true label has no column and is not the unknown label, if columns and
        labels are not as many, if scores are NaN, or if one of `unknown_label` and
        `unknown_score` is without the other.
    TypeError
        If labels are of different kinds, strings and numbers.

    See Also
    --------
    sklearn.metrics.top_k_accuracy_score : Whether the true class is among the first.
    recall_at_k : Whether one of the nearest samples is of the own class.

    Notes
    -----
    Ties count against: of equal scores the true class has the last place. Scores that
    are all the same thus put it behind all other classes.

    The average precision of information retrieval [2]_ is this where one answer is
    relevant.

    References
    ----------
    .. [1] "Humpback Whale Identification Challenge". Kaggle, 2018.

    .. [2] C. D. Manning, P. Raghavan, H. Schütze. "Introduction to Information
       Retrieval", section 8.4. Cambridge University Press, 2008.

    Examples
    --------
    >>> from skfsl.metrics import mean_average_precision_at_k
    >>> scores = [[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.4, 0.3, 0.35]]
    >>> mean_average_precision_at_k(["ann", "bob", "cat"], scores)
    0.666...

    The last whale is new. Its place is that of a class with the score 0.45, the first:

    >>> mean_average_precision_at_k(
    ...     ["ann", "bob", "new"], scores, labels=["ann", "bob", "cat"],
    ...     unknown_label="new", unknown_score=0.45,
    ... )
    0.777...
    """
    validate_parameter_constraints(
        _CONSTRAINTS, {"k": k}, caller_name="mean_average_precision_at_k"
    )
    y_true = check_targets(y_true, "y_true")
    y_score = check_score_matrix(y_score, "y_score", "n_classes")
    check_consistent_length(y_true, y_score)
    weights = check_weights(sample_weight, y_true)
    if (unknown_label is None) != (unknown_score is None):
        given, lacking = ("unknown_label", "unknown_score")
        if unknown_label is None:
            given, lacking = lacking, given
        raise ValueError(
            f"Expected unknown_label and unknown_score together. Got {given} without "
            f"{lacking}."
        )
    is_known = np.ones(len(y_true), dtype=bool)
    thresholds = None
    if unknown_label is not None:
        unknown_label = check_unknown_label(unknown_label, y_true)
        thresholds = _check_unknown_score(unknown_score, len(y_true))
        is_known = y_true != unknown_label
    labels, columns = check_column_labels(
        labels, y_true[is_known], y_score.shape[1], "y_score"
    )
    if unknown_label is not None and (labels == unknown_label).any():
        raise ValueError(
            f"The unknown label {shown(unknown_label)} is in labels: it has a column "
            f"of scores, and is a class like the others. Leave unknown_label and "
            f"unknown_score at None, or leave it out of labels and y_score."
        )
    places = _places(y_score, is_known, columns, thresholds)
    precision = np.where(places <= k, 1 / places, 0.0)
    return weighted_mean(precision, weights, "queries")


def _check_unknown_score(unknown_score: Any, n_queries: int) -> np.ndarray:
    if np.ndim(unknown_score) == 0:
        unknown_score = [unknown_score]
    scores = check_score_vector(unknown_score, "unknown_score", finite=False)
    if len(scores) not in (1, n_queries):
        raise ValueError(
            f"Expected unknown_score to be a number, or one for each of the "
            f"{n_queries} queries. Got {len(scores)} of them."
        )
    return np.broadcast_to(scores, n_queries)


def _places(
    y_score: np.ndarray,
    is_known: np.ndarray,
    columns: np.ndarray,
    thresholds: np.ndarray | None,
) -> np.ndarray:
    """Return the place of the true label among the scores of each query, from 1."""
    own = np.empty(len(y_score), dtype=np.result_type(y_score, np.float32))
    own[is_known] = y_score[is_known, columns]
    # The unknown label does not stand before itself, nor does a class.
    places = np.where(is_known, 0, 1)
    if thresholds is not None:
        own = own.astype(np.float64)
        own[~is_known] = thresholds[~is_known]
        places[is_known] += thresholds[is_known] >= own[is_known]
    for rows in gen_batches(len(y_score), max(1, _BLOCK // y_score.shape[1])):
        places[rows] += (y_score[rows] >= own[rows, None]).sum(axis=1)
    return places
