"""Paths, labels and boxes of a table."""

import csv
import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from skfsl.utils._frames import column_names, column_values
from skfsl.utils._validation import check_labels

__all__ = ["load_image_table"]


def load_image_table(
    table, *, path="path", label="label", box="auto", root=None, return_X_y=False
):
    """Load the paths of images, their labels and perhaps boxes, from a table.

    The files themselves are not opened: a SiameseTransformer reads them, and cuts out
    the boxes.

    Read more in the :ref:`User Guide <files>`.

    Parameters
    ----------
    table : str, path-like or data frame
        A CSV file in UTF-8 with names of columns in its first line, or a data frame of
        pandas or polars, or a table of pyarrow. Labels of a CSV file are strings.
    path : str, default="path"
        Column of the paths.
    label : str, default="label"
        Column of the class labels.
    box : str, sequence of 4 str or None, default="auto"
        Column of boxes (left, upper, right, lower) in pixels, or the four columns of
        their sides. Where all four are empty, it is the whole picture. "auto" is the
        column "box", if there is one. None: all pictures are whole. In a CSV file a box
        is four numbers with commas or spaces between them.
    root : str or path-like, default=None
        Folder that paths start from. None is the folder of the CSV file, and where
        the program runs for a data frame.
    return_X_y : bool, default=False
        Whether ``(data, target)`` is returned instead of a Bunch.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        With the fields:

        data : ndarray of shape (n_samples,) or (n_samples, 2), dtype=object
            Paths as str; with boxes, a second column of tuples of four numbers, or
            None.
        target : ndarray of shape (n_samples,), int64
            Code of the class, an index into `target_names`.
        target_names : ndarray of shape (n_classes,)
            The labels, sorted.
        filenames : ndarray of shape (n_samples,), dtype=object
            The paths as they are in the table.
    (data, target) : tuple
        If `return_X_y`.

    Raises
    ------
    FileNotFoundError
        If there is no CSV file.
    ValueError
        If a column is not there, the table is empty, a path or label is missing, or a
        box has not four numbers.

    See Also
    --------
    load_image_folder : Paths and labels of a folder.

    Examples
    --------
    >>> import pandas as pd
    >>> from skfsl.datasets import load_image_table
    >>> table = pd.DataFrame({
    ...     "path": ["a.jpg", "b.jpg"], "label": ["ape", "bee"],
    ...     "x0": [10, 0], "y0": [20, 0], "x1": [90, 64], "y1": [80, 64],
    ... })
    >>> photos = load_image_table(table, box=["x0", "y0", "x1", "y1"], root="photos")
    >>> photos.data[0]
    array(['photos/a.jpg', (10.0, 20.0, 90.0, 80.0)], dtype=object)
    >>> photos.target
    array([0, 1])
    """
    if isinstance(table, str | os.PathLike):
        root = Path(table).parent if root is None else root
        table = _read_csv(Path(table))
    names = list(table) if isinstance(table, dict) else column_names(table)
    if box == "auto":
        box = "box" if "box" in names and "box" not in (path, label) else None
    sides = [] if box is None else [box] if isinstance(box, str) else list(box)
    if len(sides) not in (0, 1, 4):
        raise ValueError(
            f"The 'box' parameter must be the name of one column or of four: left, "
            f"upper, right, lower. Got {box!r} instead."
        )
    columns = {}
    for name in [path, label, *sides]:
        if name not in names:
            raise ValueError(f"No column {name!r} in the table. There are {names}.")
        if names.count(name) > 1:
            raise ValueError(f"More than one column {name!r} in the table: {names}.")
        column = table[name]
        columns[name] = column if isinstance(column, list) else column_values(column)
    if not columns[path]:
        raise ValueError("The table has no rows.")
    for row, value in enumerate(columns[path]):
        if not isinstance(value, str | os.PathLike) or not os.fspath(value):
            raise ValueError(
                f"Expected a path in each row. Got {value!r} in row {row}."
            )
    for row, value in enumerate(columns[label]):
        if _is_empty(value):
            raise ValueError(
                f"Expected a label in each row. Got {value!r} in row {row}."
            )
    paths = [str(Path(root or "", value)) for value in columns[path]]
    names_of_classes, target = np.unique(
        check_labels(columns[label]), return_inverse=True
    )
    if sides:
        data = np.empty((len(paths), 2), dtype=object)
        data[:, 0] = paths
        data[:, 1] = _boxes([columns[name] for name in sides])
    else:
        data = np.array(paths, dtype=object)
    if return_X_y:
        return data, target
    filenames = np.array([os.fspath(value) for value in columns[path]], dtype=object)
    return Bunch(
        data=data, target=target, target_names=names_of_classes, filenames=filenames
    )


def _read_csv(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        names = next(lines, [])
        rows = [line for line in lines if line]
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise ValueError(
                f"Expected {len(names)} cells in each row of {str(path)!r}. Got "
                f"{len(row)} in row {number}."
            )
    if len(set(names)) < len(names):
        raise ValueError(f"Columns of {str(path)!r} have the same name: {names}.")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _boxes(sides: list[list]) -> np.ndarray:
    n_rows = len(sides[0])
    boxes = np.empty(n_rows, dtype=object)
    for row in range(n_rows):
        cells = [column[row] for column in sides]
        if len(sides) == 1:
            if _is_empty(cells[0]):
                continue
            cells = cells[0]
            if isinstance(cells, str):
                cells = cells.strip("()[] ").replace(",", " ").split()
        elif all(map(_is_empty, cells)):
            continue
        try:
            boxes[row] = tuple(map(float, cells))
        except (TypeError, ValueError):
            pass
        if boxes[row] is None or len(boxes[row]) != 4 or np.isnan(boxes[row]).any():
            raise ValueError(
                f"Expected a box of four numbers (left, upper, right, lower), or none "
                f"of them for the whole picture. Got {cells!r} in row {row}."
            )
    return boxes


def _is_empty(value: object) -> bool:
    # In this order: what pandas' NA is compared with is neither true nor false.
    return (
        value is None
        or type(value).__name__ == "NAType"
        or (isinstance(value, float) and value != value)
        or value == ""
    )
