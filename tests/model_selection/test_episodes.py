import itertools
import time
import tracemalloc
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, ks_2samp

from skfsl.model_selection import iter_episodes
from skfsl.model_selection._draw import Pool, _distinct, _some, draw_alike
from skfsl.model_selection._episodes import episode_blocks
from skfsl.model_selection._shots import Shots


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


def _labels(sizes, seed=0):
    return np.random.RandomState(seed).permutation(
        np.repeat(np.arange(len(sizes)), sizes)
    )


def _runs(labels):
    """Return the labels in the order of their blocks, and the blocks' lengths."""
    runs = [(label, len(list(run))) for label, run in itertools.groupby(labels)]
    return [label for label, _ in runs], [n for _, n in runs]


SIZES = st.lists(st.integers(9, 40), min_size=4, max_size=8)
N_WAY = st.one_of(
    st.none(), st.integers(2, 4), st.tuples(st.integers(2, 4), st.integers(4, 20))
)
N_SHOT = st.one_of(
    st.integers(1, 4),
    st.tuples(st.integers(1, 3), st.integers(3, 50)),
    st.just("natural"),
)
N_QUERY = st.one_of(st.none(), st.integers(1, 5), st.just("natural"))


@settings(deadline=None, max_examples=150)
@given(
    sizes=SIZES, n_way=N_WAY, n_shot=N_SHOT, n_query=N_QUERY,
    imbalance=st.sampled_from([None, "dirichlet", "long_tail"]),
    n_unknown=st.integers(0, 5), replace=st.booleans(), seed=st.integers(0, 999),
)  # fmt: skip
def test_every_option_holds_in_every_episode(
    sizes, n_way, n_shot, n_query, imbalance, n_unknown, replace, seed
):
    y = _labels(sizes, seed)
    if imbalance is not None and (not isinstance(n_shot, int) or n_shot < 2):
        n_shot = 3
    if n_way is None or isinstance(n_way, tuple) or n_way == len(sizes):
        n_unknown = 0  # all classes may be in an episode
    episodes = list(
        iter_episodes(
            None, y, n_way=n_way, n_shot=n_shot, n_query=n_query, imbalance=imbalance,
            n_unknown=n_unknown, replace=replace, n_episodes=5 if replace else 1,
            random_state=seed,
        )
    )  # fmt: skip
    assert len(episodes) == (5 if replace else 1)
    for support, query in episodes:
        both = np.concatenate([support, query])
        assert len(np.unique(both)) == len(both)
        classes, n_shots = _runs(y[support])
        assert len(set(classes)) == len(classes)
        low, high = n_way if isinstance(n_way, tuple) else (n_way or len(sizes),) * 2
        assert low <= len(classes) <= min(high, len(sizes))
        known = query[: len(query) - n_unknown]
        assert not set(y[query[len(known) :]]) & set(classes)
        in_order, n_queries = _runs(y[known])
        assert in_order == classes
        for label, shots, queries in zip(classes, n_shots, n_queries, strict=True):
            left = sizes[label] - shots
            asked = {None: min(15, left), "natural": left}.get(n_query, n_query)
            assert queries == asked
            if isinstance(n_shot, tuple):
                assert n_shot[0] <= shots <= n_shot[1]
            elif n_shot != "natural" and imbalance is None:
                assert shots == n_shot
        if imbalance is not None:
            _check_total(sizes, classes, n_shots, n_shot, n_query)


def _check_total(sizes, classes, n_shots, n_shot, n_query):
    kept = n_query if isinstance(n_query, int) else 1
    full = [n == sizes[c] - kept for c, n in zip(classes, n_shots, strict=True)]
    total = len(classes) * n_shot
    assert sum(n_shots) == total or (sum(n_shots) < total and any(full))


