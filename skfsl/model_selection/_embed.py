"""An estimator opened: its steps, and what those that embed make of samples."""

import warnings
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skfsl.exceptions import SeenSamplesWarning
from skfsl.images import is_files

__all__ = ["best", "embed", "flat", "is_passthrough", "unfrozen", "unread"]


def best(estimator: Any) -> Any:
    """Return what a search has found, or the estimator itself."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator


def flat(estimator: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return names and steps, those of pipelines within a pipeline too.

    Parameters
    ----------
    estimator : estimator instance
        A pipeline, or an only step.
    name : str, default=""
        The name of an only step.

    Returns
    -------
    steps : list of (str, estimator) tuples
        Those of a frozen pipeline are frozen. A classifier that has a metric of its
        own is two of them: what embeds, and what classifies embeddings.

    Raises
    ------
    TypeError
        If a class stands in the place of an instance.
    """
    if isinstance(estimator, type):
        raise TypeError(
            f"Expected an instance of an estimator. Got the class "
            f"{estimator.__name__}: write {estimator.__name__}()."
        )
    if hasattr(estimator, "_episode_steps"):
        return [(name, step) for step in estimator._episode_steps()]
    if isinstance(estimator, FrozenEstimator):
        return [
            (inner, step if is_passthrough(step) else FrozenEstimator(step))
            for inner, step in flat(estimator.estimator, name)
        ]
    if not isinstance(estimator, Pipeline):
        return [(name, estimator)]
    return [each for name, step in estimator.steps for each in flat(step, name)]


def unfrozen(step: Any) -> Any:
    """Return what a chain of `FrozenEstimator` wraps, or the step itself."""
    while isinstance(step, FrozenEstimator):
        step = step.estimator
    return step


def is_passthrough(step: Any) -> bool:
    """Tell whether a step of a pipeline does nothing."""
    return step is None or (isinstance(step, str) and step == "passthrough")


def embed(steps: list, X: Any, *, samples: str, advice: str) -> tuple[Any, Any]:
    """Transform by one step after the other; warn where a metric knows the samples.

    Parameters
    ----------
    steps : list of estimators
        Fitted transformers, or what stands for none in a pipeline.
    X : array-like of length n_samples
        Samples.
    samples : str
        What they are called in the warning.
    advice : str
        What follows if some of them are known, and what to do about it.

    Returns
    -------
    X : array-like of length n_samples
        What the last step answers.
    teacher : object
        The last step that is one, for the `metric_` it may have; None without any.
    """
    teacher = None
    for given in steps:
        # A search transforms by what it has found, which may be a pipeline.
        for _, step in flat(best(given)):
            if is_passthrough(step):
                continue
            trained_on = getattr(unfrozen(step), "_trained_on", None)
            if trained_on is not None:
                _warn_of_seen(trained_on(X), samples, advice)
            X, teacher = step.transform(X), step
    return X, teacher


def unread(X: Any, *embedded: Any) -> np.ndarray | None:
    """Tell which samples are files that some transformer skipped as unreadable.

    Parameters
    ----------
    X : array-like of length n_samples
        Samples; none is skipped where these are no files.
    *embedded : array-like of length n_samples
        What transformers made of the same samples.

    Returns
    -------
    rows : ndarray of shape (n_samples,), dtype=bool, or None
        Whose embedding is wholly NaN; None where none is.
    """
    if not is_files(X):
        return None
    blank = [
        np.isnan(E).all(axis=1)
        for E in map(np.asarray, embedded)
        if E.ndim == 2 and E.dtype.kind == "f"
    ]
    rows = np.any(blank, axis=0) if blank else np.zeros(0, dtype=bool)
    return rows if rows.any() else None


def _warn_of_seen(seen: np.ndarray, samples: str, advice: str) -> None:
    if not seen.any():
        return
    warnings.warn(
        f"{np.count_nonzero(seen)} of the {len(seen)} {samples} are among those that "
        f"the metric was trained on: {advice}",
        SeenSamplesWarning,
        stacklevel=3,
    )
