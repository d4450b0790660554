"""Few-shot tasks drawn from labelled samples."""

import warnings
from collections.abc import Iterator
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length, check_random_state

from skfsl.model_selection._draw import (
    MAX_DRAWN_AT_ONCE,
    Block,
    Pool,
    draw_alike,
    draw_singly,
)
from skfsl.model_selection._shots import Shots
from skfsl.utils._groups import check_groups
from skfsl.utils._outside import outside
from skfsl.utils._sklearn_private import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from skfsl.utils._validation import check_labels

__all__ = ["EPISODE_CONSTRAINTS", "episode_blocks", "iter_episodes"]

EPISODE_CONSTRAINTS: dict = {
    "n_way": [Interval(Integral, 2, None, closed="left"), None, tuple],
    "n_shot": [
        Interval(Integral, 1, None, closed="left"),
        StrOptions({"natural"}),
        tuple,
    ],
    "n_query": [
        Interval(Integral, 1, None, closed="left"),
        StrOptions({"natural"}),
        None,
    ],
    "n_episodes": [Interval(Integral, 1, None, closed="left"), None],
    "n_unknown": [Interval(Integral, 0, None, closed="left")],
    "imbalance": [StrOptions({"dirichlet", "long_tail"}), None],
    "replace": ["boolean"],
    "small_classes": [StrOptions({"raise", "drop"})],
    "random_state": ["random_state"],
}


