"""What a pipeline asks of its steps."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

__all__ = [
    "flat",
    "is_fitted",
    "is_passthrough",
    "last_step_has",
    "last_step_learns",
    "takes_classes",
    "unfrozen",
]


def is_passthrough(step: object) -> bool:
    """Tell whether `step` stands for no estimator at all."""
    return step is None or isinstance(step, str)


def is_fitted(step: object) -> bool:
    """Tell whether `step` is fitted, or needs no fitting."""
    try:
        check_is_fitted(step)
    except NotFittedError:
        return False
    return True


def takes_classes(step: Any) -> bool:
    """Tell whether the ``partial_fit`` of `step` has a parameter ``classes``."""
    return "classes" in inspect.signature(step.partial_fit).parameters


def unfrozen(step: object) -> object:
    """Return what a chain of `FrozenEstimator` wraps, or `step` itself."""
    while isinstance(step, FrozenEstimator):
        step = step.estimator
    return step


def flat(steps: list, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Walk the steps in order, those of pipelines within the pipeline too."""
    for name, step in steps:
        step = unfrozen(step)
        if isinstance(step, Pipeline):
            yield from flat(step.steps, f"{prefix}{name}__")
        elif not is_passthrough(step):
            yield f"{prefix}{name}", step


def last_step_has(name: str) -> Callable[[Pipeline], bool]:
    """Make the check for `available_if` that the last step has `name`."""

    def check(pipeline: Pipeline) -> bool:
        try:
            last = pipeline.steps[-1][1]
        except (TypeError, IndexError):  # malformed; `fit` says so in its own words
            last = None
        getattr(last, name)  # its own AttributeError says it best
        return True

    return check


def last_step_learns(pipeline: Pipeline) -> bool:
    """Check for `available_if` that the last step goes on learning."""
    last_step_has("partial_fit")(pipeline)
    if isinstance(pipeline.steps[-1][1], FrozenEstimator):
        raise AttributeError(
            "The last step is a FrozenEstimator, which does not learn any more."
        )
    return True
