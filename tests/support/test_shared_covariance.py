import io
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import normalize

from skfsl import PrototypeClassifier
from skfsl.model_selection import make_episodic_scorer
from skfsl.support._scatter import _MOST_SPENT, Scatter

METRICS = ["euclidean", "cosine"]


def shared(metric="euclidean", **params):
    return PrototypeClassifier(metric, covariance="shared", **params)


def correlated(counts, *, n_features=4, offset=3.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    mixing = rng.normal(size=(n_features, n_features))
    centers = offset + 2 * rng.normal(size=(len(counts), n_features))
    X = rng.normal(size=(len(y), n_features)) @ mixing + centers[y]
    return X, y, offset + 3 * rng.normal(size=(40, n_features))


def scatter_by_loops(X, y, weight=None):
    weight = np.ones(len(y)) if weight is None else weight
    total = np.zeros((X.shape[1], X.shape[1]))
    for label in np.unique(y):
        mean = np.average(X[y == label], axis=0, weights=weight[y == label])
        for x, w in zip(X[y == label], weight[y == label], strict=True):
            total += w * np.outer(x - mean, x - mean)
    return total


def means_by_loops(X, y, W, inverse, weight=None):
    """Return the means of classes, those of few samples drawn towards that of all."""
    weight = np.ones(len(y)) if weight is None else weight
    counts = np.bincount(y, weight)
    means = np.array(
        [
            np.average(X[y == c], axis=0, weights=weight[y == c])
            for c in range(len(counts))
        ]
    )
    center = means.mean(axis=0)
    within = np.trace(inverse @ W) / sum(max(count - 1, 0) for count in counts)
    between = sum((m - center) @ inverse @ (m - center) for m in means)
    between = between / (len(counts) - 1) - within * np.mean(1 / counts)
    noise = max(between, 0) + within / counts
    return center + (noise.min() / noise)[:, np.newaxis] * (means - center), noise


def scores_by_definition(X, y, queries, s, weight=None):
    W = scatter_by_loops(X, y, weight)
    d = len(W)
    inverse = np.linalg.inv((1 - s) * W * d / np.trace(W) + s * np.eye(d))
    means, _ = means_by_loops(X, y, W, inverse, weight)
    return np.array([[-(q - m) @ inverse @ (q - m) for m in means] for q in queries])


# What is computed


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_the_definition(weighted):
    X, y, queries = correlated([5, 1, 3])
    weight = np.random.default_rng(1).uniform(0.5, 3, len(y)) if weighted else None
    clf = shared(shrinkage=0.2).fit(X, y, sample_weight=weight)
    expected = scores_by_definition(X, y, queries, 0.2, weight)
    assert_allclose(clf.decision_function(queries), expected, rtol=1e-9)
    units = normalize(queries)
    clf = shared("cosine", shrinkage=0.2).fit(X, y, sample_weight=weight)
    expected = 1 + scores_by_definition(normalize(X), y, units, 0.2, weight) / 2
    assert_allclose(clf.decision_function(queries), expected, rtol=1e-9)


@pytest.mark.parametrize("s", [0.01, 0.4, 1.0])
@pytest.mark.parametrize("n_features", [4, 40])
def test_ranks_as_linear_discriminant_analysis_on_balanced_classes(s, n_features):
    X, y, queries = correlated([4] * 6, n_features=n_features)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s).fit(X, y)
    clf = shared(shrinkage=s).fit(X, y)
    assert_array_equal(clf.predict(queries), lda.predict(queries))
    # Log-posteriors are half of the scores, in units of the mean variance.
    variance = np.trace(scatter_by_loops(X, y)) / len(y) / n_features
    clf.set_params(temperature=2 * variance)
    assert_allclose(
        clf.predict_proba(queries), lda.predict_proba(queries), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("metric", METRICS)
def test_one_example_a_class_is_the_plain_prototype(metric):
    X, y, queries = correlated([1] * 5)
    plain = PrototypeClassifier(metric).fit(X, y).decision_function(queries)
    for params in ({}, {"shrinkage": 0.01}):
        found = shared(metric, **params).fit(X, y).decision_function(queries)
        assert_allclose(found, plain, rtol=1e-9)


def test_examples_that_are_all_alike_leave_the_plain_prototype():
    # Means of three are rounded: what they differ by is no covariance.
    X = np.repeat([[0.1, 1e3, 0.7], [0.2, 1e3, 0.3]], 3, axis=0)
    y = [1, 1, 1, 2, 2, 2]
    queries = np.array([[0.1, 990.0, 0.6], [0.4, 999.0, 0.1]])
    plain = PrototypeClassifier().fit(X, y).decision_function(queries)
    found = shared(shrinkage=0.01).fit(X, y).decision_function(queries)
    assert_allclose(found, plain, rtol=1e-9)


def test_shrinkage_one_is_the_plain_distance_where_counts_are_equal():
    X, y, queries = correlated([4, 4, 4])
    plain = PrototypeClassifier().fit(X, y).decision_function(queries)
    found = shared(shrinkage=1.0).fit(X, y).decision_function(queries)
    assert_allclose(found, plain, rtol=1e-9)


@pytest.mark.parametrize("s", [1.0, 1 - 1e-9])
def test_at_shrinkage_one_means_of_few_are_drawn_towards_the_centre(s):
    X, y, queries = correlated([4, 2, 1])
    found = shared(shrinkage=s).fit(X, y).decision_function(queries)
    W = scatter_by_loops(X, y)
    means, _ = means_by_loops(X, y, W, np.eye(4))
    plain = PrototypeClassifier().fit(means, range(3))
    assert_allclose(found, plain.decision_function(queries), rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_classes_of_few_examples_are_not_left_behind(metric):
    X, y = load_digits(return_X_y=True)
    gains = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        few = [
            rng.permutation(np.flatnonzero(y == c))[: 1 if c % 2 else 12]
            for c in range(10)
        ]
        support = np.concatenate(few)
        rest = np.setdiff1d(np.arange(len(y)), support)
        clf = shared(metric).fit(X[support], y[support])
        drawn = clf.score(X[rest], y[rest])
        alike = clf._shared()
        alike.scales[:] = 1
        clf._support._cache.clear()
        clf._support.cached(("shared", metric == "cosine", "auto"), lambda x=alike: x)
        gains.append(drawn - clf.score(X[rest], y[rest]))
    assert np.mean(gains) > 0.02


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_from_the_origin(dtype):
    X, y, queries = correlated([5, 5, 5], offset=0)
    clf = shared(shrinkage=0.3).fit(X, y)
    X, far = ((1000 + A).astype(dtype) for A in (X, queries))
    found = shared(shrinkage=0.3).fit(X, y).decision_function(far)
    assert found.dtype == dtype
    assert_allclose(
        found, clf.decision_function(queries),
        rtol=1e-3 if dtype == np.float32 else 1e-9, atol=1e-2,
    )  # fmt: skip


def test_units_of_the_samples_do_not_matter_to_the_ranking():
    X, y, queries = correlated([5, 5, 5])
    clf = shared().fit(X, y)
    scaled = shared().fit(1e-3 * X, y).decision_function(1e-3 * queries)
    assert_allclose(1e6 * scaled, clf.decision_function(queries), rtol=1e-9)


def test_auto_shrinks_less_the_more_there_is_to_learn():
    found = []
    for counts in ([1, 2, 1], [5] * 3, [50] * 3, [400] * 3):
        X, y, _ = correlated(counts, n_features=10)
        found.append(shared().fit(X, y)._shared().shrinkage)
    assert found[0] == 0.9
    assert found == sorted(found, reverse=True)
    assert found[2] == pytest.approx(1 / (1 + 147 / 20))
    # Many classes of few examples: two each say little of where others will be.
    X, y, _ = correlated([2] * 50, n_features=2)
    assert shared().fit(X, y)._shared().shrinkage == pytest.approx(1 / (1 + 50 / 200))


def test_auto_counts_a_sample_as_often_as_its_weight_says():
    X, y, queries = correlated([4] * 3)
    weight = np.random.default_rng(0).integers(1, 4, len(y))
    found = shared().fit(X, y, sample_weight=weight).decision_function(queries)
    X, y = np.repeat(X, weight, axis=0), np.repeat(y, weight)
    assert_allclose(found, shared().fit(X, y).decision_function(queries), rtol=1e-9)


def test_gains_on_digits():
    X, y = load_digits(return_X_y=True)
    support = np.concatenate([np.flatnonzero(y == c)[:10] for c in range(10)])
    rest = np.setdiff1d(np.arange(len(y)), support)
    plain, with_it = (
        clf.fit(X[support], y[support]).score(X[rest], y[rest])
        for clf in (PrototypeClassifier(), shared())
    )
    assert with_it > plain + 0.015


# Classes and samples come and go


def test_adding_costs_no_second_look_at_what_is_stored(monkeypatch):
    X, y, queries = correlated([4, 4, 4])
    clf = shared().fit(X, y)
    clf.predict(queries)
    monkeypatch.setattr(Scatter, "of", None)
    clf.partial_fit(X[:2] + 1, [2, 9])
    clf.forget(9).predict(queries)


@pytest.mark.parametrize("metric", METRICS)
@settings(deadline=None, max_examples=40)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "new", "forget", "samples", "ask"]),
                  st.integers(0, 2**16)),
        min_size=1, max_size=25,
    ),
    n_features=st.sampled_from([1, 3, 30]),
)  # fmt: skip
def test_any_additions_and_removals_equal_one_fit(metric, steps, n_features):
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(99, n_features)) + 2
    queries = centers[:7] + 0.1
    X = {i: centers[i % 3] + rng.normal(size=n_features) for i in range(9)}
    y = {i: i % 3 for i in X}
    w = dict.fromkeys(X, 1.0)
    clf = shared(metric, shrinkage=0.2)

    def arrays():
        return np.array(list(X.values())), list(y.values()), list(w.values())

    clf.fit(*arrays(), ids=list(X)).predict(queries)
    for step, seed in steps:
        rng = np.random.default_rng(seed)
        if step in ("add", "new"):
            ids = [max(X) + 1 + i for i in range(rng.integers(1, 6))]
            for i in ids:
                y[i] = int(rng.integers(0, 9)) if step == "add" else max(y.values()) + 1
                X[i] = centers[y[i] % 99] + rng.normal(size=n_features)
                w[i] = float(rng.integers(1, 4))
            clf.partial_fit(
                np.array([X[i] for i in ids]), [y[i] for i in ids], ids=ids,
                sample_weight=[w[i] for i in ids],
            )  # fmt: skip
            continue
        if step == "ask":
            clf.predict(queries)
            continue
        if step == "forget":
            gone = rng.choice(list(y.values()))
            ids = [i for i in X if y[i] == gone]
        else:
            ids = [int(i) for i in rng.choice(list(X), 2)]
        if set(y.values()) <= {y[i] for i in ids}:
            continue
        clf.forget(gone) if step == "forget" else clf.forget_samples(set(ids))
        for i in set(ids):
            del X[i], y[i], w[i]
    anew = shared(metric, shrinkage=0.2).fit(*arrays())
    assert_array_equal(clf.classes_, anew.classes_)
    assert_allclose(
        clf.decision_function(queries), anew.decision_function(queries), rtol=1e-7
    )


