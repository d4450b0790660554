import sys

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import OneClassSVM

from skfsl import KNeighborsClassifier, PrototypeClassifier
from skfsl.model_selection import EpisodicScorer, compare_few_shot, iter_episodes
from skfsl.model_selection._play import Player
from skfsl.model_selection._text import WIDTH

PLAIN = make_pipeline("passthrough", PrototypeClassifier())


def columns(*kept):
    """Return what looks at some of the features only."""
    taken = FunctionTransformer(lambda X: X[:, list(kept)])
    return make_pipeline(taken, PrototypeClassifier())


def samples(n_classes=8, size=12, seed=0, spread=1.0, n_features=6):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), size)
    X = rng.normal(size=(n_classes, n_features))[y]
    return X + spread * rng.normal(size=(len(y), n_features)), y


def compare(estimators, X, y, **params):
    params = {"n_episodes": 50, "output": "dict", **params}
    return compare_few_shot(estimators, X, y, **params)


def only_pair(*args, **params):
    (pair,) = compare(*args, **params)["pairs"]
    return pair


TWO = {"few": columns(0, 1), "many": columns(0, 1, 2, 3)}


# Numbers ----------------------------------------------------------------------------


def test_differences_are_those_of_a_plain_loop():
    X, y = samples()
    pair = only_pair(TWO, X, y, n_way=4, n_shot=2)
    right = {"few": [], "many": []}
    for s, q in iter_episodes(X, y, n_way=4, n_shot=2, n_episodes=50, random_state=0):
        for name, kept in (("few", [0, 1]), ("many", [0, 1, 2, 3])):
            E = X[:, kept]
            classifier = PrototypeClassifier().fit(E[s], y[s])
            right[name].append(classifier.score(E[q], y[q]))
    worth = np.array(right["few"]) - np.array(right["many"])
    error = worth.std(ddof=1) / np.sqrt(50)
    assert pair["difference"] == pytest.approx(worth.mean())
    assert pair["standard_error"] == pytest.approx(error)
    assert pair["episodes_low"] == pytest.approx(worth.mean() - 1.96 * error, abs=1e-4)
    assert pair["episodes_high"] == pytest.approx(worth.mean() + 1.96 * error, abs=1e-4)
    won, lost = (worth > 1e-9).sum(), (worth < -1e-9).sum()
    assert (pair["episodes_won"], pair["episodes_lost"]) == (won, lost)
    assert pair["episodes_tied"] == 50 - won - lost
    assert pair["episodes_p_value"] == binomtest(won, won + lost).pvalue


METRICS = ["accuracy", "balanced_accuracy", "map@2", "top@2", "auroc_unknown"]


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_the_scorer(metric):
    X, y = samples()
    found = compare(TWO, X, y, n_way=4, metric=metric)
    scorer = EpisodicScorer(4, n_episodes=50, metric=metric, return_stats=True)
    for name, estimator in TWO.items():
        assert found["estimators"][name] == scorer(estimator, X, y)
    one, other = (found["estimators"][name]["score"] for name in ("few", "many"))
    assert found["pairs"][0]["difference"] == pytest.approx(one - other)


def test_a_callable_is_judged_as_the_metric_that_it_is():
    def accuracy(y_true, y_pred):
        return np.mean(y_true == y_pred)

    X, y = samples()
    named, called = (
        only_pair(TWO, X, y, n_way=4, metric=metric)
        for metric in ("accuracy", accuracy)
    )
    for key, value in named.items():
        assert called[key] == pytest.approx(value) if key != "better" else True
    text = compare(TWO, X, y, n_way=4, metric=accuracy, output="text")
    assert text.startswith("4-way 1-shot, accuracy: 50 episodes, of 8 classes")


def test_classes_have_their_recall():
    X, y = samples(5)
    found = compare(TWO, X, y, n_way=3)
    right, asked = np.zeros(5), np.zeros(5)
    for s, q in iter_episodes(X, y, n_way=3, n_episodes=50, random_state=0):
        predicted = PrototypeClassifier().fit(X[s, :2], y[s]).predict(X[q, :2])
        np.add.at(right, y[q], predicted == y[q])
        np.add.at(asked, y[q], 1)
    recall = [of["few"] for of in found["classes"].values()]
    np.testing.assert_allclose(recall, right / asked)
    assert list(found["classes"]) == [0, 1, 2, 3, 4]


