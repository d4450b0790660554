import re
import sys
import warnings

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import OneClassSVM

from skfsl import PrototypeClassifier
from skfsl.exceptions import SeenSamplesWarning
from skfsl.model_selection import EpisodicScorer, few_shot_report, iter_episodes
from skfsl.model_selection._play import Player
from skfsl.model_selection._text import WIDTH, number, shortened, table

PLAIN = make_pipeline("passthrough", PrototypeClassifier())


def samples(counts, seed=0, spread=1.0, n_features=4, labels=None):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    X = rng.normal(size=(len(counts), n_features))[y]
    X = X + spread * rng.normal(size=(len(y), n_features))
    return X, y if labels is None else np.asarray(labels)[y]


def answered(X, y, **params):
    """Play episodes in a plain loop."""
    for s, q in iter_episodes(X, y, random_state=0, **params):
        yield y[s], y[q], PrototypeClassifier().fit(X[s], y[s]).predict(X[q])


# Numbers ----------------------------------------------------------------------------

SETTINGS = [
    {"n_way": 5, "n_shot": 1},
    {"n_way": None, "n_shot": 3, "n_query": 2},
    {"n_way": (2, 6), "n_shot": (1, 4)},
    {"n_way": 3, "n_shot": 3, "imbalance": "long_tail"},
    {"n_way": 4, "n_shot": "natural", "n_query": "natural"},
]


@pytest.mark.parametrize("params", SETTINGS, ids=str)
def test_classes_and_confusions_are_those_of_a_plain_loop(params):
    X, y = samples([12, 8, 20, 9, 15, 11, 10], labels=list("gfedcba"))
    params = {**params, "n_episodes": 40}
    report = few_shot_report(PLAIN, X, y, output="dict", **params)
    (setting,) = report.values()

    episodes = list(answered(X, y, **params))
    true = np.concatenate([t for _, t, _ in episodes])
    given = np.concatenate([p for _, _, p in episodes])
    labels = np.unique(y)
    matrix = confusion_matrix(true, given, labels=labels)
    assert list(setting["classes"]) == sorted(
        labels, key=lambda c: setting["classes"][c]["recall"]
    )
    for i, label in enumerate(labels):
        row = setting["classes"][label]
        assert row["n_queries"] == matrix[i].sum()
        assert row["recall"] == pytest.approx(matrix[i, i] / matrix[i].sum())
        assert row["precision"] == pytest.approx(matrix[i, i] / matrix[:, i].sum())
        assert row["n_episodes"] == sum(label in s for s, _, _ in episodes)
        assert row["n_samples"] == np.sum(y == label)
    wrong = matrix - np.diag(matrix.diagonal())
    found = np.zeros_like(matrix)
    place = {label: i for i, label in enumerate(labels)}
    for row in setting["confusions"]:
        found[place[row["true"]], place[row["answered"]]] = row["count"]
        both = [t for s, t, _ in episodes if row["true"] in s and row["answered"] in s]
        assert row["n_queries"] == sum((t == row["true"]).sum() for t in both)
        assert row["share"] == pytest.approx(row["count"] / row["n_queries"])
    np.testing.assert_array_equal(found, wrong)
    counts = [row["count"] for row in setting["confusions"]]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("params", SETTINGS, ids=str)
def test_scores_are_those_of_the_scorer(params):
    X, y = samples([12, 8, 20, 9, 15, 11, 10])
    params = {**params, "n_episodes": 30}
    (setting,) = few_shot_report(
        PLAIN, X, y, top_k=[1, 2], output="dict", **params
    ).values()
    stats = EpisodicScorer(return_stats=True, **params)(PLAIN, X, y)
    assert {name: setting[name] for name in stats} == stats
    for k in (1, 2):
        top = EpisodicScorer(metric=f"top@{k}", **params)(PLAIN, X, y)
        assert setting[f"top@{k}"] == pytest.approx(top)
    assert setting["top@1"] == pytest.approx(setting["score"])


