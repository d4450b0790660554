import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from skfsl import (
    KNeighborsClassifier,
    PrototypeClassifier,
    make_few_shot_pipeline,
)
from skfsl.model_selection import estimate_support_score
from skfsl.model_selection._leave_out import Units
from skfsl.model_selection._support_report import grown, paired_half_width, wilson

singles = pytest.mark.filterwarnings("ignore:.* no part in the estimate:UserWarning")


class Recorder(ClassifierMixin, BaseEstimator):
    """A nearest prototype that notes what it was fitted on and asked for."""

    seen = []

    def fit(self, X, y):
        self.inner_ = PrototypeClassifier().fit(X, y)
        self.classes_ = self.inner_.classes_
        self.fitted_on_ = (np.array(X), np.array(y))
        return self

    def predict(self, X):
        predicted = self.inner_.predict(X)
        Recorder.seen.append((*self.fitted_on_, np.array(X), predicted))
        return predicted


def record(X, y, **params):
    Recorder.seen = []
    score = estimate_support_score(Recorder(), X, y, **params)
    return score, Recorder.seen


def support(counts, seed=0, spread=1.0, n_features=4):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    X = rng.normal(size=(len(counts), n_features))[y]
    return X + spread * rng.normal(size=(len(y), n_features)), y


# What is left out -------------------------------------------------------------------


def test_each_class_leaves_out_one_example_at_a_time():
    X, y = support([4, 4, 4])
    _, rounds = record(X, y, n_repeats=2, random_state=0)
    assert len(rounds) == 2 * 4
    for X_fit, y_fit, X_query, _ in rounds:
        np.testing.assert_array_equal(np.bincount(y_fit), [3, 3, 3])
        assert len(X_query) == 3
        assert not (X_fit[:, None] == X_query).all(axis=2).any()
    asked = np.concatenate([X_query for _, _, X_query, _ in rounds])
    _, times = np.unique(asked, axis=0, return_counts=True)
    np.testing.assert_array_equal(times, 2)


def test_company_differs_from_repeat_to_repeat():
    X, y = support([6, 6, 6])
    _, rounds = record(X, y, n_repeats=3, random_state=0)
    together = {frozenset(map(tuple, X_query)) for _, _, X_query, _ in rounds}
    assert len(together) > 6


@singles
def test_small_classes_leave_out_in_each_round_single_ones_never():
    X, y = support([1, 2, 5])
    _, rounds = record(X, y, n_repeats=1, random_state=0)
    assert len(rounds) == 5
    for _, y_fit, _, _ in rounds:
        np.testing.assert_array_equal(np.bincount(y_fit), [1, 1, 4])


def test_large_classes_leave_out_a_tenth():
    X, y = support([25, 3, 10])
    _, rounds = record(X, y, n_repeats=1, random_state=0)
    assert len(rounds) == 10
    kept = np.array([np.bincount(y_fit) for _, y_fit, _, _ in rounds])
    assert set(kept[:, 0]) == {22, 23}
    assert set(kept[:, 1]) == {2}
    assert set(kept[:, 2]) == {9}
    assert (25 - kept[:, 0]).sum() == 25


def test_groups_are_left_out_whole():
    X, y = support([6, 6])
    groups = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 5])
    _, rounds = record(X, y, groups=groups, n_repeats=2, random_state=0)
    assert len(rounds) == 2 * 3
    where = {tuple(x): g for x, g in zip(X, groups, strict=True)}
    for X_fit, _, X_query, _ in rounds:
        fitted = {where[tuple(x)] for x in X_fit}
        asked = {where[tuple(x)] for x in X_query}
        assert not fitted & asked
        assert len(asked) == 2


