"""Which X are image files, and what is said of those that are not."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from skfsl.images import as_files, is_files

PATHS = ["a.jpg", "b.jpg", "c.jpg"]
BOXES = [(0, 0, 4, 5), None, (1, 1, 2, 2)]


def table():
    array = np.empty((3, 2), dtype=object)
    array[:, 0], array[:, 1] = PATHS, BOXES
    return array


@pytest.mark.parametrize(
    "X",
    [
        PATHS,
        tuple(PATHS),
        [Path(p) for p in PATHS],
        np.array(PATHS),
        np.array(PATHS, dtype=object),
        np.array(PATHS)[:, np.newaxis],
        np.array(PATHS, dtype=object)[:, np.newaxis],
        pd.Series(PATHS),
        pd.Index(PATHS),
        pd.Series(PATHS, dtype="string"),
        pd.Series(PATHS, dtype="category"),
        pd.DataFrame({"anything": PATHS}),
        pd.DataFrame({"path": PATHS}),
        pl.Series(PATHS),
        pl.DataFrame({"path": PATHS}),
        as_files(PATHS),
    ],
    ids=lambda X: type(X).__module__.split(".")[0] + "." + type(X).__name__,
)
def test_paths_of_any_kind_are_files(X):
    assert is_files(X)
    files = as_files(X)
    assert files.paths.tolist() == PATHS
    assert files.boxes is None
    assert files.box(0) is None


@pytest.mark.parametrize(
    "X",
    [
        table(),
        pd.DataFrame({"box": BOXES, "path": PATHS}),
        pl.DataFrame(
            {"path": PATHS, "box": [None if b is None else list(b) for b in BOXES]}
        ),
        as_files(table()),
    ],
    ids=["array", "pandas", "polars", "files"],
)
def test_boxes_stand_beside_paths(X):
    files = as_files(X)
    assert [files.box(row) for row in range(3)] == BOXES


def test_pyarrow_is_taken_as_other_frames_are():
    pa = pytest.importorskip("pyarrow", exc_type=ImportError)
    texts = pa.array(PATHS)
    for X in (
        texts,
        texts.dictionary_encode(),
        pa.chunked_array([PATHS[:1], PATHS[1:]]),
        pa.table({"anything": texts}),
        pa.RecordBatch.from_pydict({"path": texts}),
    ):
        assert as_files(X).paths.tolist() == PATHS
    boxes = [None if box is None else list(box) for box in BOXES]
    files = as_files(pa.table({"box": boxes, "path": PATHS}))
    assert [files.box(row) for row in range(3)] == BOXES
    with pytest.raises(ValueError, match=r"Got further columns \['label'\]"):
        as_files(pa.table({"path": PATHS, "label": [1, 2, 3]}))
    with pytest.raises(ValueError, match="Expected one column of paths"):
        as_files(pa.table([texts, texts], names=["path", "path"]))
    assert not is_files(pa.table({"path": [1.0, 2.0]}))
    assert not is_files(pa.array([1.0, 2.0]))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, [np.nan] * 4])
def test_a_missing_box_is_the_whole_picture(missing):
    frame = pd.DataFrame({"path": PATHS, "box": [BOXES[0], missing, BOXES[2]]})
    assert as_files(frame).box(1) is None


@pytest.mark.parametrize("index", [[2, 0], np.array([True, False, True]), slice(1, 3)])
def test_files_are_taken_by_index(index):
    some = as_files(table())[index]
    assert some.paths.tolist() == np.array(PATHS)[index].tolist()
    assert len(some) == 2


@pytest.mark.parametrize(
    "X",
    [
        np.ones((3, 2)),
        np.ones(3, dtype=object),
        [[1, 2], [3, 4]],
        [["a", "b"], ["c", "d"]],
        np.array([["a", "b"]], dtype=object),
        np.array([["a", "b", "c"]]),
        np.array([["a", 1.0]], dtype=object),
        pd.DataFrame({"path": [1.0, 2.0]}),
        pd.DataFrame({"path": [1.0, 2.0], "width": [3.0, 4.0]}),
        torch.ones(3, 1),
        [torch.ones(1, 4, 4)],
        None,
        3,
    ],
)
def test_what_is_no_files(X):
    assert not is_files(X)


@pytest.mark.parametrize(
    "box", [(0, 0, 1), "0 0 1 1", (0, 0, np.inf, 1), (3, 0, 3, 4), (0, 5, 3, 4), 7]
)
def test_the_error_of_a_box_names_the_row(box):
    frame = pd.DataFrame({"path": PATHS, "box": [None, box, None]})
    with pytest.raises(ValueError, match=r"Expected a box \(left, .* in row 1\."):
        as_files(frame)


def test_boxes_in_shares_of_the_picture_are_refused():
    frame = pd.DataFrame({"path": PATHS, "box": [None, (0, 0, 1, 1), (0, 0.2, 1, 1)]})
    with pytest.raises(ValueError, match=r"shares of the picture, .* in row 2: mul"):
        as_files(frame)


@pytest.mark.parametrize("path", [None, np.nan, 5])
def test_the_error_of_a_path_names_the_row(path):
    with pytest.raises(ValueError, match=r"Expected the path .* in row 2"):
        as_files(["a.jpg", "b.jpg", path])


def test_further_columns_are_refused():
    frame = pd.DataFrame({"path": PATHS, "label": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"Got further columns \['label'\]"):
        as_files(frame)


def test_one_path_alone_is_refused():
    with pytest.raises(ValueError, match=r"write \['a.jpg'\]"):
        is_files("a.jpg")


def test_no_paths_are_refused():
    with pytest.raises(ValueError, match="X holds no paths"):
        as_files(np.array([], dtype=str))


@pytest.mark.parametrize("names", [["path", "path"], ["path", "box", "box"]])
def test_two_columns_of_one_name_are_refused(names):
    X = pd.DataFrame([["a.png", None, None][: len(names)]], columns=names)
    with pytest.raises(ValueError, match="Expected one column of paths"):
        as_files(X)
