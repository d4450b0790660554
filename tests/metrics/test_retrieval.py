import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier

from skfsl.metrics import mean_average_precision_at_r, r_precision, recall_at_k

MEASURES = [recall_at_k, r_precision, mean_average_precision_at_r]


def slow_retrieval(y_true, y_score, y_references=None, k=1):
    """Return recall@k, R-precision and MAP@R by sorting the references of each query.

    Queries without a reference of their class are left out; of equal scores strangers
    come first.
    """
    values = []
    for i, label in enumerate(y_true):
        others = y_true if y_references is None else y_references
        found = [
            (y_score[i][j], other == label)
            for j, other in enumerate(others)
            if y_references is not None or j != i
        ]
        r = sum(own for _, own in found)
        if r == 0:
            continue
        found.sort(key=lambda pair: (-pair[0], pair[1]))
        own = [own for _, own in found]
        precision_at = [sum(own[:place]) / place for place in range(1, r + 1)]
        values.append(
            (
                any(own[:k]),
                sum(own[:r]) / r,
                sum(precision_at[place] for place in range(r) if own[place]) / r,
            )
        )
    return np.mean(values, axis=0) if values else None


@st.composite
def problems(draw):
    n_classes = draw(st.integers(1, 5))
    n_queries, n_references = draw(st.integers(2, 10)), draw(st.integers(2, 12))
    against_itself = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    y_true = rng.integers(0, n_classes, n_queries)
    y_references = None
    if not against_itself:
        y_references = rng.integers(0, n_classes, n_references)
    shape = (n_queries, n_queries if against_itself else n_references)
    # Few values, so that there are ties.
    y_score = rng.integers(0, draw(st.integers(1, 20)), shape).astype(float)
    y_score[rng.random(shape) < draw(st.sampled_from([0, 0.3]))] = -np.inf
    return y_true, y_score, y_references, rng


def all_three(y_true, y_score, y_references=None, k=1, **kwargs):
    kwargs["y_references"] = y_references
    return (
        recall_at_k(y_true, y_score, k=k, **kwargs),
        r_precision(y_true, y_score, **kwargs),
        mean_average_precision_at_r(y_true, y_score, **kwargs),
    )


@settings(deadline=None, max_examples=150)
@given(problems(), st.integers(1, 6))
def test_they_are_the_slow_definition(problem, k):
    y_true, y_score, y_references, _ = problem
    n_references = y_score.shape[1] - (y_references is None)
    if k >= n_references:
        with pytest.raises(ValueError, match="less than the number of references"):
            recall_at_k(y_true, y_score, k=k, y_references=y_references)
        return
    expected = slow_retrieval(y_true, y_score, y_references, k)
    if expected is None:
        for measure in MEASURES:
            with pytest.raises(ValueError, match="queries whose class has another"):
                measure(y_true, y_score, y_references=y_references)
        return
    assert_allclose(all_three(y_true, y_score, y_references, k), expected)


@settings(deadline=None, max_examples=30)
@given(problems())
def test_only_the_order_of_scores_counts(problem):
    y_true, y_score, y_references, rng = problem
    if slow_retrieval(y_true, y_score, y_references) is None or y_score.shape[1] < 3:
        return
    expected = all_three(y_true, y_score, y_references)
    whole = np.where(np.isinf(y_score), -1, y_score)
    for scores in (
        np.exp(y_score),
        (2 * y_score - 3).astype(np.float32),
        y_score.astype(np.float16),
        whole.astype(np.int8),
        (whole + 1).astype(np.uint8),
        y_score + rng.integers(0, 99, (len(y_true), 1)),
    ):
        assert_allclose(all_three(y_true, scores, y_references), expected)


@settings(deadline=None, max_examples=30)
@given(problems())
def test_the_order_and_names_of_samples_do_not_count(problem):
    y_true, y_score, y_references, rng = problem
    if slow_retrieval(y_true, y_score, y_references) is None or y_score.shape[1] < 3:
        return
    expected = all_three(y_true, y_score, y_references)
    names = np.array(["e", "dd", "c", "b", "a"])
    rows = rng.permutation(len(y_true))
    if y_references is None:
        moved = names[y_true[rows]], y_score[rows][:, rows], None
    else:
        columns = rng.permutation(len(y_references))
        references = names[y_references[columns]]
        moved = names[y_true[rows]], y_score[rows][:, columns], references
    assert_allclose(all_three(*moved), expected)


