"""One partner of another class for each sample, by linear assignment."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment

__all__ = ["strangers"]

# Costs of what is taken where there is nothing else: a pair the other way round than
# this block has it, a pair that was used before, a pair of one class.
_REVERSED, _USED, _SAME = 1e4, 1e6, 1e12

# Without scores any block is as good: small ones are quick.
_RANDOM_BLOCK = 512


def strangers(
    codes: np.ndarray,
    rng: np.random.RandomState,
    *,
    times: int = 1,
    scores: Callable | None = None,
    noise: float = 1.0,
    block_size: int = _RANDOM_BLOCK,
) -> list[np.ndarray]:
    """Pair each sample with one of another class, some times over.

    Each time every sample is on the left once and on the right once; no two samples
    meet twice, whichever is on the left, as long as there are others to meet.

    Parameters
    ----------
    codes : ndarray of int, shape (n_samples,)
        Class of each sample: 0 to n_classes - 1.
    rng : RandomState
        The only source of randomness.
    times : int
        How often.
    scores : callable or None
        ``scores(a, b)`` of sample indices, (n,) and (m,), to floats (n, m), higher is
        closer. The closest pairs are made: the sum of their scores is largest. None
        makes random pairs.
    noise : float
        Largest number that is added to the scores of a block, in standard deviations
        of those between classes.
    block_size : int
        Samples that are assigned at a time, at most.

    Returns
    -------
    pairs : list of ndarray of int64, shape (2, n_pairs)
        ``n_pairs`` is n_samples, less where a class has more than half of them: what
        would be of one class is left out.
    """
    taken: list[list[np.ndarray]] = [[] for _ in range(times)]
    for block in _blocks(codes, block_size, rng):
        same = codes[block, None] == codes[block]
        closeness = None if scores is None else _standardised(block, same, scores)
        at = np.arange(len(block))
        even = at % 2 == 0
        # Of (i, j) and (j, i) one is open, for each i about half of them.
        closed = (at[:, None] < at) == (even[:, None] == even)
        penalty = closed * np.float32(_REVERSED)
        penalty[same] = _SAME
        for drawn in taken:
            cost = rng.random_sample(same.shape)
            cost *= -noise
            if closeness is not None:
                cost -= closeness
            cost += penalty
            # The same assignment, found several times as fast.
            cost -= cost.min(axis=0)
            left, right = linear_sum_assignment(cost)
            penalty[left, right] += np.float32(_USED)
            penalty[right, left] += np.float32(_USED)
            different = ~same[left, right]
            drawn.append(block[np.stack([left, right])[:, different]])
    return [np.concatenate(blocks, axis=1) for blocks in taken]


def _blocks(codes, size, rng) -> list[np.ndarray]:
    """Deal samples to blocks at random, each class evenly to all of them."""
    n_blocks = -(-len(codes) // size)
    # Classes in random order: those of one sample are to meet all others in turn.
    shuffled = rng.permutation(codes.max() + 1)[codes]
    order = np.argsort(shuffled + rng.random_sample(len(codes)))
    return [rng.permutation(order[start::n_blocks]) for start in range(n_blocks)]


def _standardised(block, same, scores) -> np.ndarray:
    """Score all pairs of a block, in standard deviations of those between classes."""
    found = np.array(scores(block, block), dtype=np.float32)
    different = ~same
    if not different.any():
        return np.zeros_like(found)
    mean = found.mean(where=different, dtype=np.float64)
    deviation = found.std(where=different, dtype=np.float64)
    # What is left of equal scores is their rounding.
    if deviation <= 1e-6 * abs(mean):
        return np.zeros_like(found)
    found -= mean
    found /= deviation
    return found
