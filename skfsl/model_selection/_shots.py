"""How many support examples and queries each class of an episode has."""

from dataclasses import dataclass

import numpy as np

__all__ = ["MAX_QUERY", "Shots"]

MAX_QUERY = 15

# Of Meta-Dataset's sampler: at most so many support examples in all, and so many
# samples of a class that count for their number.
_MAX_SUPPORT, _MAX_COUNTED = 500, 100


@dataclass(frozen=True)
class Shots:
    """The numbers of support examples and of queries, checked.

    Parameters
    ----------
    n_shot : int, (int, int) or "natural"
        Support examples of each class.
    n_query : int, None or "natural"
        Queries of each class.
    imbalance : {None, "dirichlet", "long_tail"}
        How `n_shot` on average is divided among the classes.
    """

    n_shot: int | tuple[int, int] | str
    n_query: int | str | None
    imbalance: str | None

    @property
    def fixed(self) -> int | None:
        """The number of support examples, where every class has as many."""
        if isinstance(self.n_shot, int) and self.imbalance is None:
            return self.n_shot
        return None

    @property
    def min_shot(self) -> int:
        """The least support examples that a class may have."""
        if isinstance(self.n_shot, tuple):
            return self.n_shot[0]
        return self.fixed or 1

    @property
    def min_query(self) -> int:
        """The least queries that a class has to have."""
        return self.n_query if isinstance(self.n_query, int) else 1

    @property
    def needed(self) -> int:
        """The least samples of a class."""
        return self.min_shot + self.min_query

    def most(self, sizes: np.ndarray) -> int:
        """Return the most samples of a class in an episode; see `fixed`."""
        n_shot = self.fixed or 0
        return int((n_shot + self.n_queries(sizes, n_shot)).max())

    def n_queries(self, sizes: np.ndarray, n_shots: np.ndarray | int) -> np.ndarray:
        """Return how many queries each class has of what is left."""
        left = sizes - n_shots
        if self.n_query == "natural":
            return left
        return np.minimum(left, self.n_query or MAX_QUERY)

    def draw(self, sizes: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Draw how many support examples each class has.

        Parameters
        ----------
        sizes : ndarray of shape (n_way,)
            Samples of each class.
        rng : RandomState
            Draws them.

        Returns
        -------
        n_shots : ndarray of int64, shape (n_way,)
            Each at least 1, and leaving the queries that have to be there.
        """
        available = sizes - self.min_query
        if self.n_shot == "natural":
            return self._draw_natural(sizes, rng)
        if isinstance(self.n_shot, tuple):
            low, high = self.n_shot
            return rng.randint(low, np.minimum(high, available) + 1)
        if self.imbalance is None:
            return np.full(len(sizes), self.n_shot)
        total = len(sizes) * int(self.n_shot)
        if self.imbalance == "dirichlet":
            shares = rng.dirichlet(np.ones(len(sizes)))
        else:
            shares = 1 / (1 + rng.permutation(len(sizes)))
        return np.minimum(1 + _dealt(total - len(sizes), shares, rng), available)

    def _draw_natural(self, sizes, rng):
        """Draw as Meta-Dataset does (Triantafillou et al. 2020, section 3.2)."""
        if isinstance(self.n_query, int):
            kept_back = np.full(len(sizes), self.n_query)
        else:
            kept_back = np.maximum(1, sizes // 2)
            if self.n_query is None:
                kept_back = np.minimum(kept_back, MAX_QUERY)
        available = sizes - kept_back
        beta = 1 - rng.random_sample()  # in (0, 1]
        total = np.ceil(beta * np.minimum(_MAX_COUNTED, available)).sum()
        total = max(min(_MAX_SUPPORT, total), len(sizes))
        shares = sizes * np.exp(rng.uniform(np.log(0.5), np.log(2), len(sizes)))
        shares = shares / shares.sum()
        n_shots = np.floor(shares * (total - len(sizes))).astype(np.int64) + 1
        return np.minimum(n_shots, available)


def _dealt(total: int, shares: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Deal whole numbers that sum to `total` in proportion to `shares`."""
    exact = total * shares / shares.sum()
    dealt = np.floor(exact).astype(np.int64)
    # Those with the largest remainders have one more; ties at random.
    order = np.lexsort((rng.random_sample(len(shares)), dealt - exact))
    dealt[order[: total - dealt.sum()]] += 1
    return dealt
