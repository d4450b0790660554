"""Draws of episodes: many at once where they are alike, one by one where not."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils.random import sample_without_replacement

from skfsl.model_selection._shots import Shots

__all__ = ["Block", "Pool", "draw_alike", "draw_singly"]

# Episodes of a block are drawn at once, however many are asked for: so the first ten
# of a hundred are those of ten. Fewer where they are large.
_EPISODES_A_BLOCK = 128
_INDICES_A_BLOCK = 2**16

# Above this many draws a row, quadratic cost outweighs what drawing at once saves.
MAX_DRAWN_AT_ONCE = 64

_ATTEMPTS = 100


@dataclass(frozen=True)
class Block:
    """Episodes with support sets of one shape.

    Attributes
    ----------
    support : ndarray of int64, shape (n_episodes, n_support)
        Rows of support examples, grouped by class. In a block of several episodes
        every class has as many.
    query : ndarray of int64, shape (n_episodes, n_query)
        Rows of queries.
    valid : ndarray of bool, shape (n_episodes, n_query), or None
        Which queries count; the others fill up. None: all do.
    """

    support: np.ndarray
    query: np.ndarray
    valid: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.support)

    def head(self, n_episodes: int) -> "Block":
        """Return the first episodes."""
        valid = None if self.valid is None else self.valid[:n_episodes]
        return Block(self.support[:n_episodes], self.query[:n_episodes], valid)

    def episodes(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the episodes one by one, as pairs of index arrays."""
        for i, support in enumerate(self.support):
            query = self.query[i]
            yield support, query if self.valid is None else query[self.valid[i]]


class Pool:
    """The samples that episodes are drawn from, by class.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        The class of each sample, 0, 1, ...
    groups : ndarray of shape (n_samples,) or None
        The group of each sample, as an integer.
    allowed : ndarray of shape (n_classes,), dtype=intp
        Classes that episodes may have; the others are met as unknown ones only.
    """

    def __init__(
        self, codes: np.ndarray, groups: np.ndarray | None, allowed: np.ndarray
    ) -> None:
        self.codes = codes
        self.groups = groups
        self.allowed = allowed
        self.order = np.argsort(codes, kind="stable").astype(np.int64, copy=False)
        self.sizes = np.bincount(codes)
        self.starts = np.cumsum(self.sizes) - self.sizes

    def members(self, code: int) -> np.ndarray:
        """Return the rows of a class."""
        start = self.starts[code]
        return self.order[start : start + self.sizes[code]]


