"""Known classes told from each other and from unknown ones."""

import numpy as np
from sklearn.metrics import auc
from sklearn.utils import check_consistent_length

from skfsl.metrics._checks import (
    check_score_vector,
    check_targets,
    check_unknown_label,
    check_weights,
    weighted_mean,
)
from skfsl.utils._label_kinds import check_same_kind, shown

__all__ = ["in_scope_accuracy", "oscr_curve", "oscr_score", "out_of_scope_recall"]


def oscr_curve(
    y_true: object,
    y_pred: object,
    y_score: object,
    *,
    unknown_label: object,
    sample_weight: object = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the open-set classification rates at all thresholds.

    A query is accepted where its score reaches a threshold. The false positive rate is
    the share of unknown queries that are accepted, as whatever class; the correct
    classification rate is the share of known queries that are accepted *and* rightly
    classified [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_queries,)
        True labels; `unknown_label` for queries of no known class.

    y_pred : array-like of shape (n_queries,)
        Predicted classes, unknown queries' too: without any refusal, since the curve
        goes through all thresholds itself.

    y_score : array-like of shape (n_queries,)
        How familiar each query is, such as the values of ``score_samples``, or the
        highest probability: higher is more familiar. Only their order counts.

    unknown_label : int or str
        The label in `y_true` of queries that are of no known class.

    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries. None is 1 for each.

    Returns
    -------
    fpr : ndarray of shape (n_thresholds,)
        False positive rates, from 0 up to 1.
    ccr : ndarray of shape (n_thresholds,)
        Correct classification rates, from 0 up to the accuracy on known queries.
    thresholds : ndarray of shape (n_thresholds,)
        Falling thresholds; the first is infinite, and accepts nothing.

    Raises
    ------
    ValueError
        If no query is unknown or none is known, if a prediction is the unknown label,
        or if scores are NaN or infinite.
    TypeError
        If labels are of different kinds, strings and numbers.

    See Also
    --------
    oscr_score : The area under the curve.
    sklearn.metrics.roc_curve : The same without regard to which class is predicted.

    Notes
    -----
    Both rates count scores that are equal to the threshold, so that the curve is that
    of :func:`sklearn.metrics.roc_curve` where all predictions are right. The paper
    counts them in the false positive rate only.

    References
    ----------
    .. [1] A. R. Dhamija, M. Günther, T. E. Boult. "Reducing network agnostophobia".
       NeurIPS, 2018.

    Examples
    --------
    >>> from skfsl.metrics import oscr_curve
    >>> y_true = ["ape", "ape", "bee", "bee", "?", "?"]
    >>> y_pred = ["ape", "bee", "bee", "bee", "bee", "ape"]
    >>> fpr, ccr, thresholds = oscr_curve(
    ...     y_true, y_pred, [0.9, 0.8, 0.7, 0.4, 0.6, 0.1], unknown_label="?"
    ... )
    >>> fpr
    array([0. , 0. , 0. , 0. , 0.5, 0.5, 1. ])
    >>> ccr
    array([0.  , 0.25, 0.25, 0.5 , 0.5 , 0.75, 0.75])
    >>> thresholds
    array([inf, 0.9, 0.8, 0.7, 0.6, 0.4, 0.1])
    """
    y_true, y_pred, is_unknown, weights = _check(
        y_true, y_pred, unknown_label, sample_weight
    )
    y_score = check_score_vector(y_score, "y_score")
    check_consistent_length(y_true, y_score)
    refused = int(np.count_nonzero(y_pred == unknown_label))
    if refused:
        raise ValueError(
            f"Expected a class for every query in y_pred. Got the unknown label "
            f"{shown(unknown_label)} {refused} times: the curve goes through all "
            f"thresholds itself. Pass predictions without refusal, for example "
            f"clf.classes_[clf.predict_proba(X).argmax(axis=1)]."
        )
    order = np.argsort(-y_score, kind="stable")
    y_score = y_score[order]
    # Of equal scores the last, where all of them are accepted.
    ends = np.append(np.flatnonzero(np.diff(y_score)), len(y_score) - 1)
    unknown, known, right = (
        np.append(0.0, np.cumsum((weights * counted)[order])[ends])
        for counted in (is_unknown, ~is_unknown, y_true == y_pred)
    )
    if not unknown[-1] or not known[-1]:
        raise ValueError(
            f"Expected queries of known classes and queries with the unknown label "
            f"{shown(unknown_label)} in y_true, of a weight above zero. Their weights "
            f"sum to {known[-1]:g} and {unknown[-1]:g}."
        )
    fpr, ccr = unknown / unknown[-1], right / known[-1]
    return fpr, ccr, np.append(np.inf, y_score[ends])


def oscr_score(
    y_true: object,
    y_pred: object,
    y_score: object,
    *,
    unknown_label: object,
    sample_weight: object = None,
) -> float:
    """Compute the area under the open-set classification rate curve.

    This is how often, of a known and an unknown query, the known one is rightly
    classified and scored higher. It is at most the accuracy on known queries, and at
    most the area under the ROC curve of known against unknown, which it is where all
    known queries are rightly classified.

    Parameters
    ----------
    y_true : array-like of shape (n_queries,)
        True labels; `unknown_label` for queries of no known class.

    y_pred : array-like of shape (n_queries,)
        Predicted classes, unknown queries' too: without any refusal, since the curve
        goes through all thresholds itself.

    y_score : array-like of shape (n_queries,)
        How familiar each query is, such as the values of ``score_samples``, or the
        highest probability: higher is more familiar. Only their order counts.

    unknown_label : int or str
        The label in `y_true` of queries that are of no known class.

    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries. None is 1 for each.

    Returns
    -------
    score : float
        Between 0 and 1, higher is better.

    Raises
    ------
    ValueError
        If no query is unknown or none is known, if a prediction is the unknown label,
        or if scores are NaN or infinite.
    TypeError
        If labels are of different kinds, strings and numbers.

    See Also
    --------
    oscr_curve : The curve itself.
    sklearn.metrics.roc_auc_score : Known against unknown, whatever is predicted.

    Notes
    -----
    A known and an unknown query of equal score count one half, as in
    :func:`sklearn.metrics.roc_auc_score`: a constant score gives half the accuracy.

    References
    ----------
    .. [1] A. R. Dhamija, M. Günther, T. E. Boult. "Reducing network agnostophobia".
       NeurIPS, 2018.

    Examples
    --------
    >>> from skfsl.metrics import oscr_score
    >>> y_true = ["ape", "ape", "bee", "bee", "?", "?"]
    >>> y_pred = ["ape", "bee", "bee", "bee", "bee", "ape"]
    >>> oscr_score(
    ...     y_true, y_pred, [0.9, 0.8, 0.7, 0.4, 0.6, 0.1], unknown_label="?"
    ... )
    0.625
    """
    fpr, ccr, _ = oscr_curve(
        y_true, y_pred, y_score, unknown_label=unknown_label,
        sample_weight=sample_weight,
    )  # fmt: skip
    return float(auc(fpr, ccr))


def in_scope_accuracy(
    y_true: object,
    y_pred: object,
    *,
    unknown_label: object,
    sample_weight: object = None,
) -> float:
    """Compute the share of queries of known classes that are rightly classified.

    A known query that is refused, predicted as unknown, is an error. It says nothing
    on unknown queries: report it together with :func:`out_of_scope_recall` [1]_, since
    a classifier that refuses nothing is best at the one and worst at the other.

    Parameters
    ----------
    y_true : array-like of shape (n_queries,)
        True labels; `unknown_label` for queries of no known class.

    y_pred : array-like of shape (n_queries,)
        Predictions; `unknown_label` where a query is refused.

    unknown_label : int or str
        The label of what is of no known class.

    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries. None is 1 for each.

    Returns
    -------
    accuracy : float
        Between 0 and 1, higher is better.

    Raises
    ------
    ValueError
        If no query is of a known class.
    TypeError
        If labels are of different kinds, strings and numbers.

    See Also
    --------
    out_of_scope_recall : The share of unknown queries that are refused.
    oscr_score : One number over all thresholds.

    References
    ----------
    .. [1] S. Larson et al. "An evaluation dataset for intent classification and
       out-of-scope prediction". EMNLP-IJCNLP, 2019.

    Examples
    --------
    >>> from skfsl.metrics import in_scope_accuracy
    >>> in_scope_accuracy([1, 1, 2, 2, -1], [1, -1, 2, 2, 1], unknown_label=-1)
    0.75
    """
    y_true, y_pred, is_unknown, weights = _check(
        y_true, y_pred, unknown_label, sample_weight
    )
    return weighted_mean(
        (y_true == y_pred)[~is_unknown], weights[~is_unknown],
        "queries of known classes in y_true",
    )  # fmt: skip


def out_of_scope_recall(
    y_true: object,
    y_pred: object,
    *,
    unknown_label: object,
    sample_weight: object = None,
) -> float:
    """Compute the share of queries of no known class that are refused.

    It says nothing on known queries: report it together with
    :func:`in_scope_accuracy` [1]_, since a classifier that refuses everything is best
    at the one and worst at the other.

    Parameters
    ----------
    y_true : array-like of shape (n_queries,)
        True labels; `unknown_label` for queries of no known class.

    y_pred : array-like of shape (n_queries,)
        Predictions; `unknown_label` where a query is refused.

    unknown_label : int or str
        The label of what is of no known class.

    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries. None is 1 for each.

    Returns
    -------
    recall : float
        Between 0 and 1, higher is better.

    Raises
    ------
    ValueError
        If no query has the unknown label.
    TypeError
        If labels are of different kinds, strings and numbers.

    See Also
    --------
    in_scope_accuracy : The share of known queries that are rightly classified.
    sklearn.metrics.recall_score : The same number of any class.

    References
    ----------
    .. [1] S. Larson et al. "An evaluation dataset for intent classification and
       out-of-scope prediction". EMNLP-IJCNLP, 2019.

    Examples
    --------
    >>> from skfsl.metrics import out_of_scope_recall
    >>> out_of_scope_recall([1, 2, -1, -1], [1, -1, -1, 2], unknown_label=-1)
    0.5
    """
    y_true, y_pred, is_unknown, weights = _check(
        y_true, y_pred, unknown_label, sample_weight
    )
    return weighted_mean(
        (y_true == y_pred)[is_unknown], weights[is_unknown],
        "queries with the unknown label in y_true",
    )  # fmt: skip


def _check(
    y_true: object, y_pred: object, unknown_label: object, sample_weight: object
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return both labels, which queries are of no known class, and weights."""
    y_true = check_targets(y_true, "y_true")
    y_pred = check_targets(y_pred, "y_pred")
    check_consistent_length(y_true, y_pred)
    check_same_kind(y_true, "y_true", y_pred, "y_pred")
    unknown_label = check_unknown_label(unknown_label, y_true)
    weights = check_weights(sample_weight, y_true)
    return y_true, y_pred, y_true == unknown_label, weights
