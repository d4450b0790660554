"""The one entrance of data."""

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator

from skfsl.utils._publish import publish, shadow
from skfsl.utils._validation import check_labels, check_samples, image_layout

# NumPy has strings of any length since 2.0.
STRING = getattr(np.dtypes, "StringDType", np.dtypes.ObjectDType)()


class Bare(BaseEstimator):
    """Takes what check_samples sets."""


@given(st.lists(st.sampled_from([1, 2, 3, 4, 7, 28]), min_size=3, max_size=3))
def test_channels_are_the_one_axis_of_size_one_three_or_four(sizes):
    first, _, last = sizes
    shape = (5, *sizes)
    if (first in (1, 3, 4)) == (last in (1, 3, 4)):
        with pytest.raises(ValueError, match="input_layout="):
            image_layout(shape, "auto")
    else:
        expected = "channels_first" if first in (1, 3, 4) else "channels_last"
        assert image_layout(shape, "auto") == expected
    for named in ("channels_first", "channels_last"):
        assert image_layout(shape, named) == named


def test_images_are_views_where_they_can_be():
    X = np.zeros((5, 8, 8, 3), dtype=np.uint8)
    checked = check_samples(Bare(), X, reset=True)
    assert checked.shape == (5, 3, 8, 8)
    assert np.shares_memory(checked, X)


def test_a_series_of_images_is_images():
    X = np.zeros((5, 8, 8, 3), dtype=np.uint8)
    checked = check_samples(Bare(), pd.Series(list(X)), reset=True)
    assert checked.shape == (5, 3, 8, 8)
    with pytest.raises(ValueError, match="embed raw text"):
        check_samples(Bare(), pd.Series(["some", "text"]), reset=True)


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.int8])
def test_images_of_other_integers_are_not_taken_for_floats(dtype):
    X = np.ones((5, 8, 8), dtype=dtype)
    with pytest.raises(ValueError, match=f"Got dtype {np.dtype(dtype)}"):
        check_samples(Bare(), X, reset=True)


def test_a_table_keeps_its_names():
    estimator = Bare()
    check_samples(estimator, pd.DataFrame({"a": [1.0], "b": [2.0]}), reset=True)
    assert list(estimator.feature_names_in_) == ["a", "b"]
    assert estimator.input_shape_ == (2,)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([1, 2], np.array([1, 2])),
        (["a", "elephant"], np.array(["a", "elephant"])),
        (pd.Series(["a", "b"]), np.array(["a", "b"])),
        (pd.Series([1, 2], dtype="Int64"), np.array([1, 2])),
        (pd.Categorical(["b", "a"]), np.array(["b", "a"])),
        (np.array([True, False]), np.array([True, False])),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0])),
        (np.array(["a", "b"], dtype=object), np.array(["a", "b"])),
        (np.array(["a", "b"], dtype=STRING), np.array(["a", "b"])),
        ([b"a", b"b"], np.array([b"a", b"b"])),
        ([np.bool_(True), False], np.array([True, False])),
        ([1, 2.0], np.array([1.0, 2.0])),
        ([np.datetime64("2026-01-01")], np.array(["2026-01-01"], "datetime64[D]")),
    ],
)
def test_labels(y, expected):
    got = check_labels(y)
    np.testing.assert_array_equal(got, expected)
    assert got.dtype.kind == expected.dtype.kind


@pytest.mark.parametrize(
    ("y", "error"),
    [
        ([1, "a"], TypeError),
        (["a", None], ValueError),
        (["a", np.nan], ValueError),
        (np.array([1, "a"], dtype=object), TypeError),
        (pd.Series([1, None], dtype="Int64"), ValueError),
        (pd.Series(["a", None]), ValueError),
        ([0.5, 1.0], ValueError),
        ([[1], [2, 3]], ValueError),
        (None, ValueError),
        ([], ValueError),
        ([True, 2], TypeError),
        ([b"a", 1], TypeError),
        ([2**63, 2**63 + 1, -1], ValueError),
        (np.array([2**53 + 1, 2**53, 0.0], dtype=object), ValueError),
        (pd.Series([(1, 2), (3, 4)]), ValueError),
        (pd.Series([np.array([1, 2]), np.array([3, 4])]), ValueError),
        (np.array(["2026-01-01", "NaT"], dtype="datetime64[D]"), ValueError),
        (np.zeros(2, dtype=[("a", int)]), ValueError),
        (["a\0", "a"], ValueError),
    ],
)
def test_bad_labels(y, error):
    with pytest.raises(error):
        check_labels(y)


def test_a_shadow_is_published_whole():
    estimator = Bare()
    estimator.old_ = 1
    work = shadow(estimator, fitted=False)
    assert not hasattr(work, "old_")
    work.new_ = 2
    assert not hasattr(estimator, "new_")
    publish(estimator, work)
    assert not hasattr(estimator, "old_")
    assert estimator.new_ == 2


@pytest.mark.parametrize("made", [list, tuple])
def test_rows_that_are_tensors_of_any_float_make_a_table(made):
    torch = pytest.importorskip("torch")
    rows = torch.arange(6.0).reshape(3, 2)
    for X in (rows.bfloat16(), rows.half(), rows.requires_grad_()):
        checked = check_samples(Bare(), made(X), reset=True)
        np.testing.assert_array_equal(checked, rows.detach().numpy())


@pytest.mark.parametrize("label", [date(2020, 1, 1), Decimal(1), 2**70, frozenset()])
def test_labels_of_other_types_are_named(label):
    with pytest.raises(
        ValueError, match=rf"label type: {type(label).__name__}\. .*str"
    ):
        check_labels([label, label])