def test_a_pair_of_ways_and_shots_is_met_uniformly():
    y = _labels([30] * 8)
    episodes = list(
        iter_episodes(None, y, n_way=(2, 5), n_shot=(1, 3), n_query=2,
                      n_episodes=2000, random_state=0)
    )  # fmt: skip
    ways = Counter(len(set(y[s])) for s, _ in episodes)
    shots = Counter(n for s, _ in episodes for n in _runs(y[s])[1])
    assert sorted(ways) == [2, 3, 4, 5]
    assert sorted(shots) == [1, 2, 3]
    assert chisquare(list(ways.values())).pvalue > 1e-3
    assert chisquare(list(shots.values())).pvalue > 1e-3


def test_a_dirichlet_division_is_as_likely_as_any_other():
    y = _labels([60] * 2)
    shots = Counter(
        int((y[s] == 0).sum())
        for s, _ in iter_episodes(
            None, y, n_way=2, n_shot=10, n_query=2, imbalance="dirichlet",
            n_episodes=4000, random_state=0,
        )
    )  # fmt: skip
    # 18 beyond the one that each class has: rounded, the ends have half a share.
    assert set(shots) == set(range(1, 20))
    inner = [shots[n] for n in range(2, 19)]
    assert chisquare(inner).pvalue > 1e-3


def test_a_long_tail_has_shares_of_one_over_the_rank():
    y = _labels([200] * 4)
    for support, _ in iter_episodes(
        None, y, n_way=4, n_shot=26, n_query=1, imbalance="long_tail", n_episodes=20,
        random_state=0,
    ):  # fmt: skip
        # (104 - 4) · (12, 6, 4, 3) / 25, and one each
        assert sorted(_runs(y[support])[1]) == [13, 17, 25, 49]


def _meta_dataset(sizes, n_query, rng):
    """Section 3.2 of the paper, line by line, for given numbers of queries."""
    beta = 1 - rng.random_sample()
    total = 0
    for size, q in zip(sizes, n_query, strict=True):
        total += np.ceil(beta * min(100, size - q))
    total = min(500, total)
    weights = [np.exp(rng.uniform(np.log(0.5), np.log(2))) * size for size in sizes]
    n_shots = []
    for size, weight, q in zip(sizes, weights, n_query, strict=True):
        proportion = weight / sum(weights)
        n = int(np.floor(proportion * (total - len(sizes)))) + 1
        n_shots.append(min(n, size - q))
    return n_shots