@singles
def test_groups_across_classes_are_left_out_one_by_one():
    X, y = support([3, 3, 2])
    groups = np.array(["mon", "tue", "tue", "mon", "wed", "wed", "mon", "mon"])
    score, rounds = record(X, y, groups=groups, random_state=0)
    where = {tuple(x): (g, c) for x, g, c in zip(X, groups, y, strict=True)}
    asked = [{where[tuple(x)] for x in X_query} for _, _, X_query, _ in rounds]
    assert asked == [
        {("mon", 0), ("mon", 1)}, {("tue", 0)}, {("wed", 1)},
    ]  # fmt: skip
    # The third class is of one group: it stays, and has no recall.
    for _, y_fit, _, _ in rounds:
        assert np.bincount(y_fit)[2] == 2
    np.testing.assert_array_equal(score.unestimated_classes, [2])


# What is answered -------------------------------------------------------------------


@singles
@pytest.mark.parametrize("counts", [[4, 4, 4], [1, 2, 5, 12], [2, 2], [3, 30]])
def test_numbers_are_those_of_the_slow_definition(counts):
    X, y = support(counts, seed=1, spread=1.5)
    score, rounds = record(X, y, n_repeats=3, random_state=0)
    label = {tuple(x): c for x, c in zip(X, y, strict=True)}
    answers = {tuple(x): [] for x in X}
    shots = {c: [] for c in range(len(counts))}
    for _, y_fit, X_query, predicted in rounds:
        for x, answer in zip(X_query, predicted, strict=True):
            answers[tuple(x)].append(int(answer == label[tuple(x)]))
        for c in {label[tuple(x)] for x in X_query}:
            shots[c].append(np.log(counts[c] / np.sum(y_fit == c)))
    recalls, log_shots, weights = [], [], []
    several = [c for c in range(len(counts)) if counts[c] > 1]
    for c in range(len(counts)):
        if c not in several:
            assert np.isnan(score.recalls[c])
            continue
        mine = [Fraction(sum(a), len(a)) for x, a in answers.items() if label[x] == c]
        recalls.append(sum(mine) / counts[c])
        log_shots.append(np.mean(shots[c]))
        weights += [1 / len(several) / counts[c]] * counts[c]
        assert score.recalls[c] == pytest.approx(float(recalls[-1]))
    share = float(sum(recalls) / len(recalls))
    assert score.left_out_accuracy == pytest.approx(share)
    chance, log_shots = 1 / len(counts), np.mean(log_shots)
    assert score.accuracy == pytest.approx(grown(share, chance, log_shots))
    bounds = wilson(share, 1 / np.sum(np.square(weights)) / 2)
    expected = [grown(bound, chance, log_shots) for bound in bounds]
    np.testing.assert_allclose(score.interval, expected)
    np.testing.assert_array_equal(score.counts, counts)
    assert score.n_examples == sum(counts)


def test_odds_above_chance_grow_by_hand():
    # Half of the way from 1/4 to 1 is even odds; twice the shots make them 2 ** 0.6.
    odds = 2**0.6
    expected = 0.25 + 0.75 * odds / (1 + odds)
    assert grown(0.625, 0.25, np.log(2)) == pytest.approx(expected)


@pytest.mark.parametrize("accuracy", [0.0, 0.1, 0.25, 1.0])
def test_nothing_is_added_at_chance_below_it_and_where_all_is_right(accuracy):
    assert grown(accuracy, 0.25, np.log(2)) == accuracy


def test_wilson_by_hand():
    low, high = wilson(0.5, 10)
    assert (low, high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, 1e-4))
    assert wilson(1.0, 10) == (pytest.approx(0.7225, abs=1e-4), 1.0)
    assert all(wilson(0.0, n / 2)[0] == 0.0 for n in range(1, 99))
    assert all(wilson(1.0, n / 2)[1] == 1.0 for n in range(1, 99))


def test_two_that_never_differ_may_still_differ():
    half = paired_half_width(0.0, 0.0, 10)
    assert half == pytest.approx(1.96 * np.sqrt(2 / 12 / 12), rel=1e-4)


def test_examples_of_one_group_count_as_one():
    X, y = support([6, 6], spread=1.5)
    alone = estimate_support_score(PrototypeClassifier(), X, y, random_state=0)
    pairs = estimate_support_score(
        PrototypeClassifier(), X, y, groups=np.arange(12) // 2, random_state=0
    )
    width = [score.interval[1] - score.interval[0] for score in (alone, pairs)]
    assert width[1] > width[0]


