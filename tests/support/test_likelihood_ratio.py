"""The likelihood ratio, against normal densities written out."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal, norm

from skfsl.support import PrototypeClassifier
from skfsl.support._likelihood_ratio import LikelihoodRatio, left_out, ratio_of
from skfsl.support._support_set import PrototypeSet


def make_data(rng, shots, d):
    own = np.repeat(np.arange(len(shots)), shots)
    centres = 3 * rng.normal(size=(len(shots), d))
    return centres[own] + rng.normal(size=(len(own), d)), own


def slow_ratio(X, own, weight, learnt, queries):
    """The densities of the docstring, with full matrices."""
    classes, d = np.arange(len(learnt)), X.shape[1]
    means = np.array(
        [np.average(X[own == c], axis=0, weights=weight[own == c]) for c in classes]
    )
    shots = np.array(
        [weight[own == c].sum() ** 2 / (weight[own == c] ** 2).sum() for c in classes]
    )
    center = means[learnt].mean(axis=0)
    freedom = (shots[learnt] - 1).sum()
    W = np.zeros((d, d))
    for c in classes[learnt]:
        w, r = weight[own == c], X[own == c] - means[c]
        W += shots[c] / w.sum() * (r.T * w) @ r / freedom
    D = means[learnt] - center
    B = D.T @ D / (learnt.sum() - 1)
    spread, inner = np.trace(B), np.trace(W)
    outer = max(spread - inner * (1 / shots[learnt]).mean(), 0.1 * spread)
    a, b = max(0.8, 1 - freedom / 400), max(0.3, 1 - learnt.sum() / 60)
    W = (1 - a) * W + a * inner / d * np.eye(d)
    B = outer / spread * ((1 - b) * B + b * spread / d * np.eye(d))
    unseen = multivariate_normal(center, W + B).logpdf(queries)
    best = []
    for c in classes:
        gain = B @ np.linalg.inv(B + W / shots[c])
        mean = center + gain @ (means[c] - center)
        known = multivariate_normal(mean, W + B - gain @ B)
        best.append(known.logpdf(queries) - unseen)
    nearer = slow_nearer(X - center, own, W, B, queries - center)
    return np.max(best + nearer / 2, axis=0)


def slow_nearer(X, own, W, B, queries):
    """What the nearest of 20 examples scores above their mean, less what is chance."""
    gain = B @ np.linalg.inv(B + W)
    inverse = np.linalg.inv(W + B - gain @ B)
    A, H = inverse @ gain, gain.T @ inverse @ gain
    # Queries are of unseen classes, means as B has them, and examples around them.
    spread = np.trace(W @ A.T @ (W + B) @ A) + np.trace(W @ H @ B @ H)
    spread += np.trace(W @ H @ W @ H) / 2
    scores = queries @ A @ X.T - np.einsum("ij,jk,ik->i", X, H, X) / 2
    nearer = []
    for c in np.unique(own):
        of_class = scores[:, own == c][:, :20]
        n = of_class.shape[1]
        chance = norm.ppf((n - 0.375) / (n + 0.25)) * np.sqrt(spread)
        nearer.append(of_class.max(axis=1) - of_class.mean(axis=1) - chance)
    return np.array(nearer)


@pytest.mark.parametrize("d", [3, 40, 90])  # fewer and more than there are samples
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_densities(rng, d, weighted):
    X, own = make_data(rng, [3, 1, 5, 2, 4, 6, 7], d)
    weight = rng.uniform(0.5, 2, len(own)) if weighted else np.ones(len(own))
    learnt = np.arange(7) != 2
    queries = 3 * rng.normal(size=(50, d))
    found = LikelihoodRatio(X, own, weight, learnt).best(queries)
    assert_allclose(found, slow_ratio(X, own, weight, learnt, queries), rtol=1e-7)


def test_many_classes_and_samples_shrink_least(rng):
    X, own = make_data(rng, [8] * 70, 4)
    queries, ones = 3 * rng.normal(size=(20, 4)), np.ones(len(own))
    learnt = np.ones(70, dtype=bool)
    found = LikelihoodRatio(X, own, ones, learnt).best(queries)
    assert_allclose(found, slow_ratio(X, own, ones, learnt, queries), rtol=1e-7)


def test_more_examples_make_no_class_more_familiar(rng):
    """To queries of unseen classes, where all is as normal as it is taken to be."""
    shots = [1, 2, 5, 10, 20] * 200
    X, own = make_data(rng, shots, 20)
    ratio = LikelihoodRatio(X, own, np.ones(len(own)), np.ones(1000, dtype=bool))
    queries = np.sqrt(10) * rng.normal(size=(200, 20))
    nearer = ratio._nearer(ratio._along(queries - ratio._center))
    by_shots = nearer.reshape(200, 200, 5).mean(axis=(0, 1))
    assert (np.abs(by_shots) <= 0.05 * ratio._chance[:5]).all()
    assert ratio._chance[4] > 3 * nearer.std()


@pytest.mark.parametrize("d", [4, 90])
def test_of_a_class_the_first_twenty_examples_are_asked(rng, d):
    X, own = make_data(rng, [22, 3, 30, 1, 20], d)
    own = rng.permutation(own)  # neither in order nor apart
    ones, learnt = np.ones(len(own)), np.arange(5) != 1
    queries = 2 * rng.normal(size=(30, d))
    found = LikelihoodRatio(X, own, ones, learnt).best(queries)
    assert_allclose(found, slow_ratio(X, own, ones, learnt, queries), rtol=1e-7)


@pytest.mark.parametrize("block", [1, 7 * (4 + 40), 2**12])
def test_blocks_change_nothing(rng, monkeypatch, block):
    X, own = make_data(rng, [3, 25, 1, 7] * 10, 4)
    ratio = LikelihoodRatio(X, own, np.ones(len(own)), np.ones(40, dtype=bool))
    queries = rng.normal(size=(30, 4))
    expected = ratio.best(queries)
    monkeypatch.setattr("skfsl.support._likelihood_ratio._BLOCK", block)
    assert_allclose(ratio.best(queries), expected)


def test_memory_is_bounded_by_blocks(rng, monkeypatch):
    X, own = make_data(rng, [20] * 1_000, 4)
    ratio = LikelihoodRatio(X, own, np.ones(len(own)), np.ones(1_000, dtype=bool))
    monkeypatch.setattr("skfsl.support._likelihood_ratio._BLOCK", 2**15)
    queries = rng.normal(size=(500, 4))
    tracemalloc.start()
    ratio.best(queries)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 32 queries with all examples are 20 blocks, and there are copies.
    assert peak < 12 * 8 * 2**15


def test_samples_are_left_out_by_turns(rng, monkeypatch):
    X, own = make_data(rng, [2] * 25 + [7] * 25, 4)
    left = []

    class Counted(LikelihoodRatio):
        def __init__(self, X, own, weight, learnt):
            left.append((50 - len(learnt), 225 - len(own)))
            super().__init__(X, own, weight, learnt)

    monkeypatch.setattr("skfsl.support._likelihood_ratio.LikelihoodRatio", Counted)
    support = PrototypeSet.of(X, own, None, keep_samples=True)
    left_out(support, "euclidean", np.ones(50, dtype=bool))
    assert left == [(0, 45), (10, 45)] * 5


def test_classes_of_which_no_sample_is_left_out(rng):
    # Of 20,000 samples one in five: none of most classes.
    own = np.append(np.zeros(20_000, dtype=int), np.repeat(np.arange(1, 9), 2))
    X = 9 * rng.normal(size=(9, 2))[own] + rng.normal(size=(len(own), 2))
    clf = PrototypeClassifier(unknown_label=-1).fit(X, own)
    assert np.isfinite(clf.rejection_threshold())
    assert clf.predict([[1e3, 0]]) == [-1]


@pytest.mark.parametrize(
    "make",
    [
        lambda X: np.zeros_like(X),  # all the same point
        lambda X: np.repeat(X[::3], 3, axis=0),  # each class one point
        lambda X: np.tile(X[:3], (len(X) // 3, 1)),  # all means the same
        lambda X: np.column_stack([X[:, 0], np.zeros((len(X), 3))]),
    ],
)
def test_degenerate_samples_have_finite_scores(rng, make):
    X = make(make_data(rng, [3] * 6, 4)[0])
    own = np.repeat(np.arange(6), 3)
    ratio = LikelihoodRatio(X, own, np.ones(18), np.ones(6, dtype=bool))
    assert np.isfinite(ratio.best(rng.normal(size=(9, 4)))).all()


@pytest.mark.parametrize(
    ("shots", "metric", "there"),
    [
        ([2] * 5, "euclidean", True),
        ([2] * 5, "cosine", True),
        ([2] * 5, "manhattan", False),
        ([2] * 4, "euclidean", False),
        ([1] * 5 + [2] * 5, "euclidean", False),
        ([1] * 5 + [3] * 5, "euclidean", True),
        ([1] * 5 + [9], "euclidean", False),
    ],
)
def test_where_there_is_enough_to_learn_from(rng, shots, metric, there):
    X, own = make_data(rng, shots, 3)
    support = PrototypeSet.of(X, own, None, keep_samples=True)
    ratio = ratio_of(support, metric, np.ones(len(shots), dtype=bool))
    assert (ratio is not None) == there
    clf = PrototypeClassifier(metric, familiarity="likelihood_ratio").fit(X, own)
    if there:
        auto = PrototypeClassifier(metric).fit(X, own)
        assert_allclose(clf.score_samples(X), auto.score_samples(X))
    else:
        with pytest.raises(ValueError, match="familiarity='likelihood_ratio' needs"):
            clf.score_samples(X)
        plain = PrototypeClassifier(metric).fit(X, own)
        best = plain.decision_function(X).max(axis=1)
        assert_allclose(plain.score_samples(X), best)


def test_samples_of_weight_zero_change_nothing(rng):
    X, own = make_data(rng, [4] * 6, 3)
    weight = np.where(np.arange(24) % 4, 1.0, 0.0)
    queries, seen = rng.normal(size=(20, 3)), weight > 0
    clf = PrototypeClassifier(unknown_label=-1).fit(X, own, weight)
    fewer = PrototypeClassifier(unknown_label=-1).fit(X[seen], own[seen])
    assert_allclose(clf.score_samples(queries), fewer.score_samples(queries))
    assert clf.rejection_threshold() == pytest.approx(fewer.rejection_threshold())


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_overflows_is_refused(rng):
    X, own = make_data(rng, [3] * 6, 3)
    clf = PrototypeClassifier().fit(X, own)
    with pytest.raises(ValueError, match="too large for a likelihood ratio"):
        clf.score_samples(np.full((1, 3), 1e200))
    with pytest.raises(ValueError, match="too large for a likelihood ratio"):
        PrototypeClassifier().fit(1e200 * X, own).score_samples(X)
