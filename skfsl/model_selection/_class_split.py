"""Splitters whose train and test classes are disjoint."""

from abc import abstractmethod
from numbers import Integral

import numpy as np
from sklearn.model_selection import (
    BaseCrossValidator,
    KFold,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
)
from sklearn.utils import check_consistent_length, check_random_state

from skfsl.model_selection._groups import keep_groups_whole
from skfsl.utils._groups import check_groups
from skfsl.utils._sklearn_private import (
    GroupsConsumerMixin,
    Interval,
    validate_parameter_constraints,
)
from skfsl.utils._validation import check_labels

__all__ = [
    "ClassKFold",
    "ClassShuffleSplit",
    "RepeatedClassKFold",
    "StratifiedClassKFold",
    "find_classes",
    "is_in",
]


def find_classes(splitter, X, y) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the classes, the code of each sample's class, and the classes' sizes."""
    if y is None:
        raise ValueError(
            f"{type(splitter).__name__} splits classes and needs the label of each "
            f"sample. Got y=None."
        )
    y = check_labels(y)
    if X is not None:
        check_consistent_length(X, y)
    classes, codes, sizes = np.unique(y, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(
            f"{type(splitter).__name__} puts some classes on one side and others on "
            f"the other, and needs at least 2. The number of classes in y is "
            f"{len(classes)}."
        )
    return classes, codes, sizes


class _ClassSplitter(GroupsConsumerMixin, BaseCrossValidator):
    """Split classes with one of scikit-learn's splitters, and samples with them."""

    @abstractmethod
    def _split_classes(self, sizes, rng):
        """Return (train, test) indices of classes, given the size of each class."""

    def _get_rng(self):
        """Return a generator, or None where nothing is drawn."""
        return check_random_state(self.random_state)

    def _n_folds_of_a_round(self):
        """Return in how many folds each class, and each group, is tested once."""
        return self.n_splits

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of splits.

        Parameters
        ----------
        X : object, default=None
            Ignored.

        y : object, default=None
            Ignored.

        groups : object, default=None
            Ignored.

        Returns
        -------
        n_splits : int
            The number of splits.
        """
        return self.n_splits

    def split(self, X, y=None, groups=None):
        """Generate indices that split the samples of some classes from others'.

        Parameters
        ----------
        X : array-like of length n_samples or None
            The samples. Only their number is looked at.

        y : array-like of shape (n_samples,)
            Class labels.

        groups : array-like of shape (n_samples,), default=None
            What samples have in common besides their class: a burst, a day, a person
            who drew. A group is never split across train and test.

        Yields
        ------
        train : ndarray of shape (n_train_samples,)
            Indices of samples of the train classes, sorted.

        test : ndarray of shape (n_test_samples,)
            Indices of samples of the test classes, sorted.

        Raises
        ------
        ValueError
            If y has too few classes, labels or groups are missing, or all samples are
            of one group.
        """
        _, codes, sizes = find_classes(self, X, y)
        if groups is not None:
            names, groups = check_groups(groups, len(codes))
        rng = self._get_rng()
        # All at once: classes are split alike with groups and without.
        folds = list(self._split_classes(sizes, rng))
        for number, (train_classes, test_classes) in enumerate(folds):
            train = is_in(train_classes, len(sizes))[codes]
            test = is_in(test_classes, len(sizes))[codes]
            if groups is not None:
                if number % self._n_folds_of_a_round() == 0:
                    queue = np.arange(len(names))
                    queue = queue if rng is None else rng.permutation(queue)
                share = len(test_classes) / (len(train_classes) + len(test_classes))
                train, test, queue = keep_groups_whole(
                    train, test, groups, queue, share
                )
            yield np.flatnonzero(train), np.flatnonzero(test)


def is_in(indices: np.ndarray, n: int) -> np.ndarray:
    """Return a mask of length `n` that is True at `indices`."""
    mask = np.zeros(n, dtype=bool)
    mask[indices] = True
    return mask


class ClassKFold(_ClassSplitter):
    """K folds of classes: each class is tested once, and never trained on then.

    Splits the sorted classes with :class:`~sklearn.model_selection.KFold`, and all
    samples of a class go with it. Use it to judge how a metric does on classes that it
    never saw.

    Read more in the :ref:`User Guide <class_split>`.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of classes.

    shuffle : bool, default=False
        Whether to shuffle the classes first. Otherwise neighbours in sorted order are
        tested together.

    random_state : int, RandomState instance or None, default=None
        With `shuffle`, governs the order of classes and of groups. An integer gives
        the same folds at each call.

    See Also
    --------
    StratifiedClassKFold : Folds that are near in their numbers of samples, too.
    RepeatedClassKFold : Several times, in other orders.
    LeaveOneGroupOfClassesOut : Folds that are given: alphabets, species.
    sklearn.model_selection.GroupKFold : Folds of groups, whatever their classes.

    Notes
    -----
    Folds have as many classes as one another, or one more. Their numbers of samples
    may differ much where classes do.

    With `groups`, a group is never split across train and test. Groups of one class
    are whole anyway. A group with samples on both sides is given to one side, and its
    samples on the other are left out of this fold. Of such groups the share that goes
    to the test side is the share of test classes, one of them at least to each side;
    they are dealt in turn over the folds, in sorted order, or with `shuffle` in a
    random one. A single one goes where it has more samples, or where there are no
    others. A class may be left out with its groups.

    ``HalvingGridSearchCV`` thins each fold at random: set its ``min_resources`` so that
    enough of a class is left, or its ``resource`` to a parameter of the estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.model_selection import ClassKFold
    >>> y = np.array(["ape", "bee", "cow", "ape", "dog", "bee"])
    >>> for train, test in ClassKFold(n_splits=2).split(y, y):
    ...     print(train, test, np.unique(y[test]))
    [2 4] [0 1 3 5] ['ape' 'bee']
    [0 1 3 5] [2 4] ['cow' 'dog']

    The cow and the dog were photographed on the two days of the bees. Each day goes to
    one side, and no photograph of a bee is tested that was taken with the dog's:

    >>> day = np.array([1, 2, 2, 1, 3, 3])
    >>> for train, test in ClassKFold(n_splits=2).split(y, y, groups=day):
    ...     print(day[train], day[test])
    [3] [1 2 1]
    [1 2 1] [3]
    """

    def __init__(self, n_splits=5, *, shuffle=False, random_state=None):
        # Made for its checks.
        KFold(n_splits, shuffle=shuffle, random_state=random_state)
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def _get_rng(self):
        return super()._get_rng() if self.shuffle else None

    def _split_classes(self, sizes, rng):
        _check_n_splits(self.n_splits, len(sizes))
        folds = KFold(self.n_splits, shuffle=self.shuffle, random_state=rng)
        return folds.split(sizes)


def _check_n_splits(n_splits: int, n_classes: int) -> None:
    if n_splits > n_classes:
        raise ValueError(
            f"Cannot have number of splits n_splits={n_splits} greater than the "
            f"number of classes: {n_classes}. Lower n_splits or add classes."
        )


class StratifiedClassKFold(ClassKFold):
    """K folds of classes, with near equal numbers of samples.

    As :class:`ClassKFold`, but classes are dealt to folds by their sizes. Use it where
    a few classes have most of the samples.

    Read more in the :ref:`User Guide <class_split>`.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of classes.

    shuffle : bool, default=False
        Whether to put classes of the same size in a random order. Otherwise that is
        their sorted order.

    random_state : int, RandomState instance or None, default=None
        With `shuffle`, governs the order of classes of one size, and of groups. An
        integer gives the same folds at each call.

    See Also
    --------
    ClassKFold : Folds by the order of classes.

    Notes
    -----
    Classes are sorted by size, the largest first. Of these each next `n_splits` are
    dealt one to each fold, the largest to the fold that has fewest samples by then. So
    the numbers of classes in two folds differ by one at most, and the numbers of
    samples by the size of the largest class at most, whatever the sizes are.

    Only classes of one size can change places: where all sizes differ, `shuffle`
    changes nothing.

    `groups` are kept whole as in :class:`ClassKFold`. The samples that this leaves out
    are not counted when folds are balanced.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.model_selection import ClassKFold, StratifiedClassKFold
    >>> y = np.repeat(np.arange(8), [50, 20, 9, 4, 3, 2, 1, 1])
    >>> for cv in (ClassKFold(n_splits=2), StratifiedClassKFold(n_splits=2)):
    ...     print([len(test) for _, test in cv.split(y, y)])
    [83, 7]
    [57, 33]
    """

    def _split_classes(self, sizes, rng):
        _check_n_splits(self.n_splits, len(sizes))
        return PredefinedSplit(_balance(sizes, self.n_splits, rng)).split()


def _balance(sizes: np.ndarray, n_folds: int, rng) -> np.ndarray:
    """Return the fold of each class."""
    order = np.arange(len(sizes)) if rng is None else rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of = np.empty(len(sizes), dtype=np.intp)
    n_samples = np.zeros(n_folds, dtype=np.intp)
    for start in range(0, len(sizes), n_folds):
        block = order[start : start + n_folds]
        lightest = np.argsort(n_samples, kind="stable")[: len(block)]
        fold_of[block] = lightest
        n_samples[lightest] += sizes[block]
    return fold_of


class RepeatedClassKFold(_ClassSplitter):
    """K folds of classes, several times, in another order each time.

    Splits classes with :class:`~sklearn.model_selection.RepeatedKFold`. Use it where
    there are few classes, and scores depend much on which of them are tested together.

    Read more in the :ref:`User Guide <class_split>`.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of classes.

    n_repeats : int, default=10
        How many times the classes are split into folds.

    random_state : int, RandomState instance or None, default=None
        Governs the orders of classes and of groups. An integer gives the same folds at
        each call.

    See Also
    --------
    ClassKFold : Once.
    ClassShuffleSplit : Test classes drawn anew each time.

    Notes
    -----
    `groups` are kept whole as in :class:`ClassKFold` with `shuffle`.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.model_selection import RepeatedClassKFold
    >>> y = np.array(["ape", "bee", "cow", "dog", "dog"])
    >>> cv = RepeatedClassKFold(n_splits=2, n_repeats=2, random_state=0)
    >>> cv.get_n_splits()
    4
    >>> for train, test in cv.split(y, y):
    ...     print(np.unique(y[train]), np.unique(y[test]))
    ['ape' 'bee'] ['cow' 'dog']
    ['cow' 'dog'] ['ape' 'bee']
    ['bee' 'dog'] ['ape' 'cow']
    ['ape' 'cow'] ['bee' 'dog']
    """

    def __init__(self, *, n_splits=5, n_repeats=10, random_state=None):
        # Made for their checks.
        KFold(n_splits)
        RepeatedKFold(n_splits=n_splits, n_repeats=n_repeats)
        self.n_splits = n_splits
        self.n_repeats = n_repeats
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of splits: `n_splits` times `n_repeats`.

        Parameters
        ----------
        X : object, default=None
            Ignored.

        y : object, default=None
            Ignored.

        groups : object, default=None
            Ignored.

        Returns
        -------
        n_splits : int
            The number of splits.
        """
        return self.n_splits * self.n_repeats

    def _split_classes(self, sizes, rng):
        _check_n_splits(self.n_splits, len(sizes))
        folds = RepeatedKFold(
            n_splits=self.n_splits, n_repeats=self.n_repeats, random_state=rng
        )
        return folds.split(sizes)