@singles
def test_groups_of_one_are_no_groups():
    X, y = support([3, 4, 1])
    plain, grouped = (
        estimate_support_score(
            PrototypeClassifier(), X, y, groups=groups, random_state=0
        )
        for groups in (None, np.arange(len(y))[::-1])
    )
    assert plain.n_examples == grouped.n_examples
    assert plain.interval[1] - plain.interval[0] == pytest.approx(
        grouped.interval[1] - grouped.interval[0], abs=0.2
    )


@singles
def test_single_classes_are_named_and_still_distract():
    X = np.array([[0.0], [0.2], [5.0], [5.2], [0.1]])
    score = estimate_support_score(
        KNeighborsClassifier(1), X, ["a", "a", "b", "b", "c"], random_state=0
    )
    np.testing.assert_array_equal(score.unestimated_classes, ["c"])
    np.testing.assert_array_equal(score.recalls, [0, 1, np.nan])
    assert score.left_out_accuracy == 0.5


def test_estimate_is_near_the_truth_on_digits():
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    errors, as_measured, inside = [], [], []
    for _ in range(60):
        order = rng.permutation(len(y))
        few = np.zeros(len(y), dtype=bool)
        few[np.concatenate([order[y[order] == c][:2] for c in range(10)])] = True
        true = PrototypeClassifier().fit(X[few], y[few]).score(X[~few], y[~few])
        score = estimate_support_score(
            PrototypeClassifier(), X[few], y[few], random_state=0
        )
        errors.append(score.accuracy - true)
        as_measured.append(score.left_out_accuracy - true)
        inside.append(score.interval[0] <= true <= score.interval[1])
    # What was measured is of one shot in the place of two.
    assert np.mean(as_measured) < -0.05
    assert abs(np.mean(errors)) < abs(np.mean(as_measured)) / 2
    assert np.abs(errors).mean() < 0.8 * np.abs(as_measured).mean()
    assert np.mean(inside) > 0.9


# What may be passed -----------------------------------------------------------------


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    few = np.r_[0:4, 50:54, 100:104]
    return X[few], y[few]


@pytest.mark.parametrize(
    "classifier",
    [
        PrototypeClassifier(metric="cosine"),
        KNeighborsClassifier(1),
        NearestCentroid(),
        LogisticRegression(max_iter=1000),
        make_pipeline(Normalizer(), PrototypeClassifier()),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
def test_any_classifier_will_do(classifier, iris):
    before = repr(classifier)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = estimate_support_score(classifier, *iris, random_state=0)
    assert 0.5 < score.accuracy <= 1
    assert score.interval[0] <= score.accuracy <= score.interval[1]
    assert repr(classifier) == before


def test_a_fitted_classifier_stays_as_it_was(iris):
    X, y = iris
    classifier = PrototypeClassifier().fit(X, y)
    before = classifier.prototypes_.copy()
    estimate_support_score(classifier, X, y)
    np.testing.assert_array_equal(classifier.prototypes_, before)


@pytest.mark.parametrize(
    "convert",
    [
        list, pd.DataFrame, torch.as_tensor, lambda X: X.astype(np.float32),
        lambda X: [row.tolist() for row in X],
        lambda X: torch.tensor(X).requires_grad_(),
    ],
    ids=["list of arrays", "frame", "tensor", "float32", "lists", "with gradient"],
)  # fmt: skip
def test_samples_of_any_form(convert, iris):
    X, y = iris
    expected = estimate_support_score(PrototypeClassifier(), X, y, random_state=0)
    found = estimate_support_score(PrototypeClassifier(), convert(X), y, random_state=0)
    np.testing.assert_allclose(found.recalls, expected.recalls)


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: np.array(["c", "elephant", "a"])[y], list, pd.Series, torch.as_tensor,
        lambda y: pd.Series(np.array(["x", "yy", "z"])[y], dtype="string"),
        lambda y: y.astype(np.int8) - 100,
    ],
    ids=["str", "list", "series", "tensor", "pandas' strings", "int8"],
)  # fmt: skip
def test_labels_of_any_kind(convert, iris):
    X, y = iris
    labels = convert(y)
    expected = estimate_support_score(PrototypeClassifier(), X, y, random_state=0)
    found = estimate_support_score(PrototypeClassifier(), X, labels, random_state=0)
    assert found.left_out_accuracy == pytest.approx(expected.left_out_accuracy, abs=0.2)
    assert found.classes.tolist() == sorted(set(np.asarray(labels).tolist()))


