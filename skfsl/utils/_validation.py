"""The one entrance of data: tables and images, and their labels."""

import os
import sys
import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import validate_data

from skfsl.utils._frames import column_names

__all__ = ["check_labels", "check_samples", "image_layout"]

_CHANNELS = (1, 3, 4)


def as_numpy(X: Any) -> Any:
    """Return a torch tensor as an array, anything else as it is; torch stays asleep."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(X, torch.Tensor):
        X = X.detach().cpu().resolve_conj().resolve_neg()
        return X.float().numpy() if X.dtype == torch.bfloat16 else X.numpy()
    return X


def image_layout(shape: tuple[int, ...], input_layout: str) -> str:
    """Tell where the channels of images are.

    Parameters
    ----------
    shape : tuple of int
        Shape of the images: (n, h, w), (n, c, h, w) or (n, h, w, c).
    input_layout : {"auto", "channels_first", "channels_last"}
        "auto" takes the one axis of size 1, 3 or 4 for the channels.

    Returns
    -------
    layout : {"no_channels", "channels_first", "channels_last"}
        The layout of `shape`.

    Raises
    ------
    ValueError
        If "auto" finds no such axis, or finds two.
    """
    if len(shape) == 3:
        return "no_channels"
    if input_layout != "auto":
        return input_layout
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if first == last:
        found = "both its axes 1 and 3 have" if first else "neither axis 1 nor 3 has"
        raise ValueError(
            f"Cannot tell the channels of images X with shape {shape}: {found} size "
            f"1, 3 or 4. Set input_layout='channels_first' for (n, c, h, w) or "
            f"input_layout='channels_last' for (n, h, w, c)."
        )
    return "channels_first" if first else "channels_last"


def _refuse_strings(X: Any) -> None:
    if hasattr(X, "columns"):
        row = np.asarray(X[:1], dtype=object).ravel()
        cells = zip(column_names(X), row, strict=False)  # none where X is empty
        named = [str(n) for n, cell in cells if isinstance(cell, str | os.PathLike)]
        if named:
            raise ValueError(
                f"X holds strings where numbers are due, in the columns {named}. Paths "
                f"of image files are taken from a column 'path', with perhaps one "
                f"'box' beside it: rename it, and select it; embed raw text with a "
                f"text model first."
            )
    values = np.asarray(X, dtype=object) if isinstance(X, list | tuple) else X
    dtype = getattr(values, "dtype", None)
    if dtype is None or getattr(values, "ndim", 0) == 0:
        return
    is_object = isinstance(dtype, np.dtype) and dtype.kind == "O"
    first = values.ravel()[0] if is_object and values.size else None
    if (isinstance(dtype, np.dtype) and dtype.kind in "US") or isinstance(
        first, str | bytes
    ):
        raise ValueError(
            "X holds strings where numbers are due. Pass image files as a list of "
            "paths, or as a frame with a column 'path', and perhaps one 'box'; embed "
            "raw text with a text model first."
        )


def as_array(X: Any) -> Any:
    """Make one array of a list of samples; name the shapes when they differ."""
    if type(X).__name__ == "Series":
        X = np.asarray(X)
    if isinstance(X, list | tuple):
        # Of tensors NumPy takes neither bfloat16 nor those that ask for a gradient.
        X = [as_numpy(x) for x in X]
    if isinstance(X, list) and len(X) and np.ndim(X[0]) >= 2:
        X = [np.asarray(as_numpy(x)) for x in X]
    elif isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 and len(X):
        if np.ndim(as_numpy(X[0])) == 0:
            return X
        X = [np.asarray(as_numpy(x)) for x in X]
    else:
        return X
    shapes = {x.shape for x in X}
    if len(shapes) > 1:
        named = ", ".join(str(s) for s in sorted(shapes, key=str)[:3])
        raise ValueError(
            f"Expected images of one size. Got {len(shapes)} shapes, among them "
            f"{named}. Resize them to one size first."
        )
    return np.stack(X)


def check_samples(
    estimator: Any, X: Any, *, input_layout: str = "auto", reset: bool
) -> np.ndarray:
    """Check samples and bring them into the form that encoders take.

    Parameters
    ----------
    estimator : estimator instance
        Gets ``input_shape_`` and, for a table, ``n_features_in_`` and
        ``feature_names_in_`` when `reset`; is compared with them otherwise.
    X : array-like or torch.Tensor
        A table (n, d), or images (n, h, w), (n, c, h, w) or (n, h, w, c).
    input_layout : {"auto", "channels_first", "channels_last"}, default="auto"
        Where the channels of four-dimensional images are.
    reset : bool
        Whether this is the data of `fit`.

    Returns
    -------
    X : ndarray
        float32 (n, d), or uint8 or float32 (n, c, h, w); a view where it can be.

    Raises
    ------
    ValueError
        If X is none of these, is empty, holds NaN, infinity or strings, or differs
        in kind, size or channels from the data of `fit`.
    """
    if sparse.issparse(X):
        raise TypeError(
            "Sparse data was passed for X, but dense data is required. Use "
            "X.toarray() to convert it to a dense array."
        )
    X = as_array(as_numpy(X))
    _refuse_strings(X)
    ndim = X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim
    if ndim not in (3, 4):
        if not reset and len(estimator.input_shape_) == 3:
            if np.shape(X)[:1] == (0,):
                raise ValueError(
                    f"Found array with 0 sample(s) while a minimum of 1 is required by "
                    f"{type(estimator).__name__}."
                )
            raise ValueError(
                f"{type(estimator).__name__} was fitted on images of shape (c, h, w) "
                f"= {estimator.input_shape_}. Got a table with {ndim} dimension(s)."
            )
        # float32 at once: what is too large for it is told as infinity.
        X = validate_data(estimator, X, dtype=np.float32, reset=reset)
        if reset:
            estimator.input_shape_ = (X.shape[1],)
        return X
    X = check_array(
        X, dtype=None, ensure_2d=False, allow_nd=True, estimator=estimator,
        input_name="X",
    )  # fmt: skip
    if X.dtype.kind not in "buif":
        raise ValueError(f"Expected images of numbers. Got dtype {X.dtype} instead.")
    if X.dtype.kind in "iu" and X.dtype != np.uint8:
        raise ValueError(
            f"Expected images of bytes, which are scaled by 1/255, or of floats, which "
            f"are taken as they are. Got dtype {X.dtype}. Use X.astype(np.uint8) where "
            f"values go from 0 to 255, and X.astype(np.float32) otherwise."
        )
    layout = image_layout(X.shape, input_layout)
    if layout == "no_channels":
        X = X[:, np.newaxis]
    elif layout == "channels_last":
        X = X.transpose(0, 3, 1, 2)
    if X.dtype != np.uint8:
        X = X.astype(np.float32, copy=False)
        if not np.isfinite(X).all():
            raise ValueError(
                "Input X contains infinity or a value too large for dtype('float32')."
            )
    if 0 in X.shape:
        raise ValueError(f"Found images without pixels: X has shape {X.shape}.")
    if reset:
        estimator.input_shape_ = X.shape[1:]
        estimator._pixel_max = _pixel_max(X)
        estimator._on_bytes = X.dtype == np.uint8
        for stale in ("n_features_in_", "feature_names_in_"):
            estimator.__dict__.pop(stale, None)
    elif X.shape[1:] != estimator.input_shape_:
        expected = (
            f"a table of {estimator.input_shape_[0]} features"
            if len(estimator.input_shape_) == 1
            else f"images of shape (c, h, w) = {estimator.input_shape_}"
        )
        raise ValueError(
            f"{type(estimator).__name__} was fitted on {expected}. Got images of "
            f"shape (c, h, w) = {X.shape[1:]}."
        )
    elif (estimator._pixel_max > 2) != (_pixel_max(X) > 2) and len(X):
        _warn_of_scale(estimator, X)
    return X


def _pixel_max(X: np.ndarray) -> float:
    """Return the largest pixel that an encoder will see; bytes are scaled to 1."""
    return 1.0 if X.dtype == np.uint8 else float(X.max())


def _warn_of_scale(estimator: Any, X: np.ndarray) -> None:
    # Floats on both sides may differ in range for good reasons.
    on_bytes, bytes_now = estimator._on_bytes, X.dtype == np.uint8
    if on_bytes == bytes_now:
        return
    expected, got = ("bytes", "floats") if on_bytes else ("floats", "bytes")
    advice = "X.astype(np.uint8), or X / 255" if on_bytes else "X.astype(np.float32)"
    warnings.warn(
        f"{type(estimator).__name__} was fitted on images of {expected} and gets "
        f"{got}, in another range: bytes are scaled by 1/255, floats are taken as "
        f"they are. If these are the same kind of pictures, pass {advice}.",
        UserWarning,
        stacklevel=4,
    )


def check_labels(y: Any) -> np.ndarray:
    """Check class labels: one a sample, of one kind, no missing ones.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Integers, booleans or strings, not mixed.

    Returns
    -------
    y : ndarray of shape (n_samples,)
        The labels.

    Raises
    ------
    ValueError
        If labels are missing, continuous or multi-output.
    TypeError
        If strings and numbers are mixed.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None."
        )
    y = as_numpy(y)
    if isinstance(y, list | tuple) and len(y):
        # NumPy would bring them to one kind: bytes and integers to bytes.
        y = [v[()] if isinstance(v, np.ndarray) and v.ndim == 0 else v for v in y]
        y = np.asarray(y, dtype=object)
    elif not isinstance(getattr(y, "dtype", np.dtype(int)), np.dtype):
        # pandas' own dtypes: scikit-learn would make floats of its integers.
        y = np.asarray(y, dtype=object)
    if getattr(getattr(y, "dtype", None), "kind", None) == "T":
        y = y.astype(object)
    y = column_or_1d(y, warn=True)
    if y.dtype == object and len(y):
        y = _of_one_kind(y)
    if y.dtype.kind == "f":
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        if (y != np.floor(y)).any():
            raise ValueError(
                "Unknown label type: continuous. Maybe you are trying to fit a "
                "classifier, which expects discrete classes on a regression target "
                "with continuous values."
            )
    elif y.dtype.kind in "mM":
        if np.isnat(y).any():
            raise ValueError("Input y contains NaT. Every sample needs a label.")
    elif y.dtype.kind not in "biuUS":
        found = sorted({type(v).__name__ for v in y.tolist()})
        raise ValueError(
            f"Unknown label type: {', '.join(found)}. Labels are integers, booleans or "
            f"strings, for example [str(label) for label in y]."
        )
    return y


