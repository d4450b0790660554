import copy
import inspect
import pickle
import warnings
from itertools import chain

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    check_cv,
    cross_val_score,
    cross_validate,
    learning_curve,
)

from skfsl.model_selection import (
    ClassKFold,
    ClassShuffleSplit,
    LeaveOneGroupOfClassesOut,
    RepeatedClassKFold,
    StratifiedClassKFold,
    train_test_class_split,
)

# One table for all checks: each splitter, with how often it tests each class.
SPLITTERS = [
    (ClassKFold(n_splits=3), 1),
    (ClassKFold(n_splits=3, shuffle=True, random_state=0), 1),
    (StratifiedClassKFold(n_splits=3), 1),
    (StratifiedClassKFold(n_splits=3, shuffle=True, random_state=0), 1),
    (RepeatedClassKFold(n_splits=3, n_repeats=2, random_state=0), 2),
    (ClassShuffleSplit(n_splits=3, test_size=0.4, random_state=0), None),
    (LeaveOneGroupOfClassesOut(), 1),
]
NEEDS_GROUPS = LeaveOneGroupOfClassesOut
every_splitter = pytest.mark.parametrize(
    ("splitter", "times"), SPLITTERS, ids=[repr(s) for s, _ in SPLITTERS]
)
optional_groups = pytest.mark.parametrize(
    "splitter",
    [s for s, _ in SPLITTERS if not isinstance(s, NEEDS_GROUPS)],
    ids=repr,
)


def half(estimator, X, y):
    """Score nothing: a scorer for searches."""
    return 0.5