def test_each_setting_is_as_it_is_alone():
    X, y = samples([10] * 8)
    together = few_shot_report(
        PLAIN, X, y, n_way=[2, 5], n_shot=np.array([1, 4]), n_episodes=20, output="dict"
    )
    assert list(together) == [
        "2-way 1-shot", "2-way 4-shot", "5-way 1-shot", "5-way 4-shot"
    ]  # fmt: skip
    for name, setting in together.items():
        alone = few_shot_report(
            PLAIN, X, y, n_way=setting["n_way"], n_shot=setting["n_shot"],
            n_episodes=20, output="dict",
        )  # fmt: skip
        assert alone == {name: setting}


def test_groups_are_kept_apart():
    # The samples of a group are the same: with one in the support set, none is wrong.
    _, y = samples([20] * 4)
    groups = np.arange(80) // 4
    X = np.random.default_rng(0).normal(size=(20, 3))[groups]
    params = {"n_way": 2, "n_query": 3, "n_episodes": 50, "output": "dict"}
    free = few_shot_report(PLAIN, X, y, **params)["2-way 1-shot"]
    apart = few_shot_report(PLAIN, X, y, groups=groups, **params)["2-way 1-shot"]
    assert free["score"] > apart["score"] + 0.03


def test_a_classifier_in_a_plain_loop_gives_the_same_counts():
    X, y = samples([10] * 5)
    slow = make_pipeline("passthrough", NearestCentroid())
    params = {"n_way": 3, "n_shot": 3, "n_episodes": 20, "output": "dict"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        (one,) = few_shot_report(slow, X, y, **params).values()
    (other,) = few_shot_report(PLAIN, X, y, **params).values()
    assert one["classes"] == other["classes"]
    assert one["confusions"] == other["confusions"]


def test_nobody_is_confused_where_all_is_right():
    X, y = samples([6] * 4, spread=0.0)
    report = few_shot_report(PLAIN, X, y, n_way=3, n_episodes=10)
    assert "confusions" not in report
    (setting,) = few_shot_report(
        PLAIN, X, y, n_way=3, n_episodes=10, output="dict"
    ).values()
    assert setting["confusions"] == []
    frames = few_shot_report(PLAIN, X, y, n_way=3, n_episodes=10, output="frame")
    assert len(frames.confusions) == 0
    assert "share" in frames.confusions


def test_a_class_that_is_never_answered_has_no_precision():
    X = np.zeros((12, 2))  # the first class of an episode is answered, always
    y = np.repeat([0, 1, 2], 4)
    report = few_shot_report(PLAIN, X, y, n_way=3, n_episodes=5, output="dict")
    (setting,) = report.values()
    assert np.isnan(setting["classes"][2]["precision"])
    assert setting["classes"][0]["recall"] == 1.0
    text = few_shot_report(PLAIN, X, y, n_way=3, n_episodes=5)
    assert re.search(r"^2 +0\.000 +- ", text, flags=re.MULTILINE)


def test_two_classes_have_no_interval_over_classes():
    X, y = samples([10, 10])
    report = few_shot_report(PLAIN, X, y, n_way=2, n_episodes=20, output="dict")
    (setting,) = report.values()
    assert np.isnan([setting["classes_low"], setting["classes_high"]]).all()
    assert not np.isnan(setting["episodes_low"])


def test_samples_are_embedded_once():
    X, y = samples([10] * 6)
    calls = []

    def embed(X):
        calls.append(len(X))
        return X

    pipe = make_pipeline(FunctionTransformer(embed), PrototypeClassifier())
    few_shot_report(pipe, X, y, n_way=[2, 3, 5], n_shot=[1, 2], n_episodes=5)
    assert calls == [60]


def test_an_integer_gives_the_same_report():
    X, y = samples([10] * 6)
    same = [few_shot_report(PLAIN, X, y, n_episodes=10, random_state=3) for _ in "ab"]
    assert same[0] == same[1] != few_shot_report(PLAIN, X, y, n_episodes=10)


# Forms ------------------------------------------------------------------------------


def test_frames_and_dict_say_the_same():
    X, y = samples([10] * 6, labels=["a", "b", "c", "d", "e", "f"])
    params = {"n_way": [3, None, (2, 4)], "n_episodes": 20, "top_k": 2}
    report = few_shot_report(PLAIN, X, y, output="dict", **params)
    frames = few_shot_report(PLAIN, X, y, output="frame", **params)
    assert list(frames) == ["scores", "classes", "confusions"]
    assert list(frames.scores.index) == list(report)
    assert frames.scores["n_way"].tolist() == [3, None, (2, 4)]
    for name, setting in report.items():
        for key, value in frames.scores.loc[name].items():
            assert value == setting[key]
        rows = frames.classes.loc[name]
        assert rows.to_dict("index") == setting["classes"]
        assert list(rows.index) == list(setting["classes"])
        rows = frames.confusions.loc[[name]]
        assert rows.to_dict("records") == setting["confusions"]


def test_dict_holds_plain_python():
    X, y = samples([10] * 5)
    report = few_shot_report(
        PLAIN, X, y, n_way=[np.int64(3)], n_episodes=5, top_k=2, output="dict"
    )
    (setting,) = report.values()
    found = [*setting.items(), *setting["classes"][0].items()]
    found += [*setting["confusions"][0].items()]
    assert {type(value) for _, value in found} <= {int, float, dict, list}
    assert {type(label) for label in setting["classes"]} == {int}


def test_text_shows_the_numbers_of_the_dict():
    X, y = samples([10] * 6)
    params = {"n_way": [2, 5], "n_shot": [1, (2, 3)], "n_episodes": 20}
    text = few_shot_report(PLAIN, X, y, n_rows=None, **params)
    report = few_shot_report(PLAIN, X, y, output="dict", **params)
    lines = text.split("\n")
    for setting in report.values():
        assert any(f"{setting['score']:.3f}" in line for line in lines)
        assert any(f"[{setting['classes_low']:.3f}, " in line for line in lines)
    last = report["5-way 2-3-shot"]
    start = lines.index("5-way 2-3-shot: classes, the lowest recall first")
    for line, (label, row) in zip(
        lines[start + 3 :], last["classes"].items(), strict=False
    ):
        assert line.split() == [
            str(label), f"{row['recall']:.3f}", f"{row['precision']:.3f}",
            str(row["n_queries"]), str(row["n_episodes"]), str(row["n_samples"]),
        ]  # fmt: skip
    assert "more" not in text


def test_text_of_a_hand_made_case():
    # Two classes are at one place, of which the first is answered; the third is apart.
    X = np.array([[0.0]] * 8 + [[9.0]] * 4)
    y = np.repeat(["ant", "bee", "cow"], 4)
    text = few_shot_report(PLAIN, X, y, n_way=3, n_episodes=10, n_rows=1, top_k=2)
    assert (
        text
        == """\
Accuracy in 10 episodes, of 3 classes

n_way  n_shot  score   over episodes  over classes  worst tenth  top@2
3      1       0.667  [0.667, 0.667]             -        0.667  1.000

over episodes: 95 %, for other draws of episodes from these same samples
over classes:  95 %, for other classes of the same kind

3-way 1-shot: classes, the lowest recall first

class  recall  precision  queries  episodes  samples
bee     0.000          -       30        10        4
… and 2 more, of recall 1.000 to 1.000

3-way 1-shot: confusions, the highest count first

true  answered  share  queries
bee   ant       1.000    30/30"""
    )


@pytest.mark.parametrize("kind", ["long", "words", "newlines", "integers"])
def test_text_is_no_wider_than_a_terminal(kind):
    n_classes = 60
    labels = {
        "long": [f"{i:03}" + "x" * 120 + f"{i}" for i in range(n_classes)],
        "words": [" ".join(["a long name"] * 9) + str(i) for i in range(n_classes)],
        "newlines": [f"{i}\nnext\tline" * 5 for i in range(n_classes)],
        "integers": [10**17 + i for i in range(n_classes)],
    }[kind]
    X, y = samples([6] * n_classes, labels=labels)
    text = few_shot_report(
        PLAIN, X, y, n_way=[5, (10, 20), None], n_shot=[1, (1, 3), "natural"],
        n_episodes=3, top_k=range(1, 12), n_query=2,
    )  # fmt: skip
    assert max(map(len, text.split("\n"))) <= WIDTH
    assert "… and 50 more, of recall " in text
    assert text.count("5      natural") == 2  # the table goes on below
    assert "top@11" in text


def test_tables_are_aligned():
    lines = table({"": ["a", "bbbb"], "x": ["1.000", "-"]})
    assert lines == ["          x", "a     1.000", "bbbb      -"]


def test_long_labels_are_cut_in_their_middle():
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 8) == "abcd…ijk"
    assert shortened(" a\nb ", 9) == "a b"
    assert shortened("", 9) == "''"


