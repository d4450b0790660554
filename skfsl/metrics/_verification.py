"""Accepted or refused at a threshold: pairs, or samples of known classes."""

import warnings
from numbers import Real

import numpy as np
from sklearn.metrics import roc_curve
from sklearn.utils import check_consistent_length

from skfsl.metrics._checks import (
    check_score_vector,
    check_targets,
    check_weights,
)
from skfsl.utils._label_kinds import shown_some
from skfsl.utils._sklearn_private import Interval, validate_parameter_constraints

__all__ = ["equal_error_rate", "fpr_at_tpr", "true_accept_rate"]

_RATE = [Interval(Real, 0, 1, closed="neither")]
# Sums of weights differ from what they should be by rounding.
_ROUNDING = 1e-12


def equal_error_rate(
    y_true: object, y_score: object, *, sample_weight: object = None
) -> float:
    """Compute the rate of errors where false accepts are as frequent as false refusals.

    A pair is accepted, taken for one class, where its score reaches a threshold. With
    a higher threshold fewer pairs of different classes are accepted and more pairs of
    the same class refused; at one threshold both rates are equal.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        1 or True for pairs of the same class, 0, -1 or False for others.

    y_score : array-like of shape (n_pairs,)
        Scores, higher is closer, such as distances with their sign changed. Only
        their order counts.

    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of the pairs. None is 1 for each.

    Returns
    -------
    rate : float
        Lower is better, 0.5 is chance.

    Raises
    ------
    ValueError
        If pairs are all of the same class or all of different ones, or if scores are
        NaN or infinite.

    See Also
    --------
    true_accept_rate : At a rate of false accepts that an application can bear.
    sklearn.metrics.det_curve : Both rates of errors at all thresholds.
    sklearn.metrics.roc_auc_score : One number over all thresholds.

    Notes
    -----
    With few pairs no threshold has exactly equal rates. Between two thresholds the
    rates are interpolated linearly, along the curve of
    :func:`sklearn.metrics.roc_curve` itself and not along its convex hull, which would
    give a lower rate. Equal scores thus count as if their order were drawn by lot: a
    constant score gives 0.5.

    References
    ----------
    .. [1] A. K. Jain, A. Ross, S. Prabhakar. "An introduction to biometric
       recognition". IEEE Transactions on Circuits and Systems for Video Technology,
       2004.

    Examples
    --------
    >>> from skfsl.metrics import equal_error_rate
    >>> equal_error_rate([1, 1, 1, 1, 0, 0, 0, 0], [9, 8, 7, 3, 6, 2, 1, 0])
    0.25
    """
    fpr, tpr, _ = _rates(y_true, y_score, sample_weight)
    # Falls from 1, all refused, to -1, all accepted.
    excess = (1 - tpr) - fpr
    after = int(np.argmax(excess <= 0))
    step = excess[after - 1] / (excess[after - 1] - excess[after])
    return float(fpr[after - 1] + step * (fpr[after] - fpr[after - 1]))


def true_accept_rate(
    y_true: object,
    y_score: object,
    *,
    false_accept_rate: float = 0.01,
    sample_weight: object = None,
) -> float:
    """Compute TAR@FAR: the share of true pairs accepted at a rate of false accepts.

    The threshold is the lowest at which not more than `false_accept_rate` of the pairs
    of different classes are accepted.

    Parameters
    ----------
    y_true : array-like of shape (n_pairs,)
        1 or True for pairs of the same class, 0, -1 or False for others.

    y_score : array-like of shape (n_pairs,)
        Scores, higher is closer, such as distances with their sign changed. Only
        their order counts.

    false_accept_rate : float, default=0.01
        The largest rate of false accepts, between 0 and 1. A rate below one in the
        number of pairs of different classes cannot be measured: there is a warning,
        and no such pair is accepted at all.

    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of the pairs. None is 1 for each.

    Returns
    -------
    rate : float
        Between 0 and 1, higher is better.

    Raises
    ------
    ValueError
        If pairs are all of the same class or all of different ones, or if scores are
        NaN or infinite.

    See Also
    --------
    equal_error_rate : Where both rates of errors are equal.
    fpr_at_tpr : The reverse: false accepts where most true ones are accepted.

    Notes
    -----
    Nothing is interpolated: the rate belongs to a threshold that can be set. Pairs of
    equal score are accepted or refused together, so that ties never count in favour.

    References
    ----------
    .. [1] B. F. Klare et al. "Pushing the frontiers of unconstrained face detection
       and recognition: IARPA Janus Benchmark A". CVPR, 2015.

    Examples
    --------
    >>> from skfsl.metrics import true_accept_rate
    >>> y = [1, 1, 1, 1, 0, 0, 0, 0]
    >>> scores = [9, 8, 7, 3, 6, 2, 1, 0]
    >>> true_accept_rate(y, scores, false_accept_rate=0.25)
    1.0
    """
    validate_parameter_constraints(
        {"false_accept_rate": _RATE},
        {"false_accept_rate": false_accept_rate},
        caller_name="true_accept_rate",
    )
    fpr, tpr, n_negatives = _rates(y_true, y_score, sample_weight)
    if false_accept_rate * n_negatives < 1 - _ROUNDING:
        warnings.warn(
            f"false_accept_rate={false_accept_rate} cannot be measured on "
            f"{n_negatives} pairs of different classes: the lowest rate above 0 is "
            f"1/{n_negatives}. What is returned is the rate without any false accept. "
            f"Raise false_accept_rate, or take at least "
            f"{int(np.ceil(1 / false_accept_rate - _ROUNDING))} such pairs.",
            UserWarning,
            stacklevel=2,
        )
    return float(tpr[fpr <= false_accept_rate + _ROUNDING].max())


