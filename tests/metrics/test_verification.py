import warnings
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skfsl.metrics import equal_error_rate, fpr_at_tpr, true_accept_rate

MEASURES = [equal_error_rate, true_accept_rate, fpr_at_tpr]


def operating_points(y_true, y_score):
    """Return (false accepts, true accepts), as shares, at every threshold."""
    n_true = sum(y_true)
    points = [(Fraction(0), Fraction(0))]
    for threshold in sorted(set(y_score), reverse=True):
        accepted = [y for y, s in zip(y_true, y_score, strict=True) if s >= threshold]
        false = len(accepted) - sum(accepted)
        points.append(
            (Fraction(false, len(y_true) - n_true), Fraction(sum(accepted), n_true))
        )
    return points


def slow_equal_error_rate(y_true, y_score):
    """Return where the segments of the ROC curve meet ``fpr = 1 - tpr``."""
    points = operating_points(y_true, y_score)
    for (f0, t0), (f1, t1) in pairwise(points):
        if f0 + t0 <= 1 <= f1 + t1:
            along = (1 - f0 - t0) / (f1 + t1 - f0 - t0)
            return f0 + along * (f1 - f0)
    raise AssertionError("the curve goes from (0, 0) to (1, 1)")


@st.composite
def problems(draw):
    n = draw(st.integers(2, 14))
    y_true = [1, 0, *draw(st.lists(st.integers(0, 1), min_size=n - 2, max_size=n - 2))]
    # Few values, so that there are ties.
    y_score = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    return y_true, y_score


@settings(deadline=None, max_examples=80)
@given(problems())
def test_equal_error_rate_is_the_slow_definition(problem):
    expected = float(slow_equal_error_rate(*problem))
    assert_allclose(equal_error_rate(*problem), expected, atol=1e-15)


@settings(deadline=None, max_examples=80)
@given(problems(), st.integers(1, 19))
@pytest.mark.filterwarnings("ignore:false_accept_rate")
def test_rates_at_a_rate_are_the_slow_definition(problem, twentieths):
    rate, points = Fraction(twentieths, 20), operating_points(*problem)
    assert_allclose(
        true_accept_rate(*problem, false_accept_rate=twentieths / 20),
        float(max(t for f, t in points if f <= rate)),
    )
    assert_allclose(
        fpr_at_tpr(*problem, tpr=twentieths / 20),
        float(min(f for f, t in points if t >= rate)),
    )


@settings(deadline=None, max_examples=30)
@given(problems(), st.randoms(use_true_random=False))
@pytest.mark.filterwarnings("ignore:false_accept_rate")
def test_only_the_order_of_scores_counts(problem, random):
    y_true, y_score = (np.array(values) for values in problem)
    order = np.array(random.sample(range(len(y_true)), len(y_true)))
    for measure in MEASURES:
        expected = measure(y_true, y_score)
        for same in (
            (y_true, np.exp(y_score)),
            (y_true, (y_score / 10 - 3).astype(np.float32)),
            (y_true[order], y_score[order]),
            (y_true == 1, y_score.astype(np.uint8)),
            (2 * y_true - 1, y_score),
        ):
            assert_allclose(measure(*same), expected, atol=1e-15)


@settings(deadline=None, max_examples=30)
@given(problems())
def test_the_equal_error_rate_is_the_same_from_the_other_side(problem):
    y_true, y_score = (np.array(values) for values in problem)
    assert_allclose(
        equal_error_rate(1 - y_true, -y_score),
        equal_error_rate(y_true, y_score),
        atol=1e-15,
    )


def test_by_hand():
    # Falling scores: 1 1 0 1 0 0 1 0. At 7 two of four are accepted, none of
    # the others; the errors meet at the threshold 5: one of four on each side.
    y, scores = [1, 1, 0, 1, 0, 0, 1, 0], [8, 7, 6, 5, 4, 3, 2, 1]
    assert equal_error_rate(y, scores) == 0.25
    assert true_accept_rate(y, scores, false_accept_rate=0.25) == 0.75
    assert true_accept_rate(y, scores, false_accept_rate=0.74) == 0.75
    assert true_accept_rate(y, scores, false_accept_rate=0.75) == 1.0
    assert fpr_at_tpr(y, scores) == 0.75
    assert fpr_at_tpr(y, scores, tpr=0.75) == 0.25
    assert fpr_at_tpr(y, scores, tpr=0.5) == 0.0


