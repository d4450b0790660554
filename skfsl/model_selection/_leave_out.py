"""Rounds in which each class leaves out some of its support examples."""

from collections.abc import Iterator

import numpy as np

__all__ = ["Units"]

_MAX_ROUNDS = 10


class Units:
    """What is left out together: the examples of one class and one group.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Classes, 0 to n_classes - 1, each with a sample.
    groups : ndarray of shape (n_samples,)
        Groups, 0 to n_groups - 1. Samples that belong to no other have one each.
    """

    def __init__(self, codes: np.ndarray, groups: np.ndarray) -> None:
        n_groups = groups.max() + 1
        units, self.of_sample, self.sizes = np.unique(
            codes * n_groups + groups, return_inverse=True, return_counts=True
        )
        self.classes, self.groups = units // n_groups, units % n_groups
        self.per_class = np.bincount(self.classes)

    @property
    def estimable(self) -> np.ndarray:
        """Tell of each class whether some of it is left when a unit is left out."""
        return self.per_class >= 2

    def rounds(
        self, n_repeats: int, rng: np.random.RandomState
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Choose what is left out, round by round.

        In a round each class gives one of its units, or a tenth of them where it has
        more than ten: where counts are equal, all classes shrink alike. Were it the
        query's class alone, the others would have more examples than it, and would win
        too often. Where counts differ, small classes shrink by a larger share.

        Where a group has examples of several classes, a round leaves out one group.

        Parameters
        ----------
        n_repeats : int
            How often all units are dealt out.
        rng : RandomState
            Deals them.

        Yields
        ------
        left_out : ndarray of bool of shape (n_samples,)
            Samples that are queries; the others are the support set, with some of
            every class.
        log_shots : ndarray of shape (n_classes,)
            Logarithm of a class's number of units over what it has left, NaN for
            classes without a query.
        """
        if np.bincount(self.groups).max() > 1:
            # There is one way to do it: repeats would be the same.
            for group in range(self.groups.max() + 1):
                held = (self.groups == group) & self.estimable[self.classes]
                if held.any():
                    yield self._round(held)
            return
        n_units = self.per_class[self.classes]
        n_rounds = min(_MAX_ROUNDS, self.per_class.max())
        for _ in range(n_repeats):
            rank = self._shuffled_ranks(rng)
            for number in range(n_rounds):
                # Classes of fewer units than rounds take turns more than once.
                held = np.where(
                    n_units < n_rounds,
                    number % n_units == rank,
                    rank * n_rounds // n_units == number,
                )
                yield self._round(held & self.estimable[self.classes])

    def _shuffled_ranks(self, rng) -> np.ndarray:
        """Return random numbers of the units of each class, from 0."""
        order = rng.permutation(len(self.classes))
        order = order[np.argsort(self.classes[order], kind="stable")]
        rank = np.empty(len(order), dtype=np.intp)
        starts = np.cumsum(self.per_class) - self.per_class
        rank[order] = np.arange(len(order)) - np.repeat(starts, self.per_class)
        return rank

    def _round(self, held) -> tuple[np.ndarray, np.ndarray]:
        gone = np.bincount(self.classes[held], minlength=len(self.per_class))
        log_shots = np.log(self.per_class / (self.per_class - gone))
        return held[self.of_sample], np.where(gone > 0, log_shots, np.nan)
