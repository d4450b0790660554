"""What all indexes do in the same way: samples in float32, distances that are exact."""

import numpy as np

__all__ = ["centred", "nearest_first"]

# Differences that are in memory at a time.
_BLOCK = 2**22


def centred(X: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Return samples about a center in float32, where an index compares them.

    Far from the origin float32 would lose all digits.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples or queries.
    center : ndarray of shape (n_features,), dtype=float64
        The mean of the first samples.

    Raises
    ------
    ValueError
        If they are too far from it.
    """
    with np.errstate(over="ignore"):
        about = np.ascontiguousarray(X - center, dtype=np.float32)
    if not np.isfinite(about).all():
        raise ValueError(
            "Expected numbers whose differences fit into float32, which an index "
            "compares in. Got larger ones: scale X, or set index='exact'."
        )
    return about


def nearest_first(
    queries: np.ndarray, samples: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sort what was found for each query by exact distances.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features)
        Queries.
    samples : ndarray of shape (n_samples, n_features)
        Samples.
    found : ndarray of shape (n_queries, n_found)
        Positions of samples; -1 for none.

    Returns
    -------
    distances : ndarray of shape (n_queries, n_found), dtype=float64
        Euclidean distances, nearest first; infinite for none.
    indices : ndarray of shape (n_queries, n_found)
        Positions in this order.
    """
    missing = found < 0
    distances = _distances(queries, samples, np.where(missing, 0, found))
    distances[missing] = np.inf
    order = np.lexsort((found, distances))
    return (
        np.take_along_axis(distances, order, axis=1),
        np.take_along_axis(found, order, axis=1),
    )


def _distances(queries, samples, indices) -> np.ndarray:
    """Return the distance of each query to some samples, from differences."""
    distances = np.empty(indices.shape)
    n_rows = max(1, _BLOCK // (indices.shape[1] * samples.shape[1]))
    for i in range(0, len(queries), n_rows):
        block = slice(i, i + n_rows)
        apart = samples[indices[block]].astype(np.float64)
        apart -= queries[block, np.newaxis]
        distances[block] = np.sqrt(np.einsum("ijk,ijk->ij", apart, apart))
    return distances
