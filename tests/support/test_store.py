"""What both classifiers promise of their support set."""

import copy
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.preprocessing import StandardScaler

from skfsl.support import KNeighborsClassifier, PrototypeClassifier
from skfsl.support._labels import Labels
from skfsl.support._store import Rows

CLASSIFIERS = [
    PrototypeClassifier(),
    PrototypeClassifier(store="sums"),
    PrototypeClassifier("cosine", covariance="shared"),
    KNeighborsClassifier(n_neighbors=3),
    KNeighborsClassifier(n_neighbors=3, metric="cosine", weights="distance"),
]


@pytest.fixture(params=CLASSIFIERS, ids=str)
def clf(request):
    return clone(request.param)


def state(clf):
    return pickle.dumps(clf)


# Rows and labels


def test_rows_grow_in_place_and_double():
    rows = Rows(np.arange(3.0)).append(np.array([3.0]))
    block = rows._block
    longer = rows.append(np.arange(4.0, 10.0))
    assert longer._block is block
    assert_array_equal(longer.columns[0], np.arange(10.0))
    assert_array_equal(rows.columns[0], np.arange(4.0))
    copies = 0
    for i in range(10, 5000):
        grown = longer.append(np.array([float(i)]))
        copies += grown._block is not longer._block
        longer = grown
    assert copies < 12
    assert_array_equal(longer.columns[0], np.arange(5000.0))


def test_rows_that_share_a_block_grow_apart():
    rows = Rows(np.zeros(1)).append(np.ones(1))
    left = rows.append(np.array([5.0]))
    right = rows.append(np.array([7.0]))
    assert left._block is rows._block
    assert right._block is not rows._block
    assert_array_equal(left.columns[0], [0, 1, 5])
    assert_array_equal(right.columns[0], [0, 1, 7])


def test_rows_take_the_wider_dtype():
    rows = Rows(np.zeros(2, np.float32)).append(np.array([1e300]))
    assert_array_equal(rows.columns[0], [0, 0, 1e300])


def test_labels_keep_codes_while_positions_move():
    labels, codes = Labels.of(np.array(["b", "c", "b"]))
    assert_array_equal(codes, [0, 1, 0])
    more, new = labels.add(np.array(["c", "a", "elephant"]))
    assert_array_equal(more.classes, ["a", "b", "c", "elephant"])
    assert_array_equal(more.classes[more.rank[codes]], ["b", "c", "b"])
    assert_array_equal(more.classes[more.rank[new]], ["c", "a", "elephant"])
    assert len(labels) == 2


def test_forgetting_a_long_label_frees_its_room():
    labels, _ = Labels.of(np.array(["a", "b" * 1000, "cc"]))
    rest, _ = labels.without("b" * 1000)
    assert_array_equal(rest.classes, ["a", "cc"])
    assert rest.classes.dtype == "<U2"
    assert Labels.of(np.array(["", "x"]))[0].without("x")[0].classes.dtype == "<U1"


# Labels, through the classifiers


@pytest.mark.parametrize(
    ("y", "more", "dtype"),
    [
        ([3, 1, 3], [2], np.int64),
        (["cat", "ant", "cat"], ["elephant"], "<U8"),
        ([True, True, True], [False], np.bool_),
        (np.array(["b", "c", "b"], dtype=object), np.array(["aa"], dtype=object), None),
        (np.array([1, 3, 1], np.int8), np.array([2**40]), np.int64),
        (np.array([5.0, 7.0, 5.0]), [6], np.float64),
    ],
)
def test_labels_of_every_kind(clf, y, more, dtype):
    X = np.array([[1.0, 0.0], [0.0, 1.0], [1.1, 0.0], [-1.0, -1.0]])
    clf.set_params(**({"n_neighbors": 1} if "n_neighbors" in clf.get_params() else {}))
    clf.fit(X[:3], y).partial_fit(X[3:], more)
    assert_array_equal(clf.classes_, np.unique([*y, *more]))
    assert_array_equal(clf.predict(X), [*y, *more])
    if dtype is not None:
        assert clf.classes_.dtype == dtype


