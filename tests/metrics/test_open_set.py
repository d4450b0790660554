import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.dummy import DummyClassifier
from sklearn.metrics import (
    accuracy_score,
    auc,
    make_scorer,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from skfsl.metrics import (
    in_scope_accuracy,
    oscr_curve,
    oscr_score,
    out_of_scope_recall,
)


def slow_oscr_score(y_true, y_pred, y_score, unknown):
    """Compare every known query with every unknown one."""
    won = n_pairs = 0
    for true, pred, score in zip(y_true, y_pred, y_score, strict=True):
        for other, other_score in zip(y_true, y_score, strict=True):
            if true != unknown and other == unknown:
                n_pairs += 1
                if pred == true:
                    won += (score > other_score) + (score == other_score) / 2
    return won / n_pairs


def slow_oscr_curve(y_true, y_pred, y_score, unknown):
    thresholds = [np.inf, *sorted(set(y_score), reverse=True)]
    queries = list(zip(y_true, y_pred, y_score, strict=True))
    n_unknown = sum(true == unknown for true, _, _ in queries)
    fpr = [
        sum(true == unknown and s >= t for true, _, s in queries) / n_unknown
        for t in thresholds
    ]
    ccr = [
        sum(true == pred and s >= t for true, pred, s in queries)
        / (len(queries) - n_unknown)
        for t in thresholds
    ]
    return fpr, ccr, thresholds


@st.composite
def problems(draw):
    n = draw(st.integers(2, 15))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    y_true = rng.integers(-1, 3, n)
    y_true[:2] = 0, -1
    # Few values, so that there are ties.
    return y_true, rng.integers(0, 3, n), rng.integers(0, 8, n).astype(float), rng


@settings(deadline=None, max_examples=60)
@given(problems())
def test_they_are_the_slow_definition(problem):
    *data, _ = problem
    for got, expected in zip(
        oscr_curve(*data, unknown_label=-1), slow_oscr_curve(*data, -1), strict=True
    ):
        assert_allclose(got, expected)
    assert_allclose(oscr_score(*data, unknown_label=-1), slow_oscr_score(*data, -1))


@settings(deadline=None, max_examples=30)
@given(problems())
def test_only_the_order_of_scores_counts(problem):
    y_true, y_pred, y_score, rng = problem
    expected = oscr_score(y_true, y_pred, y_score, unknown_label=-1)
    order, names = rng.permutation(len(y_true)), np.array(["a", "b", "c", "new"])
    for same, unknown in (
        ((y_true, y_pred, np.exp(y_score)), -1),
        ((y_true, y_pred, (y_score / 10 - 3).astype(np.float32)), -1),
        ((y_true[order], y_pred[order], y_score[order]), -1),
        ((names[y_true], names[y_pred], y_score.astype(int)), "new"),
    ):
        assert_allclose(oscr_score(*same, unknown_label=unknown), expected)


@settings(deadline=None, max_examples=30)
@given(problems())
def test_where_all_are_rightly_classified_it_is_the_roc_curve(problem):
    y_true, _, y_score, _ = problem
    y_pred = np.where(y_true == -1, 0, y_true)
    fpr, ccr, thresholds = oscr_curve(y_true, y_pred, y_score, unknown_label=-1)
    expected = roc_curve(y_true != -1, y_score, drop_intermediate=False)
    for got, want in zip((fpr, ccr, thresholds), expected, strict=True):
        assert_allclose(got, want)
    assert_allclose(
        oscr_score(y_true, y_pred, y_score, unknown_label=-1),
        roc_auc_score(y_true != -1, y_score),
    )


@settings(deadline=None, max_examples=30)
@given(problems())
def test_the_curve_ends_at_the_accuracy_without_refusal(problem):
    y_true, y_pred, y_score, _ = problem
    fpr, ccr, thresholds = oscr_curve(y_true, y_pred, y_score, unknown_label=-1)
    known = y_true != -1
    assert (fpr[0], ccr[0], thresholds[0]) == (0, 0, np.inf)
    assert fpr[-1] == 1
    assert_allclose(ccr[-1], accuracy_score(y_true[known], y_pred[known]))
    assert (np.diff(fpr) >= 0).all()
    assert (np.diff(ccr) >= 0).all()
    assert (np.diff(thresholds) < 0).all()


def test_by_hand():
    y_true = [0, 1, 0, -1, 1, -1]
    y_pred = [0, 1, 1, 0, 1, 1]
    # Right and above 3 and 1: 6 (both), 5 (both), 2 (one); 4 is wrong.
    score = oscr_score(y_true, y_pred, [6, 5, 4, 3, 2, 1], unknown_label=-1)
    assert score == (2 + 2 + 0 + 1) / 8


def test_a_constant_score_gives_half_the_accuracy():
    y_true, y_pred = [0, 0, 1, 1, -1, -1], [0, 0, 1, 0, 0, 1]
    assert_allclose(oscr_score(y_true, y_pred, np.ones(6), unknown_label=-1), 0.75 / 2)


def test_an_integer_weight_is_a_repetition(rng):
    y_true, y_pred = rng.integers(-1, 3, 40), rng.integers(0, 3, 40)
    y_score, weights = rng.normal(size=40), rng.integers(0, 4, 40)
    repeated = [values.repeat(weights) for values in (y_true, y_pred, y_score)]
    kwargs = {"unknown_label": -1}
    assert_allclose(
        oscr_score(y_true, y_pred, y_score, sample_weight=weights, **kwargs),
        oscr_score(*repeated, **kwargs),
    )
    y_pred[::5] = -1
    for measure in (in_scope_accuracy, out_of_scope_recall):
        assert_allclose(
            measure(y_true, y_pred, sample_weight=weights, **kwargs),
            measure(y_true.repeat(weights), y_pred.repeat(weights), **kwargs),
        )


def test_the_area_is_that_of_the_curve(rng):
    data = rng.integers(-1, 3, 40), rng.integers(0, 3, 40), rng.normal(size=40)
    fpr, ccr, _ = oscr_curve(*data, unknown_label=-1)
    assert_allclose(oscr_score(*data, unknown_label=-1), auc(fpr, ccr))


@pytest.mark.parametrize("measure", [oscr_curve, oscr_score])
def test_refused_queries_are_told_not_to_be_refused(measure):
    with pytest.raises(ValueError, match="unknown label -1 2 times"):
        measure([0, 1, -1], [0, -1, -1], [1.0, 2.0, 3.0], unknown_label=-1)


@pytest.mark.parametrize("y_true", [[0, 1, 0], [-1, -1, -1]])
def test_a_curve_needs_both_sorts(y_true):
    with pytest.raises(ValueError, match="of known classes and queries with the unkn"):
        oscr_score(y_true, [0, 1, 0], [1.0, 2.0, 3.0], unknown_label=-1)


def test_infinite_scores_raise():
    with pytest.raises(ValueError, match="y_score contains infinity"):
        oscr_score([0, -1], [0, 0], [1.0, -np.inf], unknown_label=-1)


@settings(deadline=None, max_examples=30)
@given(problems())
def test_in_and_out_of_scope_are_what_scikit_learn_says(problem):
    y_true, _, _, rng = problem
    y_pred = rng.integers(-1, 3, len(y_true))
    known = y_true != -1
    assert_allclose(
        in_scope_accuracy(y_true, y_pred, unknown_label=-1),
        accuracy_score(y_true[known], y_pred[known]),
    )
    assert_allclose(
        out_of_scope_recall(y_true, y_pred, unknown_label=-1),
        recall_score(y_true, y_pred, labels=[-1], average="macro"),
    )


def test_in_and_out_of_scope_by_hand():
    y_true = ["pay", "pay", "call", "call", "oos", "oos", "oos"]
    y_pred = ["pay", "oos", "call", "pay", "oos", "pay", "oos"]
    assert in_scope_accuracy(y_true, y_pred, unknown_label="oos") == 2 / 4
    assert_allclose(out_of_scope_recall(y_true, y_pred, unknown_label="oos"), 2 / 3)


def test_they_are_scorers_of_scikit_learn():
    X, y = np.zeros((4, 1)), [0, 1, -1, -1]
    refuses = DummyClassifier(strategy="constant", constant=-1).fit(X, y)
    for measure, expected in ((in_scope_accuracy, 0), (out_of_scope_recall, 1)):
        assert make_scorer(measure, unknown_label=-1)(refuses, X, y) == expected


def test_a_side_without_queries_raises():
    with pytest.raises(ValueError, match="queries of known classes in y_true"):
        in_scope_accuracy([-1, -1], [0, -1], unknown_label=-1)
    with pytest.raises(ValueError, match="queries with the unknown label in y_true"):
        out_of_scope_recall([0, 1], [0, -1], unknown_label=-1)


@pytest.mark.parametrize("measure", [in_scope_accuracy, out_of_scope_recall])
def test_labels_of_different_kinds_raise(measure):
    with pytest.raises(TypeError, match=r"number in y_true .* str in y_pred"):
        measure([0, -1], ["0", "-1"], unknown_label=-1)
    with pytest.raises(TypeError, match=r"number in y_true .* str in unknown_label"):
        measure([0, -1], [0, -1], unknown_label="-1")


def test_data_are_left_as_they_are(rng):
    data = rng.integers(-1, 3, 40), rng.integers(0, 3, 40), rng.normal(size=40)
    before = [values.copy() for values in data]
    for values in data:
        values.flags.writeable = False
    oscr_curve(*data, unknown_label=-1)
    for values, copy in zip(data, before, strict=True):
        assert_array_equal(values, copy)