class ClassShuffleSplit(_ClassSplitter):
    """Test classes drawn at random, anew for each split.

    Splits classes with :class:`~sklearn.model_selection.ShuffleSplit`. Use it where
    the share of test classes and the number of splits are to be chosen freely; a class
    may then be tested in several splits, or in none.

    Read more in the :ref:`User Guide <class_split>`.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits.

    test_size : float or int, default=None
        Share of the classes that are tested, rounded up, or their number. None is all
        that are not trained on, and 0.1 where `train_size` is None, too.

    train_size : float or int, default=None
        Share of the classes that are trained on, rounded down, or their number. None
        is all that are not tested.

    random_state : int, RandomState instance or None, default=None
        Governs the draws. An integer gives the same splits at each call.

    See Also
    --------
    train_test_class_split : One such split, of arrays.
    RepeatedClassKFold : Each class is tested equally often.

    Notes
    -----
    `groups` are kept whole as in :class:`ClassKFold`; which of those with samples on
    both sides go to the test side is drawn anew for each split.

    Indices are sorted: those of scikit-learn's splitter are shuffled.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.model_selection import ClassShuffleSplit
    >>> y = np.array(["ape", "bee", "cow", "dog", "dog"])
    >>> cv = ClassShuffleSplit(n_splits=3, test_size=2, random_state=0)
    >>> for train, test in cv.split(y, y):
    ...     print(np.unique(y[train]), np.unique(y[test]))
    ['ape' 'bee'] ['cow' 'dog']
    ['bee' 'dog'] ['ape' 'cow']
    ['bee' 'cow'] ['ape' 'dog']
    """

    def __init__(
        self, n_splits=10, *, test_size=None, train_size=None, random_state=None
    ):
        validate_parameter_constraints(
            {"n_splits": [Interval(Integral, 1, None, closed="left")]},
            {"n_splits": n_splits},
            caller_name=type(self).__name__,
        )
        self.n_splits = n_splits
        self.test_size = test_size
        self.train_size = train_size
        self.random_state = random_state

    def _n_folds_of_a_round(self):
        return 1

    def _split_classes(self, sizes, rng):
        splits = ShuffleSplit(
            self.n_splits,
            test_size=self.test_size,
            train_size=self.train_size,
            random_state=rng,
        )
        try:
            return list(splits.split(sizes))
        except ValueError as error:
            # What it was given as samples are classes.
            raise ValueError(str(error).replace("samples", "classes"))
