"""One random_state, the same bits; the global generators are left alone."""

import random

import joblib
import numpy as np
import pytest
import torch

from skfsl import SiameseTransformer
from skfsl.utils._random import seeded

RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(12), 6)
TABLE = RNG.normal(size=(72, 5)) + RNG.normal(size=(12, 5))[Y]
IMAGES = RNG.integers(0, 255, (72, 10, 10), dtype=np.uint8)


def embed(X, **params):
    params = {"max_epochs": 2, "device": "cpu", "random_state": 7, **params}
    return SiameseTransformer(**params).fit(X, Y).transform(X)


@pytest.mark.parametrize("X", [TABLE, IMAGES], ids=["table", "images"])
def test_the_same_seed_gives_the_same_bits(X):
    noise = torch.nn.Dropout(0.1)
    first = embed(X, augment=noise)
    torch.rand(3)
    np.random.rand(3)
    np.testing.assert_array_equal(embed(X, augment=noise), first)
    assert not np.array_equal(embed(X, augment=noise, random_state=8), first)


def test_workers_agree_with_each_other():
    first, second = joblib.Parallel(2)(joblib.delayed(embed)(IMAGES) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_threads_agree_with_the_main_thread():
    expected = embed(TABLE)
    for got in joblib.Parallel(3, backend="threading")(
        joblib.delayed(embed)(TABLE) for _ in range(3)
    ):
        np.testing.assert_array_equal(got, expected)


def global_states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1:3], random.getstate()


@pytest.mark.parametrize("fails", [False, True])
def test_global_generators_are_untouched(fails):
    def augment(x):
        torch.rand(1), np.random.rand(), random.random()
        if fails:
            raise RuntimeError("boom")
        return x

    before = global_states()
    try:
        embed(TABLE, augment=augment)
    except RuntimeError:
        assert fails
    after = global_states()
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1][0], after[1][0])
    assert before[1][1] == after[1][1]
    assert before[2] == after[2]


def test_a_random_state_instance_gives_another_metric_each_time():
    rng = np.random.RandomState(0)
    estimator = SiameseTransformer(max_epochs=1, random_state=rng, device="cpu")
    first = estimator.fit(TABLE, Y).fit_id_
    assert estimator.fit(TABLE, Y).fit_id_ != first


def test_none_follows_numpys_global_seed():
    np.random.seed(3)
    first = embed(TABLE, random_state=None)
    np.random.seed(3)
    np.testing.assert_array_equal(embed(TABLE, random_state=None), first)


def test_seeded_restores_after_nesting():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(1, torch.device("cpu")):
        outer = torch.rand(1)
        with seeded(2, torch.device("cpu")):
            torch.rand(1)
        rest = torch.rand(1)
    with seeded(1, torch.device("cpu")):
        assert torch.equal(torch.rand(2), torch.cat([outer, rest]))
    assert torch.equal(torch.rand(2), expected)