def make_y(n_classes=9, seed=0):
    """Heavy-tailed classes in any order; the last have one sample."""
    sizes = np.maximum(1, 20 // np.arange(1, n_classes + 1) ** 2)
    y = np.repeat([f"class{i}" for i in range(n_classes)], sizes)
    return np.random.default_rng(seed).permutation(y)


def kinds(y):
    """Return a group for each class: three kinds of classes."""
    return np.unique(y, return_inverse=True)[1] % 3


def groups_for(splitter, y):
    return kinds(y) if isinstance(splitter, NEEDS_GROUPS) else None


def split(splitter, y, groups=None):
    groups = groups_for(splitter, y) if groups is None else groups
    return list(splitter.split(None, y, groups))


# --- every splitter x every check --------------------------------------------


def check_classes_are_disjoint_and_nothing_is_left_out(splitter, times):
    y = make_y()
    for train, test in split(splitter, y):
        assert not set(y[train]) & set(y[test])
        assert sorted([*train, *test]) == list(range(len(y)))


def check_indices_are_sorted_and_of_integers(splitter, times):
    for side in chain(*split(splitter, make_y())):
        assert side.dtype == np.intp
        assert (np.diff(side) > 0).all()
        assert len(side) > 0


def check_every_class_is_tested_equally_often(splitter, times):
    if times is None:
        return
    y = make_y()
    tested = np.concatenate([np.unique(y[test]) for _, test in split(splitter, y)])
    classes, counts = np.unique(tested, return_counts=True)
    np.testing.assert_array_equal(classes, np.unique(y))
    assert (counts == times).all()


def check_n_splits_is_told(splitter, times):
    y = make_y()
    groups = groups_for(splitter, y)
    assert splitter.get_n_splits(y, y, groups) == len(split(splitter, y))
    assert splitter.get_n_splits(groups=groups) == len(split(splitter, y))


def check_two_calls_split_the_same(splitter, times):
    y = make_y()
    assert_same(split(splitter, y), split(splitter, y))


def check_copies_split_the_same(splitter, times, tmp_path):
    y = make_y()
    joblib.dump(splitter, tmp_path / "splitter")
    for again in (
        clone(splitter, safe=False),
        copy.deepcopy(splitter),
        pickle.loads(pickle.dumps(splitter)),
        joblib.load(tmp_path / "splitter"),
    ):
        assert repr(again) == repr(splitter)
        assert_same(split(again, y), split(splitter, y))


def check_repr_makes_it_again(splitter, times):
    again = eval(repr(splitter))
    assert repr(again) == repr(splitter)
    assert vars(again) == vars(splitter)


def check_only_the_constructors_parameters_are_kept(splitter, times):
    parameters = list(inspect.signature(type(splitter).__init__).parameters)
    kept = set() if parameters == ["self", "args", "kwargs"] else set(parameters[1:])
    assert set(vars(splitter)) == kept


def check_folds_do_not_depend_on_the_order_of_samples(splitter, times):
    y = make_y()
    order = np.random.default_rng(1).permutation(len(y))
    for (_, a), (_, b) in zip(
        split(splitter, y), split(splitter, y[order]), strict=True
    ):
        assert set(y[a]) == set(y[order][b])


def check_labels_of_any_kind(splitter, times):
    torch = pytest.importorskip("torch")
    pd = pytest.importorskip("pandas")
    names = make_y()
    numbers = np.array([int(name[5:]) for name in names])
    expected = split(splitter, names)
    for y in (
        numbers,
        numbers.astype(float),
        numbers.astype(np.uint8),
        numbers.tolist(),
        names.astype(object),
        names.tolist(),
        torch.from_numpy(numbers),
        pd.Series(names, index=np.arange(len(names))[::-1]),
        pd.Series(names, dtype="category"),
        pd.Series(numbers, dtype="Int64"),
        pd.Series(names, dtype="string"),
    ):
        groups = groups_for(splitter, names)
        assert_same(list(splitter.split(None, y, groups)), expected)


def check_samples_of_any_kind(splitter, times):
    torch = pytest.importorskip("torch")
    pd = pytest.importorskip("pandas")
    y = make_y()
    n, groups, expected = len(y), groups_for(splitter, y), split(splitter, y)
    for X in (
        np.zeros((n, 2)),
        np.zeros((n, 4, 4, 3), dtype=np.uint8),
        [f"{i}.png" for i in range(n)],
        pd.DataFrame({"path": ["a.png"] * n}),
        sparse.csr_matrix((n, 3)),
        torch.zeros(n, 2),
    ):
        assert_same(list(splitter.split(X, y, groups)), expected)


def check_works_in_searches_and_curves(splitter, times):
    y = make_y()
    X = np.random.default_rng(0).normal(size=(len(y), 3))
    groups = groups_for(splitter, y)
    assert check_cv(splitter, y, classifier=True) is splitter
    n = splitter.get_n_splits(X, y, groups)
    args = {"cv": splitter, "scoring": half, "groups": groups}
    grid = {"n_components": [1, 2]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(cross_val_score(PCA(), X, y, **args), [0.5] * n)
        indices = cross_validate(PCA(), X, y, return_indices=True, **args)["indices"]
        assert_same(
            list(zip(indices["train"], indices["test"], strict=True)),
            split(splitter, y),
        )
        del args["groups"]
        for search in (
            GridSearchCV(PCA(), grid, n_jobs=2, error_score="raise", **args),
            HalvingGridSearchCV(PCA(), grid, error_score="raise", **args),
        ):
            search.fit(X, y, groups=groups)
            assert search.n_splits_ == n
            assert search.best_score_ == 0.5
        _, scores, _ = learning_curve(
            PCA(1), X, y, groups=groups, train_sizes=[2, 4], error_score="raise", **args
        )
        assert scores.shape == (2, n)


def check_groups_are_routed(splitter, times):
    y = make_y()
    X = np.random.default_rng(0).normal(size=(len(y), 3))
    days = kinds(y) if isinstance(splitter, NEEDS_GROUPS) else np.arange(len(y)) % 4
    args = {"cv": splitter, "scoring": half, "return_indices": True}
    with config_context(enable_metadata_routing=True):
        result = cross_validate(PCA(1), X, y, params={"groups": days}, **args)
        search = GridSearchCV(PCA(), {"n_components": [1]}, cv=splitter, scoring=half)
        search.fit(X, y, groups=days)
        if not isinstance(splitter, NEEDS_GROUPS):
            cross_validate(PCA(1), X, y, params={}, **args)
            search.fit(X, y)
    found = result["indices"]
    expected = split(splitter, y, days)
    assert_same(list(zip(found["train"], found["test"], strict=True)), expected)


def check_wrong_labels_raise(splitter, times):
    y = make_y()
    name = type(splitter).__name__
    with pytest.raises(ValueError, match=f"{name} splits classes .* Got y=None"):
        next(splitter.split(y))
    with pytest.raises(ValueError, match=f"{name} puts .* classes in y is 1"):
        next(splitter.split(None, ["a"] * 4, ["g"] * 4))
    with pytest.raises(ValueError, match="y contains NaN"):
        next(splitter.split(None, ["a", None, "b"], [1, 1, 2]))
    with pytest.raises(ValueError, match="continuous"):
        next(splitter.split(None, [0.5, 1.5, 2.5], [1, 1, 2]))
    with pytest.raises(TypeError, match="labels of one kind"):
        next(splitter.split(None, ["a", 1, "b"], [1, 1, 2]))
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[3, 4"):
        next(splitter.split([0, 0, 0], list("abcd"), [1, 2, 3, 4]))


def check_wrong_groups_raise(splitter, times):
    pd = pytest.importorskip("pandas")
    y = make_y()
    n = len(y)
    with pytest.raises(ValueError, match=rf"Got 3 groups for {n} samples"):
        next(splitter.split(None, y, [1, 2, 3]))
    with pytest.raises(ValueError, match=rf"\(n_samples,\).*Got shape \({n}, 2\)"):
        next(splitter.split(None, y, [("site", "day")] * n))
    for missing in (None, np.nan, pd.NA, pd.NaT):
        groups = ["day"] * n
        groups[2] = groups[5] = missing
        with pytest.raises(ValueError, match=f"NaN or None: 2 of {n}, .* at index 2"):
            next(splitter.split(None, y, groups))
    for groups in (
        np.where(np.arange(n) > 2, 1.0, np.nan),
        np.where(np.arange(n) > 2, "2024-05-01", "NaT").astype("datetime64[D]"),
        pd.Series([1] * (n - 1) + [None], dtype="Int64"),
    ):
        with pytest.raises(ValueError, match="groups contains NaN or None"):
            next(splitter.split(None, y, groups))
    with pytest.raises(TypeError, match=r"groups of one kind .* Got int, str"):
        next(splitter.split(None, y, ["day", *range(n - 1)]))


def check_input_is_left_alone(splitter, times):
    y = make_y()
    groups = kinds(y)
    y.flags.writeable = groups.flags.writeable = False
    list(splitter.split(None, y, groups))


def assert_same(folds, others):
    for fold, other in zip(folds, others, strict=True):
        for side, other_side in zip(fold, other, strict=True):
            np.testing.assert_array_equal(side, other_side)


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
CHECKS.remove(check_cv)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@every_splitter
def test_contract(splitter, times, check, tmp_path):
    if "tmp_path" in inspect.signature(check).parameters:
        check(splitter, times, tmp_path)
    else:
        check(splitter, times)


def test_table_is_complete():
    import skfsl.model_selection as room

    splitters = {
        name for name in room.__all__ if hasattr(getattr(room, name), "get_n_splits")
    }
    assert {type(splitter).__name__ for splitter, _ in SPLITTERS} == splitters


# --- properties --------------------------------------------------------------

labels = st.lists(st.integers(0, 7), min_size=6, max_size=60).filter(
    lambda y: len(set(y)) >= 3
)


@settings(deadline=None, max_examples=60)
@given(y=labels, seed=st.integers(0, 99), data=st.data())
@optional_groups
def test_groups_are_never_split(splitter, y, seed, data):
    y = np.array(y)
    n_groups = data.draw(st.integers(2, 12))
    groups = np.random.default_rng(seed).integers(n_groups, size=len(y))
    if len(np.unique(groups)) == 1:
        groups[0] += 1
    whole = list(splitter.split(None, y))
    for (train, test), (all_train, all_test) in zip(
        splitter.split(None, y, groups), whole, strict=True
    ):
        assert len(train) > 0
        assert len(test) > 0
        assert set(train) <= set(all_train)
        assert set(test) <= set(all_test)
        assert not set(y[train]) & set(y[test])
        assert not set(groups[train]) & set(groups[test])
        # Only samples of groups on both sides are left out.
        left_out = set(range(len(y))) - set(train) - set(test)
        shared = set(groups[all_train]) & set(groups[all_test])
        assert set(groups[list(left_out)]) <= shared
        assert set(groups[train]) | set(groups[test]) == set(groups)


@settings(deadline=None, max_examples=60)
@given(y=labels, seed=st.integers(0, 99))
@optional_groups
def test_groups_within_a_class_leave_nothing_out(splitter, y, seed):
    y = np.array(y)
    bursts = y * 10 + np.random.default_rng(seed).integers(3, size=len(y))
    assert_same(splitter.split(None, y, bursts), splitter.split(None, y))


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 300), min_size=2, max_size=30),
    n_splits=st.integers(2, 7),
    shuffle=st.booleans(),
)
def test_stratified_folds_are_balanced(sizes, n_splits, shuffle):
    n_splits = min(n_splits, len(sizes))
    y = np.repeat(np.arange(len(sizes)), sizes)
    cv = StratifiedClassKFold(n_splits, shuffle=shuffle)
    tests = [test for _, test in cv.split(None, y)]
    n_classes = [len(np.unique(y[test])) for test in tests]
    assert max(n_classes) - min(n_classes) <= 1
    # A block of classes makes folds differ by its largest less its smallest, at most.
    padded = np.sort(sizes + [0] * (-len(sizes) % n_splits))[::-1]
    blocks = padded.reshape(-1, n_splits)
    n_samples = [len(test) for test in tests]
    assert max(n_samples) - min(n_samples) <= (blocks[:, 0] - blocks[:, -1]).max()


