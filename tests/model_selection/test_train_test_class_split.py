import numpy as np
import pytest
from scipy import sparse

from skfsl.model_selection import train_test_class_split


def make_y():
    """Heavy-tailed classes in any order; the last have one sample."""
    y = np.repeat([f"class{i}" for i in range(9)], [20, 5, 2, 1, 1, 1, 1, 1, 1])
    return np.random.default_rng(0).permutation(y)


def test_arrays_are_split_by_class():
    y = make_y()
    X = np.arange(len(y))
    X_train, X_test, y_train, y_test, a_train, a_test = train_test_class_split(
        X, y, -X, random_state=0
    )
    np.testing.assert_array_equal(y[X_train], y_train)
    np.testing.assert_array_equal(y[X_test], y_test)
    np.testing.assert_array_equal(a_train, -X_train)
    np.testing.assert_array_equal(a_test, -X_test)
    assert not set(y_train) & set(y_test)
    assert len(set(y_test)) == 3  # a quarter of 9, rounded up
    assert len(X_train) + len(X_test) == len(y)


def test_arrays_of_any_kind_stay_what_they_are():
    torch = pytest.importorskip("torch")
    pd = pytest.importorskip("pandas")
    y = make_y()
    n = len(y)
    X = np.arange(n)
    arrays = [
        X.tolist(),
        [f"{i}.png" for i in X],
        np.zeros((n, 4, 4, 3), dtype=np.uint8) + X[:, None, None, None].astype("u1"),
        pd.DataFrame({"i": X}, index=X[::-1]),
        pd.Series(y, dtype="category"),
        sparse.csr_matrix(X[:, None]),
        sparse.coo_matrix(X[:, None]),
        torch.from_numpy(X),
        torch.zeros(n, 3, 2, 2, dtype=torch.bfloat16),
        range(n),
    ]
    kept, out, *rest = train_test_class_split(X, y, *arrays, test_size=4)
    del rest[:2]
    assert len(rest) == 2 * len(arrays)
    for array, train, test in zip(arrays, rest[::2], rest[1::2], strict=True):
        if not isinstance(array, range | sparse.coo_matrix):
            assert type(train) is type(test) is type(array)
        length = [
            len(s) if not sparse.issparse(s) else s.shape[0] for s in (train, test)
        ]
        assert length == [len(kept), len(out)]
    np.testing.assert_array_equal(rest[0], kept)
    np.testing.assert_array_equal(rest[1], out)
    np.testing.assert_array_equal(rest[5][:, 0, 0, 0], out)
    np.testing.assert_array_equal(rest[6]["i"], kept)
    np.testing.assert_array_equal(rest[11].toarray()[:, 0], out)
    np.testing.assert_array_equal(rest[13].toarray()[:, 0], out)
    assert rest[14].tolist() == kept.tolist()


def test_polars_frames_are_split():
    pl = pytest.importorskip("polars")
    y = make_y()
    frame = pl.DataFrame({"i": np.arange(len(y)), "y": y})
    train, test, y_train, y_test = train_test_class_split(frame, frame["y"])
    assert isinstance(train, pl.DataFrame)
    assert train["y"].to_list() == y_train.to_list()
    assert not set(y_train) & set(y_test)
    assert len(train) + len(test) == len(y)


def test_groups_are_kept_whole_in_arrays():
    y, days = np.repeat(np.arange(8), 6), np.tile(np.arange(6), 8)
    *_, d_train, d_test = train_test_class_split(
        y, y, days, groups=days, random_state=0
    )
    assert len(set(d_train)) == 4
    assert len(set(d_test)) == 2
    assert not set(d_train) & set(d_test)


def test_sizes_count_classes():
    y = make_y()
    for sizes, (n_train, n_test) in (
        ({"test_size": 2}, (7, 2)),
        ({"train_size": 2}, (2, 7)),
        ({"test_size": 0.5}, (4, 5)),
        ({"train_size": 0.5}, (4, 5)),
        ({"train_size": 3, "test_size": 2}, (3, 2)),
    ):
        _, _, y_train, y_test = train_test_class_split(y, y, **sizes)
        assert (len(set(y_train)), len(set(y_test))) == (n_train, n_test)


def test_an_integer_gives_the_same_arrays():
    y = make_y()
    first, again, other = (
        train_test_class_split(y, y, random_state=seed)[3] for seed in (0, 0, 3)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_wrong_arrays_raise():
    with pytest.raises(ValueError, match="Got None"):
        train_test_class_split(["a", "b"], ["a", "b"], None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        train_test_class_split(["a", "b"], ["a", "b"], ["a"])
