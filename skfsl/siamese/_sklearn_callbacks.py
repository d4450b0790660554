"""Epochs as tasks of scikit-learn's callbacks (1.9, experimental); inert below."""

from collections.abc import Callable
from typing import Any

__all__ = ["CallbackSupport", "epoch_tasks", "with_callbacks"]

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport
    from sklearn.callback import with_callbacks
except ImportError:

    class CallbackSupport:  # type: ignore[no-redef]
        """scikit-learn before 1.9 has no callbacks."""

    def with_callbacks(method: Callable) -> Callable:
        """Return `method` as it is."""
        return method


def epoch_tasks(
    estimator: Any, X: object, y: object, max_epochs: int, attributes: Callable
) -> tuple[Callable | None, Callable]:
    """Open the task of a fit whose epochs are its subtasks.

    Parameters
    ----------
    estimator : estimator instance
        The one that is being fitted.
    X, y : array-like
        The data of `fit`, as they came.
    max_epochs : int
        Largest number of epochs.
    attributes : callable
        ``attributes(net) -> dict`` of the fitted attributes as of this epoch.

    Returns
    -------
    on_epoch : callable or None
        ``on_epoch(net, "begin" | "end") -> stop``; None where there is nothing to
        call.
    close : callable
        ``close(attributes)``, after the last epoch.
    """
    if not hasattr(estimator, "_init_callback_context"):
        return None, lambda fitted: None
    root = estimator._init_callback_context(max_subtasks=max_epochs)
    root.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
    open_task: list = []

    def on_epoch(net: object, when: str) -> bool:
        if when == "begin":
            open_task[:] = [root.subcontext(task_name="epoch")]
            open_task[0].call_on_fit_task_begin(estimator=estimator, X=X, y=y)
            return False
        return open_task[0].call_on_fit_task_end(
            estimator=estimator,
            X=X,
            y=y,
            reconstruction_attributes=lambda: attributes(net),
        )

    def close(fitted: dict) -> None:
        root.call_on_fit_task_end(
            estimator=estimator, X=X, y=y, reconstruction_attributes=lambda: fitted
        )

    return on_epoch, close
