"""Columns, whichever library a frame is of."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skfsl.utils._frames import column_names, column_values

COLUMNS = {"column_names": [1, 2, None], "to_pylist": ["a", "b", None]}


@pytest.mark.parametrize("kind", ["pandas", "polars", "Table", "RecordBatch"])
def test_columns_are_named_and_listed(kind):
    if kind in ("Table", "RecordBatch"):
        make = getattr(
            pytest.importorskip("pyarrow", exc_type=ImportError), kind
        ).from_pydict
    else:
        make = {"pandas": pd, "polars": pl}[kind].DataFrame
    frame = make(COLUMNS)
    assert column_names(frame) == list(COLUMNS)
    assert column_values(frame["to_pylist"])[:2] == ["a", "b"]
    assert len(column_values(frame["column_names"])) == 3


def test_what_is_no_column_has_no_values():
    assert column_values(np.arange(3)) is None
