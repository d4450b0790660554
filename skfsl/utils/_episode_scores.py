"""Scores of episodes against their own prototypes, many episodes at once."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from skfsl.utils._scores import Scorer, unit_rows

__all__ = ["chunks", "prototype_scores", "ways_of"]

# Embeddings gathered at a time.
_BLOCK_BYTES = 2**20


def chunks(n_episodes: int, bytes_an_episode: int) -> Iterator[slice]:
    """Yield slices of episodes that take a bounded amount of memory."""
    size = max(1, _BLOCK_BYTES // max(1, bytes_an_episode))
    for start in range(0, n_episodes, size):
        yield slice(start, start + size)


def ways_of(codes: np.ndarray, support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort the support examples of episodes by class.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Class codes.
    support : ndarray of shape (n_episodes, n_support)
        Rows of support examples. In several episodes each class has as many.

    Returns
    -------
    support : ndarray of shape (n_episodes, n_support)
        The rows, in the order of their codes.
    starts : ndarray of shape (n_way,)
        Where each class starts in it.
    """
    own = codes[support]
    order = np.argsort(own, axis=1, kind="stable")
    own = np.take_along_axis(own, order, axis=1)
    new = own[0, 1:] != own[0, :-1]
    return np.take_along_axis(support, order, axis=1), np.r_[0, np.flatnonzero(new) + 1]


def prototype_scores(
    metric: str | Callable,
    X: np.ndarray,
    codes: np.ndarray,
    blocks: Iterable,
) -> Iterator[tuple[np.ndarray, None]]:
    """Score queries against the prototypes of their episode.

    Parameters
    ----------
    metric : {"euclidean", "cosine", "manhattan"} or callable
        As of `Scorer`, which gives the same scores for one episode.
    X : ndarray of shape (n_samples, n_features)
        Embeddings, float32 or float64.
    codes : ndarray of shape (n_samples,)
        Class codes.
    blocks : iterable of objects with `support` and `query`
        Rows of X, (n_episodes, n_support) and (n_episodes, n_query).

    Yields
    ------
    scores : ndarray of shape (n_episodes, n_query, n_way)
        For each block; columns in the order of the codes. Higher is closer.
    closeness : None
        It is the scores themselves.

    Raises
    ------
    ValueError
        If a score is not a finite number.
    """
    for block in blocks:
        support, starts = ways_of(codes, block.support)
        n_episodes, n_query = block.query.shape
        scores = np.empty((n_episodes, n_query, len(starts)), X.dtype)
        n_rows = support.shape[1] + 2 * n_query
        for chunk in chunks(n_episodes, n_rows * X.shape[1] * X.dtype.itemsize):
            _write_scores(
                metric, X, support[chunk], starts, block.query[chunk], scores[chunk]
            )
        yield scores, None


def _write_scores(metric, X, support, starts, query, out) -> None:
    n_shots = np.diff(starts, append=support.shape[1])
    if (n_shots == 1).all():
        prototypes = X[support].astype(np.float64)
    else:
        sums = np.add.reduceat(X[support], starts, axis=1, dtype=np.float64)
        prototypes = sums / n_shots[:, np.newaxis]
    if metric == "euclidean":
        _write_euclidean(X, prototypes, query, out)
    elif metric == "cosine":
        flat = prototypes.reshape(-1, X.shape[1])
        units = unit_rows(flat)[0].astype(X.dtype).reshape(prototypes.shape)
        queries = unit_rows(X[query.ravel()])[0].reshape(*query.shape, -1)
        np.matmul(queries, units.transpose(0, 2, 1), out=out)
    else:
        for i, own in enumerate(prototypes):
            out[i] = Scorer(metric, own, X.dtype).scores(X[query[i]])
    if not (np.isfinite(out.min()) and np.isfinite(out.max())):
        # It says what is wrong, of the first that is.
        for i, own in enumerate(prototypes):
            out[i] = Scorer(metric, own, X.dtype).scores(X[query[i]])


def _write_euclidean(X, prototypes, query, out) -> None:
    # -|x - p|² = 2 x·p - |p|² - |x|², centred: see Scorer.
    with np.errstate(over="ignore", invalid="ignore"):
        center = prototypes.mean(axis=1, keepdims=True).astype(X.dtype)
        centred = (prototypes - center).astype(X.dtype)
        queries = X[query]
        queries -= center
        np.matmul(queries, 2 * centred.transpose(0, 2, 1), out=out)
        out -= np.einsum("eij,eij->ei", centred, centred)[:, np.newaxis]
        out -= np.einsum("eij,eij->ei", queries, queries)[..., np.newaxis]
        np.minimum(out, 0, out=out)
