import numpy as np
import pytest

from skfsl import PrototypeClassifier
from skfsl.support._leave_one_out import leave_one_out_scores


def chebyshev(a, b):
    return float(np.abs(a - b).max())


METRICS = ["euclidean", "cosine", "manhattan", chebyshev]


def stored(counts, *, weighted=False, offset=0.0, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    X = (offset + rng.normal(size=(len(y), 3)) + y[:, None]).astype(dtype)
    weight = rng.integers(1, 5, len(y)).astype(float) if weighted else None
    return X, y, weight


def by_refitting(X, y, weight, metric):
    scores = np.full((len(y), y.max() + 1), np.nan)
    everything = PrototypeClassifier(metric).fit(X, y, weight)
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        scores[i] = everything._support.scorer(metric, X.dtype).scores(X[[i]])
        scores[i, y[i]] = np.nan
        if y[i] in y[rest]:
            fitted = PrototypeClassifier(metric).fit(
                X[rest], y[rest], None if weight is None else weight[rest]
            )
            own = fitted._support.scorer(metric, X.dtype).scores(X[[i]])[0]
            scores[i, y[i]] = own[np.searchsorted(fitted.classes_, y[i])]
    return scores


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("counts", [[4, 4, 4], [1, 2, 9], [5, 1]])
def test_scores_are_those_of_fitting_anew(metric, weighted, counts):
    X, y, weight = stored(counts, weighted=weighted)
    support = PrototypeClassifier(metric).fit(X, y, weight)._support
    np.testing.assert_allclose(
        leave_one_out_scores(support, metric), by_refitting(X, y, weight, metric),
        rtol=1e-9, atol=1e-9,
    )  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
def test_far_from_the_origin_in_float32(metric):
    X, y, weight = stored([5, 5], offset=1000, dtype=np.float32)
    support = PrototypeClassifier(metric).fit(X, y)._support
    scores = leave_one_out_scores(support, metric)
    assert scores.dtype == np.float32
    expected = by_refitting(X.astype(float), y, weight, metric)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-5)


def test_rows_are_in_order_of_arrival_and_columns_sorted():
    X, y, _ = stored([3, 3, 3])
    names = np.array(["c", "b", "a"])[y]
    classifier = PrototypeClassifier().fit(X[y == 0], names[y == 0])
    for c in (1, 2):
        classifier.partial_fit(X[y == c], names[y == c])
    order = np.argsort(y, kind="stable")
    expected = by_refitting(X[order], 2 - y[order], None, "euclidean")
    found = leave_one_out_scores(classifier._support, "euclidean")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_sample_of_no_weight_leaves_its_class_as_it_was():
    X, y = np.array([[0.0], [2.0], [9.0], [9.5]]), [0, 0, 1, 1]
    support = PrototypeClassifier().fit(X, y, [1, 0, 1, 1])._support
    scores = leave_one_out_scores(support, "euclidean")
    assert np.isnan(scores[0, 0])
    assert scores[1, 0] == -4


def test_unbiased_by_hand():
    # Distance 3 to the other one; a mean of two is nearer by 1 - 1/4.
    support = PrototypeClassifier().fit([[0.0], [3.0], [9.0]], [0, 0, 1])._support
    scores = leave_one_out_scores(support, "euclidean", unbiased=True)
    assert scores[0, 0] == -9 * 0.75
    assert scores[0, 1] == -81
    assert np.isnan(scores[2, 1])
    X = [[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]]
    support = PrototypeClassifier("cosine").fit(X, [0, 0, 1])._support
    scores = leave_one_out_scores(support, "cosine", unbiased=True)
    # Dots are 0.6 on average, so that means of two are of length √0.8 and of one, 1.
    assert scores[0, 0] == pytest.approx(1 - 0.4 * (1 - 0.6 / 0.8**0.5) / 0.4)


@pytest.mark.parametrize("n_shot", [2, 3, 6])
@pytest.mark.parametrize("weighted", [False, True])
def test_own_distances_are_on_average_those_of_queries(n_shot, weighted):
    rng = np.random.default_rng(0)
    scale = np.array([1.0, 3.0, 0.5])  # no sphere
    y = np.repeat(np.arange(2000), n_shot)
    X = rng.uniform(size=(len(y), 3)) ** 2 * scale  # and no symmetry
    shares = np.arange(1.0, n_shot + 1) if weighted else np.ones(n_shot)
    support = PrototypeClassifier().fit(X, y, np.tile(shares, 2000))._support
    scores = leave_one_out_scores(support, "euclidean", unbiased=True)
    variance = (1 / 5 - 1 / 9) * np.sum(scale**2)
    expected = variance * (1 + np.sum(shares**2) / np.sum(shares) ** 2)
    found = -scores[np.arange(len(y)), y].mean()
    assert found == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("covariance", [None, "shared"])
def test_beside_an_overwhelming_weight_the_others_are_none(covariance):
    X, y, _ = stored([3, 3])
    weight = np.ones(6)
    heavy = np.flatnonzero(y == 0)[0]
    weight[heavy] = 1e30
    clf = PrototypeClassifier(covariance=covariance).fit(X, y, weight)
    scores = clf._left_out().scores
    alone = np.zeros_like(scores, dtype=bool)
    alone[heavy, 0] = True
    np.testing.assert_array_equal(np.isnan(scores), alone)
    assert np.isfinite(scores[~alone]).all()
    assert np.isfinite(clf.suspicious_support().margin).all()


def test_sums_have_nothing_to_leave_out():
    support = PrototypeClassifier(store="sums").fit([[0.0], [1.0]], [0, 1])._support
    with pytest.raises(ValueError, match="store='sums' keeps none"):
        leave_one_out_scores(support, "euclidean")
