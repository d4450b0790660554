"""What is an X of image files: paths, and perhaps a box for each."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skfsl.utils._frames import column_names, column_values

__all__ = ["ImageFiles", "as_files", "is_files"]


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files, and what of each picture counts.

    Parameters
    ----------
    paths : ndarray of shape (n,), dtype=object
        Paths as str.
    boxes : ndarray of shape (n, 4), dtype=float64, or None
        (left, upper, right, lower) in pixels of the picture as a person sees it; NaN
        is the whole picture. None is the whole of all.
    """

    paths: np.ndarray
    boxes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> "ImageFiles":
        """Take files by a slice, a mask or an array of indices."""
        boxes = None if self.boxes is None else self.boxes[index]
        return ImageFiles(self.paths[index], boxes)

    def box(self, row: int) -> tuple[float, ...] | None:
        """Return the box of a file, None for the whole picture."""
        if self.boxes is None or np.isnan(self.boxes[row, 0]):
            return None
        return tuple(self.boxes[row].tolist())


def is_files(X: Any) -> bool:
    """Tell whether X is image files: strings or paths where other X have numbers.

    Whether the files are there is not looked at.
    """
    return _columns(X) is not None


def as_files(X: Any) -> ImageFiles:
    """Make image files of paths, or of a table of paths and boxes.

    Parameters
    ----------
    X : list, array or Series of str or path-like, data frame, or ndarray
        Of pandas, polars or pyarrow. A frame has a column "path" and perhaps one
        "box", or one column only; an object array of shape (n, 1) or (n, 2) has them
        in this order. A box is (left, upper, right, lower) or, for the whole picture,
        None or NaN.

    Returns
    -------
    files : ImageFiles
        In the order of X.

    Raises
    ------
    ValueError
        If a path or a box is none, with its row; if X is empty, has further columns,
        or is one path alone.
    """
    found = _columns(X)
    if found is None:
        raise ValueError("Expected paths of image files, as str or os.PathLike.")
    paths, boxes = found
    if not len(paths):
        raise ValueError("X holds no paths. At least 1 image file is needed.")
    for row, path in enumerate(paths):
        if not _is_path(path):
            raise ValueError(
                f"Expected the path of an image file in each row. Got {path!r} in row "
                f"{row}. Leave this row out."
            )
    named = np.empty(len(paths), dtype=object)
    named[:] = [os.fspath(path) for path in paths]
    return ImageFiles(named, None if boxes is None else _as_boxes(boxes))


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _columns(X: Any) -> tuple[list, list | None] | None:
    """Return the paths and the boxes of X; None where it has no paths."""
    if isinstance(X, ImageFiles):
        return list(X.paths), None if X.boxes is None else list(X.boxes)
    if _is_path(X):
        raise ValueError(
            f"Expected a list of paths. Got one path: write [{os.fspath(X)!r}]."
        )
    if hasattr(X, "columns"):
        return _columns_of_frame(X)
    values = column_values(X)
    X = X if values is None else values
    if isinstance(X, list | tuple):
        return (list(X), None) if any(map(_is_path, X)) else None
    if not isinstance(X, np.ndarray) or X.ndim not in (1, 2):
        return None
    if X.ndim == 2 and X.shape[1] not in (1, 2):
        return None
    if X.dtype.kind in "UT" and (X.ndim == 1 or X.shape[1] == 1):
        return X.ravel().tolist(), None
    if X.dtype.kind != "O" or not any(map(_is_path, X if X.ndim == 1 else X[:, 0])):
        return None
    if X.ndim == 1 or X.shape[1] == 1:
        return X.ravel().tolist(), None
    boxes = list(X[:, 1])
    if not all(_is_missing(box) or np.ndim(box) for box in boxes):
        return None  # a table of strings
    return list(X[:, 0]), boxes


def _columns_of_frame(X: Any) -> tuple[list, list | None] | None:
    names = column_names(X)
    name = "path" if "path" in names else names[0] if len(names) == 1 else None
    if name is None:
        return None
    if max(names.count(name), names.count("box")) > 1:
        raise ValueError(
            f"Expected one column of paths, and one of boxes at most. Got columns "
            f"{names}."
        )
    paths = column_values(X[name]) or []
    if not any(map(_is_path, paths)):
        return None
    others = [other for other in names if other not in (name, "box")]
    if others:
        raise ValueError(
            f"Expected a frame of image files with a column 'path' and, for parts of "
            f"pictures, a column 'box'. Got further columns {others}: select those "
            f"two, or choose what each column goes through by a ColumnTransformer."
        )
    return paths, column_values(X["box"]) if "box" in names else None


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ == "NAType":
        return True
    return np.ndim(value) == 0 and bool(value != value)


def _as_boxes(values: Iterable) -> np.ndarray | None:
    boxes = [
        [np.nan] * 4 if _is_missing(v) else _as_box(v, i) for i, v in enumerate(values)
    ]
    return np.array(boxes, dtype=np.float64)


def _as_box(value: Any, row: int) -> np.ndarray:
    try:
        box = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        box = np.empty(0)
    if box.shape == (4,) and np.isnan(box).all():
        return box
    if box.shape != (4,) or not np.isfinite(box).all() or (box[:2] >= box[2:]).any():
        raise ValueError(
            f"Expected a box (left, upper, right, lower) in pixels, with left < right "
            f"and upper < lower, or None for the whole picture. Got {value!r} in row "
            f"{row}."
        )
    if (box[2:] <= 1).all() and (box % 1).any():
        raise ValueError(
            f"Expected a box (left, upper, right, lower) in pixels. Got shares of the "
            f"picture, {value!r}, in row {row}: multiply them by its width and height."
        )
    return box
