"""The search for neighbors, which two methods of a classifier are."""

from scipy import sparse
from sklearn.neighbors import KNeighborsClassifier

from skfsl.support._neighbor_index import by_index
from skfsl.utils._scores import unit_rows

__all__ = ["kneighbors", "kneighbors_graph"]


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
