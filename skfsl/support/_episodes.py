"""Many small support sets at once: the hooks of the episodic scorer."""

import warnings
from collections.abc import Iterable, Iterator

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import check_array

from skfsl.support._votes import shares, vote_weights
from skfsl.utils._episode_scores import chunks, prototype_scores, ways_of
from skfsl.utils._scores import unit_rows
from skfsl.utils._sklearn_private import _safe_indexing

__all__ = ["score_by_neighbors", "score_by_prototypes"]

_FLOATS = [np.float64, np.float32]
_EUCLIDEAN = ("euclidean", "l2")


def score_by_prototypes(
    classifier, X: np.ndarray, codes: np.ndarray, blocks: Iterable
) -> Iterator[tuple[np.ndarray, None]]:
    """Score episodes as a `PrototypeClassifier` fitted on each support set would.

    Parameters
    ----------
    classifier : PrototypeClassifier
        States the metric; is left alone.
    X : array-like of shape (n_samples, n_features)
        Embeddings.
    codes : ndarray of shape (n_samples,)
        Class codes.
    blocks : iterable of Block
        The episodes.

    Yields
    ------
    scores : ndarray of shape (n_episodes, n_query, n_way)
        Higher is closer; columns in the order of the codes.
    closeness : None
        It is the scores themselves.
    """
    classifier._validate_params()
    X = check_array(X, dtype=_FLOATS, input_name="X")
    if classifier.covariance is None and classifier.max_per_class is None:
        yield from prototype_scores(classifier.metric, X, codes, blocks)
        return
    for block in blocks:
        episodes = zip(block.support, block.query, strict=True)
        yield np.stack([
            _fitted(classifier, X, codes, support)._scores(X[query])
            for support, query in episodes
        ]), None  # fmt: skip


def score_by_neighbors(
    classifier, X: np.ndarray, codes: np.ndarray, blocks: Iterable
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Score episodes as a `KNeighborsClassifier` fitted on each support set would.

    Parameters
    ----------
    classifier : KNeighborsClassifier
        States metric, number of neighbors and weights; is left alone.
    X, codes, blocks
        As of `score_by_prototypes`.

    Yields
    ------
    scores : ndarray of shape (n_episodes, n_query, n_way)
        The share of each class in the vote.
    closeness : ndarray of shape (n_episodes, n_query, n_way)
        The negative distance of the nearest example of each class.
    """
    classifier._validate_params()
    power = classifier.p if classifier.metric == "minkowski" else None
    as_euclidean = classifier.metric in (*_EUCLIDEAN, "cosine") or power == 2
    if (
        not as_euclidean
        or classifier.metric_params
        or classifier.n_neighbors is None
        or classifier.max_per_class is not None
        or sparse.issparse(X)
    ):
        for block in blocks:
            yield _fitted_scores(classifier, X, codes, block)
        return
    X = check_array(X, dtype=_FLOATS, input_name="X")
    samples, zeros = X, np.zeros(0, dtype=bool)
    if classifier.metric == "cosine":
        X, all_unit = unit_rows(X)
        zeros = zeros if all_unit else np.asarray(~X.any(axis=1))
    told = False
    for block in blocks:
        support, starts = ways_of(codes, block.support)
        told = told or _warn_of_all(classifier, starts, support.shape[1])
        n_episodes, n_query = block.query.shape
        scores = np.empty((n_episodes, n_query, len(starts)))
        closeness = np.empty_like(scores)
        width = (support.shape[1] + 2 * n_query) * X.shape[1] * X.dtype.itemsize
        width += 16 * n_query * support.shape[1]
        for chunk in chunks(n_episodes, width):
            query = block.query[chunk]
            squares = _squared_distances(X, support[chunk], query)
            if len(zeros):
                # Of no direction: as far from everything as at a right angle.
                zero = zeros[support[chunk]][:, np.newaxis] | zeros[query][..., None]
                squares[zero] = 2
            if not np.isfinite(squares.sum()):
                break
            scores[chunk] = _vote(classifier, squares, starts)
            nearest = np.minimum.reduceat(squares, starts, axis=2)
            closeness[chunk] = -_distances(classifier, nearest)
        else:
            yield scores, closeness
            continue
        # Squares that overflow here need not do so where float64 is computed in.
        yield _fitted_scores(classifier, samples, codes, block)


def _vote(classifier, squares, starts):
    n_support = squares.shape[2]
    n_neighbors = min(classifier.n_neighbors, n_support)
    flat = squares.reshape(-1, n_support)
    nearest = np.argsort(flat, axis=1, kind="stable")[:, :n_neighbors]
    weights = None
    if classifier.weights not in (None, "uniform"):
        distances = _distances(classifier, np.take_along_axis(flat, nearest, axis=1))
        weights = vote_weights(distances, classifier.weights)
    own = np.repeat(np.arange(len(starts)), np.diff(starts, append=n_support))
    votes = shares(own[nearest], weights, len(starts))
    return votes.reshape(*squares.shape[:2], -1)


def _distances(classifier, squares: np.ndarray) -> np.ndarray:
    # |x - y|² = 2 (1 - cos) at unit length.
    return squares / 2 if classifier.metric == "cosine" else np.sqrt(squares)


def _squared_distances(X, support, query) -> np.ndarray:
    """Return (n_episodes, n_query, n_support), centred: see Scorer."""
    near = X[support]
    center = near.mean(axis=1, keepdims=True)
    near -= center
    queries = X[query]
    queries -= center
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.matmul(queries, -2 * near.transpose(0, 2, 1))
        squares += np.einsum("eij,eij->ei", near, near)[:, np.newaxis]
        squares += np.einsum("eij,eij->ei", queries, queries)[..., np.newaxis]
    return np.maximum(squares, 0, out=squares)


def _warn_of_all(classifier, starts, n_support) -> bool:
    """Warn where every class has as many votes; answer whether it was said."""
    even = np.ptp(np.diff(starts, append=n_support)) == 0
    if not even or classifier.weights not in (None, "uniform"):
        return False
    if classifier.n_neighbors < n_support:
        return False
    warnings.warn(
        f"n_neighbors={classifier.n_neighbors} is all of the {n_support} support "
        f"examples of an episode: classes have as many votes each, and the first one "
        f"is always answered. Lower n_neighbors or set weights='distance'.",
        UserWarning,
        stacklevel=4,
    )
    return True


def _fitted(classifier, X, codes, support):
    # Codes are no labels of the user's.
    unfitted = clone(classifier).set_params(unknown_label=None)
    return unfitted.fit(_safe_indexing(X, support), codes[support])


def _fitted_scores(classifier, X, codes, block):
    scores, closeness = [], []
    for support, query in zip(block.support, block.query, strict=True):
        fitted = _fitted(classifier, X, codes, support)
        queries = _safe_indexing(X, query)
        distances, near = fitted.kneighbors(queries, n_neighbors=fitted.n_samples_fit_)
        nearest = np.full((len(query), len(fitted.classes_)), np.inf)
        rows = np.arange(len(query))[:, np.newaxis]
        np.minimum.at(nearest, (rows, fitted._y[near]), distances)
        scores.append(fitted.predict_proba(queries))
        closeness.append(-nearest)
    return np.stack(scores), np.stack(closeness)
