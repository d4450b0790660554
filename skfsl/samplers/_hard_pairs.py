"""Pairs of two classes that the network confuses now, by linear assignment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np

from skfsl.samplers._assignment import strangers
from skfsl.samplers._balanced_pairs import BoundBalancedPairs
from skfsl.samplers._class_draw import sort_classes
from skfsl.samplers._pairs import CONSTRAINTS, check_pairs, mix, to_batches
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["BoundHardPairs", "HardPairsSampler"]


class HardPairsSampler(Part):
    """Draw balanced pairs, those of two classes as hard as can be at the time.

    Pairs of one class are random, as those of :class:`BalancedPairsSampler`. For
    those of two classes the network scores all pairs of samples now and then, and a
    linear assignment gives each sample one partner of another class such that the
    scores of all of them together are the highest [1]_. Every sample stands four
    times in an epoch, twice with its class and twice with strangers: unlike mining
    the hardest, it does not come back to a few mislabelled samples again and again.

    A batch is an array of shape (2, n_pairs), and only its pairs count. Use it where
    classes are many and small, and most strangers are told apart soon.

    Parameters
    ----------
    n_pairs : int, default=128
        Pairs in a batch, at most.

    refresh : int, default=5
        Epochs between two scorings of all pairs. The epochs between have assignments
        of the same scores without a pair of those before.

    warm_up : int, default=5
        Epochs at the start whose pairs are random.

    noise : float, default=100.0
        At the start, the largest random number that is added to each score, in
        standard deviations of the scores of two classes. The more samples are
        assigned together, the larger it must be for pairs that are all but random.

    final_noise : float, default=0.25
        The same at the end of annealing.

    annealing : float, default=0.5
        Share of the training, in (0, 1], during which the noise falls, geometrically.

    block_size : int, default=4000
        Above as many samples the assignment is made in random blocks. A block takes
        about ``26 * block_size ** 2`` bytes, and a few seconds with 4000.

    all_pairs : bool, default=False
        Whether all pairs of the samples of a batch count, rather than those drawn. A
        batch is then of shape (n_samples,), each sample once, and suits every loss.

    See Also
    --------
    BalancedPairsSampler : The same with random strangers.

    Notes
    -----
    No two samples meet twice between two scorings as strangers, whichever comes
    first, as long as there are others to meet. That is forbidden in the assignment
    [2]_, of (i, j) and (j, i) one each time; otherwise half of all pairs would be made
    twice, scores being symmetric.

    [1]_ adds noise to probabilities; here scores are brought to a standard deviation
    of 1 first, so that any head will do. It takes the pairs of one class by a random
    derangement; here this is a cycle, which makes no pair twice in classes of three
    and more. Samples that are alone in their class meet strangers only.

    References
    ----------
    .. [1] M. Piotte. Whale Recognition Model with score 0.78563. Kaggle, Humpback
       Whale Identification Challenge, 2018.
    .. [2] D. F. Crouse. On Implementing 2D Rectangular Assignment Algorithms. IEEE
       Transactions on Aerospace and Electronic Systems, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.samplers import HardPairsSampler
    >>> y = np.repeat(np.arange(50), 2)
    >>> x = np.arange(100.0)  # a class's neighbours are hard to tell from it
    >>> def scores(a, b):
    ...     return -np.abs(x[a, None] - x[b])
    >>> sampler = HardPairsSampler(200, refresh=1, warm_up=1).build(y)
    >>> rng = np.random.RandomState(0)
    >>> for progress in (0.0, 0.25, 0.5):
    ...     a, b = next(sampler.epoch(rng, scores=scores, progress=progress))
    ...     distances = np.abs(x[a] - x[b])[y[a] != y[b]]
    ...     print(f"{distances.mean():.1f}")
    33.3
    9.0
    2.7
    """

    _parameter_constraints: dict = {
        "n_pairs": CONSTRAINTS["n_pairs"],
        "refresh": [Interval(Integral, 1, None, closed="left")],
        "warm_up": [Interval(Integral, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="neither")],
        "final_noise": [Interval(Real, 0, None, closed="neither")],
        "annealing": [Interval(Real, 0, 1, closed="right")],
        "block_size": [Interval(Integral, 2, None, closed="left")],
        "all_pairs": CONSTRAINTS["all_pairs"],
    }

    def __init__(
        self, n_pairs=128, *, refresh=5, warm_up=5, noise=100.0, final_noise=0.25,
        annealing=0.5, block_size=4000, all_pairs=False,
    ):  # fmt: skip
        self.n_pairs = n_pairs
        self.refresh = refresh
        self.warm_up = warm_up
        self.noise = noise
        self.final_noise = final_noise
        self.annealing = annealing
        self.block_size = block_size
        self.all_pairs = all_pairs

    def build(self, y: np.ndarray) -> "BoundHardPairs":
        """Bind the sampler to the labels that it draws from.

        Parameters
        ----------
        y : ndarray of int, shape (n_samples,)
            Class codes.

        Returns
        -------
        sampler : BoundHardPairs
            Has a length, the batches an epoch, and ``epoch(rng, ...)``.

        Raises
        ------
        ValueError
            If y has fewer than 2 classes, or no class has 2 samples.
        """
        self._validate_params()
        order, codes, sizes = sort_classes(y)
        check_pairs(sizes)
        return BoundHardPairs(
            order,
            codes,
            sizes,
            self.n_pairs,
            self.all_pairs,
            refresh=self.refresh,
            warm_up=self.warm_up,
            noise=self.noise,
            final_noise=self.final_noise,
            annealing=self.annealing,
            block_size=self.block_size,
        )


@dataclass(eq=False, kw_only=True)
class BoundHardPairs(BoundBalancedPairs):
    """Hard pairs of known labels; counts its epochs.

    Parameters
    ----------
    order, codes, sizes : ndarray of int
        As in BoundBalancedPairs.
    n_pairs, all_pairs : int, bool
        As in BoundBalancedPairs.
    refresh, warm_up, noise, final_noise, annealing, block_size : int or float
        As in HardPairsSampler.
    """

    refresh: int
    warm_up: int
    noise: float
    final_noise: float
    annealing: float
    block_size: int
    # Asks the training for scores, and how far it has come.
    wants_scores = True
    _n_epochs: int = 0
    _ahead: list[np.ndarray] = field(default_factory=list)

    def epoch(
        self,
        rng: np.random.RandomState,
        *,
        scores: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        progress: float = 0.0,
    ) -> Iterator[np.ndarray]:
        """Draw the batches of the next epoch.

        Parameters
        ----------
        rng : RandomState
            The only source of randomness.
        scores : callable, default=None
            ``scores(a, b)`` of sample indices, (n,) and (m,), to floats (n, m), higher
            is closer: what the network says now. Without it, pairs are random.
        progress : float, default=0.0
            The share of the training that is done, in [0, 1].

        Yields
        ------
        batch : ndarray of int64, shape (2, n_pairs) or (n_samples,)
            Pairs; or the samples in them, each once.
        """
        random = scores is None or self._n_epochs < self.warm_up
        self._n_epochs += 1
        same = self._same(rng)
        if random:
            different = self._different(rng)
        else:
            if not self._ahead:
                self._ahead = strangers(
                    self.codes,
                    rng,
                    times=self.refresh,
                    scores=scores,
                    noise=self._noise(progress),
                    block_size=self.block_size,
                )
            different = self._ahead.pop()
        pairs = mix(same, different, rng)
        yield from to_batches(pairs, len(self), self.all_pairs)

    def _noise(self, progress: float) -> float:
        share = min(1.0, progress / self.annealing)
        return self.noise ** (1 - share) * self.final_noise**share
