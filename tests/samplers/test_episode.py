"""EpisodeSampler: support and query in fixed places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.samplers import EpisodeSampler


def batches(sampler, seed=0):
    return list(sampler.epoch(np.random.RandomState(seed)))


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=3, max_size=8),
    n_shot=st.integers(1, 3),
    n_query=st.integers(1, 3),
    class_weight=st.sampled_from(["proportional", "sqrt", "uniform"]),
    seed=st.integers(0, 99),
)
def test_every_batch_is_an_episode(sizes, n_shot, n_query, class_weight, seed):
    sizes = [*sizes, 6, 6]
    y = np.random.RandomState(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    sampler = EpisodeSampler(
        2, n_shot=n_shot, n_query=n_query, class_weight=class_weight, n_batches=15
    ).build(y)
    drawn = batches(sampler, seed)
    assert len(drawn) == len(sampler) == 15
    for batch in drawn:
        # No query is a support example, nor is any sample there twice.
        assert len(np.unique(batch)) == 2 * (n_shot + n_query)
        by_class = y[batch].reshape(2, n_shot + n_query)
        assert (by_class == by_class[:, :1]).all()
        assert by_class[0, 0] != by_class[1, 0]
        assert all(sizes[c] >= n_shot + n_query for c in by_class[:, 0])


def test_support_is_any_sample_of_the_class():
    y = np.repeat([0, 1], 6)
    sampler = EpisodeSampler(2, n_shot=1, n_query=2, n_batches=600).build(y)
    support = np.concatenate([b.reshape(2, 3)[:, 0] for b in batches(sampler)])
    np.testing.assert_allclose(np.bincount(support) / 600, 1 / 6, atol=0.04)


def test_as_many_queries_as_support_examples_by_default():
    y = np.repeat([0, 1, 2], 10)
    assert len(batches(EpisodeSampler(n_shot=4).build(y))[0]) == 3 * 8


@pytest.mark.parametrize(("n_classes", "n_way"), [(7, 7), (100, 60)])
def test_all_classes_by_default_60_at_most(n_classes, n_way):
    assert EpisodeSampler().build(np.repeat(np.arange(n_classes), 3)).n_way == n_way


def test_an_epoch_has_as_many_episodes_as_hold_all_samples():
    y = np.repeat(np.arange(50), [*[20] * 40, *[1] * 10])
    assert len(EpisodeSampler(5, n_shot=1, n_query=4).build(y)) == 800 // 25


def test_classes_come_from_one_group():
    group = np.repeat([0, 1, 2], 5)
    y = np.repeat(np.arange(15), 4)
    y[:3] = 1  # class 0 is too small: its group is then one class short
    sampler = EpisodeSampler(4, n_shot=1, group_share=1, n_batches=30)
    for batch in batches(sampler.build(y, groups=group[y])):
        assert len(set(group[y[batch]])) == 1
        assert 0 not in y[batch]


def test_epochs_follow_the_generator_alone():
    y = np.repeat(np.arange(8), 9)
    sampler = EpisodeSampler(4, n_shot=2, n_query=3).build(y)
    np.testing.assert_array_equal(batches(sampler, 1), batches(sampler, 1))
    assert not np.array_equal(batches(sampler, 1), batches(sampler, 2))


def test_too_few_large_classes_raise():
    y = np.repeat(np.arange(4), [9, 2, 2, 2])
    with pytest.raises(
        ValueError,
        match=r"n_shot=2 and n_query=2: 1 of 4 classes in y have 4 samples, at least 2",
    ):
        EpisodeSampler(n_shot=2).build(y)


def test_more_ways_than_large_classes_raises():
    y = np.repeat(np.arange(4), [9, 9, 9, 1])
    with pytest.raises(
        ValueError, match=r"n_way=4 greater than .* classes in y of 2 samples: .*=3\."
    ):
        EpisodeSampler(4).build(y)
