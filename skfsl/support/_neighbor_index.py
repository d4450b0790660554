"""Which search finds the neighbors: exact, or by an index."""

import importlib.util
import sys
from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from skfsl.support._neighbors_faiss import NeighborIndex, import_faiss
from skfsl.support._neighbors_torch import DeviceIndex

__all__ = ["AnyIndex", "by_index", "index_of", "make_index"]

AnyIndex = NeighborIndex | DeviceIndex

# Fewer are searched exactly: in a few milliseconds, and lists have little to hold.
_MIN_SAMPLES = 10_000
# From here on "auto" has an index: a query would take ten milliseconds and more.
_MANY_SAMPLES = 100_000
_METRICS = ("euclidean", "l2", "cosine")


def make_index(kind: str, samples: np.ndarray) -> AnyIndex:
    """Make an index of one kind, "faiss", "hnsw" or "torch", over samples."""
    if kind == "torch":
        return DeviceIndex.of(samples)
    return NeighborIndex.of(kind, samples)


def index_of(classifier: Any) -> AnyIndex | None:
    """Return the index of a classifier, and make it where there is none.

    Parameters
    ----------
    classifier : KNeighborsClassifier
        A fitted one, that no writer changes.

    Returns
    -------
    index : NeighborIndex, DeviceIndex or None
        None where the search is exact.

    Raises
    ------
    ValueError
        If an index is asked for that is not possible.
    ImportError
        If it needs FAISS, which is not there.
    """
    support, kind = classifier._support, classifier.index
    if kind == "exact":
        return None
    possible = support is not None and classifier.effective_metric_ in _METRICS
    if kind == "auto":
        if not possible or len(support.samples) < _MANY_SAMPLES:
            return None
        if _has_gpu():
            kind = "torch"
        elif importlib.util.find_spec("faiss") is not None:
            kind = "faiss"
        else:
            return None
    elif not possible:
        raise ValueError(
            f"index={kind!r} searches dense samples with one label each, by "
            f"metric='euclidean' or 'cosine' and algorithm='auto' or 'brute'. Got "
            f"metric={classifier.metric!r} and algorithm={classifier.algorithm!r}. Set "
            f"index='exact'."
        )
    if kind != "torch":
        import_faiss()
    if len(support.samples) < _MIN_SAMPLES:
        return None
    if classifier.effective_metric_ == "cosine" and not support.all_unit:
        return None  # samples of length zero are equally far from everything
    return support.index(kind)


def _has_gpu() -> bool:
    # Who has not woken torch yet does not pay for it here.
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


def by_index(
    snapshot: Any, X: np.ndarray, n_neighbors: int | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Search by the index of a classifier.

    Parameters
    ----------
    snapshot : KNeighborsClassifier
        One that no writer changes, its metric "euclidean" where samples and queries
        have length one.
    X : ndarray of shape (n_queries, n_features)
        Checked queries.
    n_neighbors : int or None
        How many; None is the classifier's own.

    Returns
    -------
    answer : tuple of ndarrays of shape (n_queries, n_neighbors), or None
        Distances and indices; None where the search is to be exact.
    """
    index = index_of(snapshot)
    wanted = snapshot.n_neighbors if n_neighbors is None else n_neighbors
    samples = snapshot._support.samples.columns[0]
    if index is None or snapshot.effective_metric_ == "cosine":
        return None
    if not isinstance(wanted, int | np.integer) or not 0 < wanted <= len(samples):
        return None  # to an error
    distances, indices = index.search(X, samples, int(wanted))
    few = np.flatnonzero((indices < 0).any(axis=1))
    if len(few):
        distances[few], indices[few] = KNeighborsClassifier.kneighbors(
            snapshot, X[few], wanted
        )
    return distances, indices
