"""Whether probabilities are what they say: the expected calibration error."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_consistent_length

from skfsl.metrics._checks import (
    check_column_labels,
    check_score_matrix,
    check_targets,
    check_weights,
    weighted_mean,
)
from skfsl.utils._sklearn_private import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

__all__ = ["expected_calibration_error"]

_CONSTRAINTS = {
    "n_bins": [Interval(Integral, 1, None, closed="left")],
    "strategy": [StrOptions({"uniform", "quantile"})],
}


def expected_calibration_error(
    y_true: object,
    y_proba: object,
    *,
    labels: object = None,
    n_bins: int = 15,
    strategy: str = "uniform",
    sample_weight: object = None,
) -> float:
    """Compute how far confidence is from accuracy.

    The confidence of a query is the probability of its predicted class. Queries are put
    into bins by their confidence; of each bin the mean confidence is compared with the
    accuracy, and the absolute differences are averaged over bins, each weighted by its
    queries [1]_ [2]_.

    Parameters
    ----------
    y_true : array-like of shape (n_queries,)
        True labels, each in `labels`.

    y_proba : array-like of shape (n_queries, n_classes)
        Probabilities, such as those of ``predict_proba``; rows sum to 1.

    labels : array-like of shape (n_classes,), default=None
        Labels of the columns, sorted and unique, such as ``clf.classes_``. None is
        the labels that occur in `y_true`, which must then be as many as the columns.

    n_bins : int, default=15
        Number of bins. With more bins the error grows, by chance alone: compare
        errors of the same number of bins and of queries only.

    strategy : {"uniform", "quantile"}, default="uniform"
        "uniform" bins are as wide as each other and cover 0 to 1, each with its upper
        end, as in [2]_; most queries are often in the last. "quantile" bins have as
        many queries as each other, as nearly as can be with queries of equal
        confidence in one bin.

    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries. None is 1 for each.

    Returns
    -------
    error : float
        Between 0 and 1, lower is better.

    Raises
    ------
    ValueError
        If a true label has no column, if columns and labels are not as many, or if
        `y_proba` is not made of probabilities.
    TypeError
        If labels are of different kinds, strings and numbers.

    See Also
    --------
    sklearn.metrics.log_loss : Rewards right and certain, a proper scoring rule.
    sklearn.metrics.brier_score_loss : Another one.
    sklearn.calibration.calibration_curve : The bins of a binary problem.

    Notes
    -----
    A classifier that gives every query the frequencies of the classes has no
    calibration error and knows nothing: report it beside accuracy or log-loss.

    Of equal probabilities the first column is the predicted class, as in ``predict``.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht. "Obtaining well calibrated
       probabilities using Bayesian binning". AAAI, 2015.

    .. [2] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger. "On calibration of modern
       neural networks". ICML, 2017.

    Examples
    --------
    >>> from skfsl.metrics import expected_calibration_error
    >>> proba = [[0.75, 0.25], [0.75, 0.25], [0.0, 1.0], [0.5, 0.5]]
    >>> expected_calibration_error([0, 0, 1, 1], proba)
    0.25
    """
    validate_parameter_constraints(
        _CONSTRAINTS,
        {"n_bins": n_bins, "strategy": strategy},
        caller_name="expected_calibration_error",
    )
    y_true = check_targets(y_true, "y_true")
    y_proba = check_score_matrix(y_proba, "y_proba", "n_classes")
    check_consistent_length(y_true, y_proba)
    _check_probabilities(y_proba)
    weights = check_weights(sample_weight, y_true)
    _, columns = check_column_labels(labels, y_true, y_proba.shape[1], "y_proba")
    predicted = y_proba.argmax(axis=1)
    confidence = y_proba[np.arange(len(y_proba)), predicted].astype(np.float64)
    if strategy == "uniform":
        inner_edges = np.arange(1, n_bins) / n_bins
        bins = np.searchsorted(inner_edges, confidence, side="left")
    else:
        bins = _quantile_bins(confidence, weights, n_bins)
    # The share of a bin times its difference, without dividing by empty bins.
    gaps = np.bincount(bins, weights * ((columns == predicted) - confidence))
    weighted_mean(confidence, weights, "queries")
    return float(np.abs(gaps).sum() / weights.sum())


def _check_probabilities(y_proba: np.ndarray) -> None:
    is_float = y_proba.dtype.kind == "f"
    tolerance = np.sqrt(np.finfo(y_proba.dtype if is_float else np.float64).eps)
    least, most = y_proba.min(), y_proba.max()
    if least < -tolerance or most > 1 + tolerance:
        raise ValueError(
            f"Expected probabilities in y_proba, from 0 to 1. Got values from {least} "
            f"to {most}. Pass what predict_proba gives."
        )
    off = np.abs(y_proba.sum(axis=1, dtype=np.float64) - 1)
    if off.max() > tolerance:
        row = int(off.argmax())
        raise ValueError(
            f"Expected rows of y_proba that sum to 1. Row {row} sums to "
            f"{y_proba[row].sum(dtype=np.float64):.6g}."
        )


def _quantile_bins(
    confidence: np.ndarray, weights: np.ndarray, n_bins: int
) -> np.ndarray:
    """Cut the queries in order into bins of equal weight; equal ones stay together."""
    distinct, inverse = np.unique(confidence, return_inverse=True)
    inverse = inverse.reshape(-1)
    mass = np.bincount(inverse, weights, minlength=len(distinct))
    if mass.sum() == 0:
        return np.zeros(len(confidence), dtype=int)
    # A group belongs where its middle is.
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    return np.minimum((middle * n_bins).astype(int), n_bins - 1)[inverse]