def fpr_at_tpr(
    y_true: object,
    y_score: object,
    *,
    tpr: float = 0.95,
    sample_weight: object = None,
) -> float:
    """Compute the share of false positives where `tpr` of the positives are accepted.

    Of open sets the positives are queries of known classes: at 0.95 this is the
    FPR95 of out-of-distribution detection [1]_, the share of unknown queries that are
    taken for known ones at a threshold that 95 % of the known ones pass.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        1 or True for known classes, or pairs of the same class; 0, -1 or False for
        others.

    y_score : array-like of shape (n_samples,)
        Scores, higher is more familiar or closer, such as those of
        ``score_samples``. Only their order counts.

    tpr : float, default=0.95
        The least rate of true positives, between 0 and 1.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples. None is 1 for each.

    Returns
    -------
    rate : float
        Between 0 and 1, lower is better.

    Raises
    ------
    ValueError
        If samples are all positive or all negative, or if scores are NaN or infinite.

    See Also
    --------
    true_accept_rate : The reverse: true positives at a rate of false ones.
    oscr_score : Whether known queries are accepted and rightly classified.
    sklearn.metrics.roc_auc_score : One number over all thresholds.

    Notes
    -----
    Nothing is interpolated: the rate belongs to a threshold that can be set. Samples
    of equal score are accepted or refused together, so that ties never count in
    favour.

    References
    ----------
    .. [1] S. Liang, Y. Li, R. Srikant. "Enhancing the reliability of
       out-of-distribution image detection in neural networks". ICLR, 2018.

    Examples
    --------
    >>> from skfsl.metrics import fpr_at_tpr
    >>> is_known = [True, True, True, True, False, False, False, False]
    >>> fpr_at_tpr(is_known, [9, 8, 7, 3, 6, 2, 1, 0])
    0.25
    """
    validate_parameter_constraints(
        {"tpr": _RATE}, {"tpr": tpr}, caller_name="fpr_at_tpr"
    )
    fpr, rates, _ = _rates(y_true, y_score, sample_weight)
    return float(fpr[rates >= tpr - _ROUNDING].min())


def _rates(
    y_true: object, y_score: object, sample_weight: object
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return fpr and tpr at all thresholds, from (0, 0), and how many negatives."""
    y_true = check_targets(y_true, "y_true")
    values = np.unique(y_true)
    if values.dtype.kind not in "biuf" or not (
        np.isin(values, (0, 1)).all() or np.isin(values, (-1, 1)).all()
    ):
        raise ValueError(
            f"Expected y_true of 1 and 0, 1 and -1, or True and False. Got the values "
            f"{shown_some(values)}."
        )
    y_score = check_score_vector(y_score, "y_score")
    check_consistent_length(y_true, y_score)
    weights = check_weights(sample_weight, y_true)
    positive = y_true == 1
    n_positives = int(np.count_nonzero(positive & (weights > 0)))
    n_negatives = int(np.count_nonzero(~positive & (weights > 0)))
    if not n_positives or not n_negatives:
        raise ValueError(
            f"Expected both positive and negative samples in y_true, of a weight above "
            f"zero. Got {n_positives} positive and {n_negatives} negative ones."
        )
    fpr, tpr, _ = roc_curve(
        positive, y_score, sample_weight=weights, drop_intermediate=False
    )
    return fpr, tpr, n_negatives
