"""Neighbors by an index: (nearly always) the nearest, always of one state."""

import copy
import pickle
import sys

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skfsl import KNeighborsClassifier
from skfsl.support import _neighbor_index, _neighbors_faiss, _neighbors_torch

D = 8
OF_FAISS = ["faiss", "hnsw"]
every_kind = pytest.mark.parametrize("kind", [*OF_FAISS, "torch"])
of_faiss = pytest.mark.parametrize("kind", OF_FAISS)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Have an index at sizes that are made in no time."""
    monkeypatch.setattr(_neighbor_index, "_MIN_SAMPLES", 20)


def clusters(rng, n_classes, n_each, spread=0.1):
    y = np.repeat(np.arange(n_classes), n_each)
    X = rng.normal(size=(n_classes, D))[y] + spread * rng.normal(size=(len(y), D))
    return X.astype(np.float32), y


def index_in(clf):
    return clf._support._cache.get("index")


def recall(found, nearest):
    pairs = zip(found, nearest, strict=True)
    return np.mean([np.isin(a, b).mean() for a, b in pairs])


@every_kind
@pytest.mark.parametrize("metric", ["euclidean", "l2", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_finds_the_nearest_and_their_distances(kind, metric, dtype, offset, rng):
    X, y = clusters(rng, 100, 40)
    X, y = X.astype(dtype) + offset, y[rng.permutation(len(y))]
    Q = X[rng.permutation(len(X))[:200]] + dtype(0.05)
    exact = KNeighborsClassifier(metric=metric).fit(X, y)
    clf = clone(exact).set_params(index=kind).fit(X, y)
    assert index_in(clf).kind == kind
    nearest, indices = exact.kneighbors(Q)
    distances, found = clf.kneighbors(Q)
    assert distances.dtype == nearest.dtype
    assert found.dtype == indices.dtype
    if metric != "cosine" or offset == 0:  # all look in one direction from far away
        assert recall(found, indices) > 0.98
    same = found == indices
    assert_allclose(distances[same], nearest[same], rtol=1e-3, atol=1e-6)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert_array_equal(clf.kneighbors(Q, return_distance=False), found)


@every_kind
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_everything_is_answered_by_it(kind, weights, rng, monkeypatch):
    X, y = clusters(rng, 60, 30)
    Q = X[::7] + np.float32(0.01)
    exact = KNeighborsClassifier(3, weights=weights).fit(X, y)
    clf = clone(exact).set_params(index=kind).fit(X, y)

    def refuse(*args, **kwargs):
        raise AssertionError("exact search")

    for method in ("predict", "predict_proba", "score_samples"):
        expected = getattr(exact, method)(Q)
        with monkeypatch.context() as patch:
            patch.setattr(_neighbors_faiss, "_CANDIDATES", 500)
            patch.setattr("sklearn.neighbors._base.ArgKmin.compute", refuse)
            got = getattr(clf, method)(Q)
        assert_allclose(got, expected, atol=1e-5)
    graph = clf.kneighbors_graph(Q)
    assert graph.shape == (len(Q), len(X))
    assert_array_equal(graph.indices.reshape(len(Q), 3), clf.kneighbors(Q)[1])
    # Stored samples, each without itself, are searched exactly.
    assert_array_equal(clf.kneighbors()[1], exact.kneighbors()[1])


@every_kind
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_follows_what_comes_and_goes(kind, metric, rng, monkeypatch):
    # All lists, and a queue for all: what is found is what is nearest.
    monkeypatch.setattr(_neighbors_faiss, "_PROBES", 1000)
    monkeypatch.setattr(_neighbors_faiss, "_CANDIDATES", 1500)
    X, y = clusters(rng, 30, 20)
    clf = KNeighborsClassifier(metric=metric, index=kind).fit(X, y)
    exact = KNeighborsClassifier(metric=metric).fit(X, y)
    kept = made = 0
    for step in range(60):
        before = index_in(clf)
        what = rng.choice(["add", "add", "forget", "samples"])
        if what == "add":
            more, labels = clusters(rng, 2, int(rng.integers(1, 40)))
            args = (more, labels + 100 + 2 * step)
            call = "partial_fit"
        elif what == "forget":
            args = (rng.choice(clf.classes_, min(3, len(clf.classes_) - 1), False),)
            call = "forget"
        else:
            args = (rng.choice(clf.support_.id, 20, False),)
            call = "forget_samples"
        for each in (clf, exact):
            getattr(each, call)(*args)
        if kind != "torch" and None not in (index_in(clf), before):
            kept += index_in(clf)._shared is before._shared
            made += index_in(clf)._shared is not before._shared
        Q = rng.normal(size=(20, D)).astype(np.float32)
        assert_allclose(clf.kneighbors(Q)[0], exact.kneighbors(Q)[0], atol=1e-5)
        assert_array_equal(clf.predict(Q), exact.predict(Q))
    if kind == "torch":
        return
    assert kept > 30  # most changes are cheap
    assert made >= 1  # but those who forget a lot, or outgrow their lists, start anew


@every_kind
def test_what_was_not_published_is_not_found(kind, rng):
    X, y = clusters(rng, 30, 20)
    clf = KNeighborsClassifier(1, index=kind, unknown_label=-1).fit(X, y)
    shared = getattr(index_in(clf), "_shared", None)
    far = np.full((3, D), 50, np.float32)
    with pytest.raises(ValueError, match="unknown_label=-1 is a class"):
        clf.partial_fit(far, [-1, -1, -1])
    assert clf.kneighbors(far)[1].max() < len(X)
    clf.partial_fit(far + 1, [99, 99, 99])
    assert getattr(index_in(clf), "_shared", None) is shared
    distances, found = clf.kneighbors(far + 1)
    assert_allclose(distances, 0, atol=1e-6)
    assert (found >= len(X)).all()
    assert (found < len(X) + 3).all()


@every_kind
def test_copies_share_and_grow_apart(kind, rng):
    X, y = clusters(rng, 30, 20)
    left = KNeighborsClassifier(1, index=kind).fit(X, y)
    right = copy.copy(left)
    a, b = np.full((2, D), 50, np.float32), np.full((2, D), -50, np.float32)
    left.partial_fit(a, [50, 50])
    right.partial_fit(b, [-50, -50]).partial_fit(b + 1, [-50, -50])
    if kind in OF_FAISS:
        assert index_in(left)._shared is index_in(right)._shared
    assert_array_equal(left.predict(a), [50, 50])
    assert_array_equal(right.predict(b), [-50, -50])
    assert -50 not in left.predict(b)
    assert 50 not in right.predict(a)
    right.forget(-50)
    assert -50 not in right.predict(b)
    assert_array_equal(left.predict(a), [50, 50])


@every_kind
def test_files_hold_no_index(kind, rng, tmp_path):
    X, y = clusters(rng, 50, 20)
    clf = KNeighborsClassifier(index=kind).fit(X, y)
    plain = KNeighborsClassifier().fit(X, y)
    assert len(pickle.dumps(clf)) < len(pickle.dumps(plain)) + 100
    joblib.dump(clf, tmp_path / "clf.joblib")
    for again in (
        pickle.loads(pickle.dumps(clf)),
        copy.deepcopy(clf),
        joblib.load(tmp_path / "clf.joblib"),
    ):
        assert index_in(again) is None
        assert recall(again.kneighbors(X[:50])[1], clf.kneighbors(X[:50])[1]) > 0.95
        assert index_in(again).kind == kind


def test_saved_in_one_file(rng, tmp_path):
    import skfsl

    X, y = clusters(rng, 50, 20)
    clf = KNeighborsClassifier(index="hnsw").fit(X, y)
    skfsl.save(clf, tmp_path / "clf.skfsl")
    again = skfsl.load(tmp_path / "clf.skfsl")
    assert again.index == "hnsw"
    assert_array_equal(again.predict(X), clf.predict(X))


@every_kind
def test_many_neighbors(kind, rng, monkeypatch):
    X, y = clusters(rng, 40, 100)
    exact = KNeighborsClassifier().fit(X, y)
    clf = KNeighborsClassifier(index=kind).fit(X, y)
    Q = X[:20]
    for n in (300, len(X)):
        found = clf.kneighbors(Q, n, return_distance=False)
        assert (found >= 0).all()
        assert recall(found, exact.kneighbors(Q, n)[1]) > 0.95
    with pytest.raises(ValueError, match="n_neighbors <= n_samples_fit"):
        clf.kneighbors(Q, len(X) + 1)
    with pytest.raises(TypeError, match="integer value"):
        clf.kneighbors(Q, 1.5)


def test_too_few_found_are_searched_for_exactly(rng, monkeypatch):
    monkeypatch.setattr(_neighbors_faiss, "_PROBES", 1)
    monkeypatch.setattr(_neighbors_faiss, "_SAMPLES", 1)
    X, y = clusters(rng, 40, 100)
    clf = KNeighborsClassifier(index="faiss").fit(X, y)
    exact = KNeighborsClassifier().fit(X, y)
    found = index_in(clf).search(X[:50], X, 50)[1]
    missing = (found < 0).any(axis=1)
    assert missing.any()
    found = clf.kneighbors(X[:50], 50, return_distance=False)
    assert_array_equal(found[missing], exact.kneighbors(X[:50], 50)[1][missing])
    assert (found >= 0).all()


def test_few_samples_are_searched_exactly(rng, monkeypatch):
    monkeypatch.undo()
    X, y = clusters(rng, 90, 100)
    clf = KNeighborsClassifier(index="hnsw").fit(X, y)
    clf.predict(X[:5])
    assert index_in(clf) is None
    clf.partial_fit(*clusters(rng, 10, 100))
    assert index_in(clf).kind == "hnsw"


def test_auto(rng, monkeypatch):
    X, y = clusters(rng, 50, 20)
    clf = KNeighborsClassifier(index="auto").fit(X, y)
    assert index_in(clf) is None
    monkeypatch.setattr(_neighbor_index, "_MANY_SAMPLES", 500)
    clf.predict(X[:5])
    assert index_in(clf).kind == "faiss"
    for params in ({"metric": "manhattan"}, {"algorithm": "kd_tree"}):
        other = KNeighborsClassifier(index="auto", **params).fit(X, y)
        plain = KNeighborsClassifier(**params).fit(X, y)
        assert_array_equal(other.predict(X), plain.predict(X))
    monkeypatch.setitem(sys.modules, "faiss", None)
    without = KNeighborsClassifier(index="auto").fit(X, y)
    assert index_in(without) is None
    assert_array_equal(without.predict(X), KNeighborsClassifier().fit(X, y).predict(X))


def test_it_may_be_set_later(rng):
    X, y = clusters(rng, 50, 20)
    clf = KNeighborsClassifier().fit(X, y)
    for kind in ("hnsw", "faiss"):
        clf.set_params(index=kind).predict(X[:5])
        assert index_in(clf).kind == kind
    clf.set_params(index="hash")
    with pytest.raises(ValueError, match="The 'index' parameter of"):
        clf.predict(X)


@every_kind
@pytest.mark.parametrize(
    ("params", "make"),
    [
        ({"metric": "manhattan"}, np.asarray),
        ({"metric": "minkowski", "p": 3}, np.asarray),
        ({"metric": lambda a, b: abs(a - b).sum()}, np.asarray),
        ({"algorithm": "kd_tree"}, np.asarray),
        ({}, sparse.csr_matrix),
    ],
)
def test_refuses_what_it_cannot_search(kind, params, make, rng):
    X, y = clusters(rng, 5, 5)
    clf = KNeighborsClassifier(index=kind, **params)
    with pytest.raises(ValueError, match=f"index='{kind}' searches dense samples"):
        clf.fit(make(X), y)
    assert not hasattr(clf, "classes_")


@of_faiss
def test_says_what_to_install(kind, rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"pip install 'skfsl\[ann\]'"):
        KNeighborsClassifier(index=kind).fit(*clusters(rng, 5, 5))


@every_kind
def test_refuses_what_float32_cannot_hold(kind, rng):
    X, y = clusters(rng, 50, 20)
    with pytest.raises(ValueError, match="fit into float32"):
        KNeighborsClassifier(index=kind).fit(X.astype(np.float64) * 1e100, y)


@every_kind
def test_samples_of_length_zero_are_searched_exactly(kind, rng):
    X, y = clusters(rng, 50, 20)
    X[3] = 0
    clf = KNeighborsClassifier(metric="cosine", index=kind).fit(X, y)
    exact = KNeighborsClassifier(metric="cosine").fit(X, y)
    assert_array_equal(clf.kneighbors(X)[1], exact.kneighbors(X)[1])


@every_kind
def test_same_index_from_same_samples(kind, rng):
    X, y = clusters(rng, 50, 20)
    Q = rng.normal(size=(50, D)).astype(np.float32)
    one, two = (KNeighborsClassifier(index=kind).fit(X, y) for _ in range(2))
    if kind == "faiss":  # threads put samples into a graph in any order
        assert_array_equal(one.kneighbors(Q)[1], two.kneighbors(Q)[1])
    assert recall(one.kneighbors(Q)[1], two.kneighbors(Q)[1]) > 0.95


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("blocks", [(256, 2**24), (7, 100)])
def test_torch_finds_what_is_nearest(device, blocks, rng, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    monkeypatch.setattr(_neighbors_torch, "_QUERIES", blocks[0])
    monkeypatch.setattr(_neighbors_torch, "_SCORES", blocks[1])
    X, y = clusters(rng, 60, 30, spread=0.02)
    X = X.astype(np.float64) + 1e6  # where float32 tells nothing apart
    clf = KNeighborsClassifier(1, index="torch").fit(X, y)
    assert index_in(clf)._parts[0].device.type == device
    order = rng.permutation(len(X))
    assert_array_equal(clf.kneighbors(X[order] + 1e-7)[1][:, 0], order)
    assert_array_equal(clf.predict(X[order] + 1e-7), y[order])


def test_parts_of_torch_are_put_together(rng, monkeypatch):
    monkeypatch.setattr(_neighbors_torch, "_PARTS", 4)
    X, y = clusters(rng, 30, 20)
    clf = KNeighborsClassifier(1, index="torch").fit(X, y)
    n_parts = []
    for i in range(400):
        clf.partial_fit(np.full((3, D), i, np.float32), [100 + i] * 3)
        n_parts.append(len(index_in(clf)._parts))
    assert max(n_parts) <= 5
    asked = np.arange(10, 400, 7)
    queries = np.repeat(asked[:, np.newaxis], D, axis=1).astype(np.float32)
    assert_array_equal(clf.predict(queries), 100 + asked)
