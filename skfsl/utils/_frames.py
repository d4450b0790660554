"""What data frames of pandas and polars and tables of pyarrow have in common."""

from typing import Any

__all__ = ["column_names", "column_values"]


def column_names(frame: Any) -> list:
    """Return the names of the columns of a frame, in their order."""
    # Of the type: a frame may have a column of this name. `columns` of pyarrow are
    # the columns themselves.
    if hasattr(type(frame), "column_names"):
        return list(frame.column_names)
    return list(frame.columns)


def column_values(column: Any) -> list | None:
    """Return the values of a column; None where `column` is of no such library."""
    for convert in ("to_list", "to_pylist"):
        if hasattr(column, convert):
            return getattr(column, convert)()
    return None