def test_thousands_of_turnovers_lose_no_digits():
    rng = np.random.default_rng(0)
    X, y, queries = correlated([3, 3, 3, 3])
    clf = shared(shrinkage=0.05).fit(X, y)
    for _ in range(500):
        clf.partial_fit(100 * rng.normal(size=(2, 4)), [7, 7]).forget(7)
        clf._shared()
    anew = shared(shrinkage=0.05).fit(X, y)
    assert_allclose(
        clf.decision_function(queries), anew.decision_function(queries), rtol=1e-8
    )


def test_a_scatter_that_has_lost_its_digits_is_made_anew():
    X, y, _ = correlated([3] * 8)
    far = np.array([[1e6, 0, 0, 0], [-1e6, 0, 0, 0]])
    clf = shared().fit(X, y)
    clf._shared()
    clf.partial_fit(far, [99, 99])
    assert ("scatter", False) in clf._support._cache
    clf.forget(99)
    assert ("scatter", False) not in clf._support._cache
    assert_allclose(clf._support.scatter(False).matrix, scatter_by_loops(X, y))
    assert 1e12 > _MOST_SPENT * np.trace(scatter_by_loops(X, y))


def test_scatter_is_made_in_blocks(monkeypatch):
    X, y, _ = correlated([7, 2, 9])
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    monkeypatch.setattr("skfsl.support._scatter._BLOCK", 20)
    scatter = Scatter.of(X, y, weight, unit=False)
    assert_allclose(scatter.matrix, scatter_by_loops(X, y, weight), rtol=1e-12)
    gone, rest = y != 0, (y == 2) & (weight > 1)
    less = scatter.cut(
        (X[gone], y[gone], weight[gone]), np.array([0, 2]),
        (X[rest], np.full(rest.sum(), 1), weight[rest]),
    )  # fmt: skip
    left = rest | ~gone
    expected = scatter_by_loops(X[left], y[left], weight[left])
    assert_allclose(less.matrix, expected, rtol=1e-9)
    assert_allclose(less.trace, np.trace(expected))


