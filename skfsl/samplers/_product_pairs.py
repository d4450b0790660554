"""All pairs across two sets of samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from skfsl.samplers._class_draw import sort_classes
from skfsl.samplers._pairs import CONSTRAINTS, check_pairs, cycles
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["BoundProductPairs", "ProductPairsSampler"]


class ProductPairsSampler(Part):
    """Draw two sets of samples and pair each of the one with each of the other.

    The second set has, for each sample of the first, another one of its class: about
    ``n_samples`` of the ``n_samples ** 2`` pairs are of one class, and only one
    embedding is computed for each ``n_samples / 2`` pairs. It is the layout of N-pair
    batches [1]_. A batch is an array of shape (2, n_pairs), and only its pairs count.

    Parameters
    ----------
    n_samples : int, default=32
        Samples in each of the two sets, at most.

    all_pairs : bool, default=False
        Whether all pairs of the samples of a batch count, within a set too. A batch
        is then of shape (n_samples,), each sample once, and suits every loss.

    See Also
    --------
    ClassBalancedSampler : All pairs of one set.

    Notes
    -----
    In an epoch each sample is once in a first set, and once in a second where its
    class has others. In the place of another one of its class, a sample that is alone
    brings any. Where a sample is in both sets of a batch, it is not paired with itself.

    References
    ----------
    .. [1] K. Sohn. Improved Deep Metric Learning with Multi-class N-pair Loss
       Objective. NeurIPS, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.samplers import ProductPairsSampler
    >>> y = np.repeat(np.arange(100), 4)
    >>> sampler = ProductPairsSampler(5).build(y)
    >>> left, right = next(sampler.epoch(np.random.RandomState(0)))
    >>> (y[left] == y[right]).reshape(5, 5).astype(int)
    array([[0, 0, 0, 1, 0],
           [0, 0, 1, 0, 0],
           [0, 0, 0, 0, 1],
           [0, 1, 0, 0, 0],
           [1, 0, 0, 0, 0]])
    """

    _parameter_constraints: dict = {
        "n_samples": [Interval(Integral, 2, None, closed="left")],
        "all_pairs": CONSTRAINTS["all_pairs"],
    }

    def __init__(self, n_samples=32, *, all_pairs=False):
        self.n_samples = n_samples
        self.all_pairs = all_pairs

    def build(self, y: np.ndarray) -> "BoundProductPairs":
        """Bind the sampler to the labels that it draws from.

        Parameters
        ----------
        y : ndarray of int, shape (n_samples,)
            Class codes.

        Returns
        -------
        sampler : BoundProductPairs
            Has a length, the batches an epoch, and ``epoch(rng)``.

        Raises
        ------
        ValueError
            If y has fewer than 2 classes, or no class has 2 samples.
        """
        self._validate_params()
        order, _, sizes = sort_classes(y)
        check_pairs(sizes)
        return BoundProductPairs(order, sizes, self.n_samples, self.all_pairs)


@dataclass(eq=False)
class BoundProductPairs:
    """Products of two sets of known samples.

    Parameters
    ----------
    order : ndarray of int64, shape (n_samples,)
        Sample indices, grouped by class.
    sizes : ndarray of int, shape (n_classes,)
        Samples of each class.
    n_samples : int
        Samples in each set, at most.
    all_pairs : bool
        Whether a batch is the samples of its pairs.
    """

    order: np.ndarray
    sizes: np.ndarray
    n_samples: int
    all_pairs: bool

    def __len__(self) -> int:
        return -(-len(self.order) // self.n_samples)

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
        following = np.empty_like(self.order)
        anyhow = rng.permutation(self.order)
        following[anyhow] = np.roll(anyhow, 1)
        left, right = cycles(self.order, self.sizes, rng)
        following[left] = right
        for first in np.array_split(rng.permutation(self.order), len(self)):
            second = np.unique(following[first])
            if self.all_pairs:
                yield np.unique(np.concatenate([first, second]))
                continue
            pairs = np.stack(
                [np.repeat(first, len(second)), np.tile(second, len(first))]
            )
            yield pairs[:, pairs[0] != pairs[1]]