def draw_alike(
    pool: Pool, n_way: int, shots: Shots, rng: np.random.RandomState
) -> Iterator[Block]:
    """Draw blocks of episodes with as many support examples of each class, for ever.

    Classes, and samples within them, are drawn at once for all episodes of a block.
    """
    sizes, starts = pool.sizes[pool.allowed], pool.starts[pool.allowed]
    n_shot = shots.fixed
    n_queries = shots.n_queries(sizes, np.full(len(sizes), n_shot))
    counts = n_shot + n_queries
    widest = counts.max()
    even = (counts == widest).all()
    n_episodes = max(1, min(_EPISODES_A_BLOCK, _INDICES_A_BLOCK // (n_way * widest)))
    n_classes = np.full(n_episodes, len(sizes))
    while True:
        classes = _distinct(n_classes, np.full(n_episodes, n_way), rng).ravel()
        drawn = _distinct(sizes[classes], counts[classes], rng)
        rows = pool.order[starts[classes, None] + drawn]
        support = rows[:, :n_shot].reshape(n_episodes, -1)
        query = rows[:, n_shot:].reshape(n_episodes, -1)
        valid = None
        if not even:
            valid = np.arange(widest - n_shot) < n_queries[classes, None]
            valid = valid.reshape(n_episodes, -1)
        yield Block(support, query, valid)


def _distinct(
    sizes: np.ndarray, counts: np.ndarray, rng: np.random.RandomState
) -> np.ndarray:
    """Draw `counts` different integers below `sizes`, in random order, row by row.

    Rows with fewer than others end in repetitions of their first one.

    The draw is Floyd's, all rows at once: what step j draws below size - count + j + 1
    is kept if it is new, and the largest integer of the step is taken if it is not.
    (J. Bentley and R. Floyd, "A sample of brilliance", Comm. ACM 30(9), 1987.)
    """
    widest = counts.max()
    chance = rng.random_sample((widest, len(sizes)))
    by_step = np.empty((widest, len(sizes)), dtype=np.int64)
    for step in range(widest):
        largest = sizes - counts + step
        pick = (chance[step] * (largest + 1)).astype(np.int64)
        taken = (by_step[:step] == pick).any(axis=0)
        by_step[step] = np.where(taken, largest, pick)
    drawn = by_step.T
    # Its order is not uniform: the larger ones come late.
    keys = np.asarray(rng.random_sample(drawn.shape))
    beyond = np.arange(widest) >= counts[:, np.newaxis]
    keys[beyond] = 2
    order = np.argsort(keys, axis=1)
    drawn = np.take_along_axis(drawn, order, axis=1)
    return np.where(beyond, drawn[:, :1], drawn)


def _some(size: int, count: int, rng: np.random.RandomState) -> np.ndarray:
    """Draw `count` different integers below `size`, in random order."""
    if 8 * count > size:
        return rng.permutation(size)[:count]
    drawn = sample_without_replacement(size, count, random_state=rng)
    return drawn[rng.permutation(count)]


def draw_singly(
    pool: Pool,
    n_way: tuple[int, int],
    shots: Shots,
    rng: np.random.RandomState,
    *,
    n_unknown: int | None = 0,
    replace: bool = True,
) -> Iterator[Block]:
    """Draw episodes one by one, for ever or until the samples are used up.

    Parameters
    ----------
    pool : Pool
        The samples.
    n_way : (int, int)
        The least and the largest number of classes; any between them is as likely.
    shots : Shots
        How many support examples and queries.
    rng : RandomState
        Draws them.
    n_unknown : int or None
        Queries of classes that are not in the episode, behind the others. None: as
        many as there are others.
    replace : bool
        Whether a sample may be in several episodes.

    Yields
    ------
    block : Block
        Of one episode.
    """
    left = [pool.members(code) for code in pool.allowed]
    place = np.full(len(pool.sizes), -1)
    place[pool.allowed] = np.arange(len(left))
    free = np.ones(len(pool.codes), dtype=bool)
    while True:
        sizes = np.array([len(rows) for rows in left])
        able = np.flatnonzero(sizes >= shots.needed)
        if len(able) < n_way[0]:
            return
        width = rng.randint(n_way[0], min(n_way[1], len(able)) + 1)
        # Used up evenly, the samples last longest.
        rank = rng.permutation(len(able))
        by_turn = rank if replace else np.lexsort((rank, -sizes[able]))
        classes = able[by_turn[:width]]
        support, query, stuck = _draw_samples(
            [left[c] for c in classes], pool.groups, shots, rng
        )
        if stuck and replace:
            raise ValueError(
                f"Cannot keep groups apart: {_ATTEMPTS} draws of support examples "
                f"from {width} classes left no queries of other groups for some "
                f"class. Lower n_way, n_shot or n_query, or give finer groups."
            )
        if stuck:
            for c in classes[stuck]:
                left[c] = left[c][:0]
            continue
        if n_unknown != 0:
            count = n_unknown or sum(map(len, query))
            rows = np.flatnonzero(free & ~np.isin(pool.codes, pool.allowed[classes]))
            unknown = _draw_unknown(pool, rows, support, count, rng)
            if unknown is None and not replace:
                return
            if unknown is None:
                raise ValueError(
                    f"Cannot draw {count} queries of classes outside of an episode: "
                    f"fewer samples are there. Lower n_way, n_query or n_unknown."
                )
            query.append(unknown)
        if not replace:
            used = np.concatenate([*support, *query])
            free[used] = False
            for c in np.unique(place[pool.codes[used]]):
                if c >= 0:
                    left[c] = left[c][free[left[c]]]
        yield Block(
            np.concatenate(support)[np.newaxis], np.concatenate(query)[np.newaxis]
        )


def _draw_samples(members, groups, shots, rng):
    """Draw support examples and queries of each class: two lists of arrays.

    And a list of the classes for which it failed.
    """
    sizes = np.array([len(rows) for rows in members])
    n_shots = shots.draw(sizes, rng)
    if groups is None:
        n_drawn = n_shots + shots.n_queries(sizes, n_shots)
        drawn = [
            rows[_some(len(rows), n, rng)]
            for rows, n in zip(members, n_drawn, strict=True)
        ]
        return (
            [rows[:n] for rows, n in zip(drawn, n_shots, strict=True)],
            [rows[n:] for rows, n in zip(drawn, n_shots, strict=True)],
            [],
        )
    support, query, stuck = list(members), list(members), []
    for those in _sharing_groups(members, groups):
        parts = _draw_apart(
            [members[c] for c in those], groups, n_shots[those], shots, rng
        )
        if parts is None:
            stuck.extend(those)
            continue
        for c, *drawn in zip(those, *parts, strict=True):
            support[c], query[c] = drawn
    return support, query, stuck


def _sharing_groups(members, groups) -> list[list[int]]:
    """Divide classes into sets that have no group in common."""
    rows = np.concatenate(members)
    _, codes = np.unique(groups[rows], return_inverse=True)
    own = np.repeat(np.arange(len(members)), [len(r) for r in members])
    n_nodes = len(members) + codes.max() + 1
    links = coo_array(
        (np.ones(len(rows), dtype=bool), (own, codes + len(members))),
        shape=(n_nodes, n_nodes),
    )
    n_parts, part = connected_components(links, directed=False)
    part = part[: len(members)]
    return [np.flatnonzero(part == i).tolist() for i in range(n_parts)]


def _draw_apart(members, groups, n_shots, shots, rng):
    """Draw support examples and queries of other groups, None if that fails."""
    for attempt in range(_ATTEMPTS):
        # Drawn freely, support examples are of many groups, and may leave too few.
        narrowly = attempt >= _ATTEMPTS // 10
        if attempt >= _ATTEMPTS // 2:  # so may many of them
            n_shots = rng.randint(shots.min_shot, n_shots + 1)
        rows = _support_rows(members, groups, n_shots, rng) if narrowly else members
        support = [r[_some(len(r), n, rng)] for r, n in zip(rows, n_shots, strict=True)]
        apart = np.unique(groups[np.concatenate(support)])
        rest = [r[~np.isin(groups[r], apart)] for r in members]
        n_rest = np.array([len(r) for r in rest])
        if (n_rest >= shots.min_query).all():
            n_queries = shots.n_queries(n_rest, 0)
            return support, [
                r[_some(len(r), n, rng)] for r, n in zip(rest, n_queries, strict=True)
            ]
    return None


def _support_rows(members, groups, n_shots, rng):
    """Return the rows of each class that its support examples may come from.

    Those of a few groups, small ones rather than large ones: such as some class still
    lacks support examples of, and none that could be done without.
    """
    present, codes = np.unique(groups[np.concatenate(members)], return_inverse=True)
    parts = np.split(codes, np.cumsum([len(rows) for rows in members])[:-1])
    held = np.stack([np.bincount(part, minlength=len(present)) for part in parts])
    taken = np.zeros(len(present), dtype=bool)
    spare = -n_shots
    for group in np.argsort(rng.standard_exponential(len(present)) * held.sum(axis=0)):
        if (held[spare < 0, group] > 0).any():
            taken[group] = True
            spare = spare + held[:, group]
    for group in rng.permutation(np.flatnonzero(taken)):
        if (spare >= held[:, group]).all():
            taken[group] = False
            spare = spare - held[:, group]
    return [rows[taken[part]] for rows, part in zip(members, parts, strict=True)]


def _draw_unknown(pool, rows, support, n_unknown, rng):
    """Draw queries among `rows`, each class as likely, no sample twice.

    None where they are too few.
    """
    if pool.groups is not None:
        apart = pool.groups[np.concatenate(support)]
        rows = rows[~np.isin(pool.groups[rows], apart)]
    if len(rows) < n_unknown:
        return None
    # The first to ring of clocks that run at the rate 1 / size.
    codes = pool.codes[rows]
    rings = rng.standard_exponential(len(rows)) * np.bincount(codes)[codes]
    return rows[np.argpartition(rings, n_unknown - 1)[:n_unknown]]