def test_little_is_more_than_nothing():
    assert number(2e-4) == "0.0002"
    assert number(-1e-17, signed=True) == "0.000"
    assert number(0.5, signed=True) == "+0.500"
    assert number(np.nan) == "-"


# Errors -----------------------------------------------------------------------------


def refused(match, error=ValueError, estimator=PLAIN, **params):
    X, y = samples([6] * 5)
    with pytest.raises(error, match=match):
        few_shot_report(estimator, X, y, **params)


def test_settings_that_cannot_be_drawn_are_told_before_embedding():
    def embed(X):
        raise NotImplementedError

    pipe = make_pipeline(FunctionTransformer(embed), PrototypeClassifier())
    refused("n_way=20 from y with n_classes=5", estimator=pipe, n_way=[5, 20])
    refused("Episodes need 9 samples of each class", estimator=pipe, n_shot=[1, 8])


def test_wrong_parameters_are_named():
    refused("'n_way' parameter of few_shot_report", n_way=[5, "all"])
    refused("'n_shot' parameter of few_shot_report", n_shot=0)
    refused("'output' parameter of few_shot_report", output="json")
    refused("'n_rows' parameter of few_shot_report", n_rows=0)
    refused(r"'top_k' parameter of few_shot_report.*\[1, 0\]", top_k=[1, 0])
    refused("'top_k' parameter of few_shot_report", top_k="5")
    refused("at least one setting", n_way=[])
    refused("Got '5-way 1-shot' twice", n_shot=[1, 2, 1])
    refused(r"Got \(1, 5, 10\). Did you mean \[1, 5, 10\]\?", n_shot=(1, 5, 10))
    refused("one group for each sample. Got 2 groups for 30", n_way=2, groups=[1, 2])


