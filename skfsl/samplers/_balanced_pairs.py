"""Pairs of samples, half of them of one class."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skfsl.samplers._assignment import strangers
from skfsl.samplers._class_draw import sort_classes
from skfsl.samplers._pairs import (
    CONSTRAINTS,
    check_pairs,
    cycles,
    draw_ranks,
    mix,
    n_batches,
    pairs_of_ranks,
    to_batches,
)
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import StrOptions

__all__ = ["BalancedPairsSampler", "BoundAllPairs", "BoundBalancedPairs"]


class BalancedPairsSampler(Part):
    """Draw pairs of samples, half of one class and half of two.

    A batch is an array of shape (2, n_pairs): the first row's samples with the
    second's, mixed evenly. Only these pairs count, for losses that judge pairs one by
    one, such as :class:`~skfsl.losses.ContrastiveLoss`.

    Use it to train as siamese networks were at first, on given pairs [1]_, or to see
    what :class:`HardPairsSampler` is worth: it differs in the pairs of two classes
    only. All pairs of a class-balanced batch teach more for the same embeddings.

    Parameters
    ----------
    kind : {"random", "all"}, default="random"
        "random": an epoch has each sample four times, twice with others of its class
        and twice with those of other classes. "all": an epoch has all pairs of one
        class, and as many of two classes, drawn without replacement.

    n_pairs : int, default=128
        Pairs in a batch, at most.

    all_pairs : bool, default=False
        Whether all pairs of the samples of a batch count, rather than those drawn. A
        batch is then of shape (n_samples,), each sample once, and suits every loss.

    See Also
    --------
    HardPairsSampler : Pairs of two classes that are hard to tell apart.
    RandomPairsSampler : Pairs as they come.

    Notes
    -----
    "random" takes the pairs of one class along a random cycle through each, those of
    two by a linear assignment of random costs. No two samples meet twice in an epoch,
    but in classes of two. Samples that are alone in their class meet strangers only;
    where a class has more than half of all samples, some of it meet fewer strangers.

    "all" has ``sum(m * (m - 1) / 2)`` pairs of one class for classes of m samples:
    these are many where classes are large.

    References
    ----------
    .. [1] G. Koch, R. Zemel and R. Salakhutdinov. Siamese Neural Networks for
       One-shot Image Recognition. ICML Deep Learning Workshop, 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.samplers import BalancedPairsSampler
    >>> y = np.repeat([0, 1, 2], 4)
    >>> sampler = BalancedPairsSampler(n_pairs=6).build(y)
    >>> len(sampler)
    4
    >>> batch = next(sampler.epoch(np.random.RandomState(0)))
    >>> batch.shape
    (2, 6)
    >>> y[batch[0]] == y[batch[1]]
    array([ True, False,  True, False,  True, False])
    """

    _parameter_constraints: dict = {
        "kind": [StrOptions({"random", "all"})],
        **CONSTRAINTS,
    }

    def __init__(self, kind="random", *, n_pairs=128, all_pairs=False):
        self.kind = kind
        self.n_pairs = n_pairs
        self.all_pairs = all_pairs

    def build(self, y: np.ndarray) -> "BoundBalancedPairs":
        """Bind the sampler to the labels that it draws from.

        Parameters
        ----------
        y : ndarray of int, shape (n_samples,)
            Class codes.

        Returns
        -------
        sampler : BoundBalancedPairs
            Has a length, the batches an epoch, and ``epoch(rng)``.

        Raises
        ------
        ValueError
            If y has fewer than 2 classes, or no class has 2 samples.
        """
        self._validate_params()
        order, codes, sizes = sort_classes(y)
        check_pairs(sizes)
        bound = BoundAllPairs if self.kind == "all" else BoundBalancedPairs
        return bound(order, codes, sizes, self.n_pairs, self.all_pairs)


@dataclass(eq=False)
class BoundBalancedPairs:
    """Random balanced pairs of known labels.

    Parameters
    ----------
    order : ndarray of int64, shape (n_samples,)
        Sample indices, grouped by class.
    codes : ndarray of int, shape (n_samples,)
        Class of each sample: 0 to n_classes - 1.
    sizes : ndarray of int, shape (n_classes,)
        Samples of each class.
    n_pairs : int
        Pairs in a batch, at most.
    all_pairs : bool
        Whether a batch is the samples of its pairs.
    """

    order: np.ndarray
    codes: np.ndarray
    sizes: np.ndarray
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
        pairs = mix(self._same(rng), self._different(rng), rng)
        yield from to_batches(pairs, len(self), self.all_pairs)

    def _total(self) -> int:
        # Where a class has more than half, the rest has fewer partners than it needs.
        n_different = min(len(self.order), 2 * (len(self.order) - self.sizes.max()))
        return int(self.sizes[self.sizes > 1].sum() + n_different)

    def _same(self, rng) -> np.ndarray:
        return cycles(self.order, self.sizes, rng)

    def _different(self, rng) -> np.ndarray:
        return strangers(self.codes, rng)[0]


@dataclass(eq=False)
class BoundAllPairs(BoundBalancedPairs):
    """All pairs of one class, and as many of two."""

    def _total(self) -> int:
        return int(2 * (self.sizes * (self.sizes - 1) // 2).sum())

    def _same(self, rng) -> np.ndarray:
        at, ends = np.arange(1, len(self.order) + 1), self._ends()
        return pairs_of_ranks(np.arange(self._total() // 2), self.order, at, ends)

    def _different(self, rng) -> np.ndarray:
        first, ends = self._ends(), np.full(len(self.order), len(self.order))
        ranks = draw_ranks(int((ends - first).sum()), self._total() // 2, rng)
        return pairs_of_ranks(ranks, self.order, first, ends)

    def _ends(self) -> np.ndarray:
        """Return where the class of each sample ends in `order`."""
        return np.repeat(np.cumsum(self.sizes), self.sizes)
