import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from skfsl.metrics import mean_average_precision_at_k


def slow_map_at_k(y_true, y_score, labels, k, unknown_label=None, unknown_score=None):
    """Rank by hand: the best score first, the true label behind its equals."""
    total = 0.0
    for i, true in enumerate(y_true):
        scored = [(y_score[i][j], label) for j, label in enumerate(labels)]
        if unknown_label is not None:
            scored.append((unknown_score[i], unknown_label))
        scored.sort(key=lambda pair: (-pair[0], pair[1] == true))
        for place, (_, label) in enumerate(scored[:k], 1):
            if label == true:
                total += 1 / place
    return total / len(y_true)


@st.composite
def problems(draw):
    n_classes = draw(st.integers(1, 6))
    n_queries = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    # Few values, so that there are ties.
    y_score = rng.integers(0, draw(st.integers(1, 8)), (n_queries, n_classes))
    y_true = rng.integers(0, n_classes, n_queries)
    return y_true, y_score.astype(float), np.arange(n_classes), rng


@settings(deadline=None, max_examples=60)
@given(problems(), st.integers(1, 7))
def test_it_is_the_slow_definition(problem, k):
    y_true, y_score, labels, _ = problem
    assert_allclose(
        mean_average_precision_at_k(y_true, y_score, k=k, labels=labels),
        slow_map_at_k(y_true, y_score, labels, k),
    )


@settings(deadline=None, max_examples=60)
@given(problems(), st.integers(1, 7))
def test_with_an_unknown_label_it_is_the_slow_definition(problem, k):
    y_true, y_score, labels, rng = problem
    y_true[rng.random(len(y_true)) < 0.4] = -1
    unknown_score = rng.integers(0, 8, len(y_true)).astype(float)
    assert_allclose(
        mean_average_precision_at_k(
            y_true, y_score, k=k, labels=labels, unknown_label=-1,
            unknown_score=unknown_score,
        ),
        slow_map_at_k(y_true, y_score, labels, k, -1, unknown_score),
    )  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(problems())
def test_only_the_order_of_scores_counts(problem):
    y_true, y_score, labels, rng = problem
    expected = mean_average_precision_at_k(y_true, y_score, labels=labels)
    queries, columns = rng.permutation(len(y_true)), rng.permutation(len(labels))
    rank_of = np.argsort(columns)
    for same in (
        (y_true, np.exp(y_score)),
        (y_true, (3 * y_score - 7).astype(np.float32)),
        (y_true, y_score.astype(np.uint8)),
        (y_true, y_score + rng.normal(size=(len(y_true), 1)).round(2)),
        (y_true[queries], y_score[queries]),
        (rank_of[y_true], y_score[:, columns]),
    ):
        assert_allclose(mean_average_precision_at_k(*same, labels=labels), expected)


def test_by_hand():
    scores = [[5, 4, 3, 2, 1, 0]] * 6
    # Places 1 to 6: 1 + 1/2 + 1/3 + 1/4 + 1/5 + 0.
    assert_allclose(mean_average_precision_at_k(list("abcdef"), scores), 137 / 60 / 6)


def test_by_hand_with_new_whales():
    labels = ["w_1", "w_2", "w_3"]
    scores = [[0.9, 0.5, 0.1], [0.2, 0.8, 0.5], [0.1, 0.2, 0.25], [0.9, 0.7, 0.6]]
    y = ["w_1", "w_3", "new_whale", "new_whale"]
    # With 0.4 for the unknown label: places 1, 2, 1, 4.
    score = mean_average_precision_at_k(
        y, scores, labels=labels, unknown_label="new_whale", unknown_score=0.4
    )
    assert score == (1 + 1 / 2 + 1 + 1 / 4) / 4
    # With 0.6 it stands before w_3 in the second row.
    score = mean_average_precision_at_k(
        y, scores, labels=labels, unknown_label="new_whale", unknown_score=0.65
    )
    assert_allclose(score, (1 + 1 / 3 + 1 + 1 / 3) / 4)


def test_the_unknown_label_is_a_class_of_its_own(rng):
    y_score = rng.normal(size=(40, 5))
    y_true = rng.integers(0, 5, 40)
    # The same with a column for the class that sorts first.
    expected = mean_average_precision_at_k(y_true, y_score, k=3, labels=np.arange(5))
    got = mean_average_precision_at_k(
        np.where(y_true == 0, -9, y_true), y_score[:, 1:], k=3, labels=np.arange(1, 5),
        unknown_label=-9, unknown_score=y_score[:, 0],
    )  # fmt: skip
    assert_allclose(got, expected)


@pytest.mark.parametrize("value", [0.0, 1.0, -np.inf])
def test_a_constant_score_puts_the_true_class_last(value):
    y = np.arange(5)
    scores = np.full((5, 5), value)
    assert mean_average_precision_at_k(y, scores, k=4) == 0
    assert_allclose(mean_average_precision_at_k(y, scores, k=5), 1 / 5)


