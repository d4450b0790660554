"""HardPairsSampler: strangers by linear assignment on the scores of the network."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.samplers import BalancedPairsSampler, HardPairsSampler
from skfsl.samplers._assignment import strangers


def scores_of(x):
    def scores(a, b):
        return -np.square(x[a, None] - x[b]).sum(axis=-1)

    return scores


def epochs(sampler, y, x, progress, n_epochs=1, seed=0):
    rng, bound = np.random.RandomState(seed), sampler.build(y)
    for _ in range(n_epochs):
        drawn = bound.epoch(rng, scores=scores_of(x), progress=progress)
        yield np.concatenate(list(drawn), axis=1)


def unordered(pairs):
    return {tuple(sorted(pair)) for pair in pairs.T.tolist()}


def split(pairs, y):
    same = y[pairs[0]] == y[pairs[1]]
    return pairs[:, same], pairs[:, ~same]


def world(n_classes, n_each, seed=0):
    rng = np.random.RandomState(seed)
    y = np.repeat(np.arange(n_classes), n_each)
    x = rng.normal(size=(n_classes, 3))[y] + 0.3 * rng.normal(size=(len(y), 3))
    order = rng.permutation(len(y))
    return y[order], x[order]


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=9),
    block_size=st.sampled_from([2, 7, 4000]),
    seed=st.integers(0, 99),
)
def test_each_sample_stands_four_times_half_with_its_class(sizes, block_size, seed):
    rng = np.random.RandomState(seed)
    y = rng.permutation(np.repeat(np.arange(len(sizes) + 1), [*sizes, 2]))
    x = rng.normal(size=(len(y), 2))
    sampler = HardPairsSampler(refresh=3, warm_up=1, block_size=block_size)
    for pairs in epochs(sampler, y, x, 1.0, n_epochs=5, seed=seed):
        same, different = split(pairs, y)
        mates = np.bincount(same.ravel(), minlength=len(y))
        np.testing.assert_array_equal(mates, np.where(np.bincount(y)[y] > 1, 2, 0))
        met = np.bincount(different.ravel(), minlength=len(y))
        assert met.max() <= 2
        if 2 * max(*sizes, 2) <= len(y) and block_size == 4000:
            assert (met == 2).all()


def test_no_two_strangers_meet_twice_between_scorings():
    y, x = world(12, 5)
    drawn = list(epochs(HardPairsSampler(refresh=5, warm_up=0), y, x, 1.0, 10))
    for period in (drawn[:5], drawn[5:]):
        different = np.concatenate([split(pairs, y)[1] for pairs in period], axis=1)
        assert different.shape[1] == 5 * len(y)
        assert len(unordered(different)) == different.shape[1]


def test_the_other_way_round_two_strangers_have_met_as_well():
    # Each has six strangers and meets them all: now and then no way is left to.
    codes, again = np.repeat(np.arange(3), 3), 0
    for seed in range(30):
        drawn = strangers(codes, np.random.RandomState(seed), times=3)
        pairs = np.concatenate(drawn, axis=1)
        again += pairs.shape[1] - len(unordered(pairs))
    assert again < 20  # of 810


def test_mates_are_drawn_anew_in_each_epoch():
    y, x = world(6, 8)
    first, second = epochs(HardPairsSampler(warm_up=0), y, x, 1.0, 2)
    assert unordered(split(first, y)[0]) != unordered(split(second, y)[0])


def test_without_noise_the_assignment_is_the_best_there_is():
    rng = np.random.RandomState(0)
    y, x = np.array([0, 0, 1, 1, 2, 3]), rng.normal(size=(6, 2))
    cost = -scores_of(x)(np.arange(6), np.arange(6))
    best = min(
        sum(cost[i, j] for i, j in enumerate(partner))
        for partner in itertools.permutations(range(6))
        if all(y[i] != y[j] for i, j in enumerate(partner))
        # No pair twice: none is the other way round as well.
        and all(partner[j] != i for i, j in enumerate(partner))
    )
    found = []
    for seed in range(300):
        (pairs,) = strangers(
            y, np.random.RandomState(seed), scores=scores_of(x), noise=1e-9
        )
        if len(unordered(pairs)) == 6:
            found.append(cost[pairs[0], pairs[1]].sum())
    # Which of (i, j) and (j, i) are open is drawn: some draws allow the best.
    assert min(found) == pytest.approx(best)


def test_hard_pairs_are_closer_than_random_ones_and_by_less_noise_the_closer():
    y, x = world(40, 5)

    def mean_distance(sampler, progress):
        (pairs,) = epochs(sampler, y, x, progress)
        left, right = split(pairs, y)[1]
        return np.square(x[left] - x[right]).sum(axis=1).mean()

    hard = HardPairsSampler(warm_up=0, annealing=0.5)
    start, middle, end, after = (mean_distance(hard, p) for p in (0, 0.25, 0.5, 1.0))
    random = mean_distance(HardPairsSampler(warm_up=1), 1.0)
    assert 0.7 * random < start < random
    assert end < 0.8 * middle < 0.8 * start
    assert after == pytest.approx(end, rel=0.1)


def test_noise_falls_geometrically_until_the_end_of_annealing():
    bound = HardPairsSampler(noise=100, final_noise=0.01, annealing=0.4).build(
        np.repeat([0, 1], 3)
    )
    found = [bound._noise(p) for p in (0, 0.1, 0.2, 0.4, 0.9)]
    np.testing.assert_allclose(found, [100, 10, 1, 0.01, 0.01])


def test_scores_may_be_of_any_scale():
    y, x = world(20, 4)
    small, large = (
        next(epochs(HardPairsSampler(warm_up=0), y, factor * x, 0.5))
        for factor in (1, 1e3)
    )
    assert unordered(small) == unordered(large)


def test_scores_are_asked_for_at_each_refresh_only():
    y, x = world(5, 4)
    bound = HardPairsSampler(refresh=3, warm_up=2).build(y)
    rng, asked = np.random.RandomState(0), []

    def scores(a, b):
        asked.append("scores")
        return scores_of(x)(a, b)

    for _ in range(9):
        list(bound.epoch(rng, scores=scores))
        asked.append("epoch")
    e, s = "epoch", "scores"
    assert asked == [e, e, s, e, e, e, s, e, e, e, s, e]


def test_blocks_are_no_larger_than_asked_and_drawn_anew():
    y, x = world(30, 4)
    sizes, blocks = [], set()

    def scores(a, b):
        assert a is b
        sizes.append(len(a))
        blocks.add(tuple(sorted(a)))
        return scores_of(x)(a, b)

    bound = HardPairsSampler(refresh=1, warm_up=0, block_size=50).build(y)
    rng = np.random.RandomState(0)
    for _ in range(2):
        list(bound.epoch(rng, scores=scores))
    assert sizes == [40] * 6
    assert len(blocks) == 6


def test_scores_that_are_all_the_same_do_no_harm():
    y = world(5, 4)[0]
    (pairs,) = epochs(HardPairsSampler(warm_up=0), y, np.zeros((20, 1)), 1.0)
    assert pairs.shape == (2, 40)


def test_without_scores_it_is_the_balanced_sampler():
    y = world(5, 4)[0]
    hard, balanced = (
        np.concatenate(list(s.build(y).epoch(np.random.RandomState(0))), axis=1)
        for s in (HardPairsSampler(), BalancedPairsSampler())
    )
    np.testing.assert_array_equal(hard, balanced)


def test_epochs_follow_the_generator_alone():
    y, x = world(8, 4)
    first, again, other = (
        list(epochs(HardPairsSampler(warm_up=1), y, x, 0.5, 4, seed))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "bad",
    [{"refresh": 0}, {"noise": 0.0}, {"annealing": 0.0}, {"block_size": 1}],
)
def test_bad_parameters_raise(bad):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter of HardPairs"):
        HardPairsSampler(**bad).build(np.repeat([0, 1], 5))


def test_an_assignment_of_a_thousand_is_quick():
    y, x = world(200, 5)
    start = time.process_time()
    strangers(y, np.random.RandomState(0), scores=scores_of(x), block_size=1000)
    assert time.process_time() - start < 2
