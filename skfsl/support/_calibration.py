"""The temperature of probabilities, from stored samples that are left out."""

import warnings

import numpy as np
from scipy.optimize import minimize_scalar

from skfsl.support._open_set import LeftOut
from skfsl.utils._outside import outside
from skfsl.utils._scores import log_softmax

__all__ = ["fit_temperature"]


def fit_temperature(left_out: LeftOut) -> float:
    """Return the temperature of the least log-loss; classes count alike.

    Each sample counts by a small part for the best of the other classes, in all as much
    as one sample (Platt 1999, section 2.2): where all samples are classified rightly,
    the temperature of the least log-loss alone is zero, and the first error has none.

    Parameters
    ----------
    left_out : LeftOut
        Scores of classes for stored samples; those that are alone have no part.

    Returns
    -------
    temperature : float
        1.0, with a warning, where no sample has another one of its class, or there is
        one class only.

    References
    ----------
    J. C. Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to
    Regularized Likelihood Methods", Advances in Large Margin Classifiers, 1999.
    """
    scores, own = left_out
    seen = ~np.isnan(scores[np.arange(len(own)), own])
    scores, own = scores[seen].astype(np.float64), own[seen]
    if not len(own) or scores.shape[1] < 2:
        warnings.warn(
            "temperature='auto' leaves out examples of classes that have another one "
            "and that the metric was not trained on, of two classes or more in all. "
            "There are none: it is 1. Enrol more examples, or set a number.",
            UserWarning,
            stacklevel=outside(),
        )
        return 1.0
    weight = 1 / np.bincount(own)[own]
    rows = np.arange(len(own))
    others = scores.copy()
    others[rows, own] = -np.inf
    rival = others.argmax(axis=1)
    doubt = 1 / (len(own) + 2)

    def loss(log_temperature: float) -> float:
        log_proba = log_softmax(scores.copy(), np.exp(log_temperature))
        right, wrong = log_proba[rows, own], log_proba[rows, rival]
        return -float(np.average((1 - doubt) * right + doubt * wrong, weights=weight))

    # Where probabilities are nearly even at one end, and nearly sure at the other.
    scale = np.log(np.clip(np.ptp(scores / len(scores), axis=1).sum(), 1e-300, 1e305))
    found = minimize_scalar(loss, bounds=(scale - 12, scale + 5), method="bounded")
    return float(np.exp(found.x))
