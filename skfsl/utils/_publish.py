"""Fitted state that is built aside and published once."""

from sklearn.base import BaseEstimator

__all__ = ["publish", "shadow"]


def shadow(estimator: BaseEstimator, *, fitted: bool) -> BaseEstimator:
    """Make a second estimator over the same state, to work on aside.

    Parameters
    ----------
    estimator : estimator instance
        The one to be changed later, by `publish`; it is left alone here.
    fitted : bool
        Whether the shadow starts from the fitted state, or unfitted.

    Returns
    -------
    work : estimator instance
        Of the same class. Attributes set on it do not reach `estimator`.
    """
    work = object.__new__(type(estimator))
    # dict.copy() is one step under the GIL: never half of a published state.
    state = estimator.__dict__.copy()
    work.__dict__ = state if fitted else _unfitted(state)
    return work


def publish(estimator: BaseEstimator, work: BaseEstimator) -> None:
    """Give `estimator` the fitted state of `work`, whole, in one step.

    Its parameters stay as they are: they may have been set since `work` was made.
    """
    state = {k: v for k, v in work.__dict__.items() if "_" in (k[0], k[-1])}
    # Keeps what is replaced alive, so that nothing is torn down in between.
    before = estimator.__dict__.copy()
    if all(key in state for key in before if key.endswith("_")):
        estimator.__dict__.update(state)
    else:
        estimator.__dict__ = {**_unfitted(before), **state}


def _unfitted(state: dict) -> dict:
    return {key: value for key, value in state.items() if not key.endswith("_")}
