"""Which metric a pipeline's transformers teach, and which its last step reads."""

import warnings
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skfsl.exceptions import MetricMismatchWarning, StaleSupportError
from skfsl.pipeline._steps import flat, unfrozen

__all__ = ["check_current", "fit_ids", "tell_trained_classes", "warn_of_metric"]

_SYNONYMS = {"l2": "euclidean", "l1": "manhattan", "cityblock": "manhattan"}
_MINKOWSKI = {1: "manhattan", 2: "euclidean"}


def fit_ids(steps: list) -> dict[str, object]:
    """Collect the `fit_id_` of the transformers that have one, by name.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        The transformers.

    Returns
    -------
    ids : dict of str to object
        Name -> what changes when that transformer's weights do.
    """
    return {
        name: step.fit_id_ for name, step in flat(steps) if hasattr(step, "fit_id_")
    }


def tell_trained_classes(steps: list, last: Any, y: Any) -> None:
    """Tell a last step that asks for it which classes the metric was trained on.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        The transformers, just fitted. Those that are frozen were not.
    last : estimator
        The last step.
    y : array-like of shape (n_samples,)
        What they were fitted on.
    """
    if not hasattr(last, "_trained_on_classes"):
        return
    fitted = [step for step in steps if not isinstance(step[1], FrozenEstimator)]
    for _, step in flat(fitted):
        if hasattr(step, "fit_id_"):
            held_out = getattr(step, "validation_classes_", ())
            last._trained_on_classes(np.setdiff1d(np.asarray(y), held_out))
            return


def check_current(last: str, recorded: dict | None, current: dict) -> None:
    """Raise where the metric is not the one that the support set was enrolled under.

    Parameters
    ----------
    last : str
        Name of the step that has the support set.
    recorded : dict of str to object, or None
        `fit_ids` when it was enrolled; None where that is not known.
    current : dict of str to object
        `fit_ids` now.

    Raises
    ------
    StaleSupportError
        If they differ.
    """
    if recorded is None or recorded == current:
        return
    changed = sorted(
        name
        for name in {*recorded, *current}
        if recorded.get(name) != current.get(name)
    )
    raise StaleSupportError(
        f"The metric of step {', '.join(map(repr, changed))} has changed since the "
        f"support set of step {last!r} was enrolled, so that their embeddings can no "
        f"longer be compared. Enrol the support set again: "
        f"pipe.set_params({last}=clone(pipe[{last!r}])).partial_fit(X_support, "
        f"y_support) keeps the metric, pipe.fit(X, y) learns both anew."
    )


def _metric_name(estimator: object) -> str | None:
    """Name the metric that `estimator` reads; None where it has or names none."""
    metric = getattr(estimator, "metric", None)
    if not isinstance(metric, str):
        return None
    if metric == "minkowski" and not getattr(estimator, "metric_params", None):
        return _MINKOWSKI.get(getattr(estimator, "p", 2), metric)
    return _SYNONYMS.get(metric, metric)


def warn_of_metric(steps: list, last: object) -> None:
    """Warn where the last step reads the embeddings with another metric.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        The fitted transformers. Only a learned metric that comes out last counts:
        what a transformer behind it makes of the space is not known.
    last : estimator
        The last step. One without a `metric` that is a string is not warned of.
    """
    *_, (name, transformer) = [("", None), *flat(steps)]
    reads = _metric_name(unfrozen(last))
    if reads is None or not hasattr(transformer, "metric_"):
        return
    learned = transformer.metric_
    fitting = {_SYNONYMS.get(learned, learned)}
    head = getattr(transformer, "head_", None)
    unit_length = getattr(head, "score_type", None) == "cosine"
    if unit_length or getattr(head, "unit_length", False):
        fitting.add("cosine")  # by the chord or by the angle: the ranks are the same
    if reads in fitting:
        return
    if learned is None:
        problem = f"the metric of step {name!r} is no plain metric on its embeddings"
        remedy = f"Rank by pipe[{name!r}].similarity(X, X_support), pass its "
        remedy += "get_metric() as metric, or choose a head that has a metric_, such "
        remedy += "as 'euclidean'."
    else:
        problem = f"step {name!r} learned embeddings for metric={learned!r}"
        remedy = f"Set metric={learned!r}."
    warnings.warn(
        f"{type(unfrozen(last)).__name__} reads the embeddings with metric={reads!r}, "
        f"but {problem}: its nearest neighbours are not those of the learned metric. "
        + remedy,
        MetricMismatchWarning,
        stacklevel=4,
    )
