"""What samplers of pairs have in common."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np

from skfsl.utils._sklearn_private import Interval

__all__ = [
    "CONSTRAINTS",
    "check_pairs",
    "cycles",
    "draw_ranks",
    "mix",
    "n_batches",
    "pairs_of_ranks",
    "to_batches",
]

CONSTRAINTS: dict[str, Any] = {
    "n_pairs": [Interval(Integral, 2, None, closed="left")],
    "all_pairs": ["boolean"],
}


def check_pairs(sizes: np.ndarray) -> None:
    """Refuse classes of which none has two samples."""
    if sizes.max() < 2:
        raise ValueError(
            f"Cannot sample pairs of one class: each of the {len(sizes)} classes in y "
            f"has 1 sample. Give at least one class a second sample."
        )


def cycles(
    order: np.ndarray, sizes: np.ndarray, rng: np.random.RandomState
) -> np.ndarray:
    """Pair each sample with the next on a random cycle through its class.

    No sample is paired with itself, each is on both sides once, and no two samples
    meet twice but in classes of two.

    Parameters
    ----------
    order : ndarray of int64, shape (n_samples,)
        Sample indices, grouped by class.
    sizes : ndarray of int, shape (n_classes,)
        Samples of each class.
    rng : RandomState
        The only source of randomness.

    Returns
    -------
    pairs : ndarray of int64, shape (2, n_pairs)
        Classes of one sample have none.
    """
    ends = np.cumsum(sizes)
    group = np.repeat(np.arange(len(sizes)), sizes)
    shuffled = order[np.argsort(group + rng.random_sample(len(order)))]
    following = np.arange(1, len(order) + 1)
    following[ends - 1] = ends - sizes
    pairs = np.stack([shuffled, shuffled[following]])
    return pairs[:, sizes[group] > 1]


def mix(
    same: np.ndarray, different: np.ndarray, rng: np.random.RandomState
) -> np.ndarray:
    """Shuffle both kinds of pairs into one row, evenly mixed all along it.

    Parameters
    ----------
    same, different : ndarray of int64, shape (2, n_same) and (2, n_different)
        Pairs.
    rng : RandomState
        The only source of randomness.

    Returns
    -------
    pairs : ndarray of int64, shape (2, n_same + n_different)
        All of them.
    """
    kinds = [pairs[:, rng.permutation(pairs.shape[1])] for pairs in (same, different)]
    places = [(np.arange(k.shape[1]) + 0.5) / max(1, k.shape[1]) for k in kinds]
    along = np.argsort(np.concatenate(places), kind="stable")
    return np.concatenate(kinds, axis=1)[:, along]


def n_batches(total: int, n_pairs: int) -> int:
    """Return how many batches of `n_pairs` at most hold `total` pairs."""
    return max(1, -(-total // n_pairs))


def to_batches(
    pairs: np.ndarray, n_batches: int, all_pairs: bool
) -> Iterator[np.ndarray]:
    """Cut pairs into batches of one size.

    Parameters
    ----------
    pairs : ndarray of int64, shape (2, total)
        Not fewer than `n_batches`.
    n_batches : int
        How many.
    all_pairs : bool
        Whether all pairs of a batch are to be scored, rather than those given.

    Yields
    ------
    batch : ndarray of int64, shape (2, n_pairs) or (n_samples,)
        Pairs; or the samples in them, each once.
    """
    for batch in np.array_split(pairs, n_batches, axis=1):
        yield np.unique(batch) if all_pairs else batch


def draw_ranks(total: int, n: int, rng: np.random.RandomState) -> np.ndarray:
    """Draw `n` of the numbers below `total`, none twice before all were drawn once.

    Parameters
    ----------
    total : int
        Above 0.
    n : int
        How many to draw.
    rng : RandomState
        The only source of randomness.

    Returns
    -------
    ranks : ndarray of int64, shape (n,)
        In no order. Memory is O(n), whatever `total`.
    """
    rounds, rest = divmod(n, total)
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < rest:
        more = rng.randint(total, size=rest, dtype=np.int64)
        drawn = np.unique(np.concatenate([drawn, more]))
    drawn = rng.permutation(drawn)[:rest]
    return np.concatenate([*(np.arange(total) for _ in range(rounds)), drawn])


def pairs_of_ranks(
    ranks: np.ndarray, order: np.ndarray, first: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Return pairs by their place in a list that is never written down.

    In the list each sample, in `order`, stands with all samples from a place of its
    own to a place of its own.

    Parameters
    ----------
    ranks : ndarray of int64, shape (n,)
        Places in the list.
    order : ndarray of int64, shape (n_samples,)
        Sample indices.
    first, ends : ndarray of int64, shape (n_samples,)
        The samples that each is paired with: ``order[first:ends]``.

    Returns
    -------
    pairs : ndarray of int64, shape (2, n)
        Sample indices.
    """
    counts = np.cumsum(ends - first)
    left = np.searchsorted(counts, ranks, side="right")
    right = ends[left] - (counts[left] - ranks)
    return np.stack([order[left], order[right]])
