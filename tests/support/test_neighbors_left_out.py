"""Stored samples as queries to all others: kept while samples come, not made anew."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import pairwise_distances

from skfsl import KNeighborsClassifier
from skfsl.support import _neighbors_left_out, _open_set

SETTINGS = {
    "euclidean": {},
    "float32": {},
    "cosine": {"metric": "cosine"},
    "manhattan": {"p": 1},
    "minkowski": {"p": 3},
}


@pytest.fixture
def compared(monkeypatch):
    """List how many pairs are compared in each call."""
    pairs = []

    def counted(X, Y, **params):
        pairs.append(len(X) * len(Y))
        return pairwise_distances(X, Y, **params)

    monkeypatch.setattr(_neighbors_left_out, "pairwise_distances", counted)
    return pairs


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("most", [7, 4000])
def test_after_additions_it_is_that_of_all_samples(rng, monkeypatch, setting, most):
    monkeypatch.setattr(_open_set, "_MOST", most)
    monkeypatch.setattr(_neighbors_left_out, "_BLOCK", 50)  # several blocks
    X = rng.normal(size=(60, 3)).astype("f" if setting == "float32" else "d")
    # Classes that come later, are sorted first, and are alone at first.
    y = np.concatenate([np.repeat([5, 8], 10), rng.permuted(np.arange(40) % 9)])
    y[30] = 20
    clf = KNeighborsClassifier(**SETTINGS[setting])
    grown = clone(clf).fit(X[:20], y[:20])
    for start, stop in ((20, 21), (21, 30), (30, 31), (31, 45), (45, 60)):
        grown.partial_fit(X[start:stop], y[start:stop])
        if start == 21:
            continue  # nobody asks
        whole = clone(clf).fit(X[:stop], y[:stop])
        for name in ("known", "unknown", "own"):
            found, expected = (
                getattr(one._familiar_left_out(), name) for one in (grown, whole)
            )
            assert_allclose(found, expected, rtol=1e-5, err_msg=name)
        assert_array_equal(
            whole._familiar_left_out().known,
            _open_set.Familiar.of(whole._left_out()).known,
        )
    # As many samples as before, and more: others.
    rest = y != 8
    grown.forget([8]).partial_fit(X[20:] + 0.5, y[20:])
    y = np.append(y[rest], y[20:])
    whole = clone(clf).fit(np.append(X[rest], X[20:] + 0.5, axis=0), y)
    assert_allclose(
        grown._familiar_left_out().known, whole._familiar_left_out().known, rtol=1e-5
    )


def test_each_sample_is_compared_with_all_but_itself(rng):
    X, y = rng.normal(size=(30, 3)), np.arange(30) % 4
    y[:2] = 7, 8  # alone
    distances = pairwise_distances(X)
    np.fill_diagonal(distances, np.inf)
    others = np.where(y == y[:, np.newaxis], np.inf, distances).min(axis=1)
    clf = KNeighborsClassifier().fit(X[:20], y[:20])
    clf._familiar_left_out()
    known, unknown, own = clf.partial_fit(X[20:], y[20:])._familiar_left_out()
    assert_allclose(known[2:], -distances[2:].min(axis=1))
    assert np.isnan(known[:2]).all()
    assert_allclose(unknown, -others)
    assert_array_equal(clf.classes_[own], y)


def test_an_addition_costs_what_is_new(rng, compared):
    X, y = rng.normal(size=(300, 3)), np.arange(300) % 6
    clf = KNeighborsClassifier(unknown_label=-1).fit(X, y)
    clf.rejection_threshold()
    assert compared == [300 * 300]
    clf.partial_fit(X[:2] + 0.1, y[:2]).rejection_threshold()
    assert compared[1:] == [300 * 2, 2 * 302]
    clf._trained_on_classes([0])  # others are left out
    clf.rejection_threshold()
    assert compared[3:] == [251 * 302]
    clf.partial_fit(X[:1] + 0.2, [1]).rejection_threshold()
    assert compared[4:] == [251 * 1, 1 * 303]


def test_suspicious_are_looked_for_where_another_class_is_nearest(rng, compared):
    y = np.repeat(np.arange(20), 20)
    X = 3 * rng.normal(size=(20, 4))[y] + 0.7 * rng.normal(size=(400, 4))
    clf = KNeighborsClassifier().fit(X, y)
    found = clf.suspicious_support()
    assert 0 < len(found.id) < 80
    assert sum(compared) < 80 * 400
    distances = pairwise_distances(X)
    np.fill_diagonal(distances, np.inf)
    own = np.where(y == y[:, np.newaxis], distances, np.inf).min(axis=1)
    others = np.where(y == y[:, np.newaxis], np.inf, distances)
    margin = own - others.min(axis=1)
    order = np.argsort(-margin, kind="stable")[: (margin > 0).sum()]
    assert_array_equal(found.id, order)
    assert_array_equal(found.nearer, y[others.argmin(axis=1)][order])
    assert_allclose(found.margin, margin[order])
    assert len(KNeighborsClassifier().fit(X[:1], y[:1]).suspicious_support().id) == 0
