"""What all figures of merit have in common: their input, and what they refuse."""

import subprocess
import sys

import numpy as np
import pytest

import skfsl.metrics as metrics

Y = np.array([0, 1, 1, 0, 1, 0])
SQUARE = np.random.default_rng(0).permutation(36).reshape(6, 6) / 36
PROBA = np.column_stack([SQUARE[0], 1 - SQUARE[0]])
VECTOR = SQUARE[1]
UNKNOWN = {"unknown_label": 0}

# name -> its data, what else it takes, and which of the data are scores.
FIGURES = {
    "equal_error_rate": ((Y, VECTOR), {}, 1),
    "expected_calibration_error": ((Y, PROBA), {}, 1),
    "fpr_at_tpr": ((Y, VECTOR), {"tpr": 0.6}, 1),
    "in_scope_accuracy": ((Y, Y[::-1]), UNKNOWN, None),
    "mean_average_precision_at_k": ((Y, PROBA), {"k": 1}, 1),
    "mean_average_precision_at_r": ((Y, SQUARE), {}, 1),
    "oscr_curve": ((Y, np.ones(6, dtype=int), VECTOR), UNKNOWN, 2),
    "oscr_score": ((Y, np.ones(6, dtype=int), VECTOR), UNKNOWN, 2),
    "out_of_scope_recall": ((Y, Y[::-1]), UNKNOWN, None),
    "r_precision": ((Y, SQUARE), {}, 1),
    "recall_at_k": ((Y, SQUARE), {}, 1),
    "true_accept_rate": ((Y, VECTOR), {"false_accept_rate": 0.34}, 1),
}
every_figure = pytest.mark.parametrize("name", FIGURES)
every_scored = pytest.mark.parametrize(
    "name", [name for name, (_, _, scores) in FIGURES.items() if scores is not None]
)


def compute(name, data=None, **kwargs):
    mine, more, _ = FIGURES[name]
    return getattr(metrics, name)(*(data or mine), **more, **kwargs)


def test_the_table_is_complete():
    functions = {name for name in metrics.__all__ if name[0].islower()}
    assert set(FIGURES) == functions


@every_figure
def test_they_return_plain_floats(name):
    value = compute(name)
    if name != "oscr_curve":
        assert type(value) is float
        assert 0 <= value <= 1


@every_figure
@pytest.mark.parametrize("container", ["list", "pandas", "torch", "read-only"])
def test_other_containers_give_the_same(name, container):
    def put(values):
        if container == "list":
            return values.tolist()
        if container == "torch":
            torch = pytest.importorskip("torch")
            return torch.from_numpy(values.copy())
        if container == "pandas":
            pandas = pytest.importorskip("pandas")
            return (pandas.Series if values.ndim == 1 else pandas.DataFrame)(values)
        values = values.copy()
        values.flags.writeable = False
        return values

    data = [put(values) for values in FIGURES[name][0]]
    weights = put(np.arange(1.0, 7.0))
    np.testing.assert_array_equal(compute(name, data), compute(name))
    np.testing.assert_array_equal(
        compute(name, data, sample_weight=weights),
        compute(name, sample_weight=np.arange(1.0, 7.0)),
    )


@every_figure
def test_weights_count(name):
    weights = np.array([1, 7, 2, 1, 3, 5])
    weighted, plain = compute(name, sample_weight=weights), compute(name)
    assert not np.array_equal(weighted, plain)


@every_scored
def test_scores_that_are_nan_raise(name):
    data, _, at = FIGURES[name]
    data = list(data)
    data[at] = data[at].copy()
    data[at][2] = np.nan
    with pytest.raises(ValueError, match=r"Input y_(score|proba) contains NaN"):
        compute(name, data)


@every_scored
def test_scores_that_are_strings_raise(name):
    data, _, at = FIGURES[name]
    data = list(data)
    data[at] = np.full(data[at].shape, "high")
    with pytest.raises(ValueError, match=r"could not convert|numeric"):
        compute(name, data)


@every_figure
@pytest.mark.parametrize("at", [0, 1])
def test_data_of_different_lengths_raise(name, at):
    data = list(FIGURES[name][0])
    data[at] = data[at][:-1]
    with pytest.raises(ValueError, match=r"inconsistent numbers|Expected scores of"):
        compute(name, data)


@every_figure
def test_no_queries_raise(name):
    data = [values[:0] for values in FIGURES[name][0]]
    with pytest.raises(ValueError, match="at least one label in y_true"):
        compute(name, data)


@every_figure
def test_labels_that_are_missing_raise(name):
    _, *others = FIGURES[name][0]
    with pytest.raises(ValueError, match=r"Expected labels in y_true. Got None"):
        compute(name, [None, *others])
    with pytest.raises(ValueError, match="contains NaN"):
        compute(name, [[0, 1, None, 0, 1, 0], *others])


@every_figure
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], "inconsistent numbers"),
        ([1, 1, 1, 1, 1, -1], "Negative values"),
        ([0, 0, 0, 0, 0, 0], "zero"),
        ([1, 1, 1, 1, 1, np.nan], "sample_weight contains NaN"),
    ],
)
def test_weights_are_checked(name, weights, message):
    with pytest.raises(ValueError, match=message):
        compute(name, sample_weight=weights)


def test_torch_stays_asleep():
    code = """
import sys
from skfsl.metrics import *
assert recall_at_k([0, 0, 1, 1], [[0, 1, 0, 0]] * 4) >= 0
assert equal_error_rate([0, 1], [0, 1]) == 0
assert not {"torch", "matplotlib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