def test_classes_of_a_metric_of_whole_episodes_have_what_they_bring():
    X, y = samples()
    found = compare(TWO, X, y, n_way=4, metric="auroc_unknown")
    for name, stats in found["estimators"].items():
        brought = [of[name] for of in found["classes"].values()]
        assert np.mean(brought) == pytest.approx(stats["score"])
        assert np.std(brought) > 0


def test_each_estimator_embeds_once():
    calls = []

    def embed(X):
        calls.append(len(X))
        return X

    X, y = samples()
    pipes = {name: make_pipeline(FunctionTransformer(embed)) for name in "abc"}
    compare(pipes, X, y)
    assert calls == [96] * 3


def test_a_plain_loop_plays_the_same_episodes():
    X, y = samples()
    slow = make_pipeline("passthrough", NearestCentroid())
    pair = only_pair({"fast": PLAIN, "slow": slow}, X, y, n_way=4, n_shot=2,
                     n_episodes=10)  # fmt: skip
    assert pair["difference"] == 0
    assert pair["episodes_tied"] == 10


# What is called better --------------------------------------------------------------


def test_equal_estimators_differ_by_nothing():
    X, y = samples()
    equal = {"a": PLAIN, "b": make_pipeline("passthrough")}
    pair = only_pair(equal, X, y)
    assert pair["better"] is None
    zeros = ["difference", "standard_error", "episodes_won", "classes_lost"]
    zeros += [
        f"{of}_{end}" for of in ("episodes", "classes") for end in ("low", "high")
    ]
    assert {pair[name] for name in zeros} == {0}
    assert (pair["episodes_tied"], pair["classes_tied"]) == (50, 8)
    assert pair["episodes_p_value"] == pair["classes_p_value"] == 1
    text = compare(equal, X, y, output="text")
    assert text.endswith("\n\na and b are worth the same in every episode.")
    assert "better" not in text


def test_equal_answers_with_other_scores_differ_by_nothing():
    X, y = samples()
    pair = only_pair({"a": PLAIN, "b": KNeighborsClassifier(1)}, X, y)
    assert pair["classes_low"] == pair["classes_high"] == 0


@pytest.mark.parametrize("metric", ["accuracy", "map@3"])
def test_turned_round_signs_flip(metric):
    X, y = samples()
    one = only_pair(TWO, X, y, metric=metric)
    other = only_pair(dict(reversed(TWO.items())), X, y, metric=metric)
    assert (one["first"], one["second"]) == (other["second"], other["first"])
    for of in ("episodes", "classes"):
        assert one[f"{of}_low"] == pytest.approx(-other[f"{of}_high"])
        assert one[f"{of}_high"] == pytest.approx(-other[f"{of}_low"])
        assert one[f"{of}_won"] == other[f"{of}_lost"]
        assert one[f"{of}_p_value"] == other[f"{of}_p_value"]
    assert one["difference"] == -other["difference"]
    assert one["better"] == other["better"]


def test_a_large_difference_on_many_classes_is_better():
    X, y = samples(30, n_features=8)
    estimators = {"two": columns(0, 1), "eight": PLAIN}
    pair = only_pair(estimators, X, y, n_episodes=200)
    assert pair["better"] == "eight"
    assert pair["classes_high"] < 0
    text = compare(estimators, X, y, n_episodes=200, output="text")
    low, high = -pair["classes_high"], -pair["classes_low"]
    assert text.endswith(
        f"\neight is better than two by {-pair['difference']:.3f}; over other classes "
        f"the interval is [{low:.3f}, {high:.3f}]."
    )


def test_what_holds_on_these_classes_only_is_not_better():
    # Each estimator sees half of the classes apart, one of them a class more.
    n_classes = 7
    y = np.repeat(np.arange(n_classes), 12)
    noise = np.random.default_rng(0).normal(size=(len(y), 2))
    X = noise + 20 * np.c_[np.where(y < 4, y, 9), np.where(y >= 4, y, 2)]
    estimators = {"low": columns(0), "high": columns(1)}
    pair = only_pair(estimators, X, y, n_way=3, n_episodes=600)
    assert pair["episodes_low"] > 0
    assert pair["classes_low"] < 0 < pair["classes_high"]
    assert pair["better"] is None
    text = compare(estimators, X, y, n_way=3, n_episodes=600, output="text")
    sentence = " ".join(text.split())
    assert "low is ahead of high by" in sentence
    assert sentence.endswith("with 0 in it: the data do not tell which is better.")


