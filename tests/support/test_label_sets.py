"""Label sets: what all classifiers that score classes promise of them."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator

from skfsl import (
    FewShotPipeline,
    PrototypeClassifier,
    SiameseClassifier,
    SiameseTransformer,
)
from skfsl.support._leave_one_out import another_of_class, leave_one_out_scores
from skfsl.utils._scores import log_softmax

SMALL = {"max_epochs": 1, "random_state": 0, "device": "cpu"}


def task(counts, n_queries=40, n_features=12, spread=0.35, seed=0):
    """Draw classes of normal samples, some of them near each other."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(counts), n_features)) * spread * 3
    centres += 3  # cosines tell them, too
    y = np.repeat(np.arange(len(counts)), counts)
    asked = np.repeat(np.arange(len(counts)), n_queries)
    X, queries = (
        centres[labels] + rng.normal(size=(len(labels), n_features))
        for labels in (y, asked)
    )
    return X, y, queries, asked


@pytest.fixture(scope="module")
def metric():
    X, y, *_ = task([8] * 12, seed=9)
    return FrozenEstimator(SiameseTransformer(**SMALL).fit(X, y))


CLASSIFIERS = {
    "euclidean": PrototypeClassifier(),
    "cosine": PrototypeClassifier("cosine"),
    "manhattan": PrototypeClassifier("manhattan"),
    "siamese": SiameseClassifier(),
    "siamese mean": SiameseClassifier(aggregation="mean"),
    "siamese max": SiameseClassifier(aggregation="max"),
}


@pytest.fixture(params=CLASSIFIERS)
def clf(request, metric):
    clf = clone(CLASSIFIERS[request.param])
    return clf.set_params(siamese=metric) if "siamese" in request.param else clf


def covered(clf, queries, true, alpha):
    sets = clf.predict_set(queries, alpha)
    return sets[np.arange(len(true)), np.searchsorted(clf.classes_, true)].mean()


@pytest.mark.parametrize("counts", [[5] * 30, [1, 2, 3, 6] * 10], ids=["5", "1 to 6"])
def test_sets_hold_the_true_class_as_often_as_they_promise(clf, counts):
    found = {alpha: [] for alpha in (0.05, 0.1, 0.2)}
    for seed in range(4):
        X, y, queries, true = task(counts, seed=seed)
        clf.fit(X, y)
        for alpha in found:
            found[alpha].append(covered(clf, queries, true, alpha))
    for alpha, shares in found.items():
        # Nothing is known of how much nearer than left-out ones others' queries are.
        biased = "max" in str(clf) or "manhattan" in str(clf)
        assert -0.04 < np.mean(shares) - (1 - alpha) < (0.1 if biased else 0.04)


def test_the_smaller_alpha_the_larger_the_sets(clf):
    X, y, queries, _ = task([5] * 10)
    clf.fit(X, y)
    sets = [clf.predict_set(queries, alpha) for alpha in (0.3, 0.1, 0.03)]
    assert sets[0].shape == (len(queries), 10)
    assert sets[0].dtype == bool
    for smaller, larger in pairwise(sets):
        assert (smaller <= larger).all()
        assert smaller.sum() < larger.sum()
    # What is in a set is at least as likely as what is not.
    proba, inside = clf.predict_proba(queries), sets[1]
    least = np.where(inside, proba, np.inf).min(axis=1)
    assert (np.where(inside, -np.inf, proba).max(axis=1) <= least).all()


def test_they_are_those_of_the_state_and_of_no_temperature(clf):
    X, y, queries, _ = task([4] * 9)
    few = y < 6
    clf.fit(X[few], y[few])
    before = clf.predict_set(queries)
    clf.partial_fit(X[~few], y[~few])
    whole = clone(clf).set_params(temperature=7.0).fit(X, y).predict_set(queries)
    assert_array_equal(clf.predict_set(queries), whole)
    assert before.shape[1] == 6
    clf.forget([6, 7, 8])
    assert_array_equal(clf.predict_set(queries), before)


def test_by_hand():
    # Left out, 0 and 2 are at -4·3/4 of themselves and -100, -64 of 10; 10 is alone,
    # and stood for by 0 and 2 compared with each other.
    clf = PrototypeClassifier().fit([[0.0], [2.0], [10.0]], [0, 0, 1])
    t = clf._auto_temperature()
    log_proba = {
        own: [own / t - np.logaddexp(own / t, other / t) for other in (-100, -64)]
        for own in (-3.0, -4.0)
    }
    # Two samples promise 2/3 at most; then the fourth of four values.
    queries = np.linspace(0, 10, 101)[:, None]
    found = clf.predict_set(queries, alpha=0.34)
    limit = min(map(min, log_proba.values()))
    scores = -np.column_stack([(queries - 1) ** 2, (queries - 10) ** 2]) / t
    scores = scores - np.logaddexp(*scores.T)[:, None]
    assert_array_equal(found, scores >= limit)
    with pytest.warns(UserWarning, match=r"alpha=0\.3 asks for 3 stored samples"):
        assert clf.predict_set(queries, alpha=0.3).all()


