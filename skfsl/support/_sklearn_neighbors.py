"""What scikit-learn's neighbors classifier asks of a support set, and cannot do."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from skfsl.utils._scores import unit_rows

__all__ = [
    "as_stored",
    "check_can_enrol",
    "check_can_grow",
    "check_metric",
    "metric_of",
    "n_outputs",
    "of_support",
]

_TREES = ("kd_tree", "ball_tree")
# Metrics whose fast paths in scikit-learn want floats of one dtype on both sides.
_FLOAT_METRICS = (
    "canberra", "chebyshev", "cityblock", "cosine", "euclidean", "l1", "l2",
    "manhattan", "minkowski", "sqeuclidean",
)  # fmt: skip


def of_support(name: str, read: Callable) -> property:
    """Read one of scikit-learn's private attributes off the support set, if any."""

    def get(self):
        support = self.__dict__.get("_support")
        if support is not None:
            return read(support)
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(name)

    def put(self, value):
        self.__dict__[name] = value

    return property(get, put)


def as_stored(X: np.ndarray, metric: object) -> tuple[np.ndarray, bool]:
    """Return samples as they are stored, and if all of them have length one.

    Under a metric on numbers they are floats, under "cosine" of length one.
    """
    if metric not in _FLOAT_METRICS:
        return X, False
    if X.dtype not in (np.float32, np.float64):
        X = X.astype(np.result_type(X.dtype, np.float32))
    return unit_rows(X) if metric == "cosine" else (X, False)


def check_can_grow(classifier, method: str) -> None:
    """Check that samples of a neighbors classifier may come and go.

    Raises
    ------
    ValueError
        If they may not: it is a tree, or was fitted on what cannot be added to.
    """
    if classifier.algorithm in _TREES:
        raise ValueError(
            f"{method} needs algorithm='brute' or 'auto'. Got "
            f"algorithm={classifier.algorithm!r}: a tree would have to be built anew."
        )
    if classifier.metric == "precomputed":
        raise ValueError(
            f"{method} needs the samples. Got metric='precomputed': call fit with "
            f"all distances."
        )
    if "_fit_method" in classifier.__dict__ and classifier._support is None:
        if classifier.outputs_2d_:
            what = "y of several outputs"
        elif classifier._fit_method in _TREES:
            what = f"a {classifier._fit_method}"
        else:
            what = "sparse data"
        raise ValueError(
            f"{method} cannot change a support set that was fitted on {what}. "
            f"Call fit with all samples."
        )


def check_can_enrol(X: object, y: object) -> None:
    """Check that samples are of a form that a support set can take up.

    Raises
    ------
    TypeError
        If they are sparse.
    ValueError
        If they have several outputs.
    """
    if sparse.issparse(X) or sparse.issparse(y):
        raise TypeError(
            "Sparse data was passed to partial_fit, but dense data is required. Use "
            "'.toarray()' to convert it, or call fit."
        )
    if y is not None and (width := n_outputs(y)) > 1:
        raise ValueError(
            f"partial_fit takes one label a sample. Got y of {width} outputs. Call fit "
            f"for several."
        )


def metric_of(classifier) -> dict[str, Any]:
    """Return the parameters that distances between samples depend on."""
    names = ("metric", "p", "metric_params")
    return {name: getattr(classifier, name) for name in names}


def check_metric(classifier, fitted_with: dict[str, Any]) -> None:
    """Check that samples will be compared as those before them.

    Raises
    ------
    ValueError
        If `metric`, `p` or `metric_params` is not what it was in `fit`.
    """
    given = metric_of(classifier)
    if not _same(given, fitted_with):
        was, got = (
            ", ".join(f"{name}={value!r}" for name, value in params.items())
            for params in (fitted_with, given)
        )
        raise ValueError(
            f"The support set was fitted with {was}. Got {got}. Call fit to change "
            f"them."
        )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return a is b or bool(np.array_equal(a, b))


def n_outputs(y: Any) -> int:
    """Return the number of columns of `y`; 1 where it has none."""
    shape = getattr(y, "shape", None)
    shape = np.asarray(y).shape if shape is None else shape
    return shape[1] if len(shape) == 2 else 1
