"""SiameseClassifier(shortlist=): the head scores the nearest examples only."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator

import skfsl
from skfsl import SiameseClassifier, SiameseTransformer
from skfsl.pipeline import _shortlist

N_CLASSES, N_EACH = 12, 8


@pytest.fixture(scope="module", params=["learned_norms", "mixed_norms"])
def fitted(request):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(N_CLASSES), N_EACH)
    X = 3 * rng.normal(size=(N_CLASSES, 5))[y] + rng.normal(size=(len(y), 5))
    order = rng.permutation(len(y))
    siamese = SiameseTransformer(
        head=request.param, loss="mean_score", max_epochs=5, random_state=0,
        device="cpu",
    )  # fmt: skip
    clf = SiameseClassifier(siamese, aggregation="max").fit(X[order], y[order])
    return clf, X + 0.1 * rng.normal(size=X.shape)


def asked_anew(clf, **params):
    """Return a classifier over the same metric and examples."""
    again = SiameseClassifier(FrozenEstimator(clf.siamese_))
    again.__dict__.update(clf.__dict__)
    return again.set_params(**params)


@pytest.mark.parametrize("scores", [2**20, 30])
def test_scores_are_those_of_the_nearest_examples(fitted, scores, monkeypatch):
    monkeypatch.setattr(_shortlist, "_SCORES", scores)
    clf, Q = fitted
    n = 20
    short = asked_anew(clf, shortlist=n).decision_function(Q)
    support, metric = clf._support, clf.siamese_
    examples, own = support.embeddings, support.positions
    for embedding, found in zip(metric._embed(Q).numpy(), short, strict=True):
        apart = np.square(examples - embedding).sum(axis=1)
        near = np.argsort(apart, kind="stable")[:n]
        with torch.inference_mode():
            of_list = metric.head_.scores(
                torch.from_numpy(embedding[np.newaxis]),
                torch.from_numpy(examples[near]),
            ).numpy()[0]
        expected = np.full(N_CLASSES, of_list.min())
        np.maximum.at(expected, own[near], of_list)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_answers_are_those_of_all_examples(fitted):
    clf, Q = fitted
    expected = clf.predict(Q)
    for n in (30, N_CLASSES * N_EACH, 10_000):
        found = asked_anew(clf, shortlist=n).predict(Q)
        assert (found == expected).mean() > 0.95
    assert_array_equal(found, expected)


def test_it_counts_for_max_only(fitted):
    clf, Q = fitted
    for aggregation in ("prototype", "mean"):
        plain = asked_anew(clf, aggregation=aggregation).decision_function(Q)
        short = asked_anew(clf, aggregation=aggregation, shortlist=3)
        assert_array_equal(short.decision_function(Q), plain)


def test_what_comes_is_found_and_what_goes_is_not(fitted):
    clf, Q = fitted
    short = asked_anew(clf, shortlist=5)
    assert 99 not in short.predict(Q)
    far = np.full((3, 5), 40.0)
    short.partial_fit(far, [99, 99, 99])
    assert_array_equal(short.predict(far), [99, 99, 99])
    short.forget(99)
    assert 99 not in short.predict(far)


def test_saved_with_it(fitted, tmp_path):
    clf, Q = fitted
    short = asked_anew(clf, shortlist=7)
    skfsl.save(short, tmp_path / "short.skfsl")
    again = skfsl.load(tmp_path / "short.skfsl")
    assert again.shortlist == 7
    assert_array_equal(again.predict(Q), short.predict(Q))


@pytest.mark.parametrize("shortlist", [0, -1, 2.5, "all"])
def test_settings_are_checked(fitted, shortlist):
    clf, Q = fitted
    with pytest.raises(ValueError, match="'shortlist' parameter of SiameseClassifier"):
        asked_anew(clf, shortlist=shortlist).predict(Q)