@pytest.mark.parametrize(
    ("own_places", "expected"),
    [
        # The toy example of Musgrave et al. 2020: ten references of the own class.
        ([1], (1, 0.1, 0.1)),
        ([1, 10], (1, 0.2, 0.12)),
        ([1, 2], (1, 0.2, 0.2)),
        (range(1, 11), (1, 1, 1)),
        ([2, 3], (0, 0.2, (1 / 2 + 2 / 3) / 10)),
    ],
)
def test_by_hand(own_places, expected):
    y_references = np.zeros(30, dtype=int)
    y_references[np.array(own_places) - 1] = 1
    # Those of the class that are not among the first ten come last.
    y_references[20 + len(own_places) :] = 1
    scores = -np.arange(30.0)[None]
    assert y_references.sum() == 10
    assert_allclose(all_three([1], scores, y_references), expected)


def test_recall_at_1_is_the_accuracy_of_the_nearest_neighbour(rng):
    X, y = rng.normal(size=(60, 2)), rng.integers(0, 4, 60)
    Q, y_q = rng.normal(size=(30, 2)), rng.integers(0, 4, 30)
    assert_allclose(
        recall_at_k(y_q, -pairwise_distances(Q, X), y_references=y),
        KNeighborsClassifier(1).fit(X, y).score(Q, y_q),
    )


@pytest.mark.parametrize("measure", MEASURES)
def test_a_constant_score_finds_nothing(measure):
    assert measure(np.arange(12) % 3, np.zeros((12, 12))) == 0


@pytest.mark.parametrize("measure", MEASURES)
def test_no_query_finds_itself(measure):
    y = np.arange(12) % 3
    scores = np.eye(12)
    scores[y[:, None] != y] = 0.5
    assert measure(y, scores) == 0
    assert measure(y, scores, y_references=y) > 0


@pytest.mark.parametrize("measure", MEASURES)
def test_classes_apart_give_one(measure):
    y = np.arange(12) % 3
    assert measure(y, y[:, None] == y) == 1


def test_lone_queries_are_left_out(rng):
    y = np.array([0, 0, 0, 1, 1, 1, 7])
    scores = rng.normal(size=(7, 7))
    weights = [1, 1, 1, 1, 1, 1, 100]
    assert_allclose(all_three(y, scores), all_three(y, scores, sample_weight=weights))
    assert_allclose(all_three(y, scores), slow_retrieval(y, scores))


def test_an_integer_weight_is_a_repetition(rng):
    y, references = rng.integers(0, 3, 20), rng.integers(0, 3, 15)
    scores, weights = rng.normal(size=(20, 15)), rng.integers(0, 4, 20)
    assert_allclose(
        all_three(y, scores, references, sample_weight=weights),
        all_three(y.repeat(weights), scores.repeat(weights, axis=0), references),
    )


def test_blocks_of_queries_change_nothing(rng, monkeypatch):
    y, scores = rng.integers(0, 3, 40), rng.integers(0, 30, (40, 40))
    whole = all_three(y, scores, k=4)
    monkeypatch.setattr("skfsl.metrics._retrieval._BLOCK", 100)
    assert_allclose(all_three(y, scores, k=4), whole)


def test_scores_are_left_as_they_are(rng):
    y, scores = rng.integers(0, 3, 10), rng.normal(size=(10, 10))
    before = scores.copy()
    scores.flags.writeable = False
    all_three(y, scores)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("measure", MEASURES)
def test_scores_that_are_not_square_ask_for_references(measure):
    with pytest.raises(ValueError, match=r"Got shape \(3, 2\). Pass y_references="):
        measure([0, 0, 1], np.zeros((3, 2)))


@pytest.mark.parametrize("measure", MEASURES)
def test_references_of_another_number_than_columns_raise(measure):
    with pytest.raises(ValueError, match="Got 2 columns and 3 labels in y_references"):
        measure([0, 0, 1], np.zeros((3, 2)), y_references=[0, 1, 1])


@pytest.mark.parametrize("measure", MEASURES)
def test_references_of_another_kind_raise(measure):
    with pytest.raises(TypeError, match=r"number in y_true .* str in y_references"):
        measure([0, 0, 1], np.zeros((3, 2)), y_references=["0", "1"])


@pytest.mark.parametrize("k", [0, 1.5, None])
def test_k_is_a_positive_integer(k):
    with pytest.raises(ValueError, match="'k' parameter of recall_at_k"):
        recall_at_k([0, 0, 1, 1], np.zeros((4, 4)), k=k)
