import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skfsl.metrics import expected_calibration_error


def slow_error(y_true, y_proba, bin_of, n_bins):
    """Equation 3 of Guo et al. 2017: sum of |B_m| / n · |acc(B_m) - conf(B_m)|."""
    members = [[] for _ in range(n_bins)]
    for i, row in enumerate(y_proba):
        members[bin_of(max(row))].append(i)
    error = 0.0
    for bin_ in members:
        if bin_:
            accuracy = np.mean([np.argmax(y_proba[i]) == y_true[i] for i in bin_])
            confidence = np.mean([max(y_proba[i]) for i in bin_])
            error += len(bin_) / len(y_true) * abs(accuracy - confidence)
    return error


def uniform_bin(n_bins):
    """((m - 1) / M, m / M], as in the paper."""
    return lambda p: next(m for m in range(n_bins) if p <= (m + 1) / n_bins)


@st.composite
def problems(draw):
    n, n_classes = draw(st.integers(1, 20)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    # Twentieths fall on the edges of bins.
    y_proba = rng.multinomial(20, np.full(n_classes, 1 / n_classes), size=n) / 20
    return rng.integers(0, n_classes, n), y_proba, np.arange(n_classes), rng


@settings(deadline=None, max_examples=80)
@given(problems(), st.integers(1, 25))
def test_it_is_the_slow_definition(problem, n_bins):
    y_true, y_proba, labels, _ = problem
    assert_allclose(
        expected_calibration_error(y_true, y_proba, labels=labels, n_bins=n_bins),
        slow_error(y_true, y_proba, uniform_bin(n_bins), n_bins),
        atol=1e-14,
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 10**6))
def test_quantile_bins_are_equal_parts_of_the_sorted_queries(n_bins, size, seed):
    rng = np.random.default_rng(seed)
    n = n_bins * size
    first = rng.permutation(np.linspace(0.55, 0.95, n))
    y_proba, y_true = np.column_stack([first, 1 - first]), rng.integers(0, 2, n)
    order = np.sort(first)
    assert_allclose(
        expected_calibration_error(
            y_true, y_proba, labels=[0, 1], n_bins=n_bins, strategy="quantile"
        ),
        slow_error(
            y_true, y_proba, lambda p: np.searchsorted(order, p) // size, n_bins
        ),
    )


def test_queries_of_equal_confidence_are_in_one_quantile_bin():
    # Half right at 0.5: apart from each other they would be off by 0.5.
    y_proba, y_true = np.full((8, 2), 0.5), [0, 1] * 4
    error = expected_calibration_error(y_true, y_proba, n_bins=4, strategy="quantile")
    assert error == 0


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_by_hand(strategy):
    y_proba = [[0.9, 0.1], [0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.6, 0.4]]
    # Two bins. Uniform: all in (0.5, 1]: mean confidence 0.76, accuracy 3 / 5.
    # Quantile: 0.6 0.6 | 0.8 0.9 0.9: 2 (1 - 0.6) and 3 (2.6 - 1) / 3.
    y_true = [0, 0, 1, 1, 0]
    expected = {"uniform": 0.16, "quantile": (0.8 + 1.6) / 5}[strategy]
    assert_allclose(
        expected_calibration_error(y_true, y_proba, n_bins=2, strategy=strategy),
        expected,
    )


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_certain_predictions(strategy):
    y, kwargs = np.array([0, 1, 2, 0]), {"strategy": strategy, "labels": [0, 1, 2]}
    assert expected_calibration_error(y, np.eye(3)[y], **kwargs) == 0
    assert expected_calibration_error((y + 1) % 3, np.eye(3)[y], **kwargs) == 1
    assert expected_calibration_error(y, np.eye(3, dtype=int)[y], **kwargs) == 0


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_probabilities_that_are_what_they_say_have_nearly_no_error(strategy, rng):
    y_proba = rng.dirichlet(np.ones(3), size=20000)
    y_true = (y_proba.cumsum(axis=1) < rng.random((20000, 1))).sum(axis=1)
    assert expected_calibration_error(y_true, y_proba, strategy=strategy) < 0.015
    sharp = y_proba**3 / (y_proba**3).sum(axis=1, keepdims=True)
    assert expected_calibration_error(y_true, sharp, strategy=strategy) > 0.1


@settings(deadline=None, max_examples=30)
@given(problems(), st.sampled_from(["uniform", "quantile"]))
def test_the_order_and_names_of_queries_do_not_count(problem, strategy):
    y_true, y_proba, labels, rng = problem
    kwargs = {"labels": labels, "strategy": strategy}
    expected = expected_calibration_error(y_true, y_proba, **kwargs)
    order, names = rng.permutation(len(y_true)), np.array(["a", "b", "c", "d"])
    assert_allclose(
        expected_calibration_error(y_true[order], y_proba[order], **kwargs),
        expected, atol=1e-14,
    )  # fmt: skip
    kwargs["labels"] = names[labels]
    assert expected_calibration_error(names[y_true], y_proba, **kwargs) == expected


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_an_integer_weight_is_a_repetition(strategy, rng):
    y_proba, y_true = rng.dirichlet(np.ones(3), size=40), np.arange(40) % 3
    weights, kwargs = rng.integers(0, 4, 40), {"labels": [0, 1, 2], "n_bins": 5}
    kwargs["strategy"] = strategy
    assert_allclose(
        expected_calibration_error(y_true, y_proba, sample_weight=weights, **kwargs),
        expected_calibration_error(
            y_true.repeat(weights), y_proba.repeat(weights, axis=0), **kwargs
        ),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_sum_to_one_as_exactly_as_their_dtype_can(dtype, rng):
    y_proba, y_true = rng.dirichlet(np.ones(30), size=60), np.arange(60) % 30
    assert_allclose(
        expected_calibration_error(y_true, y_proba.astype(dtype)),
        expected_calibration_error(y_true, y_proba),
        atol=0.02,
    )


def test_what_is_no_probability_raises():
    with pytest.raises(ValueError, match=r"from 0 to 1. Got values from -3.0 to 4.0"):
        expected_calibration_error([0, 1], [[0.5, 0.5], [-3.0, 4.0]])
    with pytest.raises(ValueError, match=r"Row 1 sums to 0.9"):
        expected_calibration_error([0, 1], [[0.5, 0.5], [0.4, 0.5]])


def test_probabilities_of_one_column_raise():
    with pytest.raises(ValueError, match=r"of shape \(n_queries, n_classes\). Got sh"):
        expected_calibration_error([0, 1], [0.5, 0.5])


def test_a_true_label_without_a_column_raises():
    with pytest.raises(ValueError, match=r"not in labels: \[2\].*in y_proba"):
        expected_calibration_error([0, 2], np.full((2, 2), 0.5), labels=[0, 1])


def test_parameters_are_checked():
    for wrong in ({"n_bins": 0}, {"strategy": "kmeans"}):
        with pytest.raises(ValueError, match=f"'{next(iter(wrong))}' parameter"):
            expected_calibration_error([0, 1], np.full((2, 2), 0.5), **wrong)
