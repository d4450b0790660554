"""The search for neighbors, which two methods of a classifier are."""

import numpy as np
from scipy import sparse
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier

from skfsl.support._neighbor_index import by_index
from skfsl.support._open_set import LeftOut, choose_rows
from skfsl.utils._scores import unit_rows

__all__ = ["kneighbors", "kneighbors_graph", "nearest_left_out"]

# Distances that are in memory at a time.
_BLOCK = 2**22


def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
    """Find the nearest stored samples of each query.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_queries, n_features) or \
            (n_queries, n_indexed) if metric="precomputed", default=None
        Queries. Without them, the neighbors of each stored sample, itself left
        out.

    n_neighbors : int, default=None
        By default that of the constructor, or all that are stored where fewer.

    return_distance : bool, default=True
        Whether to return the distances.

    Returns
    -------
    neigh_dist : ndarray of shape (n_queries, n_neighbors)
        Distances, nearest first; only with return_distance=True.

    neigh_ind : ndarray of shape (n_queries, n_neighbors)
        Positions of the neighbors among the stored samples, by order of arrival.

    Raises
    ------
    ValueError
        If n_neighbors is given and larger than the number of stored samples.
    """
    snapshot = self._reader(X)
    support = snapshot._support
    grows = support is not None and not sparse.issparse(X)
    as_euclidean = grows and support.all_unit
    if grows and X is not None:
        X = snapshot._check_samples(X)
        # Checked: the check that follows is not to miss the names of features.
        snapshot.__dict__.pop("feature_names_in_", None)
        if as_euclidean:
            X, as_euclidean = unit_rows(X)
    if as_euclidean:
        snapshot.metric = snapshot.effective_metric_ = "euclidean"
    found = by_index(snapshot, X, n_neighbors) if grows and X is not None else None
    if found is None:
        answer = KNeighborsClassifier.kneighbors(
            snapshot, X, n_neighbors, return_distance
        )
    else:
        answer = found if return_distance else found[1]
    if not (as_euclidean and return_distance):
        return answer
    distances, indices = answer
    # |x - y|² = 2 (1 - cos) at unit length.
    return distances * distances / 2, indices


def kneighbors_graph(self, X=None, n_neighbors=None, mode="connectivity"):
    """Compute the (weighted) graph of neighbors of queries.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_queries, n_features) or \
            (n_queries, n_indexed) if metric="precomputed", default=None
        Queries. Without them, the neighbors of each stored sample, itself left
        out.

    n_neighbors : int, default=None
        As in `kneighbors`.

    mode : {"connectivity", "distance"}, default="connectivity"
        Whether edges are ones or distances.

    Returns
    -------
    graph : CSR matrix of shape (n_queries, n_samples_fit_)
        ``graph[i, j]`` is the weight of the edge from query i to sample j.
    """
    snapshot = self._reader(X)
    return KNeighborsClassifier.kneighbors_graph(snapshot, X, n_neighbors, mode)


def nearest_left_out(classifier, *, rows: np.ndarray | None = None) -> LeftOut:
    """Score stored samples by the nearest other sample of each class.

    Parameters
    ----------
    classifier : KNeighborsClassifier
        One that no writer changes.
    rows : ndarray of shape (n_rows,), dtype=intp, default=None
        The samples that are left out. None: of classes that the metric was not
        trained on, thousands at most.

    Raises
    ------
    ValueError
        If its support set is not one that samples can be left out of.
    """
    support = classifier._support
    if support is None:
        raise ValueError(
            f"reject={classifier.reject!r} leaves stored samples out, which trees, "
            f"sparse data and precomputed distances do not allow. Set threshold=, or "
            f"reject=None."
        )
    X, own = support.samples.columns[0], support.positions
    if rows is None:
        rows = choose_rows(classifier._learnt()[own])
    order = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[order], np.arange(len(support.labels)))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    stored = X[order]
    scores = np.empty((len(rows), len(starts)))
    size = max(1, _BLOCK // len(X))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        distances = pairwise_distances(
            X[block], stored, metric=classifier.effective_metric_,
            **classifier.effective_metric_params_,
        ).astype(np.float64, copy=False)  # fmt: skip
        distances[np.arange(len(block)), place[block]] = np.inf
        nearest = np.minimum.reduceat(distances, starts, axis=1)
        scores[start : start + size] = -nearest
    # Of a class without another sample nothing is near, and nothing is known.
    scores[np.isinf(scores)] = np.nan
    return LeftOut(scores, own[rows])