def iter_episodes(
    X: object,
    y: object,
    *,
    n_way: int | tuple[int, int] | None = 5,
    n_shot: int | tuple[int, int] | str = 1,
    n_query: int | str | None = None,
    n_episodes: int | None = 600,
    n_unknown: int = 0,
    imbalance: str | None = None,
    groups: object = None,
    replace: bool = True,
    small_classes: str = "raise",
    random_state: object = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw episodes: small classification tasks on some of the classes.

    An episode has `n_way` classes, `n_shot` support examples of each, and queries of
    the same classes; no sample is in both. Classes, and samples within them, are drawn
    without replacement within an episode; episodes are drawn independently.

    Read more in the :ref:`User Guide <episodes>`.

    Parameters
    ----------
    X : array-like of length n_samples or None
        The samples. Only their number is looked at.

    y : array-like of shape (n_samples,)
        Class labels.

    n_way : int, (int, int) or None, default=5
        Classes in an episode, at least 2. Of a pair any number from the first to the
        second is as likely, in so far as there are as many classes. None is all
        classes.

    n_shot : int, (int, int) or "natural", default=1
        Support examples of each class. Of a pair any number from the first to the
        second is as likely, in so far as the class leaves its queries. "natural" draws
        the size of the support set and deals it out in proportion to the sizes of the
        classes, up to a factor of two, as Meta-Dataset does [1]_.

    n_query : int, None or "natural", default=None
        Queries of each class. None is what is left of the class, 15 at most;
        "natural" all that is left, so that queries are as unbalanced as `y` is.

    n_episodes : int or None, default=600
        Number of episodes. None is as many as there are, with ``replace=False``.

    n_unknown : int, default=0
        Queries of classes that are not in the episode, behind the others. Each class
        is as likely.

    imbalance : {"dirichlet", "long_tail"} or None, default=None
        How unequal the classes of an episode are, with `n_shot` support examples a
        class on average, and one at least. "dirichlet": any division is as likely.
        "long_tail": the class of rank r has a share of 1/r. A class that has fewer
        than its share gives what it has.

    groups : array-like of shape (n_samples,), default=None
        The group of each sample, such as a burst of photos, an encounter, a day. No
        group is in both the support set and the queries of an episode.

    replace : bool, default=True
        Whether a sample may be in several episodes. Without replacement, the classes
        with most samples left are taken first.

    small_classes : {"raise", "drop"}, default="raise"
        What is done about classes with too few samples: they are an error, or they are
        left out and named in a warning.

    random_state : int, RandomState instance or None, default=None
        Governs the draws. An integer gives the same episodes at each call.

    Returns
    -------
    episodes : iterator of (support, query)
        Two arrays of int64 indices, of shape (n_way * n_shot,) and, where `n_query` is
        given, (n_way * n_query + n_unknown,). Both are grouped by class, in the same
        order of classes.

    Raises
    ------
    ValueError
        If y has fewer classes than `n_way`, or a class has too few samples, or too few
        groups, or if there are not `n_episodes` without replacement, or not
        `n_unknown` samples of other classes. Raised at the call, not at the first
        episode, but for groups of several classes that turn out to leave no queries.
    TypeError
        If groups are of several kinds, such as numbers and strings.

    Warns
    -----
    UserWarning
        If classes are left out by ``small_classes="drop"``.

    See Also
    --------
    make_episodic_scorer : Scores an estimator on episodes.

    Notes
    -----
    An interval computed over episodes tells how exactly the mean over *these samples*
    is known, not how the metric would do on others: episodes share samples.

    References
    ----------
    .. [1] E. Triantafillou et al., "Meta-Dataset: A dataset of datasets for learning
       to learn from few examples", ICLR 2020, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.model_selection import iter_episodes
    >>> y = np.repeat(["ape", "bee", "cow"], 4)
    >>> for support, query in iter_episodes(
    ...     None, y, n_way=2, n_shot=1, n_query=2, n_episodes=2, random_state=0
    ... ):
    ...     print(y[support], y[query])
    ['bee' 'cow'] ['bee' 'bee' 'cow' 'cow']
    ['ape' 'bee'] ['ape' 'ape' 'bee' 'bee']
    """
    params: dict[str, Any] = {
        "n_way": n_way,
        "n_shot": n_shot,
        "n_query": n_query,
        "n_episodes": n_episodes,
        "n_unknown": n_unknown,
        "imbalance": imbalance,
        "replace": replace,
        "small_classes": small_classes,
        "random_state": random_state,
    }
    validate_parameter_constraints(
        EPISODE_CONSTRAINTS, params, caller_name="iter_episodes"
    )
    y = check_labels(y)
    if X is not None:
        check_consistent_length(X, y)
    classes, codes = np.unique(y, return_inverse=True)
    blocks = episode_blocks(classes, codes, groups=groups, **params)
    return (episode for block in blocks for episode in block.episodes())


def episode_blocks(
    classes: np.ndarray,
    codes: np.ndarray,
    *,
    n_way: int | tuple[int, int] | None,
    n_shot: int | tuple[int, int] | str,
    n_query: int | str | None,
    n_episodes: int | None,
    n_unknown: int | None = 0,
    imbalance: str | None = None,
    groups: object = None,
    replace: bool = True,
    small_classes: str = "raise",
    random_state: object = None,
) -> Iterator[Block]:
    """Draw the episodes of `iter_episodes` in blocks that are scored at once.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    codes : ndarray of shape (n_samples,)
        The position in `classes` of each sample's label.
    n_way, n_shot, n_query, n_episodes, n_unknown, imbalance, groups, replace, \
            small_classes, random_state
        As in `iter_episodes`; n_unknown=None is as many as there are other queries.

    Returns
    -------
    blocks : iterator of Block
        With `n_episodes` episodes in all.
    """
    shots = _shots(n_shot, n_query, imbalance)
    if groups is not None:
        _, groups = check_groups(groups, len(codes))
    allowed = _allowed(classes, codes, groups, shots, small_classes)
    n_ways = _ways(n_way, len(allowed), len(classes))
    # Differences and sums of NumPy's small integers would wrap.
    n_episodes = None if n_episodes is None else int(n_episodes)
    n_unknown = None if n_unknown is None else int(n_unknown)
    if n_episodes is None and replace:
        raise ValueError(
            "n_episodes=None asks for as many episodes as there are, which has no end "
            "where samples are drawn with replacement. Set replace=False, or a number."
        )
    pool = Pool(codes, groups, allowed)
    _check_unknown(n_unknown, pool.sizes, allowed, n_ways[1])
    rng = check_random_state(random_state)
    alike = (
        shots.fixed is not None
        and groups is None
        and replace
        and n_unknown == 0
        and n_ways[0] == n_ways[1]
        and n_ways[0] <= MAX_DRAWN_AT_ONCE
        and shots.most(pool.sizes[allowed]) <= MAX_DRAWN_AT_ONCE
    )
    if alike:
        return _first(draw_alike(pool, n_ways[0], shots, rng), n_episodes)
    blocks = draw_singly(pool, n_ways, shots, rng, n_unknown=n_unknown, replace=replace)
    if replace:
        return _first(blocks, n_episodes)
    # Whether there are as many turns out in the end only.
    drawn = list(islice(blocks, n_episodes))
    if len(drawn) < (n_episodes or 1):
        raise ValueError(
            f"Cannot draw n_episodes={n_episodes or 1} without replacement: the "
            f"samples of y are used up after {len(drawn)}. Lower n_episodes, n_way, "
            f"n_shot or n_query, or set n_episodes=None for as many as there are."
        )
    return iter(drawn)


def _first(blocks: Iterator[Block], n_episodes: Any) -> Iterator[Block]:
    for block in blocks:
        yield block.head(n_episodes)
        n_episodes -= len(block)
        if n_episodes <= 0:
            return


def _shots(n_shot, n_query, imbalance) -> Shots:
    if isinstance(n_shot, tuple):
        n_shot = _range(n_shot, "n_shot", 1)
    elif n_shot != "natural":
        n_shot = int(n_shot)
    if imbalance is not None and (not isinstance(n_shot, int) or n_shot < 2):
        raise ValueError(
            f"imbalance={imbalance!r} divides n_way * n_shot support examples, one for "
            f"each class at least: it needs an integer n_shot of 2 or more. Got "
            f"n_shot={n_shot!r}."
        )
    if n_query is not None and n_query != "natural":
        n_query = int(n_query)
    return Shots(n_shot, n_query, imbalance)


def _range(value: tuple, name: str, least: int) -> tuple[int, int]:
    if (
        len(value) != 2
        or not all(isinstance(v, Integral) for v in value)
        or not least <= value[0] <= value[1]
    ):
        raise ValueError(
            f"A pair {name}=(low, high) must be two integers with {least} <= low <= "
            f"high. Got {name}={value!r}."
        )
    return int(value[0]), int(value[1])


def _ways(n_way, n_allowed: int, n_classes: int) -> tuple[int, int]:
    if n_way is None:
        low = high = n_allowed
    elif isinstance(n_way, tuple):
        low, high = _range(n_way, "n_way", 2)
    else:
        low = high = int(n_way)
    if low > n_allowed or n_allowed < 2:
        shown = low if n_way is None else n_way
        dropped = n_classes - n_allowed
        without = f" ({dropped} more are too small and left out)" if dropped else ""
        raise ValueError(
            f"Cannot draw episodes with n_way={shown} from y with "
            f"n_classes={n_allowed}{without}. Episodes have at least 2 classes and at "
            f"most those of y. Lower n_way, add classes or, in cross-validation, take "
            f"fewer folds."
        )
    return low, min(high, n_allowed)


def _check_unknown(n_unknown, sizes, allowed, n_way) -> None:
    """Raise where the largest classes leave too few samples of others."""
    if n_unknown == 0:
        return
    n_others = sizes.sum() - np.sort(sizes[allowed])[-n_way:].sum()
    if n_others < (n_unknown or 1):
        raise ValueError(
            f"Cannot draw {n_unknown or 'any'} queries of classes outside of an "
            f"episode: with {n_way} classes in it, as few as {n_others} samples are "
            f"of others. Lower n_way{' or n_unknown' if n_unknown else ''}."
        )


def _allowed(classes, codes, groups, shots: Shots, small_classes: str) -> np.ndarray:
    """Return the classes that have enough samples; raise or warn about the others."""
    sizes = np.bincount(codes)
    enough = sizes >= shots.needed
    what = "samples"
    if groups is not None and enough.all():
        enough = _have_groups(codes, groups, shots)
        what = "groups"
    elif groups is not None:
        enough &= _have_groups(codes, groups, shots)
    small = np.flatnonzero(~enough)
    if len(small) == 0:
        return np.arange(len(classes))
    names = classes.tolist()
    named = ", ".join(f"{names[i]} ({sizes[i]})" for i in small[:5])
    named += ", …" if len(small) > 5 else ""
    asked = (
        "1 support example"
        if shots.min_shot == 1
        else (f"n_shot={shots.min_shot} support examples")
    )
    if isinstance(shots.n_query, int):
        asked += f" and n_query={shots.n_query} queries"
    else:
        asked += " and at least 1 query"
    apart = "" if groups is None else ", no group among both"
    found = f"{len(small)} of {len(classes)} classes have "
    found += "fewer" if what == "samples" else "too few groups for it"
    needs = f"Episodes need {shots.needed} samples of each class: {asked}{apart}."
    if small_classes == "drop":
        warnings.warn(
            f"{needs} {found} and are left out: {named}.",
            UserWarning,
            stacklevel=outside(),
        )
        return np.flatnonzero(enough)
    raise ValueError(
        f"{needs} {found}: {named}. Lower n_shot or n_query, or leave these classes "
        f"out by small_classes='drop'."
    )


def _have_groups(codes, groups, shots: Shots) -> np.ndarray:
    """Tell which classes can be divided by groups into support examples and queries."""
    n_groups = groups.max() + 1
    parts, counts = np.unique(codes * n_groups + groups, return_counts=True)
    order = np.lexsort((counts, parts // n_groups))
    counts, sizes = counts[order], np.bincount(codes)
    bounds = np.searchsorted(parts // n_groups, np.arange(len(sizes) + 1))
    # Most classes are divided by taking their smallest groups.
    taken = np.cumsum(counts) - np.repeat(np.cumsum(sizes) - sizes, np.diff(bounds))
    taken[taken < shots.min_shot] = len(codes) + 1
    cover = np.minimum.reduceat(taken, bounds[:-1])
    enough = sizes - cover >= shots.min_query
    for code in np.flatnonzero(~enough & (sizes >= shots.needed)):
        own = counts[bounds[code] : bounds[code + 1]]
        least = _smallest_cover(own, shots.min_shot)
        enough[code] = sizes[code] - least >= shots.min_query
    return enough


def _smallest_cover(counts: np.ndarray, n_shot: int) -> float:
    """Return the fewest samples that whole groups with `n_shot` in all have."""
    fewest = np.full(n_shot + 1, np.inf)
    fewest[0] = 0
    for count in counts.tolist():
        reached = np.minimum(np.arange(n_shot + 1) + count, n_shot)
        grown = fewest.copy()
        np.minimum.at(grown, reached, fewest + count)
        fewest = grown
    return fewest[n_shot]
