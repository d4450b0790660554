"""What figures of merit ask of labels, scores and weights."""

from typing import Any

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from skfsl.utils._label_kinds import check_same_kind, shown_some
from skfsl.utils._sklearn_private import _check_sample_weight
from skfsl.utils._validation import as_numpy, check_labels

__all__ = [
    "check_column_labels",
    "check_score_matrix",
    "check_score_vector",
    "check_targets",
    "check_unknown_label",
    "check_weights",
    "weighted_mean",
]


def check_targets(y: Any, name: str) -> np.ndarray:
    """Check labels, of which there must be one at least."""
    if y is None:
        raise ValueError(f"Expected labels in {name}. Got None.")
    y = check_labels(y)
    if len(y) == 0:
        raise ValueError(f"Expected at least one label in {name}. Got none.")
    return y


def check_unknown_label(unknown_label: Any, y: np.ndarray) -> Any:
    """Check that the unknown label is one label, of the kind of `y_true`."""
    as_array = check_targets([unknown_label], "unknown_label")
    check_same_kind(y, "y_true", as_array, "unknown_label")
    return as_array[0]


def check_column_labels(
    labels: Any, y: np.ndarray, n_columns: int, scores_name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of the columns, sorted, and the column of each label of `y`.

    Parameters
    ----------
    labels : array-like of shape (n_columns,) or None
        Labels of the columns; None is those that occur in `y`.
    y : ndarray of shape (n_queries,)
        True labels, each of which must have a column.
    n_columns : int
        How many columns the scores have.
    scores_name : str
        What the scores are called.

    Returns
    -------
    labels : ndarray of shape (n_columns,)
        The labels.
    columns : ndarray of shape (n_queries,)
        Indices into them.

    Raises
    ------
    ValueError
        If labels are not sorted and unique, not as many as columns, or lack one of
        `y`.
    TypeError
        If they are of another kind than `y`.
    """
    if labels is None:
        labels, columns = np.unique(y, return_inverse=True)
        if len(labels) != n_columns:
            raise ValueError(
                f"Cannot tell which classes the columns of {scores_name} are: it has "
                f"{n_columns} columns, and {len(labels)} classes occur in y_true. Pass "
                f"labels=, for example labels=clf.classes_."
            )
        return labels, columns.reshape(-1)
    labels = check_targets(labels, "labels")
    if len(y):
        check_same_kind(y, "y_true", labels, "labels")
    if (labels[1:] <= labels[:-1]).any():
        raise ValueError(
            f"Expected labels to be sorted and unique, as classes_ is. Got "
            f"{shown_some(labels)}. Pass labels=np.unique(labels), with the columns of "
            f"{scores_name} in that order."
        )
    if len(labels) != n_columns:
        raise ValueError(
            f"Expected a column of {scores_name} for each of the labels. Got "
            f"{n_columns} columns and {len(labels)} labels."
        )
    columns = np.minimum(np.searchsorted(labels, y), len(labels) - 1)
    missing = labels[columns] != y
    if missing.any():
        raise ValueError(
            f"y_true has labels that are not in labels: "
            f"{shown_some(np.unique(y[missing]))}. They have no column in "
            f"{scores_name}. Leave these queries out, or give them the unknown label "
            f"where there is one."
        )
    return labels, columns


def check_score_vector(scores: Any, name: str, *, finite: bool = True) -> np.ndarray:
    """Check scores, one a sample, and return them as float64."""
    scores = check_array(
        as_numpy(scores), ensure_2d=False, dtype=np.float64,
        ensure_all_finite=finite, input_name=name,
    )  # fmt: skip
    _refuse_nan(scores, name)
    return column_or_1d(scores, warn=True)


def check_score_matrix(scores: Any, name: str, columns: str) -> np.ndarray:
    """Check scores of queries: numbers in rows; infinite ones stand first or last."""
    scores = as_numpy(scores)
    if np.ndim(scores) != 2:
        raise ValueError(
            f"Expected {name} of shape (n_queries, {columns}). Got shape "
            f"{np.shape(scores)}."
        )
    scores = check_array(scores, ensure_all_finite=False, input_name=name)
    _refuse_nan(scores, name)
    return scores


def _refuse_nan(scores: np.ndarray, name: str) -> None:
    # The minimum of anything with NaN is NaN, and takes no memory.
    if scores.dtype.kind == "f" and np.isnan(scores.min()):
        raise ValueError(
            f"Input {name} contains NaN, which has no place in an order. Use -np.inf "
            f"for what is to stand last."
        )


def check_weights(sample_weight: Any, y: np.ndarray) -> np.ndarray:
    """Check weights, one a sample and not negative; None is 1 for each."""
    sample_weight = as_numpy(sample_weight)
    check_consistent_length(y, sample_weight)
    if sample_weight is None:
        return np.ones(len(y))
    return _check_sample_weight(
        sample_weight, y, dtype=np.float64, ensure_non_negative=True
    )


def weighted_mean(values: np.ndarray, weights: np.ndarray, of_what: str) -> float:
    """Return the mean, and say of what where there is nothing to take it of."""
    if len(values) == 0 or weights.sum() == 0:
        raise ValueError(
            f"Expected {of_what}, of a weight above zero. Got none: there is nothing "
            f"to take the mean of."
        )
    return float(np.average(values, weights=weights))