def test_without_scores_nothing_is_said_of_other_classes():
    class Silent(NearestCentroid):
        predict_proba = decision_function = property()

    X, y = samples(spread=0.5)
    estimators = {"a": columns(0), "b": make_pipeline("passthrough", Silent())}
    pair = only_pair(estimators, X, y, n_way=4, n_shot=2, n_episodes=10)
    assert np.isnan([pair["classes_low"], pair["classes_p_value"]]).all()
    assert pair["better"] is None
    text = compare(
        estimators, X, y, n_way=4, n_shot=2, n_episodes=10, output="text"
    )  # fmt: skip
    sentence = " ".join(text.split())
    assert "no interval, which needs scores of the classifiers: the data" in sentence
    assert "b is ahead of a" in text


@pytest.mark.parametrize(
    ("kept", "begin", "end"),
    [
        ([0, 1, 2], "b is ahead of a by", "tell which is better on others."),
        ([1], "differ by", "tell which is better."),
    ],
    ids=["sure of these", "not even of these"],
)
def test_two_classes_say_nothing_of_others(kept, begin, end):
    # Columns are worth the same: three of them more than one, and each as another.
    y = np.repeat([0, 1], 200)
    X = y[:, np.newaxis] + np.random.default_rng(0).normal(size=(400, 3))
    estimators = {"a": columns(0), "b": columns(*kept)}
    pair = only_pair(estimators, X, y, n_way=2)
    assert pair["better"] is None
    assert np.isnan(pair["classes_low"])
    text = compare(estimators, X, y, n_way=2, output="text")
    sentence = " ".join(text.split())
    assert begin in sentence
    assert sentence.endswith(
        "Over other classes there is no interval, which needs 4 or more classes: "
        "the data do not " + end
    )


def test_few_episodes_do_not_make_better():
    X, y = samples(12)
    pair = only_pair(TWO, X, y, n_episodes=1)
    assert pair["better"] is None
    assert np.isnan(pair["standard_error"])
    text = compare(TWO, X, y, n_episodes=1, output="text")
    assert "which more or other episodes may turn round" in " ".join(text.split())


def _null(seed, n_classes, n_way, n_episodes):
    """Compare two projections of which neither is better on classes to come."""
    rng = np.random.RandomState(seed)
    y = np.repeat(np.arange(n_classes), 15)
    X = rng.normal(size=(n_classes, 12))[y] + rng.normal(size=(len(y), 12))
    turned = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    halves = {
        name: make_pipeline(FunctionTransformer(lambda X, half=half: X @ half))
        for name, half in (("a", turned[:, :5]), ("b", turned[:, 5:10]))
    }
    return only_pair(
        halves, X, y, n_way=n_way, n_episodes=n_episodes, random_state=seed
    )


def _share(pairs, which):
    return np.mean([which(pair) for pair in pairs])


def test_neither_of_two_projections_is_better():
    pairs = [_null(seed, 12, 5, 60) for seed in range(60)]
    assert _share(pairs, lambda p: p["classes_low"] <= 0 <= p["classes_high"]) > 0.9
    assert _share(pairs, lambda p: p["better"] is not None) < 0.1
    # While over episodes, about any two are told apart.
    apart = _share(pairs, lambda p: p["episodes_low"] > 0 or p["episodes_high"] < 0)
    assert apart > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_classes", "n_way", "n_episodes"),
    [(8, 5, 200), (12, 5, 200), (30, 5, 300), (12, 2, 300), (20, None, 40)],
)
def test_under_the_null_the_interval_covers(n_classes, n_way, n_episodes):
    pairs = [_null(seed, n_classes, n_way, n_episodes) for seed in range(400)]
    covered = _share(pairs, lambda p: p["classes_low"] <= 0 <= p["classes_high"])
    assert 0.92 < covered < 0.995
    assert _share(pairs, lambda p: p["classes_p_value"] < 0.05) < 0.07
    assert _share(pairs, lambda p: p["better"] is not None) < 0.08


# Forms ------------------------------------------------------------------------------


def test_all_pairs_or_those_with_a_baseline():
    X, y = samples()
    three = [("a", columns(0)), ("b", columns(0, 1)), ("c", PLAIN)]

    def names(**params):
        found = compare(three, X, y, **params)
        return [(pair["first"], pair["second"]) for pair in found["pairs"]]

    assert names() == [("a", "b"), ("a", "c"), ("b", "c")]
    assert names(baseline="b") == [("a", "b"), ("c", "b")]


