import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.samplers import ClassBalancedSampler


def batches(sampler, seed=0):
    return list(sampler.epoch(np.random.RandomState(seed)))


class_sizes = st.lists(st.integers(1, 12), min_size=2, max_size=8)


@settings(deadline=None, max_examples=60)
@given(
    sizes=class_sizes,
    n_way=st.integers(2, 8),
    n_shot=st.integers(1, 9),
    class_weight=st.sampled_from(["proportional", "sqrt", "uniform"]),
    seed=st.integers(0, 99),
)
def test_every_batch_is_as_asked(sizes, n_way, n_shot, class_weight, seed):
    y = np.random.RandomState(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    n_way = min(n_way, len(sizes))
    sampler = ClassBalancedSampler(
        n_way, n_shot=n_shot, class_weight=class_weight, n_batches=12
    ).build(y)
    drawn = batches(sampler, seed)
    assert len(drawn) == len(sampler) == 12
    for batch in drawn:
        assert batch.dtype == np.int64
        groups = y[batch].reshape(n_way, n_shot)
        # Grouped by class, no class twice.
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == n_way
        for c, samples in zip(groups[:, 0], batch.reshape(n_way, n_shot), strict=True):
            # Without replacement where possible, repeated evenly where not.
            counts = np.unique(samples, return_counts=True)[1]
            assert len(counts) == min(n_shot, sizes[c])
            assert counts.max() - counts.min() <= 1


def test_codes_need_not_be_contiguous():
    y = np.array([7, 7, 3, 3, 3, 900])
    for batch in batches(ClassBalancedSampler(3, n_shot=2, n_batches=4).build(y)):
        assert set(y[batch]) == {3, 7, 900}


def test_an_epoch_takes_samples_without_replacement_until_exhausted():
    y = np.repeat(np.arange(5), 12)
    sampler = ClassBalancedSampler(5, n_shot=4, n_batches=6).build(y)
    drawn = batches(sampler)
    for first in (0, 3):
        assert len(np.unique(np.concatenate(drawn[first : first + 3]))) == len(y)


def test_a_round_that_does_not_divide_repeats_no_sample_in_a_batch():
    y = np.repeat([0, 1], 7)
    sampler = ClassBalancedSampler(2, n_shot=5, n_batches=50).build(y)
    times = np.bincount(np.concatenate(batches(sampler)), minlength=14)
    assert times.min() >= 50 * 5 // 7 * 0.7
    assert all(len(np.unique(b)) == 10 for b in batches(sampler))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_left_of_a_round_comes_first(seed):
    y = np.repeat([0, 1], 7)
    first, second = batches(
        ClassBalancedSampler(2, n_shot=5, n_batches=2).build(y), seed
    )
    assert len(np.union1d(first, second)) == len(y)


def test_proportional_begins_each_round_with_all_samples():
    y = np.repeat(np.arange(10), [20] * 5 + [60] * 5)
    sampler = ClassBalancedSampler(2, n_shot=1, n_batches=2000).build(y)
    large = y[np.concatenate(batches(sampler))] >= 5
    assert large.mean() == pytest.approx(0.75, abs=0.03)


def test_proportional_epoch_sees_each_sample_about_once():
    y = np.repeat(np.arange(50), np.arange(10, 110, 2))
    sampler = ClassBalancedSampler(10, n_shot=5, class_weight="proportional").build(y)
    times = np.bincount(np.concatenate(batches(sampler)), minlength=len(y))
    assert (times == 1).mean() > 0.9


def test_proportional_draws_classes_by_what_they_have_left():
    y = np.repeat([0, 1, 2], [100, 300, 600])
    sampler = ClassBalancedSampler(2, n_shot=1, n_batches=1).build(y)
    first = [y[batches(sampler, seed)[0][0:2]] for seed in range(2000)]
    share = np.mean([0 in pair for pair in first])
    # P(class 0 in a draw of two) = .1 + .3 * .1/.7 + .6 * .1/.4
    assert share == pytest.approx(0.1 + 0.03 / 0.7 + 0.06 / 0.4, abs=0.03)


def test_uniform_draws_all_classes_alike():
    y = np.repeat(np.arange(4), [2, 10, 100, 1000])
    sampler = ClassBalancedSampler(
        2, n_shot=2, class_weight="uniform", n_batches=3000
    ).build(y)
    share = np.bincount(y[np.concatenate(batches(sampler))]) / (3000 * 4)
    np.testing.assert_allclose(share, 0.25, atol=0.02)


def test_sqrt_draws_classes_by_the_root_of_their_size():
    y = np.repeat(np.arange(3), [4, 100, 900])
    sampler = ClassBalancedSampler(
        2, n_shot=1, class_weight="sqrt", n_batches=4000
    ).build(y)
    share = np.bincount(y[np.concatenate(batches(sampler))]) / 4000
    # P(class in a draw of two), by the order of the two.
    p = np.sqrt([4, 100, 900]) / np.sqrt([4, 100, 900]).sum()
    expected = [
        p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(3) if j != i)
        for i in range(3)
    ]
    np.testing.assert_allclose(share, expected, atol=0.03)