@settings(deadline=None, max_examples=60)
@given(
    exponent=st.floats(1.1, 2.5), n_classes=st.integers(20, 200), seed=st.integers(0, 9)
)
def test_stratified_folds_beat_plain_ones_on_heavy_tails(exponent, n_classes, seed):
    rng = np.random.default_rng(seed)
    sizes = np.minimum(rng.zipf(exponent, n_classes), 2000)
    y = np.repeat(rng.permutation(n_classes), sizes)

    def spread(cv):
        n_samples = [len(test) for _, test in cv.split(None, y)]
        return max(n_samples) - min(n_samples)

    plain = [spread(ClassKFold(5, shuffle=True, random_state=r)) for r in range(10)]
    assert spread(StratifiedClassKFold(5)) <= np.mean(plain)


# --- what scikit-learn's own splitters say -----------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ClassKFold(3), KFold(3)),
        (
            ClassKFold(3, shuffle=True, random_state=5),
            KFold(3, shuffle=True, random_state=5),
        ),
        (RepeatedClassKFold(random_state=5), RepeatedKFold(random_state=5)),
        (
            ClassShuffleSplit(train_size=0.5, random_state=5),
            ShuffleSplit(train_size=0.5, random_state=5),
        ),
    ],
    ids=str,
)
def test_classes_are_split_as_scikit_learn_splits_samples(ours, theirs):
    y = make_y()
    classes = np.unique(y)
    days = np.arange(len(y)) % 4
    for groups in (None, days):
        for (train, test), (theirs_train, theirs_test) in zip(
            ours.split(y, y, groups), theirs.split(classes), strict=True
        ):
            if groups is None:
                assert set(y[train]) == set(classes[theirs_train])
                assert set(y[test]) == set(classes[theirs_test])
            else:
                assert set(y[train]) <= set(classes[theirs_train])
                assert set(y[test]) <= set(classes[theirs_test])


