"""PrototypeClassifier: means of classes that come and go."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import (
    brier_score_loss,
    log_loss,
    roc_auc_score,
    top_k_accuracy_score,
)
from sklearn.neighbors import NearestCentroid
from sklearn.utils.estimator_checks import parametrize_with_checks

from skfsl.support import PrototypeClassifier

METRICS = ["euclidean", "cosine", "manhattan", lambda x, y: float(np.abs(x - y).max())]


@parametrize_with_checks(
    [
        PrototypeClassifier(),
        PrototypeClassifier("cosine", store="sums"),
        PrototypeClassifier("manhattan"),
    ]
)
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def data(rng):
    y = rng.integers(0, 6, 60)
    return rng.normal(size=(60, 5)) + 3 * rng.normal(size=(6, 5))[y], y


def slow_prototypes(X, y, weight=None):
    weight = np.ones(len(y)) if weight is None else weight
    rows = []
    for label in np.unique(y):
        total, norm = np.zeros(X.shape[1]), 0.0
        for x, other, w in zip(X, y, weight, strict=True):
            if other == label:
                total, norm = total + w * x, norm + w
        rows.append(total / norm)
    return np.array(rows)


def slow_scores(metric, X, P):
    def cosine(x, p):
        return x @ p / np.linalg.norm(x) / np.linalg.norm(p)

    score = {
        "euclidean": lambda x, p: -(((x - p) ** 2).sum()),
        "cosine": cosine,
        "manhattan": lambda x, p: -np.abs(x - p).sum(),
    }.get(metric, lambda x, p: -metric(x, p))
    return np.array([[score(x, p) for p in P] for x in X])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equals_the_definition(data, rng, metric, dtype):
    X, y = data
    queries = rng.normal(size=(20, 5)).astype(dtype)
    clf = PrototypeClassifier(metric, temperature=2.0, familiarity="similarity")
    clf.fit(X.astype(dtype), y)
    expected = slow_scores(metric, queries, slow_prototypes(X, y))
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    assert_allclose(clf.prototypes_, slow_prototypes(X, y), rtol=rtol, atol=rtol)
    assert_allclose(clf.decision_function(queries), expected, rtol=rtol, atol=rtol)
    assert_array_equal(clf.predict(queries), clf.classes_[expected.argmax(axis=1)])
    assert_allclose(clf.score_samples(queries), expected.max(axis=1), rtol, atol=rtol)
    softmax = np.exp(expected / 2)
    softmax /= softmax.sum(axis=1, keepdims=True)
    assert_allclose(clf.predict_proba(queries), softmax, rtol=1e-3, atol=1e-5)
    assert_allclose(np.exp(clf.predict_log_proba(queries)), softmax, 1e-3, atol=1e-5)
    assert clf.decision_function(queries).dtype == dtype


def test_by_hand():
    clf = PrototypeClassifier().fit([[0.0, 0.0], [0.0, 2.0], [3.0, 1.0]], [7, 7, 3])
    assert_array_equal(clf.prototypes_, [[3, 1], [0, 1]])
    # |(1, 1) - (0, 1)|² = 1, |(1, 1) - (3, 1)|² = 4; the difference is for class 7.
    assert_allclose(clf.decision_function([[1.0, 1.0]]), [3.0])
    assert_allclose(clf.score_samples([[1.0, 1.0]]), [-1.0])
    assert_allclose(clf.predict_proba([[1.0, 1.0]])[0, 1], 1 / (1 + np.exp(-3)))


def test_equals_nearest_centroid():
    X, y = load_digits(return_X_y=True)
    ours, theirs = PrototypeClassifier().fit(X, y), NearestCentroid().fit(X, y)
    assert_allclose(ours.prototypes_, theirs.centroids_)
    assert_array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.parametrize("weight", [1e-200, 1e200])
def test_weights_whose_squares_are_lost_are_refused(weight, data):
    X, y = data[:2]
    clf = PrototypeClassifier().fit(X, y)
    before = clf.counts_
    for method in (clf.fit, clf.partial_fit):
        with pytest.raises(ValueError, match=r"between 1e-100 and 1e100\. Got 1e"):
            method(X, y, sample_weight=np.full(len(y), weight))
    assert_array_equal(clf.counts_, before)


def test_sample_weight_is_repetition(data, rng):
    X, y = data
    times = rng.integers(1, 4, len(y))
    weighted = PrototypeClassifier().fit(X, y, sample_weight=times)
    repeated = PrototypeClassifier().fit(np.repeat(X, times, 0), np.repeat(y, times))
    assert_allclose(weighted.prototypes_, repeated.prototypes_)
    assert_allclose(weighted.counts_, repeated.counts_)
    assert_allclose(weighted.prototypes_, slow_prototypes(X, y, times))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_weights_that_leave_a_class_without_a_prototype(data, method):
    X, y = data
    clf = PrototypeClassifier()
    if method == "partial_fit":
        clf.fit(X[y != 2], y[y != 2])
    with pytest.raises(ValueError, match="class 2 sums to zero"):
        getattr(clf, method)(X, y, sample_weight=(y != 2).astype(float))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        clf.fit(X, y, sample_weight=-np.ones(len(y)))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_split_in_any_order_equals_one_fit(data):
    n = data.draw(st.integers(1, 25))
    seed = data.draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) + data.draw(st.sampled_from([0.0, 1e4]))
    kind = data.draw(st.sampled_from(["int", "str", "bool"]))
    y = rng.integers(0, 2 if kind == "bool" else 6, n)
    if kind == "bool":
        y = y.astype(bool)
    elif kind == "str":
        y = np.array(["a", "elephant", "bee", "Zoo", "", "änder"])[y]
    weight = rng.uniform(0.1, 3, n) if data.draw(st.booleans()) else None
    order = rng.permutation(n)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=6))
    store = data.draw(st.sampled_from(["samples", "sums"]))
    parts = PrototypeClassifier(store=store)
    for part in np.split(order, sorted(cuts)):
        if len(part):
            w = None if weight is None else weight[part]
            parts.partial_fit(X[part], y[part], sample_weight=w)
    whole = PrototypeClassifier().fit(X, y, sample_weight=weight)
    assert_array_equal(parts.classes_, whole.classes_)
    assert_allclose(parts.prototypes_, whole.prototypes_, rtol=1e-9, atol=1e-9)
    assert_allclose(parts.counts_, whole.counts_)
    queries = X[:5] + 0.1
    assert_allclose(
        parts.predict_proba(queries), whole.predict_proba(queries), atol=1e-6
    )


@pytest.mark.parametrize("store", ["samples", "sums"])
def test_forget_and_add_again(data, store):
    X, y = data
    whole = PrototypeClassifier(store=store).fit(X, y)
    rest = PrototypeClassifier(store=store).fit(X[y > 1], y[y > 1])
    clf = PrototypeClassifier(store=store).fit(X, y).forget([0, 1])
    assert_array_equal(clf.classes_, rest.classes_)
    assert_allclose(clf.prototypes_, rest.prototypes_)
    clf.partial_fit(X[y <= 1], y[y <= 1])
    assert_array_equal(clf.classes_, whole.classes_)
    assert_allclose(clf.prototypes_, whole.prototypes_)


@pytest.mark.parametrize("method", ["fit", "forget"])
def test_forgotten_samples_are_gone(method):
    secret = np.array([[123.25, 456.5]])
    clf = PrototypeClassifier().fit([[0.0, 0.0]], ["keep"])
    clf.partial_fit(secret, ["drop"])
    if method == "fit":
        clf.fit([[0.0, 0.0]], ["keep"])
    else:
        clf.forget("drop")
    arrays = [
        block
        for rows in (clf._support.samples, clf._support.sums._rows)
        for block in rows._block.arrays
    ]
    assert not any((array == 123.25).any() for array in arrays)


def test_forget_refuses():
    clf = PrototypeClassifier().fit([[0.0], [1.0]], ["a", "b"])
    before = dict(vars(clf))
    with pytest.raises(ValueError, match=r"not in the support set: \['c'\]"):
        clf.forget(["a", "c"])
    with pytest.raises(ValueError, match="Cannot forget all of the 2 classes"):
        clf.forget(["a", "b"])
    with pytest.raises(TypeError, match="kind of the support set's: str"):
        clf.forget(1)
    assert vars(clf) == before
    assert_array_equal(clf.forget([]).classes_, ["a", "b"])


@pytest.mark.parametrize("metric", METRICS)
def test_probabilistic_scorers_follow_a_class_that_sorts_first(metric):
    X, y = load_digits(return_X_y=True)
    first = y == 0
    late = PrototypeClassifier(metric, temperature=10.0)
    late.fit(X[~first], y[~first]).partial_fit(X[first], y[first])
    whole = PrototypeClassifier(metric, temperature=10.0).fit(X, y)
    proba = late.predict_proba(X)
    assert_array_equal(late.classes_, np.arange(10))
    assert log_loss(y, proba) == pytest.approx(log_loss(y, whole.predict_proba(X)))
    assert roc_auc_score(y, proba, multi_class="ovr") > 0.9
    assert top_k_accuracy_score(y, proba, k=2) > 0.85
    assert brier_score_loss(y == 0, proba[:, 0]) < 0.1
    assert_array_equal(late.classes_[proba.argmax(axis=1)], late.predict(X))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_far_from_the_origin(rng, dtype):
    X = (rng.normal(size=(40, 64)) + 1e4).astype(dtype)
    y = np.repeat(np.arange(8), 5)
    queries = (rng.normal(size=(30, 64)) + 1e4).astype(dtype)
    clf = PrototypeClassifier().fit(X, y)
    prototypes = np.array([X[y == c].astype(np.float64).mean(axis=0) for c in range(8)])
    expected = -cdist(queries.astype(np.float64), prototypes, "sqeuclidean")
    rtol = 1e-9 if dtype == np.float64 else 1e-4
    assert_allclose(clf.decision_function(queries), expected, rtol=rtol)
    assert_array_equal(clf.predict(queries), expected.argmax(axis=1))


def test_queries_on_a_prototype_and_ties():
    clf = PrototypeClassifier().fit([[1.1, 2.3], [1.1, 2.3], [9.0, 9.0]], [5, 4, 6])
    X = np.repeat([[1.1, 2.3]], 9, axis=0)
    assert_array_equal(clf.predict(X), np.full(9, 4))
    assert (clf.decision_function(X) <= 0).all()
    assert (clf.score_samples(X) <= 0).all()


def test_blocks_change_nothing(data, rng, monkeypatch):
    X, y = data
    queries = rng.normal(size=(500, 5))
    clf = PrototypeClassifier(familiarity="similarity").fit(X, y)
    expected = clf.predict(queries), clf.decision_function(queries)
    monkeypatch.setattr("skfsl.utils._scores._BLOCK_BYTES", 1)
    assert_array_equal(clf.predict(queries), expected[0])
    assert_allclose(clf.decision_function(queries), expected[1])
    assert_allclose(clf.score_samples(queries), expected[1].max(axis=1))


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("error")
def test_scores_that_overflow_are_refused(metric, dtype):
    huge = np.finfo(dtype).max / 2
    X = np.array([[0, 0], [huge, -huge], [-huge, huge]], dtype)
    clf = PrototypeClassifier(metric).fit(X, [0, 1, 2])
    for method in (clf.predict, clf.decision_function, clf.score_samples):
        with pytest.raises(ValueError, match=f"overflow {np.dtype(dtype)}"):
            method(np.full((1, 2), 1.9 * huge, dtype))


@pytest.mark.filterwarnings("error")
def test_prototypes_beyond_the_dtype_of_the_queries():
    clf = PrototypeClassifier().fit([[1e100], [-1e100], [0.0]], [0, 1, 2])
    assert_array_equal(clf.predict([[9e99], [-9e99], [1.0]]), [0, 1, 2])
    with pytest.raises(ValueError, match="pass X in float64"):
        clf.predict(np.ones((1, 1), np.float32))


@pytest.mark.filterwarnings("error")
def test_sums_that_overflow_are_refused():
    X, clf = np.full((2, 1), 1e308), PrototypeClassifier()
    with pytest.raises(ValueError, match="sums of some classes overflow float64"):
        clf.fit(X, [0, 0])
    clf = PrototypeClassifier(store="sums")
    clf.fit(X / 1e308, [0, 1], sample_weight=[1e308, 1.0])
    with pytest.raises(ValueError, match="sums of some classes overflow float64"):
        clf.partial_fit(X / 1e308, [0, 1], sample_weight=[1e308, 1.0])
    assert_array_equal(clf.counts_, [1e308, 1.0])


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e-30, 1e30, 1e170, 1e300])
def test_cosine_does_not_depend_on_length(data, scale):
    X, y = data
    clf = PrototypeClassifier("cosine").fit(X, y)
    expected = clf.decision_function(X)
    assert_allclose(clf.decision_function(scale * X), expected, rtol=1e-9)
    scaled = PrototypeClassifier("cosine").fit(scale * X, y)
    assert_allclose(scaled.decision_function(X), expected, rtol=1e-9)


def test_a_callable_that_returns_nan_is_refused(data):
    clf = PrototypeClassifier(lambda a, b: np.nan).fit(*data)
    with pytest.raises(ValueError, match="metric returned NaN or infinity"):
        clf.predict(data[0])


def test_parameters_set_after_fit_hold_from_the_next_prediction(data):
    X, y = data
    clf = PrototypeClassifier().fit(X, y)
    clf.predict(X)
    other = PrototypeClassifier("cosine", temperature=3.0).fit(X, y)
    clf.set_params(metric="cosine", temperature=3.0)
    assert_array_equal(clf.predict_proba(X), other.predict_proba(X))
    for params in ({"metric": "hamming"}, {"temperature": 0}):
        with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter"):
            clone(other).fit(X, y).set_params(**params).predict_proba(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_temperatures_at_the_ends_of_the_range(data, dtype):
    X, y = data[0].astype(dtype), data[1]
    clf = PrototypeClassifier(temperature=1e-320).fit(X, y)
    nearest = clf.predict(X)[:, np.newaxis] == clf.classes_
    assert_array_equal(clf.predict_proba(X), nearest)
    assert np.isfinite(clf.predict_log_proba(X)).all()
    clf.set_params(temperature=1e300)
    assert_allclose(clf.predict_proba(X), 1 / len(clf.classes_), rtol=1e-6)


def test_samples_of_weight_zero_change_nothing(data, rng):
    X, y = data
    weight = rng.uniform(size=len(y)) * (np.arange(len(y)) % 3 > 0)
    clf = PrototypeClassifier().fit(X, y, sample_weight=weight)
    seen = weight > 0
    assert_allclose(clf.prototypes_, slow_prototypes(X[seen], y[seen], weight[seen]))
    with pytest.raises(ValueError, match="sample_weight contains NaN"):
        clf.partial_fit(X, y, sample_weight=np.where(seen, weight, np.nan))


def test_one_sample_a_class_without_warning(rng, recwarn):
    X = rng.normal(size=(40, 3))
    clf = PrototypeClassifier().fit(X, np.arange(40))
    clf.partial_fit(X + 50, np.arange(40, 80))
    assert_array_equal(clf.predict(X), np.arange(40))
    assert_array_equal(clf.counts_, np.ones(80))
    assert not recwarn.list


def test_one_class_and_uneven_counts(rng):
    clf = PrototypeClassifier().fit(rng.normal(size=(3, 2)), [1, 1, 1])
    assert_array_equal(clf.predict([[0.0, 0.0]]), [1])
    assert clf.decision_function([[0.0, 0.0]]).shape == (1, 1)
    assert_array_equal(clf.predict_proba([[0.0, 0.0]]), [[1.0]])
    clf.partial_fit(rng.normal(size=(50, 2)), [0] * 49 + [2])
    assert_array_equal(clf.counts_, [49, 3, 1])


@pytest.mark.parametrize("metric", METRICS)
def test_two_classes_and_decision_function(metric, rng):
    X, y = rng.normal(size=(20, 3)), np.array(["no", "yes"] * 10)
    clf = PrototypeClassifier(metric).fit(X, y)
    decision = clf.decision_function(X)
    assert decision.shape == (20,)
    assert_array_equal(clf.predict(X) == "yes", decision > 0)
    assert_allclose(clf.predict_proba(X)[:, 1], 1 / (1 + np.exp(-decision)))


def test_store_sums_keeps_no_samples(data):
    X, y = data
    clf = PrototypeClassifier(store="sums").fit(X, y)
    for _ in range(30):
        clf.partial_fit(X, y)
    assert clf._support.samples is None
    assert len(clf._support.sums._rows) < 2 * 6 + 64 + 6
    assert_array_equal(clf.predict(X), PrototypeClassifier().fit(X, y).predict(X))
    with pytest.raises(ValueError, match="store='samples' cannot take up"):
        clf.set_params(store="samples").partial_fit(X, y)


def test_the_callers_array_is_not_followed(data):
    X, y = data
    clf = PrototypeClassifier().fit(X, y)
    stored, expected = clf._support.samples.columns[0], X.copy()
    X[:] = 0
    assert_array_equal(stored, expected)


def test_read_only_views(data):
    clf = PrototypeClassifier().fit(*data)
    with pytest.raises(ValueError, match="read-only"):
        clf.prototypes_[0] = 0


def test_unfitted_has_no_fitted_attributes():
    for name in ("classes_", "prototypes_", "counts_"):
        assert not hasattr(PrototypeClassifier(), name)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"metric": "hamming"}, "'metric' parameter of PrototypeClassifier"),
        ({"store": "nothing"}, "'store' parameter of PrototypeClassifier"),
        ({"temperature": 0}, "'temperature' parameter of PrototypeClassifier"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_parameters_are_checked(data, params, match, method):
    with pytest.raises(ValueError, match=match):
        getattr(PrototypeClassifier(**params), method)(*data)


def test_arrays_do_not_import_torch():
    code = (
        "import sys, numpy as np, skfsl\n"
        "clf = skfsl.PrototypeClassifier().fit(np.eye(3), [0, 1, 2])\n"
        "clf.partial_fit(np.ones((1, 3)), [3]).predict_proba(np.eye(3))\n"
        "skfsl.KNeighborsClassifier(1).fit(np.eye(3), [0, 1, 2]).predict(np.eye(3))\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_probabilities_of_float32_queries_do_not_round_to_zero():
    clf = PrototypeClassifier().fit([[0.0], [12.0]], [0, 1])
    X = np.array([[0.0]], dtype=np.float32)
    assert clf.predict_proba(X)[0, 1] == pytest.approx(np.exp(-144.0), rel=1e-4)