def _of_one_kind(y: np.ndarray) -> np.ndarray:
    """Make a plain array of objects; refuse where that would change a label."""
    types = {type(v) for v in y}
    if any(issubclass(t, list | tuple | np.ndarray) for t in types):
        raise ValueError(
            "Expected one label a sample, an int, a bool or a str. Got sequences, "
            "which cannot be labels."
        )
    if any(v is None or type(v).__name__ == "NAType" or v != v for v in y):
        raise ValueError("Input y contains NaN or None. Every sample needs a label.")
    for kind in (str, bytes, bool | np.bool_):
        if len({issubclass(t, kind) for t in types}) > 1:
            raise TypeError(
                f"Expected labels of one kind, strings or numbers. Got a mix of "
                f"{sorted(t.__name__ for t in types)}."
            )
    if all(issubclass(t, str) for t in types):
        labels = y.astype(str)
        if (labels != y).any():  # NumPy takes NUL at the end for padding
            raise ValueError(
                "Labels that end in a NUL character cannot be told from those without "
                "it. Strip it: [label.rstrip('\\0') for label in y]."
            )
        return labels
    plain = np.asarray(y.tolist())
    if plain.dtype.kind == "f" and (plain.astype(object) != y).any():
        raise ValueError(
            "No dtype of NumPy holds all of these labels: as floats some would become "
            "the same. Use smaller numbers, or strings."
        )
    return plain
