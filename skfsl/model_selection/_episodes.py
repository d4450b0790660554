"""Few-shot tasks drawn from labelled samples."""

from collections.abc import Iterator
from numbers import Integral

import numpy as np
from sklearn.utils import check_consistent_length, check_random_state

from skfsl.utils._sklearn_private import Interval, validate_parameter_constraints
from skfsl.utils._validation import check_labels

__all__ = ["iter_episodes"]

_MAX_QUERY = 15

_CONSTRAINTS = {
    "n_way": [Interval(Integral, 2, None, closed="left"), None],
    "n_shot": [Interval(Integral, 1, None, closed="left")],
    "n_query": [Interval(Integral, 1, None, closed="left"), None],
    "n_episodes": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
}


def iter_episodes(
    X: object,
    y: object,
    *,
    n_way: int | None = 5,
    n_shot: int = 1,
    n_query: int | None = None,
    n_episodes: int = 600,
    random_state: object = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw episodes: small classification tasks on some of the classes.

    An episode has `n_way` classes, `n_shot` support examples of each, and queries of
    the same classes; no sample is in both. Classes, and samples within them, are drawn
    without replacement within an episode; episodes are drawn independently.

    Parameters
    ----------
    X : array-like of length n_samples or None
        The samples. Only their number is looked at.

    y : array-like of shape (n_samples,)
        Class labels.

    n_way : int or None, default=5
        Classes in an episode, at least 2. None is all classes.

    n_shot : int, default=1
        Support examples of each class.

    n_query : int or None, default=None
        Queries of each class. None is what is left of the class, 15 at most.

    n_episodes : int, default=600
        Number of episodes.

    random_state : int, RandomState instance or None, default=None
        Governs the draws. An integer gives the same episodes at each call.

    Returns
    -------
    episodes : iterator of (support, query)
        Two arrays of int64 indices, of shape (n_way * n_shot,) and, where `n_query` is
        given, (n_way * n_query,). Both are grouped by class, in the same order of
        classes.

    Raises
    ------
    ValueError
        If y has fewer classes than `n_way`, or a class has too few samples. Raised at
        the call, not at the first episode.

    Notes
    -----
    An interval computed over episodes tells how exactly the mean over *these samples*
    is known, not how the metric would do on others: episodes share samples.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.model_selection import iter_episodes
    >>> y = np.repeat(["ape", "bee", "cow"], 4)
    >>> for support, query in iter_episodes(
    ...     None, y, n_way=2, n_shot=1, n_query=2, n_episodes=2, random_state=0
    ... ):
    ...     print(y[support], y[query])
    ['cow' 'bee'] ['cow' 'cow' 'bee' 'bee']
    ['bee' 'ape'] ['bee' 'bee' 'ape' 'ape']
    """
    validate_parameter_constraints(
        _CONSTRAINTS,
        {
            "n_way": n_way,
            "n_shot": n_shot,
            "n_query": n_query,
            "n_episodes": n_episodes,
            "random_state": random_state,
        },
        caller_name="iter_episodes",
    )
    # Sums of NumPy's small integers would wrap.
    n_shot, n_query = int(n_shot), None if n_query is None else int(n_query)
    y = check_labels(y)
    if X is not None:
        check_consistent_length(X, y)
    classes, codes, sizes = np.unique(y, return_inverse=True, return_counts=True)
    if n_way is None:
        n_way = len(classes)
    if n_way > len(classes) or len(classes) < 2:
        raise ValueError(
            f"Cannot draw episodes with n_way={n_way} from y with "
            f"n_classes={len(classes)}. Episodes have at least 2 classes and at most "
            f"those of y. Lower n_way or add classes."
        )
    _check_sizes(classes, sizes, n_shot, n_query)
    n_queries = np.minimum(sizes - n_shot, n_query or _MAX_QUERY)
    order = np.argsort(codes, kind="stable").astype(np.int64, copy=False)
    rng = check_random_state(random_state)
    return _draw(order, sizes, n_way, n_shot, n_queries, n_episodes, rng)


def _check_sizes(classes, sizes, n_shot: int, n_query: int | None) -> None:
    needed = n_shot + (n_query or 1)
    small = np.flatnonzero(sizes < needed)
    if len(small) == 0:
        return
    named = ", ".join(f"{classes[i]} ({sizes[i]})" for i in small[:5])
    asked = f"n_shot={n_shot} support examples and "
    asked += "at least 1 query" if n_query is None else f"n_query={n_query} queries"
    raise ValueError(
        f"Episodes need {needed} samples of each class: {asked}. {len(small)} of "
        f"{len(classes)} classes have fewer: {named}{', …' if len(small) > 5 else ''}. "
        f"Lower n_shot or n_query, or leave these classes out."
    )


def _draw(order, sizes, n_way, n_shot, n_queries, n_episodes, rng):
    starts = np.cumsum(sizes) - sizes
    for _ in range(n_episodes):
        classes = rng.permutation(len(sizes))[:n_way]
        taken = n_shot + n_queries[classes]
        _shuffle_heads(order, starts[classes], sizes[classes], taken, rng)
        within = np.arange(taken.max())
        places = starts[classes, None] + within
        drawn = within < taken[:, None]
        yield (
            order[places[:, :n_shot]].ravel(),
            order[places[:, n_shot:][drawn[:, n_shot:]]],
        )


def _shuffle_heads(order, starts, sizes, taken, rng) -> None:
    """Shuffle the first `taken` places of each class, in place (Fisher and Yates).

    What stands there is a uniform draw without replacement whatever the order was
    before, and costs the same for a class of ten samples and of ten million.
    """
    for step in range(taken.max()):
        active = step < taken
        here = starts[active] + step
        other = here + rng.randint(sizes[active] - step)
        order[here], order[other] = order[other], order[here]