@pytest.mark.parametrize(
    ("splitter", "expected"),
    [
        (ClassKFold(), "ClassKFold(n_splits=5, random_state=None, shuffle=False)"),
        (
            StratifiedClassKFold(),
            "StratifiedClassKFold(n_splits=5, random_state=None, shuffle=False)",
        ),
        (
            RepeatedClassKFold(),
            "RepeatedClassKFold(n_repeats=10, n_splits=5, random_state=None)",
        ),
        (
            ClassShuffleSplit(),
            "ClassShuffleSplit(n_splits=10, random_state=None, test_size=None,\n"
            "         train_size=None)",
        ),
        (LeaveOneGroupOfClassesOut(), "LeaveOneGroupOfClassesOut()"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_repr_is_like_scikit_learns(splitter, expected):
    assert repr(splitter) == expected


@pytest.mark.parametrize(
    "splitter",
    [
        ClassKFold(2, shuffle=True),
        StratifiedClassKFold(2, shuffle=True),
        RepeatedClassKFold(n_splits=2, n_repeats=1),
        ClassShuffleSplit(2, test_size=0.5),
    ],
    ids=repr,
)
def test_random_state_is_used_as_in_scikit_learn(splitter):
    y, days = np.arange(30), np.arange(30) % 7
    splitter.random_state = np.random.RandomState(0)
    first, second = split(splitter, y, days), split(splitter, y, days)
    assert not np.array_equal(first[0][1], second[0][1])
    splitter.random_state = np.random.RandomState(0)
    assert_same(split(splitter, y, days), first)
    splitter.random_state = 0
    assert_same(split(splitter, y, days), first)
    state = np.random.get_state()[1].copy()
    split(splitter, y, days)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


# --- errors ------------------------------------------------------------------


@pytest.mark.parametrize(
    "splitter",
    [ClassKFold(), StratifiedClassKFold(), RepeatedClassKFold()],
    ids=lambda splitter: type(splitter).__name__,
)
def test_more_splits_than_classes_raise_with_both_numbers(splitter):
    with pytest.raises(
        ValueError, match=r"n_splits=5 greater than the number of classes: 3\."
    ):
        next(splitter.split(None, ["a", "b", "c"] * 4))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"test_size": 3}, "test_size=3 .* smaller than the number of classes 3"),
        ({"test_size": 1.5}, "test_size=1.5"),
        ({"test_size": 0.9}, "n_classes=3, test_size=0.9 .* train set will be empty"),
        ({"test_size": 2, "train_size": 2}, "= 4, should be smaller than .* classes 3"),
        ({"train_size": "half"}, "train_size"),
    ],
    ids=str,
)
def test_impossible_sizes_raise_and_speak_of_classes(parameters, message):
    y = ["a", "b", "c"] * 4
    with pytest.raises(ValueError, match=message):
        next(ClassShuffleSplit(**parameters).split(None, y))
    with pytest.raises(ValueError, match=message):
        train_test_class_split(y, y, **parameters)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClassKFold(1), "n_splits=2 or more, got n_splits=1"),
        (lambda: ClassKFold(2.5), "must be of Integral type"),
        (lambda: ClassKFold(random_state=0), "random_state has no effect"),
        (lambda: StratifiedClassKFold(1), "n_splits=2 or more"),
        (lambda: RepeatedClassKFold(n_splits=1), "n_splits=2 or more"),
        (lambda: RepeatedClassKFold(n_repeats=0), "repetitions must be greater"),
        (lambda: ClassShuffleSplit(0), "'n_splits' parameter of ClassShuffleSplit"),
    ],
)
def test_wrong_parameters_raise_at_construction(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_all_samples_in_one_group_raise():
    for splitter in (ClassKFold(2), ClassShuffleSplit(test_size=0.5)):
        with pytest.raises(ValueError, match=r"of one group, .* one side would be em"):
            next(splitter.split(None, [0, 0, 1, 1], ["day"] * 4))


def test_a_class_in_several_groups_is_named_with_them():
    y = ["alpha", "alpha", "alef", "bet", "bet"]
    groups = ["Greek", "Coptic", "Hebrew", "Hebrew", "Hebrew"]
    with pytest.raises(
        ValueError,
        match=r"1 of 3 classes do not; class alpha is in 2 groups: Coptic, Greek\.",
    ):
        next(LeaveOneGroupOfClassesOut().split(None, y, groups))


def test_one_or_no_group_of_classes_raises():
    cv = LeaveOneGroupOfClassesOut()
    with pytest.raises(ValueError, match="there is only one: Greek"):
        next(cv.split(None, ["alpha", "beta"], ["Greek"] * 2))
    with pytest.raises(ValueError, match="Got groups=None"):
        next(cv.split(None, ["alpha", "beta"]))
    with pytest.raises(ValueError, match="Got groups=None"):
        cv.get_n_splits()


# --- groups on both sides ----------------------------------------------------


def crossed(n_classes, n_days):
    """Each class was photographed once on each day."""
    return np.repeat(np.arange(n_classes), n_days), np.tile(range(n_days), n_classes)


@pytest.mark.parametrize("shuffle", [False, True])
def test_shared_groups_are_dealt_in_turn(shuffle):
    y, days = crossed(n_classes=10, n_days=15)
    cv = ClassKFold(5, shuffle=shuffle, random_state=0 if shuffle else None)
    tested = [np.unique(days[test]) for _, test in cv.split(None, y, days)]
    assert [len(t) for t in tested] == [3] * 5
    np.testing.assert_array_equal(np.sort(np.concatenate(tested)), np.arange(15))
    assert shuffle != np.array_equal(np.concatenate(tested), np.arange(15))


def test_repeats_deal_shared_groups_anew():
    y, days = crossed(n_classes=10, n_days=10)
    cv = RepeatedClassKFold(n_splits=5, n_repeats=2, random_state=0)
    tested = [np.unique(days[test]) for _, test in cv.split(None, y, days)]
    for once in (tested[:5], tested[5:]):
        np.testing.assert_array_equal(np.sort(np.concatenate(once)), np.arange(10))
    assert not np.array_equal(tested[:5], tested[5:])


def test_shares_of_groups_follow_those_of_classes():
    y, days = crossed(n_classes=20, n_days=10)
    cv = ClassShuffleSplit(5, test_size=0.3, train_size=0.3, random_state=0)
    for train, test in cv.split(None, y, days):
        assert len(np.unique(days[train])) == len(np.unique(days[test])) == 5
        assert len(train) == len(test) == 6 * 5


@pytest.mark.parametrize("n_days", [2, 3])
def test_each_side_has_a_shared_group(n_days):
    y, days = crossed(n_classes=20, n_days=n_days)
    for train, test in ClassKFold(10).split(None, y, days):
        assert len(np.unique(days[test])) == 1
        assert len(np.unique(days[train])) == n_days - 1


def test_a_single_shared_group_goes_where_it_has_more_samples():
    y = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    day = np.array([1, 9, 9, 9, 2, 9, 3, 9])
    (train, test), *_ = ClassKFold(3).split(None, y, day)
    assert (train.tolist(), test.tolist()) == ([4, 6], [0, 1, 2, 3])
    _, (train, test), _ = ClassKFold(3).split(None, y, day)
    assert (train.tolist(), test.tolist()) == ([0, 1, 2, 3, 6, 7], [4])


def test_a_single_shared_group_goes_to_the_side_that_has_no_other():
    y = np.array([0, 0, 0, 1])
    day = np.array([1, 9, 9, 9])
    (train, test), (train_2, test_2) = ClassKFold(2).split(None, y, day)
    assert (train.tolist(), test.tolist()) == ([3], [0])
    assert (train_2.tolist(), test_2.tolist()) == ([0], [3])


def test_groups_of_any_kind():
    torch = pytest.importorskip("torch")
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    y, days = crossed(n_classes=6, n_days=4)
    expected = list(ClassKFold(3).split(None, y, days))
    dates = np.datetime64("2024-05-01") + days
    for groups in (
        days.tolist(),
        days / 2,
        days[:, None],
        days.astype(str),
        dates,
        dates.astype(object),
        [("a", "b", "c", "d")[day] for day in days],
        torch.from_numpy(days),
        pd.Series(days, dtype="Int64"),
        pd.Series(dates).dt.tz_localize("UTC"),
        pd.Series(days.astype(str), dtype="category"),
        pd.DataFrame({"day": dates}),
        pl.Series(days.astype(str)),
    ):
        assert_same(ClassKFold(3).split(None, y, groups), expected)


# --- heavy tails, many classes -----------------------------------------------


def test_classes_of_one_sample_are_split_without_a_warning():
    y = [f"whale{i}" for i in range(20)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for splitter, _ in SPLITTERS:
            for train, test in split(splitter, np.array(y)):
                assert len(train) + len(test) == 20
        train_test_class_split(y, y)


def test_many_classes_are_split_at_once():
    y = np.repeat(np.arange(30_000), 2)
    for splitter in (StratifiedClassKFold(), ClassKFold(shuffle=True)):
        tests = [test for _, test in splitter.split(None, y, np.arange(60_000) // 2)]
        assert sum(len(test) for test in tests) == 60_000


def test_stratified_ties_are_drawn():
    y = np.repeat(np.arange(40), 3)
    folds = [
        set(y[next(StratifiedClassKFold(2, **kw).split(None, y))[1]])
        for kw in (
            {},
            {"shuffle": True, "random_state": 0},
            {"shuffle": True, "random_state": 1},
        )
    ]
    assert folds[0] == set(range(0, 40, 2))
    assert len({frozenset(fold) for fold in folds}) == 3


# --- halving -----------------------------------------------------------------


def test_halving_over_a_parameter_keeps_folds_whole():
    y = make_y()
    X = np.random.default_rng(0).normal(size=(len(y), 3))
    seen = []

    def score(estimator, X, y):
        seen.append(len(y))
        return estimator.n_components

    search = HalvingGridSearchCV(
        PCA(), {"whiten": [False, True]}, cv=ClassKFold(3), scoring=score, factor=2,
        resource="n_components", max_resources=2, return_train_score=False,
    ).fit(X, y)  # fmt: skip
    assert search.n_resources_ == [1, 2]
    sizes = [len(test) for _, test in ClassKFold(3).split(X, y)]
    assert seen == sizes * 3