def test_the_equal_error_rate_between_two_thresholds_by_hand():
    # At 3: no false accept, 2/3 false refusals. At 2: all accepted. On the way
    # f = 2/3 - 2/3 f.
    assert_allclose(equal_error_rate([1, 0, 0, 1, 1], [3, 2, 2, 2, 2]), 0.4)


@pytest.mark.parametrize("value", [0.0, 7.0])
@pytest.mark.filterwarnings("ignore:false_accept_rate")
def test_a_constant_score_is_chance(value):
    y, scores = [1, 1, 1, 0], np.full(4, value)
    assert equal_error_rate(y, scores) == 0.5
    assert true_accept_rate(y, scores) == 0
    assert fpr_at_tpr(y, scores) == 1


@pytest.mark.filterwarnings("ignore:false_accept_rate")
def test_the_best_and_the_worst_score():
    y = np.array([1, 1, 0, 0, 0])
    assert [measure(y, y) for measure in MEASURES] == [0, 1, 0]
    assert [measure(y, -y) for measure in MEASURES] == [1, 0, 1]


@pytest.mark.filterwarnings("ignore:false_accept_rate")
@pytest.mark.parametrize("measure", MEASURES)
def test_an_integer_weight_is_a_repetition(measure, rng):
    y, scores = np.arange(30) % 2, rng.normal(size=30)
    weights = rng.integers(0, 4, 30)
    assert_allclose(
        measure(y, scores, sample_weight=weights),
        measure(y.repeat(weights), scores.repeat(weights)),
    )


@pytest.mark.parametrize("weight", [0.1, 1 / 3, 0.7])
def test_equal_weights_change_nothing(weight):
    # Sums of 0.1 are not whole, and five of a hundred must stay 0.05.
    y, scores = np.tile([0, 1], 100), np.arange(200)
    kwargs = {"sample_weight": np.full(200, weight)}
    for far in (0.01, 0.05, 0.3):
        tar = true_accept_rate(y, scores, false_accept_rate=far, **kwargs)
        assert_allclose(tar, far + 0.01)
    for tpr in (0.5, 0.95, 0.99):
        assert_allclose(fpr_at_tpr(y, scores, tpr=tpr, **kwargs), tpr - 0.01)
    assert_allclose(equal_error_rate(y, scores, **kwargs), equal_error_rate(y, scores))


def test_a_rate_that_cannot_be_measured_is_told():
    y, scores = np.repeat([1, 0], [5, 50]), np.arange(55)[::-1]
    with pytest.warns(UserWarning, match=r"on 50 pairs .* 1/50.* at least 1000 such"):
        assert true_accept_rate(y, scores, false_accept_rate=0.001) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        true_accept_rate(y, scores, false_accept_rate=0.02)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("y", [[1, 1, 1], [0, 0, 0], [-1, -1, -1]])
def test_pairs_of_one_sort_raise(measure, y):
    with pytest.raises(ValueError, match="both positive and negative samples"):
        measure(y, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("weights", "message"),
    [([1, 1, 0], "2 positive and 0 negative"), ([0, 0, 1], "0 positive and 1 neg")],
)
def test_pairs_of_one_sort_by_their_weights_raise(measure, weights, message):
    with pytest.raises(ValueError, match=message):
        measure([1, 1, 0], [1.0, 2.0, 3.0], sample_weight=weights)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("y", [[0, 1, 2], [-1, 0, 1], ["a", "b", "a"], [1, 2, 1]])
def test_other_labels_than_one_and_zero_raise(measure, y):
    with pytest.raises(ValueError, match="Expected y_true of 1 and 0"):
        measure(y, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("measure", MEASURES)
def test_infinite_scores_raise(measure):
    with pytest.raises(ValueError, match="y_score contains infinity"):
        measure([0, 1, 1], [1.0, 2.0, np.inf])


@pytest.mark.parametrize("rate", [0, 1, 1.5, "0.1"])
def test_rates_lie_between_0_and_1(rate):
    with pytest.raises(ValueError, match="'false_accept_rate' parameter"):
        true_accept_rate([0, 1], [1, 2], false_accept_rate=rate)
    with pytest.raises(ValueError, match="'tpr' parameter"):
        fpr_at_tpr([0, 1], [1, 2], tpr=rate)
