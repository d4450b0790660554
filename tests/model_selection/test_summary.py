import warnings
from functools import partial

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score
from sklearn.pipeline import make_pipeline

from skfsl import KNeighborsClassifier, PrototypeClassifier
from skfsl.model_selection import EpisodicScorer
from skfsl.model_selection._episodes import episode_blocks
from skfsl.model_selection._merits import (
    influences,
    outside_influences,
    ranks,
    values,
)
from skfsl.model_selection._play import Player
from skfsl.model_selection._summary import (
    Summary,
    interval_over_classes,
    interval_over_episodes,
)

RNG = np.random.RandomState(0)
CODES = RNG.permutation(np.repeat(np.arange(10), [9, 9, 9, 9, 9, 12, 14, 20, 8, 8]))
X = RNG.randn(10, 4)[CODES] + RNG.randn(len(CODES), 4)
Y = np.array([f"class {c}" for c in CODES])
LABELS = np.unique(Y)
METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "map@2": "map@2",
    "map@5": "map@5",
    "top@2": "top@2",
    "auroc_unknown": "auroc_unknown",
    "f1": partial(f1_score, average="macro"),
}


def _blocks(**options):
    params = {"n_way": 4, "n_shot": 2, "n_query": 3, "n_episodes": 8, **options}
    return episode_blocks(LABELS, CODES, random_state=0, **params)


def _slow_worth(metric, support, query):
    """Judge a fit on these support examples by these queries."""
    clf = PrototypeClassifier().fit(X[support], Y[support])
    deltas = X[query][:, np.newaxis] - clf.prototypes_
    scores = -(deltas**2).sum(axis=2)
    known = np.isin(Y[query], clf.classes_)
    if metric == "auroc_unknown":
        return roc_auc_score(known, scores.max(axis=1))
    scores, true = scores[known], Y[query][known]
    answer = clf.classes_[scores.argmax(axis=1)]
    if callable(metric):
        return metric(true, answer)
    if metric == "accuracy":
        return np.mean(answer == true)
    if metric == "balanced_accuracy":
        return balanced_accuracy_score(true, answer)
    kind, k = metric.split("@")
    order = clf.classes_[np.argsort(-scores, axis=1)]
    rank = 1 + (order == true[:, np.newaxis]).argmax(axis=1)
    return np.mean((rank <= int(k)) / (1 if kind == "top" else rank))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
@pytest.mark.parametrize(
    "options",
    [{}, {"n_way": 3}, {"n_query": None}, {"n_shot": (1, 4), "n_query": "natural"},
     {"n_way": (3, 6)}, {"n_way": 6, "imbalance": "dirichlet"}],
    ids=str,
)  # fmt: skip
def test_influences_are_those_of_episodes_without_a_class(metric, options):
    unknown = {"n_unknown": None if metric == "auroc_unknown" else 0}
    player = Player(PrototypeClassifier(), X)
    for played in player.play(Y, _blocks(**options, **unknown), scores="if there"):
        worth = values(metric, played, LABELS)
        got = influences(metric, played, LABELS, worth)
        assert got.shape == played.classes.shape
        for i, (support, query) in enumerate(played.block.episodes()):
            assert worth[i] == pytest.approx(_slow_worth(metric, support, query))
            n_way = len(played.classes[i])
            for j, code in enumerate(played.classes[i]):
                without = _slow_worth(
                    metric, support[CODES[support] != code], query[CODES[query] != code]
                )
                assert got[i, j] == pytest.approx(n_way * (worth[i] - without))


def test_influences_of_two_classes_are_those_of_the_episode():
    player = Player(PrototypeClassifier(), X)
    for played in player.play(Y, _blocks(n_way=2), scores="if there"):
        worth = values("accuracy", played, LABELS)
        got = influences("accuracy", played, LABELS, worth)
        np.testing.assert_array_equal(got, np.c_[2 * worth, 2 * worth])