@pytest.mark.parametrize(
    ("y", "more", "error"),
    [
        ([1, 2], ["1"], TypeError),
        (["1", "2"], [1], TypeError),
        ([True, False], [1], TypeError),
        ([1, 2], [3, "x"], TypeError),
        (["a", "b"], [b"a"], TypeError),
        ([1, 2], [np.nan], ValueError),
        ([1, 2], [1.5], ValueError),
        ([2**60 + 1, 2], np.array([1.0]), ValueError),
        ([1, 2], None, ValueError),
        ([1, 2], [[1, 2]], ValueError),
    ],
)
def test_labels_that_do_not_fit_leave_the_state_alone(clf, y, more, error):
    clf.fit([[0.0, 1.0], [1.0, 0.0]], y)
    before, attributes = state(clf), dict(vars(clf))
    with pytest.raises(error):
        clf.partial_fit([[2.0, 2.0]], more)
    assert state(clf) == before
    assert vars(clf).keys() == attributes.keys()
    assert all(vars(clf)[key] is attributes[key] for key in attributes)


@pytest.mark.parametrize(
    ("X", "y", "match"),
    [
        ([[1.0, 2.0]], [0], "2 features, but"),
        ([[1.0, np.nan, 2.0]], [0], "contains NaN"),
        ([[1.0, np.inf, 2.0]], [0], "contains infinity"),
        ([[1.0, 2.0, 3.0]], [0, 1], "inconsistent numbers of samples"),
        (np.empty((0, 3)), [], "0 sample"),
        ([["a", "b", "c"]], [0], "string"),
        (np.zeros((1, 3, 1)), [0], "dim"),
        ([1.0, 2.0, 3.0], [0], "Expected 2D array"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_samples_that_do_not_fit_leave_the_state_alone(clf, X, y, match, method):
    if method == "fit" and "2 features" in match:
        pytest.skip("fit may change the number of features")
    clf.fit(np.eye(3), [0, 1, 2])
    before, attributes = state(clf), dict(vars(clf))
    with pytest.raises(ValueError, match=match):
        getattr(clf, method)(X, y)
    assert state(clf) == before
    assert all(vars(clf)[key] is attributes[key] for key in attributes)


def test_a_bad_first_call_leaves_it_unfitted(clf):
    attributes = dict(vars(clf))
    with pytest.raises(ValueError, match="NaN"):
        clf.partial_fit([[np.nan]], [0])
    assert vars(clf) == attributes


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_missing_dates_are_no_labels(clf, method):
    X, dates = np.eye(2), np.array(["2020-01-01", "2021-01-01"], dtype="M8[D]")
    clf.fit(X, dates).partial_fit(X, dates + 1000)
    assert_array_equal(clf.predict(X[:1]), clf.classes_[:1])
    before = state(clf)
    with pytest.raises(ValueError, match="contains NaT"):
        getattr(clf, method)(X, np.array(["2020-01-01", "NaT"], dtype="M8[D]"))
    assert state(clf) == before


def test_sequences_are_no_labels():
    y = np.empty(2, dtype=object)
    y[:] = [(1, 2), (3, 4)]
    with pytest.raises(ValueError, match=r"one label a sample|1d array"):
        PrototypeClassifier().fit(np.eye(2), y)


def test_messages_name_what_labels_were_compared_with(clf):
    clf.fit([[0.0], [1.0]], np.array(["2026-01-01", "2026-01-02"], dtype="M8[D]"))
    with pytest.raises(TypeError, match=r"support set's: datetime64 .* Got number"):
        clf.partial_fit([[2.0]], [3])
    clf.fit([[0.0], [1.0]], [1, 2])
    with pytest.raises(TypeError, match=r"kind of classes=: str .* Got number"):
        clf.partial_fit([[2.0]], [3], classes=["a"])


def test_messages_do_not_recite_long_labels(clf):
    clf.fit(np.eye(2), ["a", "b"])
    with pytest.raises(ValueError, match="Cannot forget") as error:
        clf.forget("x" * 10_000)
    assert len(str(error.value)) < 300
    with pytest.raises(TypeError, match="number"):
        clf.forget(1)


def test_classes_cannot_be_written_to(clf):
    clf.fit(np.eye(2), ["a", "b"]).partial_fit(np.eye(2), ["c", "b"])
    for fitted in (clf, pickle.loads(state(clf)), copy.deepcopy(clf)):
        with pytest.raises(ValueError, match="read-only"):
            fitted.classes_[0] = "z"


@pytest.mark.parametrize(
    "gone",
    [1, np.int64(1), np.array(1), 1.0, [1], (1,), {1}, {1: None}.keys(), range(1, 2),
     np.array([1], dtype=object), pd.Series([1]), pl.Series([1]), [1, 1]],
    ids=repr,
)  # fmt: skip
def test_forget_takes_a_label_or_many(clf, gone):
    clf.fit(np.eye(3), [0, 1, 2])
    assert_array_equal(clf.forget(gone).classes_, [0, 2])


@pytest.mark.parametrize(
    ("gone", "error", "match"),
    [
        (7, ValueError, r"not in the support set: \[7\]"),
        ([1, 7], ValueError, r"not in the support set: \[7\]"),
        ([0, 1, 2], ValueError, "Cannot forget all of the 3 classes"),
        ("1", TypeError, "Got str"),
        (True, TypeError, "Got bool"),
        (None, ValueError, "NaN or None"),
    ],
)
def test_what_cannot_be_forgotten_leaves_the_state_alone(clf, gone, error, match):
    clf.fit(np.eye(3), [0, 1, 2])
    before = state(clf)
    with pytest.raises(error, match=match):
        clf.forget(gone)
    assert state(clf) == before


def test_forgetting_nothing_changes_nothing(clf):
    clf.fit(np.eye(3), [0, 1, 2])
    assert_array_equal(clf.forget([]).classes_, [0, 1, 2])


def test_the_callers_arrays_are_not_followed(clf, rng):
    X, y = rng.normal(size=(6, 2)), np.arange(6) % 3
    clf.fit(X, y)
    expected = clf.predict_proba(X)
    queries = X.copy()
    X[:], y[:] = 0, 0
    assert_array_equal(clf.predict_proba(queries), expected)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "backwards": lambda X: X[::-1, ::-1][::-1, ::-1],
    "every other": lambda X: np.repeat(X, 2, axis=0)[::2],
    "other bytes": lambda X: X.astype(X.dtype.newbyteorder()),
    "read-only": lambda X: np.frombuffer(X.tobytes()).reshape(X.shape),
    "object": lambda X: X.astype(object),
    "nullable": lambda X: pd.DataFrame(X).convert_dtypes(),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_any_layout_in_memory(clf, layout, rng):
    X, y = rng.normal(size=(12, 3)), np.arange(12) % 4
    expected = clone(clf).fit(X, y).predict_proba(X)
    clf.fit(layout(X[:6]), y[:6]).partial_fit(layout(X[6:]), y[6:])
    assert_allclose(clf.predict_proba(layout(X)), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, bool])
def test_narrow_numbers_do_not_overflow(clf, dtype):
    X = np.full((4, 300), np.finfo(dtype).max if dtype == np.float16 else 1, dtype)
    X[:2, :150] = 0
    clf.fit(X[:2], [0, 0]).partial_fit(X[2:], [1, 1])
    assert_array_equal(clf.predict(X), [0, 0, 1, 1])


def test_memory_maps_of_joblib(clf, tmp_path, rng):
    X, y = rng.normal(size=(12, 3)), np.arange(12) % 4
    joblib.dump(clf.fit(X, y), tmp_path / "clf.joblib")
    mapped = joblib.load(tmp_path / "clf.joblib", mmap_mode="r")
    assert_array_equal(mapped.predict_proba(X), clf.predict_proba(X))
    mapped.partial_fit(X + 9, y + 4).forget(0)
    clf.partial_fit(X + 9, y + 4).forget(0)
    assert_array_equal(mapped.predict_proba(X), clf.predict_proba(X))


def test_classes_are_checked_and_have_no_other_effect(clf):
    X = np.eye(3)
    clf.partial_fit(X, ["a", "b", "c"], classes=["a", "b", "c", "d"])
    assert_array_equal(clf.classes_, ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"not in classes=: \['e'\]"):
        clf.partial_fit(X[:1], ["e"], classes=["a", "b"])
    with pytest.raises(TypeError, match="Got str"):
        clf.partial_fit(X[:1], ["e"], classes=[1, 2])
    clf.partial_fit(X[:1], ["e"])
    assert_array_equal(clf.classes_, ["a", "b", "c", "e"])


# Names of features


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames(clf, frame):
    X = frame({"a": [0.0, 1.0, 0.5], "b": [1.0, 0.0, 0.7]})
    series = pd.Series if frame is pd.DataFrame else pl.Series
    clf.fit(X, series(["x", "y", "y"])).partial_fit(X, series(["z", "y", "y"]))
    assert_array_equal(clf.classes_, ["x", "y", "z"])
    assert clf.predict(X).shape == (3,)
    # scikit-learn 1.6 does not read the names of every frame.
    if not hasattr(StandardScaler().fit(X), "feature_names_in_"):
        return
    assert_array_equal(clf.feature_names_in_, ["a", "b"])
    before = state(clf)
    other = frame({"b": [1.0], "a": [0.0]})
    with pytest.raises(ValueError, match="feature names"):
        clf.partial_fit(other, ["x"])
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(other)
    assert state(clf) == before


def test_a_refit_on_an_array_drops_the_names(clf):
    X = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0]})
    clf.fit(X, [0, 1]).fit(np.eye(3), [0, 1, 2])
    assert not hasattr(clf, "feature_names_in_")
    assert clf.n_features_in_ == 3


