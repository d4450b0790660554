"""The learning rate, the held-out classes and the weights that are kept."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from skfsl.heads import EuclideanHead
from skfsl.siamese._module import SiameseModule
from skfsl.siamese._schedule import ClassValidation, cosine_factor, split_classes

CPU = torch.device("cpu")


def test_the_learning_rate_rises_then_falls_to_zero():
    factors = [cosine_factor(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 3)
    assert max(factors) == 1.0
    assert all(a > b for a, b in pairwise(factors[2:]))
    # Half way through the cosine, by hand.
    assert cosine_factor(51, 100) == pytest.approx(0.5)
    assert cosine_factor(100, 100) == pytest.approx(0.0)
    assert factors[-1] < 0.001


@given(st.integers(1, 10_000))
def test_factors_stay_between_zero_and_one(n_steps):
    for step in {0, n_steps // 2, n_steps - 1}:
        assert 0 <= cosine_factor(step, n_steps) <= 1


class TestSplitClasses:
    def split(self, sizes, fraction, seed=0):
        codes = np.repeat(np.arange(len(sizes)), sizes)
        return split_classes(codes, fraction, np.random.RandomState(seed))

    def test_none_below_ten_classes(self):
        assert len(self.split([5] * 9, 0.5)) == 0

    def test_five_at_least_and_sixty_four_at_most(self):
        assert len(self.split([5] * 40, 0.1)) == 0
        assert len(self.split([5] * 41, 0.1)) == 5
        assert len(self.split([2] * 2000, 0.5)) == 64

    def test_classes_of_one_sample_do_not_validate(self):
        held_out = self.split([1] * 15 + [5] * 5, 0.25)
        assert set(held_out) <= set(range(15, 20))

    def test_zero_holds_none_out(self):
        assert len(self.split([5] * 20, 0)) == 0

    def test_seen_classes_do_not_validate(self):
        codes = np.repeat(np.arange(12), 5)
        rng = np.random.RandomState(0)
        np.testing.assert_array_equal(
            split_classes(codes, 0.5, rng, np.arange(7)), [7, 8, 9, 10, 11]
        )
        assert len(split_classes(codes, 0.5, rng, np.arange(11))) == 0

    def test_a_class_that_pairs_can_be_made_of_is_left(self):
        assert len(self.split([1] * 10 + [5] * 2, 0.1)) == 0
        assert len(self.split([1] * 10 + [5] * 6, 0.5)) == 5

    @given(
        st.lists(st.integers(1, 6), min_size=1, max_size=40),
        st.floats(0, 0.99),
        st.integers(0, 99),
    )
    def test_two_classes_are_left_to_train_on(self, sizes, fraction, seed):
        held_out = self.split(sizes, fraction, seed)
        assert len(np.unique(held_out)) == len(held_out)
        assert len(held_out) in (0, *range(2, max(2, len(sizes) - 1)))


class TestClassValidation:
    def module(self):
        return SiameseModule(nn.Identity(), nn.Identity(), EuclideanHead()).eval()

    def validation(self, X, y, **params):
        return ClassValidation(
            np.asarray(X, dtype=np.float32),
            np.asarray(y),
            **{"patience": 2, "seed": 0, **params},
        )

    def test_the_score_is_the_share_of_right_queries(self):
        rng = np.random.default_rng(0)
        y = np.repeat(np.arange(6), 8)
        X = rng.normal(size=(48, 3)) + rng.normal(size=(6, 3))[y]
        validation = self.validation(X, y)
        right = n = 0
        for support, query, own in validation.episodes:
            for q, expected in zip(query, own, strict=True):
                d = [np.sum((validation.X[q] - validation.X[s]) ** 2) for s in support]
                right += int(np.argmin(d)) == expected
                n += 1
        got = validation.score(self.module(), CPU, torch.float32)
        assert got == pytest.approx(right / n, abs=1e-6)
        assert 0.2 < got < 1

    def test_the_best_weights_come_back_and_the_later_of_equals(self):
        y = np.repeat([0, 1], 4)
        validation = self.validation(np.arange(8.0)[:, None], y, patience=2)
        module = nn.Linear(1, 1)
        answers = []
        for epoch, score in enumerate([0.5, 0.7, 0.7, 0.6, 0.6], start=1):
            nn.init.constant_(module.weight, epoch)
            answers.append(validation.update(score, epoch, module))
        # Equal is not better: patience runs from the first of them.
        assert answers == [False, False, False, True, True]
        validation.restore(module)
        assert module.weight.item() == 3

    def test_few_samples_of_a_class_are_enough(self):
        y = np.repeat([0, 1, 2], [2, 500, 3])
        validation = self.validation(np.zeros((505, 2)), y)
        assert len(validation.X) == 2 + 16 + 3