def test_influences_need_scores():
    class Silent(LogisticRegression):
        predict_proba = decision_function = None

        def __getattribute__(self, name):
            if name in ("predict_proba", "decision_function"):
                raise AttributeError(name)
            return super().__getattribute__(name)

        def predict(self, X):
            return self.classes_[np.argmax(X @ self.coef_.T + self.intercept_, axis=1)]

    pipe = make_pipeline("passthrough", Silent())
    scorer = EpisodicScorer(4, n_query=2, n_episodes=5, return_stats=True)
    found = scorer(pipe, X, Y)
    assert np.isnan([found["classes_low"], found["classes_high"]]).all()
    assert not np.isnan([found["episodes_low"], found["score"]]).any()
    expected = scorer(make_pipeline("passthrough", LogisticRegression()), X, Y)
    assert found["score"] == expected["score"]
    assert expected["classes_low"] < expected["score"] < expected["classes_high"]


@pytest.mark.parametrize("n_neighbors", [1, 3])
def test_ranks_break_ties_by_closeness(n_neighbors):
    player = Player(KNeighborsClassifier(n_neighbors), X)
    blocks = _blocks(n_way=5, n_episodes=4)
    (played,) = player.play(Y, blocks, scores="if there")
    for i in range(4):
        for q, truth in enumerate(played.truth[i]):
            keys = list(zip(played.scores[i, q], played.closeness[i, q], strict=True))
            place = 1 + sum(key > keys[truth] for key in keys)
            if played.answer[i, q] == truth:
                place = 1
            assert ranks(played)[i, q] == max(place, 1 + (played.answer[i, q] != truth))


def test_classes_add_to_episodes_in_which_they_are_unknown():
    player = Player(PrototypeClassifier(), X)
    blocks = _blocks(n_unknown=6)
    for played in player.play(Y, blocks, scores="needed"):
        worth = values("auroc_unknown", played, LABELS)
        classes, added = outside_influences("auroc_unknown", played, worth)
        expected = {}
        for i, (support, query) in enumerate(played.block.episodes()):
            known = np.isin(CODES[query], CODES[support])
            for code in np.unique(CODES[query][~known]):
                some = query[known | (CODES[query] == code)]
                expected[i, code] = _slow_worth("auroc_unknown", support, some)
                expected[i, code] -= worth[i]
        assert classes.tolist() == [code for _, code in expected]
        np.testing.assert_allclose(added, list(expected.values()))
        assert len(outside_influences("accuracy", played, worth)[0]) == 0


def test_the_interval_of_auroc_covers_the_classes_that_are_unknown():
    """Classes differ in how far out they lie: it matters when they are unknown."""
    rng, n_classes = np.random.RandomState(0), 15
    scorer = EpisodicScorer(
        3, n_query=4, n_episodes=60, metric="auroc_unknown", return_stats=True
    )
    means = []
    for _ in range(60):
        y = np.repeat(np.arange(n_classes), 6)
        centers = rng.normal(size=(n_classes, 4)) * rng.choice([0.5, 3], (n_classes, 1))
        means.append(
            scorer(PrototypeClassifier(), centers[y] + rng.normal(size=(len(y), 4)), y)
        )
    true = np.mean([m["score"] for m in means])
    n_covered = sum(m["classes_low"] <= true <= m["classes_high"] for m in means)
    assert n_covered >= 53


# The mean and its intervals.


def test_the_interval_over_episodes_is_the_formula():
    worth = np.random.RandomState(0).rand(37)
    error, low, high = interval_over_episodes(worth)
    assert error == pytest.approx(np.sqrt(np.var(worth, ddof=1) / 37))
    assert (low + high) / 2 == pytest.approx(worth.mean())
    assert (high - low) / 2 == pytest.approx(stats.norm.ppf(0.975) * error)