def test_same_with_the_same_random_state(iris):
    X, y = support([3, 5, 4], spread=2.0)
    a, b = (
        estimate_support_score(KNeighborsClassifier(3), X, y, random_state=3)
        for _ in range(2)
    )
    assert repr(a) == repr(b)
    np.testing.assert_array_equal(a.recalls, b.recalls)
    state = np.random.get_state()[1].copy()
    estimate_support_score(KNeighborsClassifier(3), X, y, random_state=3)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


# Pipelines --------------------------------------------------------------------------


class Embedder(FunctionTransformer):
    fits = 0
    transforms = 0

    def fit(self, X, y=None):
        Embedder.fits += 1
        self.fitted_ = True
        return super().fit(X, y)

    def transform(self, X):
        Embedder.transforms += 1
        return super().transform(X)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "fitted_")


@pytest.mark.parametrize("make", [make_pipeline, make_few_shot_pipeline])
def test_steps_but_the_last_embed_once_and_are_not_fitted(make, iris):
    X, y = iris
    last = PrototypeClassifier()
    embedder = Embedder(np.log1p)
    pipe = make(embedder, last).fit(X, y)
    Embedder.fits = Embedder.transforms = 0
    found = estimate_support_score(pipe, X, y, random_state=0)
    assert (Embedder.fits, Embedder.transforms) == (0, 1)
    expected = estimate_support_score(last, np.log1p(X), y, random_state=0)
    assert repr(found) == repr(expected)


def test_pipelines_within_and_frozen_ones_are_opened(iris):
    X, y = iris
    inner = make_pipeline(Embedder(np.log1p), "passthrough", PrototypeClassifier())
    pipe = make_pipeline(StandardScaler(), FunctionTransformer(np.abs), inner).fit(X, y)
    embedded = pipe[:-1].transform(X)
    expected = estimate_support_score(
        PrototypeClassifier(), np.log1p(embedded), y, random_state=0
    )
    for given in (pipe, FrozenEstimator(pipe)):
        found = estimate_support_score(given, X, y, random_state=0)
        assert repr(found) == repr(expected)


def test_frozen_classifier_is_not_judged_on_what_it_knows():
    X, y = support([4, 4, 4], spread=5.0)
    plain = KNeighborsClassifier(1).fit(X, y)
    expected = estimate_support_score(plain, X, y, random_state=0)
    found = estimate_support_score(FrozenEstimator(plain), X, y, random_state=0)
    assert repr(found) == repr(expected)
    assert found.left_out_accuracy < 1


def test_unfitted_pipeline_is_refused(iris):
    pipe = make_pipeline(StandardScaler(), PrototypeClassifier())
    with pytest.raises(ValueError, match="Step 'standardscaler' of it is not fitted"):
        estimate_support_score(pipe, *iris)
    with pytest.raises(ValueError, match="'standardscaler' of classifier 'p' is not"):
        estimate_support_score({"p": pipe}, *iris)


# Candidates -------------------------------------------------------------------------


def test_candidates_are_compared_on_the_same_left_out_examples():
    X, y = support([5, 4, 6], spread=1.5)
    candidates = {
        "prototypes": PrototypeClassifier(),
        "knn": KNeighborsClassifier(1),
        "far": KNeighborsClassifier(5, metric=lambda a, b: -np.linalg.norm(a - b)),
    }
    found = estimate_support_score(candidates, X, y, random_state=0)
    assert list(found.scores) == list(candidates)
    for name, classifier in candidates.items():
        alone = estimate_support_score(classifier, X, y, random_state=0)
        assert repr(found.scores[name]) == repr(alone)
    accuracies = {name: score.accuracy for name, score in found.scores.items()}
    assert accuracies[found.best] == max(accuracies.values())
    assert list(found.differences) == [n for n in candidates if n != found.best]
    for name, (difference, (low, high)) in found.differences.items():
        assert difference == accuracies[found.best] - accuracies[name]
        assert (low + high) / 2 == pytest.approx(difference)
    assert found.differences["far"][1][0] > 0


