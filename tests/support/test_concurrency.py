"""Readers beside writers: every answer is that of one committed state."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from sklearn.base import clone

from skfsl.support import KNeighborsClassifier, PrototypeClassifier, _neighbor_index
from skfsl.support._labels import check_unknown_label

D = 8
CLASSIFIERS = [
    PrototypeClassifier(),
    PrototypeClassifier("cosine", store="sums"),
    PrototypeClassifier(covariance="shared"),
    KNeighborsClassifier(n_neighbors=3, weights="distance"),
    KNeighborsClassifier(n_neighbors=3, metric="cosine"),
]


class Naive:
    """Publishes its attributes one by one, as a plain estimator does."""

    def fit(self, X, y):
        self.classes_, at = np.unique(y, return_inverse=True)
        time.sleep(0.002)
        self.prototypes_ = np.array(
            [X[at == i].mean(axis=0) for i in range(len(self.classes_))]
        )
        self.X, self.y = X, y
        return self

    def partial_fit(self, X, y):
        return self.fit(np.vstack([self.X, X]), np.append(self.y, y))

    def forget(self, classes):
        stays = ~np.isin(self.y, classes)
        return self.fit(self.X[stays], self.y[stays])

    def predict_proba(self, X):
        prototypes = self.prototypes_
        scores = -((X[:, None] - prototypes) ** 2).sum(axis=2)
        proba = np.exp(scores - scores.max(axis=1, keepdims=True))
        proba /= proba.sum(axis=1, keepdims=True)
        if proba.shape[1] != len(self.classes_):
            raise ValueError("torn")
        return proba

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture
def data(rng):
    # Classes 10..15 stay; 0..9 come, each before the others, and go again.
    y = np.repeat(np.arange(16), 4)
    centres = 3 * rng.normal(size=(16, D))
    return centres[y] + rng.normal(size=(len(y), D)), y, rng.normal(size=(20, D))


def torn_answers(clf, X, y, queries, seconds):
    """Read while classes come and go; return how many answers fit no state."""
    base = y >= 10
    clf.fit(X[base], y[base])

    def answer(c):
        return c.predict_proba(queries), c.predict(queries)

    def fresh():
        return Naive() if isinstance(clf, Naive) else clone(clf)

    committed = [fresh().fit(X[base], y[base])]
    for n in range(1, 11):
        here = base | (y >= 10 - n)
        committed.append(fresh().fit(X[here], y[here]))
    expected = [answer(c) for c in committed]

    def fits(proba, labels):
        # The two calls may see two states; each has to be one of them.
        return any(
            proba.shape == p.shape and np.allclose(proba, p, atol=1e-9)
            for p, _ in expected
        ) and any(np.array_equal(labels, e) for _, e in expected)

    stop, torn, seen, failures = threading.Event(), [], [], []

    def read():
        while not stop.is_set():
            try:
                seen.append(answer(clf))
            except (ValueError, IndexError) as error:
                torn.append(error)

    def write():
        try:
            while not stop.is_set():
                for label in range(9, -1, -1):
                    clf.partial_fit(X[y == label], y[y == label])
                clf.forget(np.arange(10))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    threads.append(threading.Thread(target=write))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(seen) + len(torn) > 10
    return len(torn) + sum(not fits(*both) for both in seen), len(seen)


@pytest.mark.parametrize("clf", CLASSIFIERS, ids=str)
def test_no_answer_is_torn(clf, data):
    n_torn, n_seen = torn_answers(clone(clf), *data, seconds=1.0)
    assert n_torn == 0
    assert n_seen > 10


def test_a_naive_version_fails_the_same_check(data):
    n_torn, _ = torn_answers(Naive(), *data, seconds=1.0)
    assert n_torn > 0


@pytest.mark.parametrize("kind", ["faiss", "hnsw"])
def test_no_answer_is_torn_by_an_index(kind, data, monkeypatch):
    monkeypatch.setattr(_neighbor_index, "_MIN_SAMPLES", 1)
    clf = KNeighborsClassifier(n_neighbors=3, weights="distance", index=kind)
    n_torn, n_seen = torn_answers(clf, *data, seconds=1.0)
    assert n_torn == 0
    assert n_seen > 10
    assert clf._support._cache["index"].kind == kind


@pytest.mark.parametrize("clf", CLASSIFIERS, ids=str)
def test_writers_wait_for_each_other(clf, rng):
    clf = clone(clf).fit(rng.normal(size=(1, D)), [-1])
    X = rng.normal(size=(8, 25, D))

    def write(i):
        for j in range(25):
            clf.partial_fit(X[i, j : j + 1], [i * 100 + j % 5])

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clf.classes_) == 1 + 8 * 5
    if isinstance(clf, PrototypeClassifier):
        assert clf.counts_.sum() == 1 + 8 * 25
        i, j = 3, 2
        expected = X[i, j::5].mean(axis=0)
        at = np.searchsorted(clf.classes_, i * 100 + j)
        np.testing.assert_allclose(clf.prototypes_[at], expected)
    else:
        assert clf.n_samples_fit_ == 1 + 8 * 25


@pytest.mark.parametrize("method", ["partial_fit", "forget", "calibrate"])
@pytest.mark.parametrize("clf", CLASSIFIERS[::3])
def test_what_is_set_beside_a_writer_is_kept(clf, method, rng, monkeypatch):
    X, y = rng.normal(size=(12, D)), np.arange(12) % 3
    clf = clone(clf).set_params(unknown_label=-1).fit(X, y)
    check = "skfsl.support._support_mixin.check_unknown_label"
    plain = check_unknown_label

    def in_the_middle(*args):  # of each change, before it is published
        clf.set_params(reject=0.25)
        return plain(*args)

    monkeypatch.setattr(check, in_the_middle)
    arguments = {
        "partial_fit": (X[:4], [5, 5, 6, 6]),
        "forget": ([0],),
        "calibrate": (X + 0.1, np.where(y == 0, -1, y)),
    }
    getattr(clf, method)(*arguments[method])
    assert clf.reject == 0.25
    assert len(clf.classes_) == {"partial_fit": 5, "forget": 2, "calibrate": 3}[method]
    assert hasattr(clf, "calibration_") == (method == "calibrate")


def test_shallow_copies_grow_side_by_side(rng):
    import copy

    left = PrototypeClassifier().fit(rng.normal(size=(4, D)), [0, 1, 2, 3])
    left.partial_fit(rng.normal(size=(2, D)), [0, 1])
    right = copy.copy(left)
    X = rng.normal(size=(2, 200, D))

    def write(clf, i):
        for j in range(200):
            clf.partial_fit(X[i, j : j + 1], [10 + i])

    threads = [
        threading.Thread(target=write, args=pair) for pair in ((left, 0), (right, 1))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for clf, i in ((left, 0), (right, 1)):
        assert clf.classes_.tolist() == [0, 1, 2, 3, 10 + i]
        samples, codes, _ = clf._support.samples.columns
        np.testing.assert_array_equal(samples[codes == 4], X[i])
        np.testing.assert_allclose(clf.prototypes_[4], X[i].mean(axis=0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_that_is_forked_in_the_middle_of_a_change_can_change():
    clf = PrototypeClassifier().fit([[0.0], [1.0]], [0, 1])
    held, done = threading.Event(), threading.Event()

    def write():
        with clf._updating():
            held.set()
            done.wait()

    writer = threading.Thread(target=write)
    writer.start()
    held.wait()
    child = os.fork()
    if child == 0:
        clf.partial_fit([[5.0]], [2])
        os._exit(len(clf.classes_))
    for _ in range(200):
        gone, status = os.waitpid(child, os.WNOHANG)
        if gone:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    done.set()
    writer.join()
    assert gone
    assert os.waitstatus_to_exitcode(status) == 3