def test_no_warning_on_names_seen(clf, recwarn):
    X = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0]})
    clf.fit(X, [0, 1]).predict_proba(X)
    assert not recwarn.list


# Copies and pickles


def by_joblib(clf):
    stream = io.BytesIO()
    joblib.dump(clf, stream)
    stream.seek(0)
    return joblib.load(stream)


@pytest.mark.parametrize(
    "copied", [lambda c: pickle.loads(pickle.dumps(c)), by_joblib, copy.deepcopy,
               copy.copy]
)  # fmt: skip
def test_copies_answer_the_same_and_grow_apart(clf, copied, rng):
    X, y = rng.normal(size=(30, 4)), rng.integers(0, 4, 30)
    clf.fit(X[:20], y[:20]).partial_fit(X[20:25], y[20:25])
    other = copied(clf)
    assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    expected = clone(clf).fit(X[:25], y[:25]).predict_proba(X)
    other.partial_fit(X[25:], y[25:] + 10)
    assert_allclose(clf.predict_proba(X), expected)
    clf.partial_fit(X[25:] + 1, y[25:] + 20)
    assert other.classes_.max() < 20
    assert_allclose(
        other.predict_proba(X),
        clone(clf)
        .fit(X, np.concatenate([y[:25], y[25:] + 10]))
        .predict_proba(X),
    )  # fmt: skip
    assert_allclose(
        clf.predict_proba(X),
        clone(clf)
        .fit(np.concatenate([X[:25], X[25:] + 1]), np.append(y[:25], y[25:] + 20))
        .predict_proba(X),
    )