@pytest.mark.parametrize("unit", [False, True])
def test_samples_of_weight_zero_leave_the_scatter(unit):
    X, y, _ = correlated([3, 3])
    weight = np.ones(len(y))
    scatter = Scatter.of(X, y, weight, unit=unit)
    more = scatter.add(X[:2] + 5, y[:2], np.zeros(2))
    assert_allclose(more.matrix, scatter.matrix, rtol=1e-12)


def test_a_class_whose_first_block_weighs_nothing(monkeypatch):
    X, y, _ = correlated([3, 5])
    weight = np.r_[np.ones(3), np.zeros(2), np.ones(3)]
    monkeypatch.setattr("skfsl.support._scatter._BLOCK", 5 * X.shape[1])
    scatter = Scatter.of(X, y, weight, unit=False)
    assert_allclose(scatter.matrix, scatter_by_loops(X, y, weight))


def test_pickles_and_files_leave_out_what_is_derived():
    X, y, queries = correlated([4, 4, 4])
    clf = shared().fit(X, y)
    before = len(pickle.dumps(clf))
    clf.predict(queries)
    assert len(pickle.dumps(clf)) == before
    again = pickle.load(io.BytesIO(pickle.dumps(clf)))
    assert_array_equal(again.decision_function(queries), clf.decision_function(queries))


