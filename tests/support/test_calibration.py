"""Temperatures from stored samples that are left out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from skfsl import PrototypeClassifier, SiameseClassifier, SiameseTransformer
from skfsl.metrics import expected_calibration_error
from skfsl.support._calibration import fit_temperature
from skfsl.support._open_set import LeftOut

CLASSIFIERS = {
    "euclidean": PrototypeClassifier(temperature="auto"),
    "cosine": PrototypeClassifier("cosine", temperature="auto"),
    "siamese": SiameseClassifier(temperature="auto"),
}


@pytest.fixture(scope="module")
def data():
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(y == digit))[:5] for digit in range(10)]
    support = np.concatenate(rows)
    rest = np.setdiff1d(np.arange(len(y)), support)
    return X[support], y[support], X[rest[400:]], y[rest[400:]]


@pytest.fixture(scope="module")
def metric(data):
    # On none of the samples: on its own ones a metric is too sure.
    X, y = load_digits(return_X_y=True)
    other = ~(X[:400, None] == data[0]).all(axis=2).any(axis=1)
    siamese = SiameseTransformer(max_epochs=1, random_state=0, device="cpu")
    return FrozenEstimator(siamese.fit(X[:400][other], y[:400][other]))


@pytest.fixture(params=CLASSIFIERS)
def clf(request, metric):
    clf = clone(CLASSIFIERS[request.param])
    return clf.set_params(siamese=metric) if request.param == "siamese" else clf


def test_probabilities_are_better_and_decisions_the_same(clf, data):
    X, y, queries, true = data
    auto = clf.fit(X, y)
    plain = clone(clf).set_params(temperature=1.0).fit(X, y)
    assert_array_equal(auto.predict(queries), plain.predict(queries))
    found, before = (c.predict_proba(queries) for c in (auto, plain))
    assert log_loss(true, found) < log_loss(true, before)
    error = expected_calibration_error(true, found)
    assert error < 0.8 * expected_calibration_error(true, before)
    assert_allclose(np.exp(auto.predict_log_proba(queries)), found)


def test_it_is_nearly_the_best_there_is(clf, data):
    X, y, queries, true = data
    loss = log_loss(true, clf.fit(X, y).predict_proba(queries))
    used = clf._checked_reader(queries)._temperature()
    others = [
        log_loss(true, clf.set_params(temperature=used * f).predict_proba(queries))
        for f in (0.25, 0.5, 0.75, 1.5, 2, 4)
    ]
    assert loss < min(others) + 0.05


def test_it_is_that_of_the_state_it_belongs_to(clf, data):
    X, y, queries, _ = data
    few = y < 7
    clf.fit(X[few], y[few])
    before = clf.predict_proba(queries)
    clf.partial_fit(X[~few], y[~few])
    expected = clone(clf).fit(X, y).predict_proba(queries)
    assert_allclose(clf.predict_proba(queries), expected, rtol=1e-4, atol=1e-7)
    clf.forget([7, 8, 9])
    assert_allclose(clf.predict_proba(queries), before, rtol=1e-4, atol=1e-7)


def test_by_a_slow_search(rng):
    scores = 5 * rng.normal(size=(60, 4))
    own = rng.integers(0, 4, 60)
    scores[np.arange(60), own] += 4
    scores[3, own[3]] = np.nan  # alone in its class

    def loss(temperature):
        by_class = [[] for _ in range(4)]
        for row, label in zip(scores, own, strict=True):
            if not np.isnan(row).any():
                e = np.exp(row / temperature)
                loss = -np.log(e / e.sum())
                other = min(np.delete(loss, label))
                by_class[label].append((60 * loss[label] + other) / 61)
        return np.mean([np.mean(losses) for losses in by_class])

    grid = np.exp(np.linspace(-2, 4, 2001))
    best = grid[np.argmin([loss(t) for t in grid])]
    assert fit_temperature(LeftOut(scores, own)) == pytest.approx(best, rel=5e-3)


@pytest.mark.parametrize("n_samples", [4, 40, 400])
def test_where_all_are_right_it_is_as_sure_as_so_many_can_tell(n_samples):
    own = np.arange(n_samples) % 2
    scores = np.zeros((n_samples, 2))
    scores[np.arange(n_samples), own] = 3.0
    wrong = 1 / (1 + np.exp(3.0 / fit_temperature(LeftOut(scores, own))))
    assert wrong == pytest.approx(1 / (n_samples + 2), rel=0.01)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_it_knows_no_units(scale, rng):
    y = np.repeat(np.arange(8), 5)
    X = rng.normal(size=(40, 6)) + rng.normal(size=(8, 6))[y]
    found = PrototypeClassifier(temperature="auto").fit(X * scale, y)
    expected = PrototypeClassifier(temperature="auto").fit(X, y)
    assert_allclose(
        found.predict_proba(X * scale), expected.predict_proba(X), rtol=1e-3
    )


def test_where_nothing_can_be_left_out_it_is_one(clf, data):
    X, y, queries, _ = data
    clf.fit(X[::5], y[::5])
    with pytest.warns(UserWarning, match="temperature='auto' leaves out examples"):
        found = clf.predict_proba(queries)
    clf.set_params(temperature=1.0)
    assert_array_equal(found, clf.predict_proba(queries))
    with pytest.raises(ValueError, match="store='sums' keeps none"):
        PrototypeClassifier(store="sums", temperature="auto").fit(X, y).predict_proba(X)


def test_classes_of_the_metric_have_no_part(clf, data):
    X, y, queries, _ = data
    clf.fit(X, y)
    clf._trained_on_classes(np.arange(10))
    with pytest.warns(UserWarning, match="temperature='auto' leaves out examples"):
        clf.predict_proba(queries)