def test_a_query_counts_as_one_more_sample():
    X, y, queries, _ = task([4] * 3)
    clf = PrototypeClassifier(temperature="auto").fit(X, y)
    scores, own = clf._left_out()
    log_proba = log_softmax(scores, clf._temperature())[np.arange(12), own]
    limits = np.sort(-log_proba)[[9, 10]]  # 80 % of 13 are 11, of 12 they are 10
    fewer, expected = (clf.predict_log_proba(queries) >= -limit for limit in limits)
    assert_array_equal(clf.predict_set(queries, alpha=0.2), expected)
    assert fewer.sum() < expected.sum()


@pytest.mark.parametrize("n", [2, 3, 9, 19, 48, 99])
def test_as_many_samples_as_it_asks_for_are_enough(n):
    X = np.linspace(0, 1, n)[:, np.newaxis]
    clf = PrototypeClassifier().fit([*X, [9.0]], [0] * n + [1])
    assert not clf.predict_set([[5.0]], 1 / (n + 1)).all()
    with pytest.warns(UserWarning, match=rf"asks for {n + 1} stored .* There are {n}:"):
        assert clf.predict_set([[5.0]], 1 / (n + 1.5)).all()


def test_too_few_samples_promise_nothing(clf):
    X, y, queries, _ = task([2] * 4)
    clf.fit(X, y)
    with pytest.warns(UserWarning, match=r"alpha=0.1 asks for 9 .* There are 8"):
        assert clf.predict_set(queries).all()
    assert not clf.predict_set(queries, 0.2).all()
    for rows in (np.unique(y, return_index=True)[1], np.flatnonzero(y == 1)):
        clf.fit(np.repeat(X[rows], 1, axis=0), y[rows])
        with pytest.warns(UserWarning, match="There are 0: all classes"):
            assert clf.predict_set(queries).all()


def test_classes_of_the_metric_have_no_part(clf):
    X, y, queries, _ = task([5] * 8)
    clf.fit(X, y)
    clf._trained_on_classes(np.arange(8))
    with pytest.warns(UserWarning, match="There are 0: all classes"):
        assert clf.predict_set(queries).all()
    clf._trained_on_classes(np.arange(4))
    assert not clf.predict_set(queries).all()
    with pytest.warns(UserWarning, match="There are 20: all"):
        clf.predict_set(queries, 0.01)


@pytest.mark.parametrize("alpha", [0, 1, 1.5, "small", None])
def test_alpha_is_checked(alpha):
    X, y, queries, _ = task([5] * 3)
    with pytest.raises(ValueError, match="The 'alpha' parameter of predict_set must"):
        PrototypeClassifier().fit(X, y).predict_set(queries, alpha)


def test_rows_of_nothing_are_of_no_class():
    X, y, queries, _ = task([5] * 4)
    clf = PrototypeClassifier().fit(X, y)
    whole = clf.predict_set(queries)
    queries[::3] = np.nan
    found = clf.predict_set(queries)
    assert not found[::3].any()
    assert_array_equal(np.delete(found, np.s_[::3], 0), np.delete(whole, np.s_[::3], 0))
    assert not clf.predict_set(np.full((2, 12), np.nan)).any()


def test_sums_have_nothing_to_leave_out():
    X, y, queries, _ = task([5] * 3)
    with pytest.raises(ValueError, match="store='sums' keeps none"):
        PrototypeClassifier(store="sums").fit(X, y).predict_set(queries)


def test_the_pipeline_has_them(metric):
    X, y, queries, _ = task([5] * 6)
    pipe = FewShotPipeline([("siamese", metric), ("clf", PrototypeClassifier())])
    pipe.fit(X, y)
    expected = pipe["clf"].predict_set(pipe["siamese"].transform(queries), 0.2)
    assert_array_equal(pipe.predict_set(queries, alpha=0.2), expected)


def test_on_digits():
    X, y = load_digits(return_X_y=True)
    shares = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rows = [rng.permutation(np.flatnonzero(y == digit))[:5] for digit in range(10)]
        support = np.concatenate(rows)
        rest = np.setdiff1d(np.arange(len(y)), support)
        clf = PrototypeClassifier().fit(X[support], y[support])
        shares.append(covered(clf, X[rest], y[rest], 0.2))
    assert abs(np.mean(shares) - 0.8) < 0.03


def test_another_of_class_by_a_slow_loop(rng):
    own = rng.integers(0, 6, 30)
    own[4] = 9
    others = another_of_class(own)
    for i, other in enumerate(others):
        members = np.flatnonzero(own == own[i])
        at = np.flatnonzero(members == i)[0]
        assert other == members[(at + 1) % len(members)]


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_single_scores_are_those_of_classes_of_one_example(metric):
    X, y, *_ = task([1, 2, 4])
    support = PrototypeClassifier(metric).fit(X, y)._support
    scores = leave_one_out_scores(support, metric, unbiased=True, single=True)
    others = another_of_class(y)
    for i in range(1, len(y)):
        one = PrototypeClassifier(metric).fit(X[others[i]][None], [0])
        expected = one._support.scorer(metric, X.dtype).scores(X[[i]])[0, 0]
        assert scores[i, y[i]] == pytest.approx(expected)
    assert np.isnan(scores[0, 0])
