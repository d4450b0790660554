"""Paths, labels and boxes of a table."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skfsl.datasets import load_image_table
from skfsl.images import as_files

CSV = """path,label,x0,y0,x1,y1
b.jpg,bee,1,2,30.5,40
"sub/a, b.jpg",ape,,,,
"""
SIDES = ["x0", "y0", "x1", "y1"]


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("\ufeff" + CSV, encoding="utf-8")
    return path


def test_a_csv_file(csv):
    bunch = load_image_table(csv)
    root = csv.parent
    assert bunch.data.tolist() == [str(root / "b.jpg"), str(root / "sub" / "a, b.jpg")]
    assert bunch.target.tolist() == [1, 0]
    assert bunch.target_names.tolist() == ["ape", "bee"]
    assert bunch.filenames.tolist() == ["b.jpg", "sub/a, b.jpg"]


def test_boxes_of_four_columns(csv):
    data, target = load_image_table(str(csv), box=SIDES, root="x", return_X_y=True)
    assert data.shape == (2, 2)
    assert data[0].tolist() == [str(Path("x/b.jpg")), (1.0, 2.0, 30.5, 40.0)]
    files = as_files(data)
    assert files.box(0) == (1.0, 2.0, 30.5, 40.0)
    assert files.box(1) is None
    assert target.tolist() == [1, 0]


def test_a_column_named_box_is_one(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text('path,label,box\na,x,"1, 2, 3, 4.5"\nb,y,\nc,y,(1 2 3 4)\n')
    data = load_image_table(path).data
    assert data[:, 1].tolist() == [(1, 2, 3, 4.5), None, (1, 2, 3, 4)]
    assert load_image_table(path, box=None).data.shape == (3,)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_frame_with_columns_of_other_names(frame):
    table = frame(
        {"file": ["a", "b"], "kind": [7, 3], "part": [[0.0, 0.0, 1.0, 2.0], None]}
    )
    bunch = load_image_table(table, path="file", label="kind", box="part")
    assert bunch.data[:, 0].tolist() == ["a", "b"]
    assert bunch.data[:, 1].tolist() == [(0.0, 0.0, 1.0, 2.0), None]
    assert bunch.target_names.tolist() == [3, 7]
    assert bunch.target.tolist() == [1, 0]


def test_a_table_of_pyarrow():
    pa = pytest.importorskip("pyarrow", exc_type=ImportError)
    columns = {"path": ["a", "b"], "label": [7, 3], "box": [[0, 0, 1, 2], None]}
    bunch = load_image_table(pa.table(columns))
    assert bunch.data.tolist() == [["a", (0.0, 0.0, 1.0, 2.0)], ["b", None]]
    assert bunch.target_names[bunch.target].tolist() == [7, 3]


def table(**changes):
    columns = {"path": ["a", "b"], "label": ["x", "y"]}
    columns |= {side: [0.0, 5.0] for side in SIDES}
    return pd.DataFrame(columns | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": ["a", None]}, "Expected a path in each row. Got .* in row 1"),
        ({"path": ["", "b"]}, "Expected a path in each row. Got '' in row 0"),
        ({"label": ["x", ""]}, "Expected a label in each row. Got '' in row 1"),
        ({"label": [np.nan, "y"]}, "Expected a label in each row. Got nan in row 0"),
        ({"label": ["x", pd.NA]}, "Expected a label in each row. Got .* in row 1"),
        ({"x0": [1.0, np.nan]}, "Expected a box of four numbers .* in row 1"),
        ({"y1": ["1", "much"]}, "Expected a box of four numbers .* in row 1"),
    ],
)
def test_the_error_names_the_row(changes, message):
    with pytest.raises(ValueError, match=message):
        load_image_table(table(**changes), box=SIDES)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"No column 'file' .* There are \['path', "):
        load_image_table(table(), path="file")


def test_two_columns_are_no_box():
    with pytest.raises(ValueError, match="one column or of four"):
        load_image_table(table(), box=["x0", "y0"])


def test_a_ragged_csv_file_is_told_of(csv):
    csv.write_text("path,label\na,x\nb\n")
    with pytest.raises(ValueError, match=r"Expected 2 cells .* Got 1 in row 1"):
        load_image_table(csv)


def test_an_empty_table(csv):
    csv.write_text("path,label\n")
    with pytest.raises(ValueError, match="The table has no rows"):
        load_image_table(csv)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_image_table(tmp_path / "no.csv")


def test_two_columns_of_one_name_are_refused(csv):
    csv.write_text("path,label,path\na.png,x,b.png\n")
    with pytest.raises(ValueError, match="same name"):
        load_image_table(csv)
    frame = pd.DataFrame([["a.png", "x", "b.png"]], columns=["path", "label", "path"])
    with pytest.raises(ValueError, match="More than one column 'path'"):
        load_image_table(frame)


def test_names_of_columns_may_be_numbers():
    frame = pd.DataFrame({0: ["a.png", "b.png"], 1: ["x", "y"]})
    assert load_image_table(frame, path=0, label=1).target.tolist() == [0, 1]
