"""Classes that come in groups: one group is left out at a time."""

import numpy as np
from sklearn.model_selection import BaseCrossValidator, LeaveOneGroupOut

from skfsl.model_selection._class_split import find_classes, is_in
from skfsl.utils._groups import check_groups
from skfsl.utils._sklearn_private import GroupsConsumerMixin

__all__ = ["LeaveOneGroupOfClassesOut"]


class LeaveOneGroupOfClassesOut(GroupsConsumerMixin, BaseCrossValidator):
    """Each group of classes is tested once: an alphabet, a species, a site.

    Splits classes with :class:`~sklearn.model_selection.LeaveOneGroupOut`. Use it
    where classes come in kinds, and new classes will be of another kind than all that
    are known; that is harder than new classes of known kinds.

    Read more in the :ref:`User Guide <class_split>`.

    See Also
    --------
    ClassKFold : Folds of classes, whatever their kind. There, groups may be such that
        cut across classes.
    sklearn.model_selection.LeaveOneGroupOut : Where a class may be in several groups.

    Notes
    -----
    Splits are in the sorted order of groups. Each class lies in one group; a class in
    several is an error that names it.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.model_selection import LeaveOneGroupOfClassesOut
    >>> y = np.array(["alpha", "beta", "alef", "bet", "bet", "alpha"])
    >>> alphabet = np.array(["Greek", "Greek", "Hebrew", "Hebrew", "Hebrew", "Greek"])
    >>> cv = LeaveOneGroupOfClassesOut()
    >>> cv.get_n_splits(groups=alphabet)
    2
    >>> for train, test in cv.split(y, y, groups=alphabet):
    ...     print(np.unique(y[train]), np.unique(y[test]))
    ['alef' 'bet'] ['alpha' 'beta']
    ['alpha' 'beta'] ['alef' 'bet']
    """

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of splits: that of groups.

        Parameters
        ----------
        X : object, default=None
            Ignored.

        y : object, default=None
            Ignored.

        groups : array-like of shape (n_samples,)
            The group of each sample's class.

        Returns
        -------
        n_splits : int
            The number of groups.

        Raises
        ------
        ValueError
            If groups are not given, or are missing for some samples.
        """
        return len(_check_class_groups(groups)[0])

    def split(self, X, y=None, groups=None):
        """Generate indices that split the samples of one group's classes from others'.

        Parameters
        ----------
        X : array-like of length n_samples or None
            The samples. Only their number is looked at.

        y : array-like of shape (n_samples,)
            Class labels.

        groups : array-like of shape (n_samples,)
            The group of each sample's class.

        Yields
        ------
        train : ndarray of shape (n_train_samples,)
            Indices of samples of the other groups, sorted.

        test : ndarray of shape (n_test_samples,)
            Indices of samples of the group that is left out, sorted.

        Raises
        ------
        ValueError
            If a class lies in several groups, there is one group only, or labels or
            groups are missing.
        """
        classes, codes, sizes = find_classes(self, X, y)
        names, groups = _check_class_groups(groups, len(codes))
        if len(names) < 2:
            raise ValueError(
                f"Cannot leave out a group of classes where there is only one: "
                f"{names[0]}. Use ClassKFold to split classes of one kind."
            )
        pairs = np.unique(codes * len(names) + groups)
        _check_one_group_a_class(classes, names, *np.divmod(pairs, len(names)))
        for train, test in LeaveOneGroupOut().split(sizes, groups=pairs % len(names)):
            yield (
                np.flatnonzero(is_in(train, len(sizes))[codes]),
                np.flatnonzero(is_in(test, len(sizes))[codes]),
            )


def _check_class_groups(groups, n_samples: int | None = None):
    if groups is None:
        raise ValueError(
            "LeaveOneGroupOfClassesOut needs the group of each sample's class. Got "
            "groups=None."
        )
    return check_groups(groups, n_samples)


def _check_one_group_a_class(classes, names, class_of, group_of) -> None:
    """Refuse classes that are in several of the pairs of a class and a group."""
    several = np.flatnonzero(np.bincount(class_of) > 1)
    if len(several) == 0:
        return
    found = [str(name) for name in names[group_of[class_of == several[0]]]]
    named = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
    raise ValueError(
        f"Expected each class to lie in one group. {len(several)} of {len(classes)} "
        f"classes do not; class {classes[several[0]]} is in {len(found)} groups: "
        f"{named}. Where groups cut across classes (days, persons), pass them to "
        f"ClassKFold."
    )
