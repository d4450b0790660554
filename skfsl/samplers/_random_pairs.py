"""Pairs of samples as they come."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skfsl.samplers._class_draw import sort_classes
from skfsl.samplers._pairs import (
    CONSTRAINTS,
    draw_ranks,
    n_batches,
    pairs_of_ranks,
    to_batches,
)
from skfsl.utils._parts import Part

__all__ = ["BoundRandomPairs", "RandomPairsSampler"]


class RandomPairsSampler(Part):
    """Draw pairs of samples at random, whatever their classes.

    A batch is an array of shape (2, n_pairs), and only its pairs count. No two
    samples meet twice in an epoch.

    With c classes of one size about one pair in c is of one class: use it where that
    share is to be as in the data, for instance so that a score is a calibrated
    probability that two random samples are of one class. Otherwise use
    :class:`BalancedPairsSampler`.

    Parameters
    ----------
    n_pairs : int, default=128
        Pairs in a batch, at most.

    all_pairs : bool, default=False
        Whether all pairs of the samples of a batch count, rather than those drawn. A
        batch is then of shape (n_samples,), each sample once, and suits every loss.

    See Also
    --------
    BalancedPairsSampler : Half of the pairs are of one class.

    Notes
    -----
    An epoch has two pairs for each sample, as many as one of BalancedPairsSampler, or
    all pairs that there are, if these are fewer.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.samplers import RandomPairsSampler
    >>> y = np.repeat([0, 1, 2], 4)
    >>> sampler = RandomPairsSampler(n_pairs=6).build(y)
    >>> len(sampler), next(sampler.epoch(np.random.RandomState(0))).shape
    (4, (2, 6))
    """

    _parameter_constraints: dict = CONSTRAINTS

    def __init__(self, n_pairs=128, *, all_pairs=False):
        self.n_pairs = n_pairs
        self.all_pairs = all_pairs

    def build(self, y: np.ndarray) -> "BoundRandomPairs":
        """Bind the sampler to the labels that it draws from.

        Parameters
        ----------
        y : ndarray of int, shape (n_samples,)
            Class codes.

        Returns
        -------
        sampler : BoundRandomPairs
            Has a length, the batches an epoch, and ``epoch(rng)``.

        Raises
        ------
        ValueError
            If y has fewer than 2 classes.
        """
        self._validate_params()
        order = sort_classes(y)[0]
        return BoundRandomPairs(order, self.n_pairs, self.all_pairs)


@dataclass(eq=False)
class BoundRandomPairs:
    """Random pairs of known samples.

    Parameters
    ----------
    order : ndarray of int64, shape (n_samples,)
        Sample indices.
    n_pairs : int
        Pairs in a batch, at most.
    all_pairs : bool
        Whether a batch is the samples of its pairs.
    """

    order: np.ndarray
    n_pairs: int
    all_pairs: bool

    def __len__(self) -> int:
        return n_batches(self._total(), self.n_pairs)

    def epoch(self, rng: np.random.RandomState) -> Iterator[np.ndarray]:
        """Draw the batches of one epoch.

        Parameters
        ----------
        rng : RandomState
            The only source of randomness: the same state gives the same batches.

        Yields
        ------
        batch : ndarray of int64, shape (2, n_pairs) or (n_samples,)
            Pairs; or the samples in them, each once.
        """
        n = len(self.order)
        ranks = rng.permutation(draw_ranks(n * (n - 1) // 2, self._total(), rng))
        first, ends = np.arange(1, n + 1), np.full(n, n)
        pairs = pairs_of_ranks(ranks, self.order, first, ends)
        yield from to_batches(pairs, len(self), self.all_pairs)

    def _total(self) -> int:
        n = len(self.order)
        return min(2 * n, n * (n - 1) // 2)
