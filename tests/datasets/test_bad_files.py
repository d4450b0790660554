"""Samples whose files can be read."""

import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skfsl.datasets import drop_bad_files
from skfsl.exceptions import BadFilesWarning


@pytest.fixture
def paths(tmp_path, rng):
    pixels = rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    for name in ("a.jpg", "b.jpg", "cut.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:-2000])
    return [str(tmp_path / name) for name in ("a.jpg", "cut.jpg", "b.jpg", "no.jpg")]


def test_files_that_cannot_be_read_are_left_out(paths):
    groups, weights = np.arange(4), pd.Series([1.0, 2.0, 3.0, 4.0])
    with pytest.warns(BadFilesWarning, match="2 of 4 .* row 1, .*cut.jpg'.* row 3, "):
        X, y, g, w = drop_bad_files(paths, ["p", "q", "r", "s"], groups, weights)
    assert X == [paths[0], paths[2]]
    assert y == ["p", "r"]
    assert g.tolist() == [0, 2]
    assert w.tolist() == [1.0, 3.0]


def test_boxes_are_looked_at(paths):
    X = pd.DataFrame({"path": paths[:1] * 2, "box": [None, (400, 0, 500, 10)]})
    with pytest.warns(BadFilesWarning, match="outside of the picture of 300 x 300"):
        kept, _ = drop_bad_files(X, [0, 1])
    assert kept["box"].tolist() == [None]


def test_good_files_stay_as_they_are(paths):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X, y = drop_bad_files(paths[:1], [3])
    assert X == paths[:1]
    assert y == [3]


@pytest.mark.parametrize("make", [np.asarray, np.ndarray.tolist, pd.DataFrame])
def test_rows_of_nan_are_left_out(make):
    embeddings = np.arange(24.0).reshape(12, 2)
    embeddings[[2, 7]] = np.nan
    with pytest.warns(BadFilesWarning, match=r"2 of 12 rows of X are NaN.*\[2, 7\]"):
        X, y = drop_bad_files(make(embeddings), np.arange(12))
    assert (np.asarray(X) == np.delete(embeddings, [2, 7], axis=0)).all()
    assert y.tolist() == np.delete(np.arange(12), [2, 7]).tolist()


def test_rows_that_are_nan_in_part_are_refused():
    with pytest.raises(ValueError, match=r"Rows \[1\] of X are NaN in part"):
        drop_bad_files([[1.0, 2.0], [np.nan, 2.0]], [0, 1])


@pytest.mark.filterwarnings("ignore::skfsl.exceptions.BadFilesWarning")
@pytest.mark.parametrize("X", [["no.jpg"], [[np.nan, np.nan]]])
def test_something_must_be_left(X):
    with pytest.raises(ValueError, match="All 1 samples are of files"):
        drop_bad_files(X, [0])


def test_lengths_are_compared(paths):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        drop_bad_files(paths, [0])
