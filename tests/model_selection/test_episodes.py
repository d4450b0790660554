import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.model_selection import iter_episodes


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(4, 30), min_size=2, max_size=7),
    n_way=st.one_of(st.none(), st.integers(2, 7)),
    n_shot=st.integers(1, 2),
    n_query=st.one_of(st.none(), st.integers(1, 2)),
    seed=st.integers(0, 99),
)
def test_every_episode_is_as_asked(sizes, n_way, n_shot, n_query, seed):
    y = np.random.RandomState(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    n_way = n_way and min(n_way, len(sizes))
    episodes = list(
        iter_episodes(
            None, y, n_way=n_way, n_shot=n_shot, n_query=n_query, n_episodes=5,
            random_state=seed,
        )
    )  # fmt: skip
    assert len(episodes) == 5
    for support, query in episodes:
        assert support.dtype == query.dtype == np.int64
        both = np.concatenate([support, query])
        assert len(np.unique(both)) == len(both)
        classes = y[support].reshape(-1, n_shot)
        assert len(np.unique(classes[:, 0])) == len(classes) == (n_way or len(sizes))
        assert (classes == classes[:, :1]).all()
        expected = [n_query or min(15, sizes[c] - n_shot) for c in classes[:, 0]]
        np.testing.assert_array_equal(y[query], np.repeat(classes[:, 0], expected))


def test_samples_are_drawn_uniformly_and_in_both_parts():
    y = np.repeat([0, 1, 2], [5, 10, 20])
    support = np.zeros(35)
    query = np.zeros(35)
    for s, q in iter_episodes(
        None, y, n_way=2, n_shot=2, n_query=3, n_episodes=6000, random_state=0
    ):
        support[s] += 1
        query[q] += 1
    expected = 6000 * 2 / 3 / np.array([5, 10, 20])[y]
    np.testing.assert_allclose(support / expected / 2, 1, atol=0.15)
    np.testing.assert_allclose(query / expected / 3, 1, atol=0.15)


def test_an_integer_random_state_gives_the_same_episodes():
    y = np.repeat(list("abcdef"), 6)
    first, again, other = (
        [np.concatenate(e) for e in iter_episodes(y, y, n_episodes=4, random_state=r)]
        for r in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_global_numpy_state_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    list(iter_episodes(None, np.repeat([0, 1], 4), n_way=2, random_state=0))
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    "X",
    [None, list(range(12)), np.zeros((12, 2, 2)), [f"{i}.png" for i in range(12)]],
    ids=["none", "list", "images", "paths"],
)
def test_only_the_length_of_X_is_looked_at(X):
    y = np.repeat(["x", "y", "z"], 4)
    assert len(list(iter_episodes(X, y, n_way=3, n_episodes=2, random_state=0))) == 2


def test_X_of_another_length_raises():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        iter_episodes(np.zeros(5), [0, 0, 1, 1], n_way=2)


def test_too_few_classes_raise_at_the_call():
    with pytest.raises(ValueError, match=r"n_way=5 from y with n_classes=2\."):
        iter_episodes(None, [0, 0, 1, 1])


def test_one_class_raises_with_all_ways():
    with pytest.raises(ValueError, match=r"n_way=1 from y with n_classes=1\."):
        iter_episodes(None, [0, 0, 0], n_way=None)


def test_small_classes_are_named_with_both_numbers():
    y = np.repeat(["ape", "bee", "cow"], [9, 5, 2])
    with pytest.raises(
        ValueError,
        match=r"need 6 samples .* n_query=5 queries\. 2 of 3 .*: bee \(5\), cow \(2\)",
    ):
        iter_episodes(None, y, n_way=2, n_shot=1, n_query=5)


def test_a_class_without_a_query_left_raises():
    y = np.repeat(np.arange(10), [1] * 7 + [3] * 3)
    with pytest.raises(
        ValueError, match=r"need 2 samples.*at least 1 query.*4 \(1\), …"
    ):
        iter_episodes(None, y, n_way=2)


@pytest.mark.parametrize(
    "bad",
    [{"n_way": 1}, {"n_shot": 0}, {"n_query": 0}, {"n_episodes": 0.5},
     {"random_state": "a"}],
    ids=lambda bad: next(iter(bad)),
)  # fmt: skip
def test_bad_parameters_raise(bad):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter of iter_epi"):
        iter_episodes(None, np.repeat([0, 1], 5), **{"n_way": 2, **bad})


def test_a_class_of_a_million_samples_costs_no_more():
    y = np.repeat(np.arange(5), 200_000)
    episodes = iter_episodes(None, y, n_episodes=300, random_state=0)
    assert sum(len(np.unique(s)) == 5 for s, _ in episodes) == 300


def test_small_integers_do_not_wrap():
    y = np.repeat([0, 1], 150)
    with pytest.raises(ValueError, match="need 200 samples of each"):
        iter_episodes(None, y, n_way=2, n_shot=np.int8(100), n_query=np.int16(100))
    with pytest.raises(ValueError, match="need 270 samples of each"):
        iter_episodes(None, y, n_way=2, n_shot=np.uint8(250), n_query=np.uint8(20))