@pytest.mark.parametrize("dump", [pickle.dumps, lambda c: by_size(c)])
def test_pickles_have_no_spare_capacity(clf, dump, rng):
    X, y = rng.normal(size=(1000, 50)), np.arange(1000) % 10
    whole = clone(clf).fit(X, y)
    clf.fit(X[:900], y[:900]).partial_fit(X[900:], y[900:])
    assert len(dump(clf)) < len(dump(whole)) + 2000
    kept = 0 if clf.get_params().get("store") == "sums" else X.nbytes
    assert len(dump(clf)) < kept + 40_000


def by_size(clf):
    stream = io.BytesIO()
    joblib.dump(clf, stream)
    return stream.getvalue()


def test_clone_is_unfitted(clf):
    unfitted = vars(clone(clf)).keys()
    assert vars(clone(clf.fit(np.eye(3), [0, 1, 2]))).keys() == unfitted


def test_state_holds_no_lock(clf):
    clf.fit(np.eye(3), [0, 1, 2]).partial_fit(np.eye(3), [0, 1, 5])
    assert not any("lock" in key.lower() for key in vars(clf))


# scikit-learn around it


def test_metadata_routing(rng):
    X, y = rng.normal(size=(30, 3)), np.arange(30) % 3
    weight = rng.uniform(0.1, 9, 30)
    with sklearn.config_context(enable_metadata_routing=True):
        clf = PrototypeClassifier().set_fit_request(sample_weight=True)
        clf.set_partial_fit_request(sample_weight=True)
        requests = clf.get_metadata_routing()
        assert requests.fit.requests["sample_weight"] is True
        assert requests.partial_fit.requests["sample_weight"] is True
        clf.set_fit_request(sample_weight="support_weight")
        fitted = cross_val_score(clf, X, y, params={"support_weight": weight})
        with pytest.raises(TypeError, match="sample_weight"):
            KNeighborsClassifier().set_fit_request(sample_weight=True)
    expected = [
        PrototypeClassifier()
        .fit(X[train], y[train], sample_weight=weight[train])
        .score(X[test], y[test])
        for train, test in StratifiedKFold().split(X, y)
    ]
    assert_allclose(fitted, expected)


def test_repr_links_to_our_pages_and_hides_the_support_set(clf):
    X = np.full((3, 2), 0.123456789)
    X[1:] += [[1, 0], [0, 1]]
    clf.fit(X, ["secret", "b", "c"])
    html = clf._repr_html_()
    assert "0.12345" not in html + repr(clf)
    assert "secret" not in repr(clf)
    name = type(clf).__name__
    assert f"skfsl.readthedocs.io/en/stable/generated/skfsl.support.{name}" in html