def test_estimators_that_cannot_be_judged_are_named():
    refused("few_shot_report takes a Pipeline", TypeError, estimator=OneClassSVM())
    refused("not fitted", NotFittedError, estimator=StandardScaler())


def test_lengths_have_to_agree():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        few_shot_report(PLAIN, np.zeros((5, 2)), [0, 1, 2])


def test_small_classes_are_named_where_the_report_is_asked_for():
    X, y = samples([10, 10, 10, 2, 10])
    with pytest.warns(UserWarning, match="1 of 5 classes") as told:
        report = few_shot_report(
            PLAIN, X, y, n_way=3, n_shot=[1, 4], n_episodes=20, output="dict",
            small_classes="drop",
        )  # fmt: skip
    assert {warning.filename for warning in told} == {__file__}
    assert [setting["n_classes"] for setting in report.values()] == [5, 4]
    with pytest.warns(UserWarning, match="1 of 5 classes"):
        text = few_shot_report(
            PLAIN, X, y, n_way=3, n_shot=[1, 4], n_episodes=20, small_classes="drop"
        )
    assert text.startswith("Accuracy in 20 episodes, of 4 to 5 classes")
    table = [line.split()[:3] for line in text.split("\n")[2:5]]
    assert table == [["n_way", "n_shot", "n_classes"], ["3", "1", "5"], ["3", "4", "4"]]


def test_numbers_of_classes_are_no_column_where_they_are_the_same():
    X, y = samples([10] * 5)
    text = few_shot_report(PLAIN, X, y, n_way=3, n_shot=[1, 4], n_episodes=20)
    assert "n_classes" not in text
    frames = few_shot_report(PLAIN, X, y, n_way=3, n_episodes=20, output="frame")
    assert frames.scores["n_classes"].tolist() == [5]


def test_seen_samples_are_told():
    class Taught(FunctionTransformer):
        def _trained_on(self, X):
            return np.arange(len(X)) < 3

    X, y = samples([10] * 5)
    with pytest.warns(SeenSamplesWarning, match="3 of the 50"):
        few_shot_report(make_pipeline(Taught(), PrototypeClassifier()), X, y)


def test_frames_without_pandas_say_what_to_do(monkeypatch):
    X, y = samples([6] * 5)
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr(Player, "__init__", None)  # before anything is embedded
    with pytest.raises(ImportError, match="pip install pandas"):
        few_shot_report(PLAIN, X, y, output="frame")
