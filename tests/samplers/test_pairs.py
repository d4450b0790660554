"""Samplers of pairs: which samples meet, how often, in which batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.samplers import (
    BalancedPairsSampler,
    HardPairsSampler,
    ProductPairsSampler,
    RandomPairsSampler,
)
from skfsl.samplers._pairs import cycles, draw_ranks

SAMPLERS = [
    BalancedPairsSampler(n_pairs=8),
    BalancedPairsSampler("all", n_pairs=8),
    HardPairsSampler(n_pairs=8),
    ProductPairsSampler(4),
    RandomPairsSampler(n_pairs=8),
]
every_sampler = pytest.mark.parametrize(
    "sampler", SAMPLERS, ids=lambda s: str(s).split("(")[0] + getattr(s, "kind", "")
)

class_sizes = st.lists(st.integers(1, 9), min_size=2, max_size=9)


def labels(sizes, seed):
    return np.random.RandomState(seed).permutation(
        np.repeat(np.arange(len(sizes)), sizes)
    )


def batches(sampler, seed=0):
    return list(sampler.epoch(np.random.RandomState(seed)))


def epoch(sampler, seed=0):
    return np.concatenate(batches(sampler, seed), axis=1)


def unordered(pairs):
    return {tuple(sorted(pair)) for pair in pairs.T.tolist()}


def split(pairs, y):
    same = y[pairs[0]] == y[pairs[1]]
    return pairs[:, same], pairs[:, ~same]


class TestAll:
    @every_sampler
    @settings(deadline=None, max_examples=25)
    @given(sizes=class_sizes, seed=st.integers(0, 99))
    def test_batches_are_pairs_of_two_samples(self, sampler, sizes, seed):
        y = labels([*sizes, 2], seed)
        bound = sampler.build(y)
        drawn = batches(bound, seed)
        assert len(drawn) == len(bound)
        for batch in drawn:
            assert batch.dtype == np.int64
            assert len(batch) == 2
            assert 1 <= batch.shape[1] <= (4 * 4 if "Product" in str(sampler) else 8)
            assert (batch[0] != batch[1]).all()
            assert batch.min() >= 0
            assert batch.max() < len(y)

    @every_sampler
    def test_all_pairs_gives_the_samples_of_the_same_batches(self, sampler):
        y = labels([4, 5, 6, 1], 0)
        sampler_of_samples = type(sampler)(
            **{**sampler.get_params(), "all_pairs": True}
        )
        pairs, samples = batches(sampler.build(y)), batches(sampler_of_samples.build(y))
        for some, others in zip(pairs, samples, strict=True):
            assert others.ndim == 1
            assert set(np.unique(some)) == set(others)
            assert len(set(others)) == len(others)

    @every_sampler
    def test_epochs_follow_the_generator_alone(self, sampler):
        y = labels([5, 6, 7], 0)
        first, again, other = (epoch(sampler.build(y), seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    @every_sampler
    def test_the_global_generator_is_left_alone(self, sampler):
        before = np.random.get_state()[1].copy()
        epoch(sampler.build(labels([5, 6, 7], 0)))
        np.testing.assert_array_equal(before, np.random.get_state()[1])

    @every_sampler
    def test_one_class_raises(self, sampler):
        with pytest.raises(ValueError, match=r"y has 1 class, at least 2"):
            sampler.build(np.zeros(5, dtype=int))

    @pytest.mark.parametrize("sampler", SAMPLERS[:4], ids=str)
    def test_classes_of_one_sample_raise(self, sampler):
        with pytest.raises(
            ValueError, match=r"each of the 5 classes in y has 1 sample"
        ):
            sampler.build(np.arange(5))


class TestCycles:
    @settings(deadline=None, max_examples=60)
    @given(sizes=class_sizes, seed=st.integers(0, 99))
    def test_are_derangements_of_each_class(self, sizes, seed):
        order = np.arange(sum(sizes))
        y = np.repeat(np.arange(len(sizes)), sizes)
        left, right = cycles(order, np.array(sizes), np.random.RandomState(seed))
        assert (y[left] == y[right]).all()
        assert (left != right).all()
        expected = [i for i in order if sizes[y[i]] > 1]
        assert sorted(left) == sorted(right) == expected
        # No two meet twice, but in classes of two.
        pairs = unordered(np.stack([left, right]))
        assert len(pairs) == sum(m for m in sizes if m > 2) + sizes.count(2)

    def test_all_partners_are_as_likely(self):
        order, sizes, rng = np.arange(5), np.array([5]), np.random.RandomState(0)
        counts = np.zeros((5, 5))
        for _ in range(3000):
            left, right = cycles(order, sizes, rng)
            counts[left, right] += 1
        np.testing.assert_allclose(counts / 3000, (1 - np.eye(5)) / 4, atol=0.03)


class TestBalanced:
    @settings(deadline=None, max_examples=60)
    @given(sizes=class_sizes, seed=st.integers(0, 99))
    def test_each_sample_stands_four_times_half_with_its_class(self, sizes, seed):
        y = labels(sizes := [*sizes, 2], seed)
        same, different = split(epoch(BalancedPairsSampler().build(y), seed), y)
        mates = np.bincount(same.ravel(), minlength=len(y))
        np.testing.assert_array_equal(mates, np.where(np.array(sizes)[y] > 1, 2, 0))
        met = np.bincount(different.ravel(), minlength=len(y))
        if 2 * max(sizes) <= len(y):
            assert (met == 2).all()
        else:
            assert met.max() == 2
            assert different.shape[1] == 2 * (len(y) - max(sizes))

    def test_no_two_samples_meet_twice(self):
        y = labels([3] * 20 + [7] * 5, 0)
        for seed in range(20):
            pairs = epoch(BalancedPairsSampler().build(y), seed)
            assert len(unordered(pairs)) == pairs.shape[1]

    def test_every_batch_is_half_of_one_class(self):
        y = labels([4] * 60, 0)
        for batch in batches(BalancedPairsSampler(n_pairs=30).build(y)):
            assert batch.shape == (2, 30)
            assert (y[batch[0]] == y[batch[1]]).sum() == 15

    def test_strangers_are_of_all_classes_alike(self):
        y = np.repeat(np.arange(4), 3)
        counts = np.zeros((4, 4))
        for seed in range(1500):
            _, (left, right) = split(epoch(BalancedPairsSampler().build(y), seed), y)
            np.add.at(counts, (y[left], y[right]), 1)
        np.testing.assert_allclose(counts / 1500, 1 - np.eye(4), atol=0.08)

    def test_classes_of_one_sample_meet_all_others_in_turn(self):
        # More samples than a block: blocks are drawn anew in each epoch.
        y = np.concatenate([np.arange(1200), [0]])
        bound, met = BalancedPairsSampler().build(y), set()
        for seed in range(40):
            left, right = epoch(bound, seed)
            met |= {*right[left == 7].tolist(), *left[right == 7].tolist()}
        assert len(met) > 70
        assert len({m // 300 for m in met}) == 4 + (1200 in met)

    @settings(deadline=None, max_examples=40)
    @given(sizes=class_sizes, seed=st.integers(0, 99))
    def test_all_is_each_pair_of_one_class_once_and_as_many_others(self, sizes, seed):
        y = labels(sizes := [*sizes, 2], seed)
        pairs = epoch(BalancedPairsSampler("all").build(y), seed)
        same, different = split(pairs, y)
        n = len(y)
        expected = {(i, j) for i in range(n) for j in range(i + 1, n) if y[i] == y[j]}
        assert unordered(same) == expected
        assert same.shape[1] == different.shape[1] == len(expected)
        n_strange = n * (n - 1) // 2 - len(expected)
        times = np.unique(np.sort(different, axis=0), axis=1, return_counts=True)[1]
        # Each as often as any other, up to one.
        assert len(times) == min(n_strange, len(expected))
        assert times.max() - times.min() <= 1

    def test_bad_kind_raises(self):
        with pytest.raises(
            ValueError, match="'kind' parameter of BalancedPairsSampler"
        ):
            BalancedPairsSampler("most").build(np.repeat([0, 1], 3))


class TestRandom:
    @settings(deadline=None, max_examples=30)
    @given(n=st.integers(2, 40), seed=st.integers(0, 99))
    def test_no_two_samples_meet_twice(self, n, seed):
        pairs = epoch(RandomPairsSampler().build(np.arange(n) % 2), seed)
        assert len(unordered(pairs)) == pairs.shape[1] == min(2 * n, n * (n - 1) // 2)

    def test_all_pairs_are_as_likely(self):
        bound, counts = RandomPairsSampler().build(np.arange(8) % 3), np.zeros((8, 8))
        for seed in range(2000):
            np.add.at(counts, tuple(np.sort(epoch(bound, seed), axis=0)), 1)
        share = counts[np.triu_indices(8, 1)] / 2000
        np.testing.assert_allclose(share, 16 / 28, atol=0.05)

    def test_sparing_draws_are_without_replacement_too(self):
        ranks = draw_ranks(10**7 + 1, 2 * 10**5, np.random.RandomState(0))
        assert len(np.unique(ranks)) == 2 * 10**5
        assert ranks.max() <= 10**7
        assert ranks.mean() == pytest.approx(5 * 10**6, rel=0.01)


class TestProduct:
    @settings(deadline=None, max_examples=40)
    @given(sizes=class_sizes, n_samples=st.integers(2, 7), seed=st.integers(0, 99))
    def test_each_of_one_set_meets_each_of_the_other(self, sizes, n_samples, seed):
        y = labels(sizes := [*sizes, 2], seed)
        drawn = batches(ProductPairsSampler(n_samples).build(y), seed)
        for left, right in drawn:
            first, second = set(left), set(right)
            assert len(left) == len(set(zip(left, right, strict=True)))
            expected = {(a, b) for a in first for b in second if a != b}
            assert set(zip(left, right, strict=True)) == expected
            # Each of the first set that is not alone finds its like in the second.
            for a in first:
                if sizes[y[a]] > 1:
                    assert any(y[b] == y[a] and b != a for b in second)
        if len(y) > 1:
            firsts = np.concatenate([np.unique(left) for left, _ in drawn])
            assert len(set(firsts)) == len(y)

    def test_each_sample_is_once_in_a_first_set(self):
        y = labels([5] * 9, 0)
        drawn = batches(ProductPairsSampler(4).build(y))
        for side in (0, 1):
            samples = np.concatenate([np.unique(batch[side]) for batch in drawn])
            assert sorted(samples) == list(range(45))