@pytest.mark.parametrize("n_query", [5, None, "natural"])
def test_natural_shots_are_those_of_meta_dataset(n_query):
    sizes = [400, 150, 60, 20, 9, 400, 300, 200]
    y = _labels(sizes)
    got = np.array(
        [
            np.bincount(y[s], minlength=len(sizes))
            for s, _ in iter_episodes(
                None, y, n_way=None, n_shot="natural", n_query=n_query,
                n_episodes=1500, random_state=0,
            )
        ]
    )  # fmt: skip
    kept = {
        5: lambda n: 5,
        None: lambda n: min(15, n // 2),
        "natural": lambda n: n // 2,
    }
    rng = np.random.RandomState(1)
    n_kept = [kept[n_query](n) for n in sizes]
    expected = np.array([_meta_dataset(sizes, n_kept, rng) for _ in range(1500)])
    assert ks_2samp(got.sum(axis=1), expected.sum(axis=1)).pvalue > 1e-3
    for mine, theirs in zip(got.T, expected.T, strict=True):
        assert ks_2samp(mine, theirs).pvalue > 1e-3
    assert got.sum(axis=1).max() <= 500


def test_natural_shots_of_more_classes_than_the_most_support_examples():
    y = np.repeat(np.arange(600), 2)
    support, query = next(iter_episodes(None, y, n_way=None, n_shot="natural"))
    assert len(support) == len(query) == 600


@pytest.mark.parametrize(("size", "count"), [(4, 2), (3, 3), (5, 1)])
def test_draws_at_once_are_uniform_over_ordered_draws(size, count):
    n = 12_000
    rng = np.random.RandomState(0)
    drawn = _distinct(np.full(n, size), np.full(n, count), rng)
    found = Counter(map(tuple, drawn.tolist()))
    assert set(found) == set(itertools.permutations(range(size), count))
    assert chisquare(list(found.values())).pvalue > 1e-3


def test_draws_at_once_of_several_sizes_and_counts():
    sizes = np.tile([5, 1000, 3], 3000)
    counts = np.tile([2, 4, 3], 3000)
    drawn = _distinct(sizes, counts, np.random.RandomState(0))
    for row, size, count in zip(drawn, sizes, counts, strict=True):
        assert len(set(row[:count].tolist())) == count
        assert 0 <= row.min() <= row.max() < size
        assert (row[count:] == row[0]).all()
    pairs = Counter(map(tuple, drawn[::3, :2].tolist()))
    assert len(pairs) == 20
    assert chisquare(list(pairs.values())).pvalue > 1e-3


@pytest.mark.parametrize(("size", "count"), [(4, 2), (40, 2)])
def test_single_draws_are_uniform_over_ordered_draws(size, count):
    rng = np.random.RandomState(0)
    found = Counter(tuple(_some(size, count, rng).tolist()) for _ in range(8000))
    assert all(a != b for a, b in found)
    counts = [found[p] for p in itertools.permutations(range(size), count)]
    assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("n_shot", [1, (1, 1)], ids=["at once", "one by one"])
def test_sets_of_classes_are_as_likely(n_shot):
    y = _labels([3, 4, 5, 6, 30])
    found = Counter(
        tuple(_runs(y[s])[0])
        for s, _ in iter_episodes(
            None, y, n_way=2, n_shot=n_shot, n_episodes=4000, random_state=0
        )
    )
    assert len(found) == 20
    assert chisquare(list(found.values())).pvalue > 1e-3


def test_queries_that_do_not_count_are_marked_in_a_block():
    sizes = np.array([5, 9, 30])
    pool = Pool(np.repeat([0, 1, 2], sizes), None, np.arange(3))
    block = next(draw_alike(pool, 2, Shots(2, None, None), np.random.RandomState(0)))
    codes = np.repeat([0, 1, 2], sizes)
    assert block.query.shape == block.valid.shape == (len(block), 30)
    for i, (support, query) in enumerate(block.episodes()):
        ways = codes[support].reshape(2, 2)[:, 0]
        own = np.minimum(15, sizes[ways] - 2)
        np.testing.assert_array_equal(block.valid[i].reshape(2, 15).sum(axis=1), own)
        np.testing.assert_array_equal(codes[query], np.repeat(ways, own))
        assert len(np.unique(np.r_[support, query])) == len(support) + len(query)


@pytest.mark.parametrize(
    "options",
    [{}, {"n_shot": (1, 3)}, {"n_shot": "natural"}, {"n_unknown": 2}, {"n_way": (2, 4)},
     {"n_query": "natural"}, {"imbalance": "dirichlet", "n_shot": 3},
     {"replace": False}, {"groups": np.arange(1200) // 5}],
    ids=lambda options: "-".join(options),
)  # fmt: skip
def test_the_first_of_many_episodes_are_those_of_few(options):
    y = np.repeat(np.arange(60), 20)
    options = {"n_query": 2, "random_state": 5, **options}
    few = list(iter_episodes(None, y, n_episodes=10, **options))
    many = list(iter_episodes(None, y, n_episodes=60, **options))
    for (s, q), (t, r) in zip(few, many[:10], strict=True):
        np.testing.assert_array_equal(s, t)
        np.testing.assert_array_equal(q, r)
    assert len(many) == 60
    assert len({tuple(s) for s, _ in many}) > 50


def test_the_first_ten_of_six_hundred():
    y = np.repeat(np.arange(30), 20)
    few = list(iter_episodes(None, y, n_episodes=10, random_state=0))
    many = list(iter_episodes(None, y, n_episodes=600, random_state=0))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(few, many, strict=False))
    assert len({tuple(s) for s, _ in many}) == 600


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_numbers_of_small_types_do_not_wrap(kind):
    y = np.repeat(np.arange(6), 9)
    episodes = iter_episodes(
        None, y, n_way=kind(3), n_episodes=kind(127), n_unknown=kind(2), random_state=0
    )
    assert sum(1 for _ in episodes) == 127
    many = iter_episodes(None, y, n_episodes=np.uint8(200), random_state=0)
    assert sum(1 for _ in many) == 200


@pytest.mark.parametrize("n_unknown", [0, 3])
def test_a_random_state_instance_goes_on(n_unknown):
    y = np.repeat(np.arange(6), 9)
    rng = np.random.RandomState(0)
    first, second = (
        list(iter_episodes(None, y, n_way=3, n_episodes=3, n_unknown=n_unknown,
                           random_state=rng))
        for _ in range(2)
    )  # fmt: skip
    assert not all(
        np.array_equal(a[0], b[0]) for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize(
    "options",
    [{"n_shot": (1, 3)}, {"n_shot": "natural"}, {"n_unknown": 2, "n_way": 3},
     {"imbalance": "long_tail", "n_shot": 2}, {"groups": np.arange(60) // 2},
     {"replace": False}],
    ids=lambda options: "-".join(options),
)  # fmt: skip
def test_no_option_touches_the_global_state(options):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    y = np.repeat(np.arange(6), 10)
    episodes = [
        list(iter_episodes(None, y, n_query=2, n_episodes=2, random_state=1, **options))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    for (s, q), (t, r) in zip(*episodes, strict=True):
        np.testing.assert_array_equal(np.r_[s, q], np.r_[t, r])


@pytest.mark.parametrize(
    "kind",
    [list, tuple, pd.Series, torch.tensor, lambda y: pd.array(y, dtype="Int64"),
     lambda y: [f"class {v}" for v in y], lambda y: pd.Series(y).astype("category"),
     lambda y: np.array([f"{v:03}" for v in y], dtype=object),
     lambda y: pd.Series([f"{v:03}" for v in y], dtype="string"),
     lambda y: np.array(y, dtype=float)],
    ids=["list", "tuple", "series", "torch", "nullable", "str", "category", "object",
         "string", "float"],
)  # fmt: skip
def test_labels_of_any_kind_give_the_same_episodes(kind):
    y = _labels([7, 8, 9, 9]).tolist()
    for options in ({}, {"groups": kind(list(range(len(y)))), "n_shot": 2}):
        expected = list(
            iter_episodes(None, y, n_way=2, n_query=2, n_episodes=3, random_state=0,
                          **options and {**options, "groups": range(len(y))})
        )  # fmt: skip
        got = list(
            iter_episodes(None, kind(y), n_way=2, n_query=2, n_episodes=3,
                          random_state=0, **options)
        )  # fmt: skip
        for (s, q), (t, r) in zip(expected, got, strict=True):
            np.testing.assert_array_equal(np.r_[s, q], np.r_[t, r])


class TestUnknown:
    def test_each_other_class_is_as_likely(self):
        sizes = [50, 50, 4, 20, 200]
        y = _labels(sizes)
        met = np.zeros((5, 5))
        for s, q in iter_episodes(
            None, y, n_way=2, n_query=1, n_unknown=1, n_episodes=6000, random_state=0
        ):
            met[np.unique(y[s]), y[q[-1]]] += 1
        counts = met.sum(axis=0)
        assert chisquare(counts).pvalue > 1e-3

    def test_each_other_class_is_as_likely_where_groups_take_samples_out(self):
        # Class 2 has 30 samples in group 0, which the support sets are of, and 2 more.
        y = np.repeat([0, 1, 2, 3], [20, 20, 32, 20])
        groups = np.r_[np.zeros(10), np.ones(10), np.zeros(10), np.ones(10),
                       np.zeros(30), [2, 2], np.tile([3, 4], 10)]  # fmt: skip
        groups = groups.astype(int)
        found = Counter()
        for s, q in iter_episodes(
            None, y, n_way=2, n_query=1, n_unknown=1, n_episodes=3000, groups=groups,
            random_state=0,
        ):  # fmt: skip
            if set(y[s]) == {0, 1} and set(groups[s]) == {0}:
                found[y[q[-1]]] += 1
        assert set(found) == {2, 3}
        assert chisquare(list(found.values())).pvalue > 1e-3

    def test_small_classes_left_out_are_met_as_unknown_ones(self):
        y = np.repeat([0, 1, 2], [9, 9, 1])
        with pytest.warns(UserWarning, match=r"left out: 2 \(1\)\."):
            episodes = list(
                iter_episodes(None, y, n_way=2, n_unknown=1, n_episodes=4,
                              small_classes="drop", random_state=0)
            )  # fmt: skip
        assert all(y[q[-1]] == 2 for _, q in episodes)

    @pytest.mark.parametrize("n_way", [None, 3, (2, 3)])
    def test_too_few_others_raise_at_the_call(self, n_way):
        with pytest.raises(ValueError, match=r"Cannot draw 1 queries .* as few as 0"):
            iter_episodes(None, np.repeat([0, 1, 2], 9), n_way=n_way, n_unknown=1)
        with pytest.raises(ValueError, match=r"any queries .* Lower n_way\."):
            episode_blocks(
                np.arange(3), np.repeat([0, 1, 2], 9), n_way=n_way, n_shot=1,
                n_query=None, n_episodes=1, n_unknown=None,
            )  # fmt: skip

    def test_as_many_as_there_are_others_at_the_call(self):
        y = np.repeat([0, 1, 2, 3], [9, 9, 2, 3])
        assert len(list(iter_episodes(None, y, n_way=2, n_query=1, n_unknown=5))) == 600
        with pytest.raises(ValueError, match=r"with 2 classes in it, as few as 5 "):
            iter_episodes(None, y, n_way=2, n_query=1, n_unknown=6)

    def test_groups_that_leave_too_few_raise_a_value_error(self):
        y = np.repeat([0, 1, 2], 6)
        groups = np.tile([0, 1], 9)
        with pytest.raises(ValueError, match="Cannot draw 4 queries of classes outs"):
            list(iter_episodes(None, y, n_way=2, n_query=1, n_unknown=4, groups=groups))


class TestWithoutReplacement:
    @settings(deadline=None, max_examples=50)
    @given(
        sizes=SIZES, n_shot=N_SHOT, n_query=N_QUERY, n_unknown=st.integers(0, 4),
        n_way=st.integers(2, 3), grouped=st.booleans(), seed=st.integers(0, 99),
    )  # fmt: skip
    def test_no_sample_is_met_twice(
        self, sizes, n_shot, n_query, n_unknown, n_way, grouped, seed
    ):
        y = _labels(sizes, seed)
        groups = np.arange(len(y)) if grouped else None
        episodes = list(
            iter_episodes(
                None, y, n_way=n_way, n_shot=n_shot, n_query=n_query, groups=groups,
                n_unknown=n_unknown, replace=False, n_episodes=None, random_state=seed,
            )
        )  # fmt: skip
        met = np.concatenate([np.r_[s, q] for s, q in episodes])
        assert len(np.unique(met)) == len(met)

    @settings(deadline=None, max_examples=50)
    @given(
        n_classes=st.integers(2, 9), n_way=st.integers(2, 9), size=st.integers(3, 30),
        n_query=st.integers(1, 3), seed=st.integers(0, 9),
    )  # fmt: skip
    def test_there_are_as_many_as_can_be_of_equal_classes(
        self, n_classes, n_way, size, n_query, seed
    ):
        n_way, n_query = min(n_way, n_classes), min(n_query, size - 1)
        y = _labels([size] * n_classes)
        most = n_classes * (size // (1 + n_query)) // n_way
        ask = {"n_way": n_way, "n_query": n_query, "replace": False}
        episodes = list(
            iter_episodes(None, y, n_episodes=None, random_state=seed, **ask)
        )
        assert len(episodes) == most
        with pytest.raises(
            ValueError,
            match=rf"n_episodes={most + 1} without .* used up after {most}\.",
        ):
            iter_episodes(None, y, n_episodes=most + 1, random_state=seed, **ask)

    def test_a_class_without_groups_left_does_not_end_the_others(self):
        # The largest class has 11 samples of one group and 1 of another: one episode.
        y = np.repeat([0, 1, 2, 3], [12, 8, 8, 8])
        groups = np.r_[np.zeros(11), 1, np.arange(2, 26)]
        episodes = list(
            iter_episodes(None, y, n_way=2, n_query=1, groups=groups, replace=False,
                          n_episodes=None, random_state=0)
        )  # fmt: skip
        assert len(episodes) == 6

    def test_no_end_of_episodes_has_to_be_drawn_without_replacement(self):
        with pytest.raises(ValueError, match=r"no end .* Set replace=False, or a numb"):
            iter_episodes(None, np.repeat([0, 1], 9), n_way=2, n_episodes=None)


class TestGroups:
    @settings(deadline=None, max_examples=80)
    @given(
        bursts=st.lists(
            st.lists(st.integers(1, 8), min_size=2, max_size=6), min_size=2, max_size=6
        ),
        n_shot=st.one_of(st.integers(1, 4), st.tuples(st.just(1), st.integers(1, 9)),
                         st.just("natural")),
        n_query=N_QUERY, seed=st.integers(0, 99),
    )  # fmt: skip
    def test_nested_groups_are_kept_apart_wherever_it_can_be_done(
        self, bursts, n_shot, n_query, seed
    ):
        y = np.repeat(np.arange(len(bursts)), [sum(b) for b in bursts])
        groups = np.repeat(np.arange(sum(map(len, bursts))), np.concatenate(bursts))
        order = np.random.RandomState(seed).permutation(len(y))
        y, groups = y[order], groups[order]
        least = n_shot if isinstance(n_shot, int) else 1
        queries = n_query if isinstance(n_query, int) else 1
        able = [
            any(
                sum(some) >= least and sum(burst) - sum(some) >= queries
                for n in range(1, len(burst))
                for some in itertools.combinations(burst, n)
            )
            for burst in bursts
        ]
        ask = {
            "n_way": None, "n_shot": n_shot, "n_query": n_query, "groups": groups,
            "n_episodes": 3, "random_state": seed,
        }  # fmt: skip
        if not all(able):
            named = able.index(False)
            few = f"{able.count(False)} of {len(able)} classes have .*: {named} "
            with pytest.raises(ValueError, match=few):
                iter_episodes(None, y, **ask)
            return
        for support, query in iter_episodes(None, y, **ask):
            assert not set(groups[support]) & set(groups[query])
            assert set(y[support]) == set(y[query]) == set(range(len(bursts)))
            assert len(np.unique(np.r_[support, query])) == len(support) + len(query)
            if isinstance(n_shot, int):
                assert set(_runs(y[support])[1]) == {n_shot}
            if isinstance(n_query, int):
                assert set(_runs(y[query])[1]) == {n_query}

    @pytest.mark.parametrize("n_shot", [1, 5, 10, (1, 12), "natural"])
    def test_crossing_groups_such_as_drawers(self, n_shot):
        n_classes = 30
        y = np.repeat(np.arange(n_classes), 20)
        drawers = np.tile(np.arange(20), n_classes)
        for support, query in iter_episodes(
            None, y, n_way=20, n_shot=n_shot, n_query=5, groups=drawers, n_episodes=20,
            random_state=0,
        ):  # fmt: skip
            assert not set(drawers[support]) & set(drawers[query])
            assert set(_runs(y[query])[1]) == {5}
            if isinstance(n_shot, int):
                assert set(_runs(y[support])[1]) == {n_shot}

    @pytest.mark.parametrize("n_way", [5, 20])
    def test_one_long_burst_and_a_short_one_in_each_class(self, n_way):
        # Five queries are to be had from the long one only.
        y = np.repeat(np.arange(20), 10)
        groups = 2 * y + (np.arange(200) % 10 == 9)
        for support, query in iter_episodes(
            None,
            y,
            n_way=n_way,
            n_query=5,
            groups=groups,
            n_episodes=50,
            random_state=0,
        ):
            assert (groups[support] % 2 == 1).all()
            assert (groups[query] % 2 == 0).all()

    def test_support_examples_of_many_short_bursts_beside_a_long_one(self):
        y = np.repeat(np.arange(10), 60)
        groups = np.where(np.arange(600) % 60 < 50, 1000 + y, np.arange(600))
        episodes = iter_episodes(
            None, y, n_way=10, n_shot=10, n_query=20, groups=groups, n_episodes=20,
            random_state=0,
        )  # fmt: skip
        for support, query in episodes:
            assert (groups[support] < 1000).all()
            assert (groups[query] >= 1000).all()

    def test_support_examples_of_a_long_burst_beside_many_short_ones(self):
        # Twenty-five are to be had without the short ones only.
        y = np.repeat(np.arange(10), 50)
        groups = np.where(np.arange(500) % 50 < 30, 1000 + y, np.arange(500) // 2)
        episodes = iter_episodes(
            None, y, n_way=10, n_shot=25, n_query=20, groups=groups, n_episodes=20,
            random_state=0,
        )  # fmt: skip
        for support, query in episodes:
            assert (groups[support] >= 1000).all()
            assert (groups[query] < 1000).all()

    def test_classes_of_one_group_are_named(self):
        y = np.repeat(["ape", "bee", "cow"], 6)
        groups = np.r_[np.arange(6), np.full(6, 7), np.full(6, 8)]
        with pytest.raises(
            ValueError, match=r"no group among both\. 2 of 3 .*: bee \(6\), cow \(6\)"
        ):
            iter_episodes(None, y, n_way=2, groups=groups)

    def test_classes_of_one_group_are_left_out_and_named(self):
        y = np.repeat(["ape", "bee", "cow"], 6)
        groups = np.r_[np.arange(6), np.full(6, 7), np.arange(10, 16)]
        with pytest.warns(UserWarning, match=r"left out: bee \(6\)\.") as caught:
            episodes = list(
                iter_episodes(None, y, n_way=2, groups=groups, n_episodes=9,
                              small_classes="drop", random_state=0)
            )  # fmt: skip
        assert caught[0].filename == __file__
        assert not any("bee" in y[s] for s, _ in episodes)

    def test_two_classes_that_share_both_of_their_groups(self):
        # Each can be divided alone. Together, one's support is of the other's queries.
        y = np.repeat([0, 1], 4)
        groups = np.array([0, 0, 0, 1, 0, 1, 1, 1])
        with pytest.raises(ValueError, match="Cannot keep groups apart: 100 draws"):
            next(iter_episodes(None, y, n_way=2, n_query=3, groups=groups))

    @pytest.mark.parametrize(
        "groups",
        [[1, None] * 6, [1.0, np.nan] * 6, ["a", np.nan] * 6,
         pd.array([1, None] * 6, "Int64")],
    )  # fmt: skip
    def test_missing_groups_raise(self, groups):
        with pytest.raises(ValueError, match="groups contains NaN or None: 6 of 12"):
            iter_episodes(None, np.repeat([0, 1], 6), n_way=2, groups=groups)

    def test_groups_of_several_kinds_raise(self):
        # As one array they would be strings, and 1 and "1" one group.
        with pytest.raises(TypeError, match="Expected groups of one kind"):
            iter_episodes(None, np.repeat([0, 1], 6), n_way=2, groups=[1, "1"] * 6)

    def test_groups_of_another_length_raise(self):
        with pytest.raises(ValueError, match="Got 3 groups for 12 samples"):
            iter_episodes(None, np.repeat([0, 1], 6), n_way=2, groups=[1, 2, 3])


def test_small_classes_are_left_out_and_named():
    y = np.repeat(["ape", "bee", "cow"], [9, 5, 2])
    with pytest.warns(UserWarning, match=r"left out: cow \(2\)\.") as caught:
        episodes = list(
            iter_episodes(None, y, n_way=2, n_query=4, small_classes="drop",
                          n_episodes=20, random_state=0)
        )  # fmt: skip
    assert caught[0].filename == __file__
    assert not any("cow" in y[np.r_[e]] for e in episodes)


def test_too_few_classes_name_those_left_out():
    y = np.repeat(np.arange(4), [9, 9, 1, 1])
    with (
        pytest.warns(UserWarning, match="2 of 4 classes have fewer and are left out"),
        pytest.raises(ValueError, match=r"n_way=3 .* n_classes=2 \(2 more are too sm"),
    ):
        iter_episodes(None, y, n_way=3, small_classes="drop")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"n_way": (1, 3)}, r"n_way=\(low, high\) .* 2 <= low <= high"),
        ({"n_way": (3, 2)}, r"Got n_way=\(3, 2\)"),
        ({"n_way": (2, 3, 4)}, "must be two integers"),
        ({"n_way": (2, 3.5)}, "must be two integers"),
        ({"n_way": [2, 3]}, "'n_way' parameter of iter_episodes"),
        ({"n_way": 2.0}, "'n_way' parameter of iter_episodes"),
        ({"n_shot": (0, 2)}, r"1 <= low <= high\. Got n_shot=\(0, 2\)"),
        ({"n_shot": "all"}, "'n_shot' parameter of iter_episodes"),
        ({"n_shot": None}, "'n_shot' parameter of iter_episodes"),
        ({"n_query": "all"}, "'n_query' parameter of iter_episodes"),
        ({"n_query": (1, 2)}, "'n_query' parameter of iter_episodes"),
        ({"n_unknown": -1}, "'n_unknown' parameter of iter_episodes"),
        ({"n_unknown": None}, "'n_unknown' parameter of iter_episodes"),
        ({"n_episodes": 0}, "'n_episodes' parameter of iter_episodes"),
        ({"imbalance": "zipf"}, "'imbalance' parameter of iter_episodes"),
        ({"imbalance": "dirichlet"}, r"needs an integer n_shot of 2 .* n_shot=1\."),
        ({"imbalance": "long_tail", "n_shot": (2, 3)}, r"Got n_shot=\(2, 3\)"),
        ({"imbalance": "long_tail", "n_shot": "natural"}, "Got n_shot='natural'"),
        ({"replace": 1.5}, "'replace' parameter of iter_episodes"),
        ({"small_classes": "keep"}, "'small_classes' parameter of iter_episodes"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_at_the_call(bad, said):
    with pytest.raises(ValueError, match=said):
        iter_episodes(None, np.repeat([0, 1, 2], 9), **{"n_way": 2, **bad})


@pytest.mark.parametrize(
    ("y", "options"),
    [
        (np.repeat(np.arange(5), 200_000), {}),
        (np.repeat(np.arange(5), 200_000), {"n_shot": (1, 5), "n_episodes": 20}),
        (np.repeat(np.arange(5), 200_000), {"n_way": 3, "n_unknown": 5,
                                            "n_episodes": 5}),
        (np.repeat(np.arange(5), 200_000), {"groups": np.arange(1_000_000) // 7,
                                            "n_episodes": 5}),
        (np.repeat(np.arange(2), [1_000_000, 20]), {"n_way": 2, "n_query": "natural",
                                                    "n_episodes": 2}),
        (np.repeat(np.arange(50_000), 4), {}),
        (np.repeat(np.arange(50_000), 4), {"n_way": (3, 5), "n_episodes": 50}),
        (np.repeat(np.arange(50_000), 4), {"groups": np.arange(200_000) // 2,
                                           "n_episodes": 20}),
        (np.repeat(np.arange(50_000), 4), {"replace": False, "n_query": 1,
                                           "n_episodes": 50}),
    ],
    ids=["large", "shots", "unknown", "groups", "natural", "classes", "ways", "bursts",
         "without replacement"],
)  # fmt: skip
def test_many_samples_and_many_classes_cost_little(y, options):
    started = time.perf_counter()
    tracemalloc.start()
    n_drawn = sum(1 for _ in iter_episodes(None, y, random_state=0, **options))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_drawn == options.get("n_episodes", 600)
    assert peak < 2.5e8
    assert time.perf_counter() - started < 20  # a fraction of it, on a quiet machine