@pytest.mark.parametrize("true", ["a", "new"])
def test_a_tie_with_the_unknown_label_counts_against_either(true):
    score = mean_average_precision_at_k(
        [true], [[0.5, 0.1]], labels=["a", "b"], unknown_label="new", unknown_score=0.5
    )
    assert score == 1 / 2


def test_an_infinite_unknown_score_is_always_or_never_first():
    kept = {"labels": ["a", "b"], "unknown_label": "new"}
    y, scores = ["a", "new"], [[0.5, 0.1], [0.4, 0.2]]
    for threshold, expected in ((np.inf, (1 / 2 + 1) / 2), (-np.inf, (1 + 1 / 3) / 2)):
        assert_allclose(
            mean_average_precision_at_k(y, scores, unknown_score=threshold, **kept),
            expected,
        )


def test_at_1_it_is_accuracy_and_it_bounds_those_that_ask_less(rng):
    y_score = rng.normal(size=(50, 6))
    y_true = rng.permutation(np.arange(50) % 6)
    at_1 = mean_average_precision_at_k(y_true, y_score, k=1)
    assert_allclose(at_1, accuracy_score(y_true, y_score.argmax(axis=1)))
    at_3 = mean_average_precision_at_k(y_true, y_score, k=3)
    assert at_1 < at_3 < top_k_accuracy_score(y_true, y_score, k=3)


def test_an_integer_weight_is_a_repetition(rng):
    y_score, y_true = rng.normal(size=(20, 4)), np.arange(20) % 4
    weights = rng.integers(0, 4, 20)
    assert_allclose(
        mean_average_precision_at_k(y_true, y_score, sample_weight=weights),
        mean_average_precision_at_k(
            y_true.repeat(weights), y_score.repeat(weights, axis=0), labels=range(4)
        ),
    )


def test_blocks_of_queries_change_nothing(rng, monkeypatch):
    y_score, y_true = rng.integers(0, 9, (30, 7)), np.arange(30) % 7
    whole = mean_average_precision_at_k(y_true, y_score)
    monkeypatch.setattr("skfsl.metrics._ranking._BLOCK", 10)
    assert mean_average_precision_at_k(y_true, y_score) == whole


def test_a_true_label_without_a_column_raises():
    with pytest.raises(ValueError, match=r"not in labels: \['cow', 'dog'\]"):
        mean_average_precision_at_k(
            ["ape", "dog", "cow"], np.zeros((3, 2)), labels=["ape", "bee"]
        )


def test_columns_that_cannot_be_named_raise():
    with pytest.raises(ValueError, match=r"3 columns, and 2 classes.*Pass labels="):
        mean_average_precision_at_k([0, 1], np.zeros((2, 3)))


@pytest.mark.parametrize("labels", [[2, 0, 1], [0, 1, 1]])
def test_labels_that_are_not_sorted_and_unique_raise(labels):
    with pytest.raises(ValueError, match="sorted and unique"):
        mean_average_precision_at_k([0, 1], np.zeros((2, 3)), labels=labels)


def test_labels_of_another_number_than_columns_raise():
    with pytest.raises(ValueError, match="Got 3 columns and 2 labels"):
        mean_average_precision_at_k([0, 1], np.zeros((2, 3)), labels=[0, 1])


def test_labels_of_another_kind_raise():
    with pytest.raises(TypeError, match=r"Got number in y_true .* and str in labels"):
        mean_average_precision_at_k([0, 1], np.zeros((2, 2)), labels=["0", "1"])
    with pytest.raises(TypeError, match="str in unknown_label"):
        mean_average_precision_at_k(
            [0, 1], np.zeros((2, 2)), unknown_label="new", unknown_score=0.0
        )


@pytest.mark.parametrize("given", ["unknown_label", "unknown_score"])
def test_unknown_label_and_score_come_together(given):
    with pytest.raises(ValueError, match=f"Got {given} without unknown_"):
        mean_average_precision_at_k([0, 1], np.zeros((2, 2)), **{given: -1})


def test_an_unknown_label_with_a_column_raises():
    with pytest.raises(ValueError, match="unknown label 1 is in labels"):
        mean_average_precision_at_k(
            [0, 1], np.zeros((2, 2)), labels=[0, 1], unknown_label=1, unknown_score=0
        )


def test_unknown_scores_of_another_number_raise():
    with pytest.raises(ValueError, match=r"each of the 2 queries. Got 3"):
        mean_average_precision_at_k(
            [0, 1], np.zeros((2, 2)), unknown_label=-1, unknown_score=[1, 2, 3]
        )


@pytest.mark.parametrize("k", [0, 1.5, None])
def test_k_is_a_positive_integer(k):
    with pytest.raises(ValueError, match="'k' parameter of mean_average_precision"):
        mean_average_precision_at_k([0, 1], np.zeros((2, 2)), k=k)
