"""Which classes come into a batch: by their weights, and by their groups."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from skfsl.utils._groups import check_groups, groups_of_classes
from skfsl.utils._sklearn_private import Interval, StrOptions

__all__ = ["CONSTRAINTS", "ClassDraw", "check_n_way", "near_classes", "sort_classes"]

CONSTRAINTS = {
    "class_weight": [StrOptions({"proportional", "sqrt", "uniform"})],
    "group_share": [Interval(Real, 0, 1, closed="both"), None],
}

_GROUP_SHARE = 0.5


def sort_classes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort samples by class.

    Parameters
    ----------
    y : ndarray of int, shape (n_samples,)
        Class codes; any integers.

    Returns
    -------
    order : ndarray of int64, shape (n_samples,)
        Sample indices, grouped by class.
    codes : ndarray of int, shape (n_samples,)
        Class of each sample: 0 to n_classes - 1.
    sizes : ndarray of int, shape (n_classes,)
        Samples of each class.

    Raises
    ------
    ValueError
        If y has fewer than 2 classes.
    """
    codes, sizes = np.unique(y, return_inverse=True, return_counts=True)[1:]
    n_classes = len(sizes)
    if n_classes < 2:
        raise ValueError(
            f"Cannot sample batches: y has {n_classes} class"
            f"{'' if n_classes == 1 else 'es'}, at least 2 classes are needed."
        )
    return np.argsort(codes, kind="stable").astype(np.int64, copy=False), codes, sizes


def check_n_way(n_way: int | None, n_classes: int, most: int, among: str) -> int:
    """Return the number of classes of a batch: `most` at most where none is given."""
    if n_way is None:
        return min(n_classes, most)
    if n_way > n_classes:
        raise ValueError(
            f"Cannot sample batches with n_way={n_way} greater than the number of "
            f"{among}: n_classes={n_classes}. Lower n_way or add classes."
        )
    return n_way


def near_classes(
    share: float | None, groups: Any, y: np.ndarray, codes: np.ndarray, n_way: int
) -> tuple[int, np.ndarray | None]:
    """Tell how many classes of a batch come from one group, and which those are.

    Parameters
    ----------
    share : float or None
        Share of the classes of a batch. None is a half, where there are groups.
    groups : array-like of shape (n_samples,) or None
        The group of each sample's class.
    y : ndarray of int, shape (n_samples,)
        What classes are called.
    codes : ndarray of int, shape (n_samples,)
        Class of each sample: 0 to n_classes - 1.
    n_way : int
        Classes of a batch.

    Returns
    -------
    n_near : int
        0 where groups do not matter.
    group : ndarray of int, shape (n_classes,), or None
        The group of each class: 0 to n_groups - 1.

    Raises
    ------
    ValueError
        If groups are not one a sample, or missing, or a class is in two of them, or
        if there is a share and no groups.
    """
    if groups is None:
        if share:
            raise ValueError(
                f"group_share={share} needs groups. Pass fit(X, y, groups=groups), in "
                f"a pipeline fit(X, y, siamese__groups=groups), or leave "
                f"group_share=None."
            )
        return 0, None
    names, group = check_groups(groups, len(y))
    of_class = groups_of_classes(codes, group, np.unique(y), names)
    return round((_GROUP_SHARE if share is None else share) * n_way), of_class


@dataclass(frozen=True, eq=False)
class ClassDraw:
    """Draw classes without replacement.

    Parameters
    ----------
    sizes : ndarray of int, shape (n_classes,)
        Samples of each class.
    n_way : int
        Classes to draw.
    class_weight : {"proportional", "sqrt", "uniform"}
        "proportional": by the samples that they have left.
    n_near : int
        How many of them come from one group.
    group : ndarray of int, shape (n_classes,), or None
        The group of each class.
    """

    sizes: np.ndarray
    n_way: int
    class_weight: str
    n_near: int = 0
    group: np.ndarray | None = None

    def draw(self, left: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Draw classes.

        Parameters
        ----------
        left : ndarray of int, shape (n_classes,)
            Samples that each class has left in this round; where too few classes have
            any, a new round is added.
        rng : RandomState
            The only source of randomness.

        Returns
        -------
        classes : ndarray of int, shape (n_way,)
            In no order.
        """
        keys = rng.standard_exponential(len(left))
        weights = np.ones(len(left))
        if self.class_weight == "sqrt":
            weights = np.sqrt(self.sizes)
        elif self.class_weight == "proportional":
            if np.count_nonzero(left) < self.n_way:
                left += self.sizes
            weights = left.astype(float)
        # The smallest keys are a draw without replacement by these weights.
        with np.errstate(divide="ignore"):
            keys /= weights
        if self.n_near and self.group is not None:
            keys[_near(keys, weights, self.group, rng)[: self.n_near]] = -1
        return np.argpartition(keys, self.n_way - 1)[: self.n_way]


def _near(keys, weights, group, rng) -> np.ndarray:
    """Return the classes group by group, groups in an order drawn by their weights."""
    totals = np.bincount(group, weights=weights)
    with np.errstate(divide="ignore"):
        order = rng.standard_exponential(len(totals)) / totals
    # Classes that are exhausted come behind all groups.
    place = np.where(np.isfinite(keys), order[group], np.inf)
    return np.lexsort((keys, place))