def test_one_episode_has_no_interval():
    assert np.isnan(interval_over_episodes(np.array([0.5]))).all()
    found = EpisodicScorer(n_way=3, n_query=2, n_episodes=1, return_stats=True)(
        PrototypeClassifier(), X, Y
    )
    assert 0 <= found["score"] <= 1
    assert found["worst_decile"] == found["score"]
    assert np.isnan([found[k] for k in ("standard_error", "episodes_low")]).all()


@pytest.mark.parametrize("n_classes", [12, 40, 200])
def test_the_interval_over_classes_is_nearly_students_where_influences_are_normal(
    n_classes,
):
    influence = np.random.RandomState(n_classes).randn(n_classes) * 0.1 + 0.7
    low, high = interval_over_classes(0.6, influence)
    half = stats.t.ppf(0.975, n_classes - 1) * stats.sem(influence)
    assert (high - low) / 2 == pytest.approx(half, rel=0.25)
    assert low == pytest.approx(0.6 - half, abs=0.4 * half)
    assert high == pytest.approx(0.6 + half, abs=0.4 * half)


def test_the_interval_over_classes_does_not_depend_on_a_constant():
    influence = np.random.RandomState(0).rand(15)
    expected = interval_over_classes(0.5, influence)
    assert interval_over_classes(0.5, influence + 3) == pytest.approx(expected)
    low, high = interval_over_classes(0.0, 2 * influence)
    assert (low, high) == pytest.approx(tuple(2 * (np.array(expected) - 0.5)))
    low, high = interval_over_classes(-0.5, -influence)
    assert (-high, -low) == pytest.approx(expected)  # turned round


@pytest.mark.parametrize(
    "influence", [[], [0.5], [0.5, 0.7], [0.5, np.nan, 0.7], [np.nan] * 5], ids=str
)
def test_no_interval_over_few_classes_or_without_influences(influence):
    assert np.isnan(interval_over_classes(0.6, np.array(influence, dtype=float))).all()


def test_classes_that_are_all_alike_have_an_interval_of_no_width():
    assert interval_over_classes(0.6, np.full(9, 0.5)) == (0.6, 0.6)
    low, high = interval_over_classes(0.6, np.full(9, 0.1) + 0.2)  # rounded
    assert low == pytest.approx(0.6)
    assert high == pytest.approx(0.6)


def test_three_classes_have_no_interval_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = interval_over_classes(0.6, np.array([0.4, 0.6, 0.8]))
        other = interval_over_classes(0.6, np.array([0.0, 0.0, 1.0]))
    assert np.isnan([low, high, *other]).all()


def test_an_interval_is_the_same_at_each_call_and_leaves_the_global_state_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    influence = np.random.RandomState(0).rand(15)
    assert interval_over_classes(0, influence) == interval_over_classes(0, influence)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    ("shape", "n_classes"), [((6, 1), 12), ((2, 2), 12), ((8, 2), 30)]
)
def test_the_interval_over_classes_covers_the_mean_of_all_classes(shape, n_classes):
    # Classes as they come, with a difficulty of their own, often near 1.
    rng = np.random.RandomState(0)
    truth = stats.beta(*shape).mean()
    drawn = [rng.beta(*shape, size=n_classes) for _ in range(400)]
    intervals = np.array([interval_over_classes(d.mean(), d) for d in drawn])
    covered = (intervals[:, 0] <= truth) & (truth <= intervals[:, 1])
    assert 0.91 < covered.mean() < 0.985


def _universe(seed):
    """Draw classes of the same kind: points on a line, some far more spread out."""
    rng = np.random.RandomState(seed)
    y = np.repeat(np.arange(16), 8)
    spread = rng.lognormal(-1, 1, 16)
    return (rng.randn(16)[y] + spread[y] * rng.randn(len(y)))[:, np.newaxis], y