def test_list_of_candidates_and_the_first_at_a_tie(iris):
    found = estimate_support_score(
        [("z", PrototypeClassifier()), ("a", PrototypeClassifier())], *iris
    )
    assert found.best == "z"
    assert found.differences["a"][0] == 0
    assert found.differences["a"][1][0] < 0


def test_interval_of_a_difference_by_hand():
    # Of six examples the first is right on all, the second on those of class 0.
    X = np.array([[0.0], [0.0], [0.0], [9.0], [9.0], [9.0]])
    y = [0, 0, 0, 1, 1, 1]

    class AlwaysFirst(PrototypeClassifier):
        def predict(self, X):
            return np.zeros(len(X), dtype=int)

    found = estimate_support_score(
        {"a": PrototypeClassifier(), "b": AlwaysFirst()}, X, y
    )
    assert (found.scores["a"].accuracy, found.scores["b"].accuracy) == (1.0, 0.5)
    ahead, behind = 4 / 8, 1 / 8
    half = 1.96 * np.sqrt((ahead + behind - (ahead - behind) ** 2) / 8)
    difference, interval = found.differences["b"]
    assert difference == 0.5
    np.testing.assert_allclose(interval, (0.5 - half, 0.5 + half), atol=1e-4)


# Words ------------------------------------------------------------------------------


def test_report_of_one_classifier():
    X = np.array([[0.0], [0.2], [5.0], [5.2]])
    score = estimate_support_score(
        KNeighborsClassifier(1), X, ["a", "a", "b", "b"], random_state=0
    )
    assert str(score).splitlines() == [
        "Accuracy on queries: 1.000 (95 % interval 0.342 to 1.000)",
        "4 examples of 2 classes, 2 each; left out, 1.000 of them are classified "
        "rightly",
    ]
    assert "classes=" not in repr(score)


@singles
def test_report_says_of_which_classes_it_speaks():
    X = np.array([[0.0], [0.2], [5.0], [5.2], [0.1]])
    labels = ["a", "a", "b", "b", "c"]
    score = estimate_support_score(KNeighborsClassifier(1), X, labels, random_state=0)
    assert str(score).splitlines() == [
        "Accuracy on queries of the 2 classes with two examples or more: 0.557 (95 % "
        "interval 0.095 to 0.934)",
        "5 examples of 3 classes, 1 to 2 each; left out, 0.500 of them are classified "
        "rightly",
        "1 class has one example: its queries are not in it, and as a rule do worse: c",
        "Lowest recalls: a 0.00",
    ]


@singles
def test_report_of_classes_of_one_group():
    X, y = support([3, 2, 2])
    score = estimate_support_score(
        PrototypeClassifier(), X, y, groups=[0, 1, 2, 3, 3, 4, 4], random_state=0
    )
    first, _, left, *_ = str(score).splitlines()
    assert first.startswith("Accuracy on queries of the 1 class with two groups or m")
    assert left == (
        "2 classes have one group: their queries are not in it, and as a rule do "
        "worse: 1, 2"
    )


@singles
def test_report_of_candidates_says_of_which_classes_it_speaks():
    X, y = support([1, 4, 1, 4])
    candidates = {"proto": PrototypeClassifier(), "knn": KNeighborsClassifier(1)}
    found = estimate_support_score(candidates, X, y, random_state=0)
    assert str(found).splitlines()[2:4] == [
        "These are accuracies on queries of the 2 classes with two examples or more",
        "2 classes have one example: their queries are not in it, and as a rule do "
        "worse: 0, 2",
    ]