# Left out


def left_out_by_refitting(X, y, metric, s, weight, sphere_of_all):
    """Score each sample by a set without it; the share of the sphere as of all."""
    X = normalize(X) if metric == "cosine" else X
    W = scatter_by_loops(X, y, weight)
    whole, d, out = np.trace(W), X.shape[1], []
    inverse = np.linalg.inv((1 - s) * W * d / whole + s * np.eye(d))
    _, noise = means_by_loops(X, y, W, inverse, weight)
    labels = np.unique(y)
    means = [np.average(X[y == c], axis=0, weights=weight[y == c]) for c in labels]
    center = np.mean(means, axis=0)
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        W = scatter_by_loops(X[rest], y[rest], weight[rest])
        trace = whole if sphere_of_all else np.trace(W)
        inverse = np.linalg.inv((1 - s) * W * d / trace + s * np.eye(d))
        row = np.full(y.max() + 1, np.nan)
        for c in np.unique(y[rest]):
            of_c = rest & (y == c)
            mean = np.average(X[of_c], axis=0, weights=weight[of_c])
            gap = X[i] - center - noise.min() / noise[c] * (mean - center)
            row[c] = -gap @ inverse @ gap
        out.append(1 + np.array(row) / 2 if metric == "cosine" else row)
    return np.array(out)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("counts", [[4, 4, 4], [1, 2, 9]])
def test_left_out_scores_are_those_of_fitting_anew(metric, counts):
    X, y, _ = correlated(counts, n_features=6)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    clf = shared(metric, shrinkage=0.3).fit(X, y, sample_weight=weight)
    scores, own = clf._left_out()
    assert_array_equal(own, y)
    expected = left_out_by_refitting(X, y, metric, 0.3, weight, True)
    rows = np.arange(len(y))
    # Own scores are made to be like those of new queries: see test_leave_one_out.
    mine = scores[rows, y], expected[rows, y]
    assert_array_equal(np.isnan(mine[0]), np.bincount(y)[y] == 1)
    assert (np.nan_to_num(mine[0]) >= np.nan_to_num(mine[1])).all()
    scores[rows, y] = expected[rows, y] = 0
    assert_allclose(scores, expected, rtol=1e-7)


@pytest.mark.parametrize("metric", METRICS)
def test_left_out_scores_are_like_those_of_new_queries(metric):
    # As many features as samples: with itself in the covariance a sample looks near.
    X, y, _ = correlated([6] * 10, n_features=60, offset=1.0)
    found, true, naive = [], [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(y))
        support, queries = [], []
        for c in range(10):
            rows = order[y[order] == c]
            support.extend(rows[:4])
            queries.extend(rows[4:])
        clf = shared(metric, shrinkage=0.1).fit(X[support], y[support])
        scores, own = clf._left_out()
        found.append(scores[np.arange(len(own)), own].mean())
        for into, rows in ((true, queries), (naive, support)):
            scores = clf.decision_function(X[rows])
            into.append(scores[np.arange(len(rows)), y[rows]].mean())
    found, true, naive = (1 - np.mean(v) for v in (found, true, naive))
    assert abs(found - true) < 0.1 * true
    assert naive < 0.5 * true