def test_epochs_follow_the_generator_alone():
    y = np.repeat(np.arange(8), 9)
    sampler = ClassBalancedSampler(4, n_shot=3).build(y)
    first, again, other = batches(sampler, 1), batches(sampler, 1), batches(sampler, 2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("sizes", "n_way", "n_shot"),
    [
        ([20] * 3856, 150, 2),  # Omniglot with rotations
        ([50] * 3, 3, 50),  # iris: not more than the median class
        ([200] * 3, 3, 100),
        ([180] * 10, 10, 30),  # digits
        ([1, 1, 1], 3, 2),  # at least two
        ([3] * 100, 100, 3),
        ([20] * 40, 40, 7),
    ],
)
def test_default_sizes(sizes, n_way, n_shot):
    sampler = ClassBalancedSampler().build(np.repeat(np.arange(len(sizes)), sizes))
    assert (sampler.n_way, sampler.n_shot) == (n_way, n_shot)
    assert len(sampler) == max(8, -(-sum(sizes) // (n_way * n_shot)))


def test_more_ways_than_classes_raises():
    with pytest.raises(ValueError, match=r"n_way=20 greater than .* n_classes=12\."):
        ClassBalancedSampler(n_way=20).build(np.repeat(np.arange(12), 3))


def test_one_class_raises():
    with pytest.raises(ValueError, match=r"y has 1 class, at least 2"):
        ClassBalancedSampler().build(np.zeros(5, dtype=int))


@pytest.mark.parametrize(
    "bad",
    [
        {"n_way": 1},
        {"n_shot": 0},
        {"class_weight": "balanced"},
        {"n_batches": 0.5},
        {"group_share": 1.5},
    ],
)
def test_bad_parameters_raise(bad):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter of ClassBal"):
        ClassBalancedSampler(**bad).build(np.repeat([0, 1], 5))


def test_a_batch_of_many_classes_is_cheap():
    y = np.repeat(np.arange(3856), 20)
    sampler = ClassBalancedSampler().build(y)
    rng = np.random.RandomState(0)
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        list(sampler.epoch(rng))
        best = min(best, (time.perf_counter() - start) / len(sampler))
    assert best < 1e-3


def test_importing_samplers_and_episodes_leaves_torch_asleep():
    code = (
        "import sys, skfsl.samplers, skfsl.model_selection; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def groups_of_batches(group, y, sampler, n_shot):
    """Return, a batch, how many of its classes are of each group."""
    for batch in batches(sampler):
        yield np.bincount(group[y[batch][::n_shot]], minlength=group.max() + 1)


@settings(deadline=None, max_examples=40)
@given(
    group_sizes=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    share=st.floats(0, 1),
    class_weight=st.sampled_from(["proportional", "sqrt", "uniform"]),
    seed=st.integers(0, 99),
)
def test_a_share_of_each_batch_is_of_one_group(group_sizes, share, class_weight, seed):
    rng = np.random.RandomState(seed)
    group = rng.permutation(np.repeat(np.arange(len(group_sizes)), group_sizes))
    y = rng.permutation(np.repeat(np.arange(len(group)), rng.randint(1, 9, len(group))))
    n_way = rng.randint(2, len(group) + 1)
    sampler = ClassBalancedSampler(
        n_way, n_shot=2, group_share=share, class_weight=class_weight, n_batches=20
    ).build(y, groups=group[y])
    for counts in groups_of_batches(group, y, sampler, 2):
        assert counts.sum() == n_way
        if class_weight != "proportional":  # else what is exhausted is left out
            # Groups are taken whole, one after the other, until there are enough.
            whole = counts == group_sizes
            assert counts[whole].sum() + counts[~whole].max(initial=0) >= round(
                share * n_way
            )


def test_three_quarters_of_each_batch_of_one_alphabet():
    group = np.repeat(np.arange(10), 30)
    y = np.repeat(np.arange(300), 5)
    sampler = ClassBalancedSampler(40, n_shot=2, group_share=0.75).build(y, group[y])
    main = [c.max() for c in groups_of_batches(group, y, sampler, 2)]
    # Towards the end of an epoch of proportional draws groups are exhausted.
    assert set(main[: len(main) // 3]) == {30}
    assert np.median(main) >= 28


def test_half_of_a_batch_is_of_one_group_where_groups_are_given():
    group = np.repeat([0, 1, 2, 3], 20)
    y = np.repeat(np.arange(80), 3)
    sampler = ClassBalancedSampler(20, n_shot=2, class_weight="uniform").build(
        y, groups=group[y]
    )
    for counts in groups_of_batches(group, y, sampler, 2):
        assert counts.max() >= 10


def test_a_small_group_is_filled_up_from_another():
    group = np.repeat(np.arange(10), 3)
    y = np.repeat(np.arange(30), 3)
    sampler = ClassBalancedSampler(
        9, n_shot=2, group_share=1, class_weight="uniform"
    ).build(y, groups=group[y])
    for counts in groups_of_batches(group, y, sampler, 2):
        assert sorted(counts[counts > 0]) == [3, 3, 3]


def test_groups_come_up_by_the_weights_of_their_classes():
    group = np.repeat([0, 1], [3, 9])
    y = np.repeat(np.arange(12), 5)
    sampler = ClassBalancedSampler(
        3, n_shot=1, group_share=1, class_weight="uniform", n_batches=4000
    ).build(y, groups=group[y])
    small = [c[0] == 3 for c in groups_of_batches(group, y, sampler, 1)]
    assert np.mean(small) == pytest.approx(1 / 4, abs=0.03)


def test_an_epoch_by_groups_sees_each_sample_about_once():
    group = np.repeat(np.arange(10), 12)
    y = np.repeat(np.arange(120), 6)
    sampler = ClassBalancedSampler(12, n_shot=2, group_share=0.75).build(y, group[y])
    times = np.bincount(np.concatenate(batches(sampler)), minlength=len(y))
    assert (times == 1).mean() > 0.9


def test_share_0_does_not_look_at_the_groups():
    y = np.repeat(np.arange(8), 9)
    sampler = ClassBalancedSampler(4, n_shot=3, group_share=0)
    np.testing.assert_array_equal(
        batches(sampler.build(y)), batches(sampler.build(y, groups=y % 2))
    )


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        (["a", "b", "b", "b"], r"Class 3 is in groups '[ab]' and '[ab]'\."),
        (["a", "a", "b"], "Got 3 groups for 4 samples"),
        ([0, 0, np.nan, 1], "groups contains NaN"),
        ([[0, 1]] * 4, r"Got shape \(4, 2\)"),
    ],
)
def test_bad_groups_raise(groups, match):
    with pytest.raises(ValueError, match=match):
        ClassBalancedSampler().build(np.array([3, 3, 7, 7]), groups=groups)


def test_a_share_without_groups_raises():
    with pytest.raises(ValueError, match=r"group_share=0\.5 needs groups\. Pass fit"):
        ClassBalancedSampler(group_share=0.5).build(np.repeat([0, 1], 5))