def test_the_interval_over_classes_covers_the_score_of_other_classes():
    scorer = EpisodicScorer(4, n_shot=2, n_query=4, n_episodes=150, return_stats=True)
    found = [scorer(PrototypeClassifier(), *_universe(seed)) for seed in range(240)]
    truth = np.mean([f["score"] for f in found])

    def coverage(name):
        return np.mean([f[f"{name}_low"] <= truth <= f[f"{name}_high"] for f in found])

    assert 0.9 < coverage("classes") < 0.995
    assert coverage("episodes") < 0.6  # of these classes alone


class TestSummary:
    @staticmethod
    def _of(worth, bounds=(0.0, 1.0)):
        summary = Summary(4, bounds)
        worth = np.array(worth, dtype=float)
        summary.add(worth, np.zeros((len(worth), 2), dtype=int), None)
        return summary

    @pytest.mark.parametrize(
        ("worth", "expected"),
        [
            ([0.3], 0.3),
            ([0.9, 0.2, 0.8], 0.2),
            ([0.5, 0.4, 0.3, 0.2, 0.1, 0.6, 0.7, 0.8, 0.9, 1.0], 0.1),
            ([0.5, 0.4, 0.3, 0.2, 0.1, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0], 0.15),
            ([*[1.0] * 18, 0.0, 0.5], 0.25),
            ([*[1.0] * 19, 0.0, 0.5], 0.5),
        ],
    )
    def test_the_worst_tenth_is_rounded_up(self, worth, expected):
        assert self._of(worth).as_dict()["worst_decile"] == pytest.approx(expected)

    def test_influences_are_means_over_the_episodes_of_a_class(self):
        summary = Summary(5, (0.0, 1.0))
        summary.add(np.array([0.5, 0.7]), np.array([[0, 1], [1, 3]]),
                    np.array([[1.0, 2.0], [4.0, 8.0]]))  # fmt: skip
        summary.add(np.array([0.9]), np.array([[0, 1, 3]]), np.array([[3.0, 3.0, 0.0]]))
        np.testing.assert_allclose(summary.influence, [2, 3, 4])  # 2 and 4 were not met
        np.testing.assert_array_equal(summary.worth, [0.5, 0.7, 0.9])
        assert summary.mean == pytest.approx(0.7)

    def test_intervals_end_at_what_a_metric_can_be(self):
        summary = Summary(4, (0.0, 1.0))
        worth = np.array([1.0, 1.0, 0.9])
        classes = np.array([[0, 1, 2], [0, 1, 3], [1, 2, 3]])
        added = np.array([[0.0, 3.0, 0.0], [0.0, 3.0, 0.0], [3.0, 0.0, 0.0]])
        summary.add(worth, classes, added)
        found = summary.as_dict()
        assert found["episodes_high"] == found["classes_high"] == 1
        assert found["classes_low"] == 0
        summary.bounds = (-np.inf, np.inf)
        assert summary.as_dict()["classes_high"] > 1
        assert summary.as_dict()["episodes_high"] > 1

    def test_a_callable_is_not_bounded(self):
        def loss(y_true, y_pred):
            return 100 * np.mean(y_true != y_pred)

        scorer = EpisodicScorer(4, n_query=3, n_episodes=30, return_stats=True)
        accuracy = scorer(PrototypeClassifier(), X, Y)
        found = scorer.set_params(metric=loss)(PrototypeClassifier(), X, Y)
        assert found["classes_high"] > found["score"] > 1
        assert found["score"] == pytest.approx(100 - 100 * accuracy["score"])
        assert found["classes_low"] == pytest.approx(
            100 - 100 * accuracy["classes_high"]
        )

    def test_all_are_floats(self):
        found = EpisodicScorer(4, n_query=3, n_episodes=5, return_stats=True)(
            PrototypeClassifier(), X, Y
        )
        assert {type(v) for v in found.values()} == {float}
        plain = EpisodicScorer(4, n_query=3, n_episodes=5)(PrototypeClassifier(), X, Y)
        assert type(plain) is float
        assert plain == found["score"]