def test_left_out_against_a_single_other_sample():
    X, y, _ = correlated([2, 2, 2])
    clf = shared(shrinkage=0.5).fit(X, y)
    single, own = clf._left_out(single=True)
    others, _ = clf._left_out()
    rows = np.arange(len(y))
    # Of two, the other one is all others; here it is drawn towards the centre as a
    # class of one example.
    center, scale = clf._shared().center, clf._shared()._scale(np.ones(1))
    assert 0 < scale < 1
    trace = np.trace(scatter_by_loops(X, y))
    for i in rows:
        (other,) = np.flatnonzero((y == y[i]) & (rows != i))
        W = scatter_by_loops(np.delete(X, i, axis=0), np.delete(y, i))
        gap = X[i] - center - scale * (X[other] - center)
        inverse = np.linalg.inv(0.5 * W * X.shape[1] / trace + 0.5 * np.eye(4))
        assert_allclose(single[i, y[i]], -gap @ inverse @ gap)
    single[rows, own] = others[rows, own]
    assert_allclose(single, others)


@pytest.mark.parametrize("metric", METRICS)
def test_thresholds_temperatures_and_familiarity_go_by_it(metric):
    X, y, _ = correlated([6] * 8, n_features=5, offset=1.0)
    plain = PrototypeClassifier(metric, unknown_label=-1, temperature="auto")
    plain.set_params(familiarity="similarity").fit(X, y)
    clf = shared(metric, unknown_label=-1, temperature="auto")
    clf.set_params(familiarity="similarity").fit(X, y)
    assert clf.rejection_threshold() != plain.rejection_threshold()
    assert clf._temperature() != plain._temperature()
    assert_allclose(clf.score_samples(X), clf.decision_function(X).max(axis=1))
    before = clf.rejection_threshold()
    assert clf.set_params(shrinkage=0.05).rejection_threshold() != before
    far = np.where(metric == "cosine", -1, 100) * X
    assert (clf.predict(far) == -1).mean() > 0.9
    assert (clf.predict(X) == -1).mean() < 0.3
    assert_array_equal(clf.predict_set(X, alpha=0.2).shape, (len(X), 8))


def test_episodes_are_scored_as_fitting_each():
    X, y, _ = correlated([9] * 8, n_features=6)
    y = np.array([f"c{c}" for c in y])
    scorer = make_episodic_scorer(n_way=4, n_shot=3, n_episodes=5, random_state=0)
    clf = shared(shrinkage=0.1, unknown_label="none").fit(X, y)
    found = scorer(clf, X, y)
    assert found == scorer(clf, X, y)
    assert found > scorer(clf.set_params(covariance=None), X, y)


# What is refused


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"metric": "manhattan"}, "for metric='euclidean' or 'cosine'. Got metric='m"),
        ({"store": "sums"}, "made of stored samples, and store='sums' keeps none"),
        ({"shrinkage": 0}, "'shrinkage' parameter"),
        ({"covariance": "own"}, "'covariance' parameter"),
    ],
)
def test_what_it_cannot_do_is_said(params, match):
    X, y, queries = correlated([2, 2])
    with pytest.raises(ValueError, match=re.escape(match)):
        shared().set_params(**params).fit(X, y)
    if "store" not in params:
        clf = shared().fit(X, y).set_params(**params)
        with pytest.raises(ValueError, match=re.escape(match)):
            clf.predict(queries)
    plain = PrototypeClassifier(store="sums").fit(X, y)
    with pytest.raises(ValueError, match="store='sums' keeps none"):
        plain.set_params(covariance="shared").predict(queries)


def test_squares_without_digits_leave_the_plain_prototype():
    X, y, queries = correlated([4, 4, 4])
    expected = PrototypeClassifier().fit(1e-160 * X, y).predict(1e-160 * queries)
    clf = shared().fit(1e-160 * X, y)
    assert_array_equal(clf.predict(1e-160 * queries), expected)


def test_squares_that_overflow_are_refused():
    X, y, queries = correlated([2, 2])
    with pytest.raises(ValueError, match="too large for a covariance"):
        shared().fit(1e200 * X, y).predict(queries)
    clf = shared().fit(X, y)
    before = clf.predict(queries)
    clf.partial_fit(1e200 * X[:2], [8, 8])
    with pytest.raises(ValueError, match="too large for a covariance"):
        clf.predict(queries)
    assert_array_equal(clf.forget(8).predict(queries), before)
