"""Queries of no known class: what all classifiers promise of refusing them."""

import pickle
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score

from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseClassifier,
    SiameseTransformer,
)
from skfsl.support._open_set import balanced, choose_rows

SMALL = {"max_epochs": 1, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def data(open_set):
    return open_set(6, n_queries=6)


def largest_difference(a, b):
    return float(np.abs(a - b).max())


CLASSIFIERS = {
    "ratio": PrototypeClassifier(unknown_label=-1),
    "cosine ratio": PrototypeClassifier("cosine", unknown_label=-1),
    "similarity": PrototypeClassifier(unknown_label=-1, familiarity="similarity"),
    "manhattan": PrototypeClassifier("manhattan", unknown_label=-1),
    "callable": PrototypeClassifier(largest_difference, unknown_label=-1),
    "neighbors": KNeighborsClassifier(3, unknown_label=-1),
    "cosine neighbors": KNeighborsClassifier(1, metric="cosine", unknown_label=-1),
    "p=1": KNeighborsClassifier(1, p=1, unknown_label=-1),
    "siamese": SiameseClassifier(unknown_label=-1),
    "siamese mean": SiameseClassifier(unknown_label=-1, aggregation="mean"),
    "siamese max": SiameseClassifier(unknown_label=-1, aggregation="max"),
}


@pytest.fixture(params=CLASSIFIERS)
def clf(request, metric):
    clf = clone(CLASSIFIERS[request.param])
    return clf.set_params(siamese=metric) if "siamese" in request.param else clf


def test_auto_tells_known_from_unknown(clf, data):
    X, y, queries, true = data
    clf.fit(X, y)
    predicted = clf.predict(queries)
    assert (predicted == true).mean() > 0.85
    assert (predicted[true == -1] == -1).mean() > 0.8
    assert roc_auc_score(true != -1, clf.score_samples(queries)) > 0.9


def test_what_is_refused_is_what_scores_below_the_threshold(clf, data):
    X, y, queries, _ = data
    clf.fit(X, y)
    below = clf.score_samples(queries) < clf.rejection_threshold()
    assert_array_equal(clf.predict(queries) == -1, below)
    accepted = clone(clf).set_params(unknown_label=None).fit(X, y).predict(queries)
    assert_array_equal(clf.predict(queries)[~below], accepted[~below])
    assert -1 not in clf.classes_


def test_refusing_changes_no_score(clf, data):
    X, y, queries, _ = data
    clf.fit(X, y)
    plain = clone(clf).set_params(unknown_label=None).fit(X, y)
    for name in ("predict_proba", "decision_function", "score_samples"):
        if hasattr(clf, name):
            answer = getattr(clf, name)(queries)
            assert_array_equal(answer, getattr(plain, name)(queries))
            assert answer.shape == (len(queries), 8) or name == "score_samples"


def test_a_quantile_is_the_share_of_known_queries_that_is_refused(clf, rng):
    centres = 2 * rng.normal(size=(30, 8))
    y = np.repeat(np.arange(30), 5)
    clf.fit(centres[y] + rng.normal(size=(150, 8)), y)
    y = np.repeat(np.arange(30), 60)
    queries = centres[y] + rng.normal(size=(1800, 8))
    refused = [
        (clf.set_params(reject=share).predict(queries) == -1).mean()
        for share in (0.05, 0.3)
    ]
    assert 0.005 < refused[0] < 0.1
    assert 0.2 < refused[1] < 0.4


def test_a_threshold_of_ones_own(clf, data):
    X, y, queries, _ = data
    clf.fit(X, y)
    scores = clf.score_samples(queries)
    threshold = float(np.median(scores))
    if getattr(clf, "familiarity", None) == "auto":
        with pytest.raises(ValueError, match="is a score of one kind"):
            clf.set_params(threshold=threshold).predict(queries)
        ratio = clf.metric in ("euclidean", "cosine")
        clf.set_params(familiarity="likelihood_ratio" if ratio else "similarity")
    clf.set_params(threshold=threshold)
    assert clf.rejection_threshold() == threshold
    assert_array_equal(clf.predict(queries) == -1, scores < threshold)


def test_none_refuses_nothing(clf, data):
    X, y, queries, _ = data
    clf.set_params(reject=None).fit(X, y)
    assert clf.rejection_threshold() == -np.inf
    assert -1 not in clf.predict(queries)


def test_a_threshold_is_that_of_the_state_it_belongs_to(clf, data):
    X, y, queries, _ = data
    few = y < 6
    clf.fit(X[few], y[few])
    before = clf.predict(queries)
    threshold = clf.rejection_threshold()
    clf.partial_fit(X[~few], y[~few])
    whole = clone(clf).fit(X, y)
    assert clf.rejection_threshold() == pytest.approx(whole.rejection_threshold())
    assert_array_equal(clf.predict(queries), whole.predict(queries))
    clf.forget([6, 7])
    assert clf.rejection_threshold() == pytest.approx(threshold)
    assert_array_equal(clf.predict(queries), before)
    again = pickle.loads(pickle.dumps(clf))
    assert again.rejection_threshold() == clf.rejection_threshold()


def test_one_example_a_class(clf, data):
    X, y, queries, true = data
    first = np.unique(y, return_index=True)[1]
    clf.fit(X[first], y[first])
    # The middle of what classes look like to the others.
    left_out = clf._familiar_left_out()
    assert np.isnan(left_out.known).all()
    assert clf.rejection_threshold() == np.median(left_out.unknown)
    refused = clf.predict(queries) == -1
    assert refused[true == -1].mean() > 0.2
    assert refused[true != -1].mean() < 0.05


def test_too_little_to_learn_a_threshold_from(clf, data):
    X, y, queries, _ = data
    clf.fit(X[:6], y[:6])
    with pytest.warns(UserWarning, match="Nothing is refused: reject='auto'"):
        assert -1 not in clf.predict(queries)
    clf.fit(X, y).set_params(reject=0.01)
    with pytest.warns(UserWarning, match="Nothing is refused: reject=0.01 asks for 99"):
        assert -1 not in clf.predict(queries)
    clf.predict(queries)  # said once for a state: warnings are errors here


def test_classes_of_the_metric_have_no_part_in_the_threshold(clf, data):
    X, y, queries, _ = data
    clf.fit(X, y)
    # Those that the metric was trained on look closer than any other.
    trained = y < 4
    close = X.copy()
    means = np.stack([X[y == label].mean(axis=0) for label in range(4)])
    close[trained] = means[y[trained]] + 0.01 * (X[trained] - means[y[trained]])
    clf.fit(close, y).set_params(reject=0.2)
    naive = clf.rejection_threshold()
    clf._trained_on_classes(np.arange(4))
    aware = clf.rejection_threshold()
    assert aware != naive
    fresh = ~np.isin(y, np.arange(4))
    left_out = clf._left_out()
    assert len(left_out.own) == fresh.sum()
    assert set(left_out.own) == {4, 5, 6, 7}
    clf._trained_on_classes(np.arange(8))
    with pytest.warns(UserWarning, match="Nothing is refused"):
        assert -1 not in clf.predict(queries)
    clf.fit(X, y)  # another metric, perhaps
    assert clf._learnt().all()


def test_left_out_scores_are_those_of_a_set_without_the_sample(clf, data):
    X, y, *_ = data
    keep = np.concatenate([np.arange(20), [30]])  # the last one is alone in its class
    X, y = X[keep], y[keep]
    scores, own = clf.fit(X, y)._left_out()
    assert_array_equal(clf.classes_[own], y)
    assert np.isnan(scores[-1, own[-1]])
    for row in (0, 7, 19):
        rest = np.delete(np.arange(len(y)), row)
        fresh = clone(clf).fit(X[rest], y[rest])
        snapshot, queries, _ = fresh._ask(X[[row]])
        if isinstance(clf, KNeighborsClassifier):
            classes = [
                clone(clf).fit(X[rest][y[rest] == c], y[rest][y[rest] == c])
                for c in clf.classes_
            ]
            expected = np.array([c.score_samples(X[[row]])[0] for c in classes])
        else:
            expected = snapshot._scores(queries)[0]
        others = np.arange(len(expected)) != own[row]
        assert_allclose(scores[row][others], expected[others], rtol=1e-4, atol=1e-5)
        n = (y[rest] == y[row]).sum() + 1
        found, plain = scores[row, own[row]], expected[own[row]]
        kind = (getattr(clf, "metric", ""), getattr(clf, "aggregation", "prototype"))
        if kind == ("cosine", "prototype") and not isinstance(
            clf, KNeighborsClassifier
        ):
            assert abs(found - plain) < 0.05  # on average only
        elif kind in (("euclidean", "prototype"), ("", "prototype")):
            assert found == pytest.approx(plain * (1 - 1 / n**2), rel=1e-4)
        else:
            assert found == pytest.approx(plain, rel=1e-4)


def test_what_samples_cannot_be_left_out_of(data):
    X, y, queries, _ = data
    for clf, match in (
        (PrototypeClassifier(store="sums", unknown_label=-1), "store='sums' keeps"),
        (KNeighborsClassifier(algorithm="kd_tree", unknown_label=-1), "trees, sparse"),
    ):
        clf.fit(X, y)
        with pytest.raises(ValueError, match=match):
            clf.predict(queries)
        kind = (
            {} if "n_neighbors" in clf.get_params() else {"familiarity": "similarity"}
        )
        clf.set_params(threshold=-1e-9, **kind)
        assert (clf.predict(queries) == -1).all()


@pytest.mark.parametrize(
    "params", [{"reject": 0}, {"reject": 1.0}, {"reject": "best"}, {"threshold": "x"}]
)
def test_parameters_are_checked(clf, data, params):
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter"):
        clf.set_params(**params).fit(*data[:2])


def test_the_pipeline_tells_which_classes_the_metric_saw(data):
    X, y, *_ = data
    siamese = SiameseTransformer(validation_fraction=0.4, **SMALL)
    pipe = FewShotPipeline(
        [("siamese", siamese), ("clf", PrototypeClassifier(unknown_label=-1))]
    )
    more = np.concatenate([X, X + 40]), np.concatenate([y, y + 100])
    pipe.fit(*more)
    held_out = pipe["siamese"].validation_classes_
    assert len(held_out)
    learnt = pipe["clf"].classes_[pipe["clf"]._learnt()]
    assert_array_equal(learnt, held_out)
    pipe.partial_fit(X[:5] - 40, [500] * 5)
    learnt = pipe["clf"].classes_[pipe["clf"]._learnt()]
    assert_array_equal(learnt, np.append(held_out, 500))
    assert pipe.rejection_threshold() == pipe["clf"].rejection_threshold()
    frozen = FewShotPipeline(
        [("siamese", FrozenEstimator(pipe["siamese"])), ("clf", clone(pipe["clf"]))]
    ).fit(X, y)
    assert frozen["clf"]._learnt().all()


def test_siamese_classifier_knows_the_classes_of_its_metric(data):
    X, y, *_ = data
    siamese = SiameseTransformer(validation_fraction=0.4, **SMALL)
    more = np.concatenate([X, X + 40]), np.concatenate([y, y + 100])
    clf = SiameseClassifier(siamese, unknown_label=-1).fit(*more)
    held_out = clf.siamese_.validation_classes_
    assert len(held_out)
    assert_array_equal(clf.classes_[clf._learnt()], held_out)


def test_answers_of_other_threads_are_of_one_state(data):
    X, y, queries, _ = data
    few = y < 6
    clf = PrototypeClassifier(unknown_label=-1).fit(X[few], y[few])
    states = [
        clone(clf).fit(X[few], y[few]).predict(queries),
        clone(clf).fit(X, y).predict(queries),
    ]
    assert (states[0] != states[1]).any()
    stop, wrong, n_seen = threading.Event(), [], [0]

    def read():
        while not stop.is_set():
            found = clf.predict(queries)
            n_seen[0] += 1
            if not any(np.array_equal(found, state) for state in states):
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(15):
        clf.partial_fit(X[~few], y[~few])
        clf.predict(queries)
        clf.forget([6, 7])
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert n_seen[0] > 10


@pytest.mark.parametrize("n_classes", [2, 10, 100])
@pytest.mark.parametrize("n_samples", [8_000, 19_999, 100_000])
def test_samples_that_come_by_turns_are_left_out_of_all_classes(n_samples, n_classes):
    eligible = np.arange(n_samples) % 50 != 7
    rows = choose_rows(eligible)
    assert 2_000 < len(rows) <= 4_000
    assert eligible[rows].all()
    assert (np.diff(rows) > 0).all()
    counts = np.bincount(rows % n_classes, minlength=n_classes)
    there = np.bincount(np.flatnonzero(eligible) % n_classes, minlength=n_classes)
    assert_allclose(counts / len(rows), there / there.sum(), rtol=0.3, atol=0)
    longer = choose_rows(np.append(eligible, [True]))
    assert_array_equal(longer[: len(rows)], rows)


def test_the_choice_of_rows_changes_each_time_that_there_are_twice_as_many():
    n_changes, before = 0, choose_rows(np.ones(1, dtype=bool))
    for n_samples in range(1_000, 200_001, 500):
        rows = choose_rows(np.ones(n_samples, dtype=bool))
        n_changes += not np.array_equal(rows[: len(before)], before)
        before = rows
    assert n_changes == 6  # at 4, 8, 16, 32, 64 and 128 thousand


def test_of_few_samples_all_are_left_out():
    assert_array_equal(choose_rows(np.array([True, False, True])), [0, 2])
    assert len(choose_rows(np.zeros(3, dtype=bool))) == 0


def test_the_balanced_threshold_by_hand():
    # 4 and 3 known, 1, 2 and 3.5 unknown: between 2 and 3 both known and two of three
    # unknown are told right, which is the most.
    known, unknown = np.array([4.0, 3.0]), np.array([1.0, 2.0, 3.5])
    found = balanced(known, np.ones(2), unknown, np.ones(3))
    assert found == 2.5
    # A heavy unknown at 3.5 is worth the known one at 3.
    assert balanced(known, np.ones(2), unknown, np.array([1, 1, 9.0])) == 3.75
    assert balanced(unknown, np.ones(3), known + 9, np.ones(2)) == -np.inf


def test_on_digits_unknown_digits_are_refused():
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    support = np.concatenate(
        [rng.permutation(np.flatnonzero(y == d))[:10] for d in range(7)]
    )
    queries = np.setdiff1d(np.arange(len(y)), support)
    clf = PrototypeClassifier(unknown_label=-1).fit(X[support], y[support])
    refused = clf.predict(X[queries]) == -1
    known = y[queries] < 7
    assert refused[~known].mean() > 0.6
    assert refused[known].mean() < 0.3
