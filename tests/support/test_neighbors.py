"""KNeighborsClassifier: scikit-learn's, over a support set that grows."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.metrics import (
    brier_score_loss,
    log_loss,
    pairwise_distances,
    roc_auc_score,
    top_k_accuracy_score,
)
from sklearn.neighbors import KDTree
from sklearn.neighbors import KNeighborsClassifier as SklearnKNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from skfsl.support import KNeighborsClassifier

METRICS = ["euclidean", "manhattan", "cosine", "chebyshev", "canberra", "correlation"]


@parametrize_with_checks(
    [
        KNeighborsClassifier(),
        KNeighborsClassifier(metric="cosine"),
        KNeighborsClassifier(algorithm="brute", weights="distance"),
    ]
)
def test_sklearn_contract(estimator, check):
    check(estimator)


# Tests of scikit-learn's own that must differ here: name -> reason. There are none.
DIFFERENT: dict[str, str] = {}


def test_sklearns_own_tests(tmp_path):
    plugin = tmp_path / "substitute.py"
    plugin.write_text(
        "import sklearn.neighbors\n"
        "from skfsl.support import KNeighborsClassifier\n"
        "sklearn.neighbors.KNeighborsClassifier = KNeighborsClassifier\n"
        "def pytest_report_header():\n"
        "    from sklearn.neighbors import KNeighborsClassifier\n"
        "    return f'tested: {KNeighborsClassifier.__module__}'\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "substitute"]
    command += ["-p", "no:cacheprovider", "--pyargs"]
    # What tests radius neighbors alone does not come near the class.
    skipped = " and ".join(f"not {name}" for name in ["radius", "Radius", *DIFFERENT])
    command += ["sklearn.neighbors.tests.test_neighbors", "-k", skipped]
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    assert "tested: skfsl.support._neighbors" in run.stdout


@pytest.fixture
def data(rng):
    y = rng.integers(0, 5, 80)
    return rng.normal(size=(80, 6)) + 2 * rng.normal(size=(5, 6))[y], y


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("weights", ["uniform", "distance", lambda d: 1 / (d + 1)])
@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equals_sklearn_in_any_split(data, rng, metric, weights, k, dtype):
    X, y = data[0].astype(dtype), data[1]
    params = {"n_neighbors": k, "metric": metric, "weights": weights}
    theirs = SklearnKNeighborsClassifier(**params, algorithm="brute").fit(X, y)
    ours = KNeighborsClassifier(**params)
    # Arrival order other than sorted order.
    for part in np.split(np.argsort(-y, kind="stable"), [3, 4, 50]):
        ours.partial_fit(X[part], y[part])
    Q = rng.normal(size=(40, 6)).astype(dtype)
    assert_array_equal(ours.classes_, theirs.classes_)
    assert_allclose(ours.predict_proba(Q), theirs.predict_proba(Q), rtol=1e-4)
    assert_array_equal(ours.predict(Q), theirs.predict(Q))
    rtol = 1e-6 if dtype == np.float64 else 1e-3
    assert_allclose(ours.kneighbors(Q)[0], theirs.kneighbors(Q)[0], rtol=rtol)


def test_majority_equals_a_slow_count(rng):
    from skfsl.support._votes import majority

    positions = rng.integers(0, 4, (200, 6))
    for weights in (None, rng.integers(1, 4, positions.shape).astype(float)):
        expected = []
        for i, row in enumerate(positions):
            votes = np.zeros(4)
            for j, position in enumerate(row):
                votes[position] += 1 if weights is None else weights[i, j]
            expected.append(votes.argmax())
        assert_array_equal(majority(positions, weights), expected)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_probabilistic_scorers_follow_a_class_that_sorts_first(metric, rng):
    X, y = load_digits(return_X_y=True)
    X = X + 1e-3 * rng.normal(size=X.shape)  # equal distances go by order of arrival
    first = y == 0
    late = KNeighborsClassifier(metric=metric)
    late.fit(X[~first], y[~first]).partial_fit(X[first], y[first])
    whole = KNeighborsClassifier(metric=metric).fit(X, y)
    proba = late.predict_proba(X)
    assert_array_equal(late.classes_, np.arange(10))
    assert log_loss(y, proba) == pytest.approx(log_loss(y, whole.predict_proba(X)))
    assert log_loss(y, proba) < 0.1
    assert roc_auc_score(y, proba, multi_class="ovr") > 0.99
    assert top_k_accuracy_score(y, proba, k=2) > 0.98
    assert brier_score_loss(y == 0, proba[:, 0]) < 0.01
    assert_array_equal(late.classes_[proba.argmax(axis=1)], late.predict(X))
    assert_array_equal(late.classes_[late._y], np.append(y[~first], y[first]))


def test_answers_while_the_support_set_is_small():
    clf = KNeighborsClassifier(n_neighbors=5).partial_fit([[0.0], [1.0]], ["a", "b"])
    assert_array_equal(clf.predict([[0.2]]), ["a"])
    assert_array_equal(clf.predict_proba([[0.2]]), [[0.5, 0.5]])
    assert clf.kneighbors([[0.2]])[0].shape == (1, 2)
    assert clf.kneighbors()[1].tolist() == [[1], [0]]
    assert clf.kneighbors_graph([[0.2]]).shape == (1, 2)
    assert_array_equal(clf.predict(None), ["b", "a"])
    with pytest.raises(ValueError, match="Expected n_neighbors <= n_samples_fit"):
        clf.kneighbors([[0.2]], n_neighbors=3)
    assert clf.n_neighbors == 5


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
def test_trees_answer_while_the_support_set_is_small(algorithm):
    clf = KNeighborsClassifier(algorithm=algorithm).fit([[0.0], [1.0]], [0, 1])
    assert_array_equal(clf.predict([[0.2], [0.9]]), [0, 0])
    assert clf._fit_method == algorithm


def test_one_stored_sample_has_no_neighbor_but_answers_queries():
    clf = KNeighborsClassifier().fit([[1.0]], ["only"])
    assert_array_equal(clf.predict([[5.0]]), ["only"])
    with pytest.raises(ValueError, match="n_neighbors < n_samples_fit"):
        clf.kneighbors()


def test_auto_is_brute_where_the_metric_allows_it(data):
    assert KNeighborsClassifier().fit(*data)._fit_method == "brute"
    assert KNeighborsClassifier().fit(*data).algorithm == "auto"


def test_forget_and_add_again(data):
    X, y = data
    whole = KNeighborsClassifier().fit(X, y)
    rest = KNeighborsClassifier().fit(X[y > 1], y[y > 1])
    clf = KNeighborsClassifier().fit(X, y).forget([1, 0])
    assert_array_equal(clf.predict_proba(X), rest.predict_proba(X))
    assert clf.n_samples_fit_ == (y > 1).sum()
    clf.partial_fit(X[y <= 1], y[y <= 1])
    assert_array_equal(clf.predict_proba(X), whole.predict_proba(X))


def test_cosine_with_rows_of_zeros(rng):
    X = rng.normal(size=(20, 3))
    X[[4, 9]] = 0
    Q = np.vstack([rng.normal(size=(5, 3)), np.zeros((1, 3))])
    y = np.arange(20) % 3
    theirs = SklearnKNeighborsClassifier(metric="cosine").fit(X, y)
    grown = KNeighborsClassifier(metric="cosine").fit(X[:4], y[:4])
    assert_allclose(
        grown.kneighbors(Q, 4)[0],
        SklearnKNeighborsClassifier(metric="cosine")
        .fit(X[:4], y[:4])
        .kneighbors(Q, 4)[0],
        atol=1e-12,
    )
    grown.partial_fit(X[4:], y[4:])
    for queries in (Q, Q[:5], None):
        ours, expected = grown.kneighbors(queries), theirs.kneighbors(queries)
        assert_allclose(ours[0], expected[0], atol=1e-12)


def test_cosine_distances_between_stored_samples(data):
    X, y = data
    ours = KNeighborsClassifier(metric="cosine").fit(X, y).kneighbors()
    theirs = SklearnKNeighborsClassifier(metric="cosine").fit(X, y).kneighbors()
    assert_allclose(ours[0], theirs[0], atol=1e-12)
    assert_array_equal(ours[1], theirs[1])


@pytest.mark.parametrize("stored", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("asked", [np.float32, np.float64, np.int64])
def test_dtypes_of_samples_and_queries(rng, stored, asked):
    X = rng.integers(0, 50, (30, 4)).astype(stored)
    Q = rng.integers(0, 50, (10, 4)).astype(asked)
    y = np.arange(30) % 4
    ours = KNeighborsClassifier(3).fit(X, y)
    assert ours._fit_X.dtype in (np.float32, np.float64)
    expected = np.sort(pairwise_distances(Q, X), axis=1)[:, :3]
    assert_allclose(ours.kneighbors(Q)[0], expected, rtol=1e-5)


def test_far_from_the_origin(rng):
    X, y = rng.normal(size=(60, 8)) + 1e4, np.arange(60) % 6
    clf = KNeighborsClassifier(1).fit(X[:30], y[:30]).partial_fit(X[30:], y[30:])
    assert_array_equal(clf.predict(X + 1e-3), y)


@pytest.mark.filterwarnings("error")
def test_one_sample_a_class_without_warning(rng):
    X = rng.normal(size=(40, 3))
    clf = KNeighborsClassifier(1).fit(X, np.arange(40))
    clf.partial_fit(X + 50, np.arange(40, 80))
    assert_array_equal(clf.predict(X), np.arange(40))


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
@pytest.mark.parametrize("fitted", [True, False])
def test_trees_cannot_grow(data, algorithm, fitted):
    clf = KNeighborsClassifier(algorithm=algorithm)
    if fitted:
        clf.fit(*data)
    before = dict(vars(clf))
    with pytest.raises(ValueError, match=f"Got algorithm='{algorithm}'"):
        clf.partial_fit(*data)
    assert vars(clf) == before


def test_what_else_cannot_grow(data):
    X, y = data
    clf = KNeighborsClassifier()
    with pytest.raises(TypeError, match="Sparse data was passed to partial_fit"):
        clf.partial_fit(sparse.csr_matrix(X), y)
    with pytest.raises(ValueError, match=r"one label a sample\. Got y of 2 outputs"):
        clf.partial_fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="metric='precomputed': call fit"):
        KNeighborsClassifier(metric="precomputed").partial_fit(X, y)
    for fitted, what in [
        (KNeighborsClassifier().fit(sparse.csr_matrix(X), y), "sparse data"),
        (KNeighborsClassifier().fit(X, np.column_stack([y, y])), "several outputs"),
        (KNeighborsClassifier().fit(KDTree(X), y), "a kd_tree"),
    ]:
        with pytest.raises(ValueError, match=f"fitted on .*{what}"):
            fitted.partial_fit(X, y)
        with pytest.raises(ValueError, match=f"fitted on .*{what}"):
            fitted.forget(0)


def test_a_changed_metric_needs_fit(data):
    clf = KNeighborsClassifier().fit(*data).set_params(metric="cosine")
    with pytest.raises(ValueError, match="fitted with metric='minkowski'"):
        clf.partial_fit(*data)
    clf.fit(*data).partial_fit(*data)


def test_changed_params_of_the_metric_need_fit(data):
    X, y = data
    clf = KNeighborsClassifier(metric_params={"w": np.ones(6)}).fit(X, y)
    clf.set_params(metric_params={"w": np.ones(6)}).partial_fit(X, y)
    clf.set_params(metric_params={"w": np.arange(6)})
    with pytest.raises(ValueError, match=r"metric_params=\{'w': array"):
        clf.partial_fit(X, y)
    clf.fit(X, y).partial_fit(X, y)


@pytest.mark.parametrize("metric", ["nan_euclidean", "precomputed", "cosine", "nope"])
@pytest.mark.parametrize("fitted", ["euclidean", "cosine"])
def test_a_metric_set_after_fit_waits_for_fit(data, fitted, metric):
    X, y = data
    clf = KNeighborsClassifier(metric=fitted).fit(X, y)
    expected = clf.kneighbors(X)
    clf.set_params(metric=metric)
    assert_array_equal(clf.kneighbors(X), expected)
    assert clf.metric == metric
    with pytest.raises(ValueError, match="contains NaN"):
        clf.predict(np.full((1, 6), np.nan))


@pytest.mark.parametrize("scale", [1e-30, 1e25])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cosine_does_not_depend_on_length(data, scale, dtype):
    X, y = data[0].astype(dtype), data[1]
    expected = KNeighborsClassifier(metric="cosine").fit(X, y).kneighbors(X)
    scaled = KNeighborsClassifier(metric="cosine").fit(X * dtype(scale), y)
    distances, indices = scaled.kneighbors(X * dtype(scale))
    assert_allclose(distances, expected[0], atol=1e-6)
    assert (indices == expected[1]).mean() > 0.99


def test_all_that_fit_takes(data):
    X, y = data
    theirs, ours = SklearnKNeighborsClassifier, KNeighborsClassifier
    outputs = np.column_stack([y, y % 2])
    assert_array_equal(
        ours().fit(X, outputs).predict(X), theirs().fit(X, outputs).predict(X)
    )
    S = sparse.csr_matrix(X)
    assert_allclose(
        ours().fit(S, y).predict_proba(S), theirs().fit(S, y).predict_proba(S)
    )
    assert_array_equal(ours().fit(X, y).predict(S), theirs().fit(X, y).predict(X))
    D = pairwise_distances(X)
    assert_array_equal(
        ours(metric="precomputed").fit(D, y).predict(D), theirs().fit(X, y).predict(X)
    )
    names = pd.DataFrame(X, columns=list("abcdef"))
    for algorithm in ("kd_tree", "ball_tree"):
        tree = ours(algorithm=algorithm).fit(names, y)
        assert_array_equal(tree.predict(names), theirs().fit(X, y).predict(X))


def test_a_refit_of_another_kind_replaces_everything(data):
    X, y = data
    clf = KNeighborsClassifier().fit(X, y)
    clf.fit(sparse.csr_matrix(X[:, :2]), y % 2)
    assert_array_equal(clf._y, y % 2)
    assert clf.predict(X[:, :2]).shape == (80,)
    clf.fit(X, y + 7)
    assert_array_equal(clf.classes_, np.unique(y + 7))
    assert_array_equal(clf._fit_X, X)


def test_unfitted_has_no_private_samples():
    assert not hasattr(KNeighborsClassifier(), "_fit_X")
    assert not hasattr(KNeighborsClassifier(), "_y")


def test_votes_of_weight_zero():
    clf = KNeighborsClassifier(2, weights=lambda d: np.zeros_like(d))
    clf.partial_fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="zero weights"):
        clf.predict([[0.5]])


def test_votes_that_are_no_numbers(data):
    clf = KNeighborsClassifier(2, weights=lambda d: d * np.nan).fit(*data)
    with pytest.raises(ValueError, match="weights returned NaN"):
        clf.predict(data[0])


@pytest.mark.parametrize("params", [{"weights": "nearest"}, {"n_neighbors": 2.5}])
@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_parameters_set_after_fit_are_checked(data, params, method):
    clf = KNeighborsClassifier().fit(*data).set_params(**params)
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter"):
        getattr(clf, method)(data[0])


def test_partial_fit_copies_what_it_is_given():
    X = np.zeros((2, 2))
    clf = KNeighborsClassifier(1).partial_fit(X, [0, 1])
    X[:] = 9
    assert_array_equal(clf._fit_X, np.zeros((2, 2)))