def test_frames_and_dict_say_the_same():
    X, y = samples()
    three = {**TWO, "all": PLAIN}
    found = compare(three, X, y)
    frames = compare(three, X, y, output="frame")
    assert list(frames) == ["estimators", "pairs", "classes"]
    assert frames.estimators.to_dict("index") == found["estimators"]
    for pair in found["pairs"]:
        row = frames.pairs.loc[pair["first"], pair["second"]]
        for key, value in row.items():
            assert value == pair[key] or (key == "better" and pair[key] is None)
    assert frames.classes.to_dict("index") == found["classes"]


def test_dict_holds_plain_python():
    X, y = samples()
    found = compare(TWO, X, y)
    values = [*found["pairs"][0].values(), *found["estimators"]["few"].values()]
    values += [*found["classes"], *found["classes"][0].values()]
    assert {type(value) for value in values} <= {int, float, str, type(None)}


def test_text_shows_the_numbers_of_the_dict():
    X, y = samples()
    three = {**TWO, "all": PLAIN}
    found = compare(three, X, y)
    lines = compare(three, X, y, output="text").split("\n")
    for name, stats in found["estimators"].items():
        line = next(line for line in lines if line.startswith(f"{name} "))
        assert line.split()[1] == f"{stats['score']:.3f}"
    for pair in found["pairs"]:
        named = f"{pair['first']} - {pair['second']} "
        line, below = (line for line in lines if line.startswith(named))
        assert line.split()[3] == f"{pair['difference']:+.3f}"
        assert f"[{pair['classes_low']:.3f}, {pair['classes_high']:.3f}]" in line
        assert f" {pair['episodes_won']}:{pair['episodes_lost']} p" in line
        assert f" {pair['classes_won']}:{pair['classes_lost']} p" in below
    assert "Each of the 3 pairs stands for itself" in "\n".join(lines)


def test_text_is_no_wider_than_a_terminal():
    X, y = samples()
    names = ["a" * 100, "b" * 50 + " " + "c" * 80, "d\ne" * 40]
    many = dict(zip(names, [columns(0), columns(0, 1), PLAIN], strict=True))
    text = compare(many, X, y, output="text", metric="balanced_accuracy")
    assert max(map(len, text.split("\n"))) <= WIDTH


# Errors -----------------------------------------------------------------------------


def refused(match, error=ValueError, estimators=TWO, **params):
    X, y = samples()
    with pytest.raises(error, match=match):
        compare(estimators, X, y, **params)


def test_estimators_have_names_and_are_several():
    refused(r"at least two estimators. Got \[\]", estimators={})
    refused("Got \\['a'\\]. One alone is judged by few_shot", estimators={"a": PLAIN})
    refused("have to be unique", estimators=[("a", PLAIN), ("a", PLAIN)])
    refused("Expected a dict of names", TypeError, estimators=PCA())
    refused("Expected a dict of names", TypeError, estimators=[PCA(), PCA()])
    refused("Got 1 in the place of a name", TypeError, estimators={1: PLAIN, 2: PLAIN})


def test_estimators_that_cannot_be_judged_are_named():
    refused("Estimator 'new' is not fitted", NotFittedError,
            estimators={"old": PLAIN, "new": StandardScaler()})  # fmt: skip
    refused("estimator 'odd'", TypeError,
            estimators={"old": PLAIN, "odd": OneClassSVM()})  # fmt: skip


def test_wrong_parameters_are_named():
    refused("'baseline' parameter.*one of \\['few', 'many'\\]", baseline="none")
    refused("'metric' parameter of compare_few_shot", metric="f1")
    refused("'n_way' parameter of compare_few_shot", n_way=[5, 20])
    refused("'output' parameter of compare_few_shot", output="json")
    refused("n_way=20 from y with n_classes=8", n_way=20)
    refused("one group for each sample. Got 2 groups for 96", groups=[1, 2])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        compare(TWO, np.zeros((5, 6)), [0, 1, 2])


def test_small_classes_are_named_where_the_comparison_is_asked_for():
    X, y = samples()
    kept = np.r_[0:2, 12:96]
    with pytest.warns(UserWarning, match="1 of 8 classes") as told:
        found = compare_few_shot(
            TWO, X[kept], y[kept], n_shot=3, n_episodes=20, output="dict",
            small_classes="drop",
        )  # fmt: skip
    assert {warning.filename for warning in told} == {__file__}
    assert found["n_classes"] == len(found["classes"]) == 7


def test_frames_without_pandas_say_what_to_do(monkeypatch):
    X, y = samples()
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr(Player, "__init__", None)  # before anything is embedded
    with pytest.raises(ImportError, match="pip install pandas"):
        compare(TWO, X, y, output="frame")