def test_classes_that_cannot_be_estimated_are_told_once():
    X, y = support([1, 1, 4, 3, 1])
    candidates = {"proto": PrototypeClassifier(), "knn": KNeighborsClassifier(1)}
    with pytest.warns(UserWarning, match="no part in the estimate") as told:
        estimate_support_score(candidates, X, y, random_state=0)
    assert [str(warning.message) for warning in told] == [
        "3 of the 5 classes have one example, and no part in the estimate: 0, 1, 4. "
        "It is the accuracy on queries of the other 2; on those of all 5 expect less. "
        "Add a second example of each to have them in it."
    ]
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match=r"^1 of the 2 classes has one group, .* grou"):
        estimate_support_score(
            PrototypeClassifier(), *support([3, 3]), groups=[0, 1, 2, 3, 3, 3]
        )


def test_report_of_candidates(iris):
    found = estimate_support_score(
        {"proto": PrototypeClassifier(), "knn": KNeighborsClassifier(1)}, *iris,
        random_state=0,
    )  # fmt: skip
    first, second, verdict = str(found).splitlines()
    assert first.startswith(f"{found.best}: 0.")
    assert f"{found.best} is better by" in second
    assert verdict.startswith(f"Take {found.best}")
    assert verdict.endswith("may be chance")


# Refused ----------------------------------------------------------------------------


def test_one_example_everywhere_is_refused(iris):
    X, _ = iris
    with pytest.raises(ValueError, match=r"Each of the 12 classes has one ex.*Add"):
        estimate_support_score(PrototypeClassifier(), X, np.arange(12))


def test_one_group_everywhere_is_refused(iris):
    X, y = iris
    with pytest.raises(ValueError, match="Each of the 3 classes has one group"):
        estimate_support_score(PrototypeClassifier(), X, y, groups=y)


def test_one_class_is_refused(iris):
    X, y = iris
    with pytest.raises(ValueError, match=r"one class has nothing to tell apart.*\[7\]"):
        estimate_support_score(PrototypeClassifier(), X, np.full(len(y), 7))


@pytest.mark.parametrize(
    "candidates", [{}, [], [PrototypeClassifier()], {"": PrototypeClassifier()}, [1]]
)
def test_malformed_candidates_are_refused(candidates, iris):
    with pytest.raises(TypeError, match=r"Expected a classifier, a dict of names"):
        estimate_support_score(candidates, *iris)


def test_names_have_to_be_unique(iris):
    twice = [("a", PrototypeClassifier()), ("a", KNeighborsClassifier())]
    with pytest.raises(ValueError, match=r"unique. Got \['a', 'a'\]"):
        estimate_support_score(twice, *iris)


@pytest.mark.parametrize(
    "classifier",
    [StandardScaler(), "prototypes", make_pipeline(StandardScaler()),
     LinearRegression(), make_pipeline(StandardScaler(), KMeans(3))],
    ids=repr,
)  # fmt: skip
def test_what_is_no_classifier_is_refused(classifier, iris):
    with pytest.raises(TypeError, match="Expected a classifier with fit and predict"):
        estimate_support_score(classifier, *iris)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_repeats": 0}, "The 'n_repeats' parameter of estimate_support_score"),
        ({"random_state": "a"}, "The 'random_state' parameter"),
        ({"groups": [1, 2]}, "Got 2 groups for 12 samples"),
    ],
)
def test_bad_parameters_are_refused(params, message, iris):
    with pytest.raises(ValueError, match=message):
        estimate_support_score(PrototypeClassifier(), *iris, **params)


def test_lengths_have_to_agree(iris):
    X, y = iris
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        estimate_support_score(PrototypeClassifier(), X, y[:-1])


@pytest.mark.parametrize("sizes", [[2, 7, 1], [11, 3], [40, 2, 10]])
def test_every_unit_is_left_out(sizes):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    units = Units(codes, np.arange(len(codes)))
    left = [out for out, _ in units.rounds(1, np.random.RandomState(0))]
    times = np.sum(left, axis=0)
    single = np.array(sizes)[codes] == 1
    assert (times[single] == 0).all()
    assert (times[~single] >= 1).all()
