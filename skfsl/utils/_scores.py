"""Scores of queries against prototypes: higher is closer, memory bounded by blocks."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.metrics import pairwise_distances

__all__ = ["Scorer", "log_softmax", "softmax", "unit_rows"]

# Scores computed at a time. Smaller ones stay in the cache, but the threads of BLAS
# wait for each other after every product: on a busy machine ten times as long.
_BLOCK_BYTES = 2**24

# BLAS sums products of very few rows in another order than those of many: with as many
# at least, one query has mostly the bits that it has in company.
_MIN_ROWS = 4


class Scorer:
    """Scores against a fixed set of prototypes, under a metric, in one dtype.

    Parameters
    ----------
    metric : {"euclidean", "cosine", "manhattan"} or callable
        What is compared: negative squared distances, cosines, or negative distances.
    prototypes : ndarray of shape (n_classes, n_features)
        The prototypes, float64.
    dtype : dtype
        float32 or float64: of the queries, the products and the scores.
    """

    def __init__(
        self, metric: str | Callable, prototypes: np.ndarray, dtype: np.dtype
    ) -> None:
        self.metric = metric
        self.dtype = np.dtype(dtype)
        self.prototypes = prototypes
        self.n_classes, n_features = prototypes.shape
        if metric == "euclidean":
            # -|x - p|² = 2 x·p - |p|² - |x|²: one product, with columns of ones and
            # of |x|² beside x. It loses all digits far from the origin, hence the
            # centre, which is rounded first so that both sides move by the same.
            # What overflows here is told by `_checked`, for the queries it spoils.
            with np.errstate(over="ignore", invalid="ignore"):
                self._center = prototypes.mean(axis=0).astype(dtype)
                centred = (prototypes - self._center).astype(dtype)
                self._factor = np.empty((n_features + 2, self.n_classes), dtype)
                self._factor[:-2] = 2 * centred.T
                self._factor[-2] = -np.einsum("ij,ij->i", centred, centred)
                self._factor[-1] = -1
        elif metric == "cosine":
            self._factor = np.ascontiguousarray(unit_rows(prototypes)[0].T, dtype)

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Return the scores, (n_queries, n_classes)."""
        out = np.empty((len(X), self.n_classes), self.dtype)
        for block in self._blocks(len(X)):
            self._score_block(X[block], out[block])
            self._cap(self._checked(out[block]))
        return out

    def nearest(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the highest score is, the first at a tie, and the score.

        Both are of shape (n_queries,).
        """
        nearest = np.empty(len(X), dtype=np.intp)
        highest = np.empty(len(X), self.dtype)
        for block, out in self._scored_blocks(X):
            at = np.argmax(out, axis=1, out=nearest[block])
            best = self._checked(out[np.arange(len(out)), at])
            # What rounding carried above zero are ties.
            tied = np.flatnonzero(best > self._highest)
            if len(tied):
                at[tied] = np.argmax(self._cap(out[tied]), axis=1)
            highest[block] = self._cap(best)
        return nearest, highest

    def best(self, X: np.ndarray) -> np.ndarray:
        """Return the highest score of each query, (n_queries,)."""
        best = np.empty(len(X), self.dtype)
        for block, out in self._scored_blocks(X):
            np.max(out, axis=1, out=best[block])
        return self._cap(self._checked(best))

    @property
    def _highest(self) -> float:
        return 0.0 if self.metric == "euclidean" else np.inf

    def _checked(self, scores: np.ndarray) -> np.ndarray:
        """Return finite scores; a score that is none would be nearest by mistake."""
        if np.isfinite(scores.min()) and np.isfinite(scores.max()):
            return scores
        if callable(self.metric):
            raise ValueError(
                "The metric returned NaN or infinity for some query and prototype. A "
                "distance has to be a finite number."
            )
        raise ValueError(
            f"X or the prototypes are too large: the scores of some queries overflow "
            f"{self.dtype}. Scale the samples"
            f"{', or pass X in float64.' if self.dtype == np.float32 else '.'}"
        )

    def _cap(self, scores: np.ndarray) -> np.ndarray:
        if self.metric == "euclidean":
            np.minimum(scores, 0, out=scores)
        return scores

    def _blocks(self, n_queries: int) -> list[slice]:
        size = max(64, _BLOCK_BYTES // (self.dtype.itemsize * self.n_classes))
        return [slice(i, i + size) for i in range(0, n_queries, size)]

    def _scored_blocks(self, X: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices of queries and their scores, in one buffer used again."""
        buffer = None
        for block in self._blocks(len(X)):
            queries = X[block]
            if buffer is None:
                buffer = np.empty((len(queries), self.n_classes), self.dtype)
            out = buffer[: len(queries)]
            self._score_block(queries, out)
            yield block, out

    def _score_block(self, X: np.ndarray, out: np.ndarray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            self._write_scores(X, out)

    def _write_scores(self, X: np.ndarray, out: np.ndarray) -> None:
        if self.metric == "euclidean":
            centred = np.empty((len(X), X.shape[1] + 2), self.dtype)
            np.subtract(X, self._center, out=centred[:, :-2])
            centred[:, -2] = 1
            np.einsum("ij,ij->i", centred[:, :-2], centred[:, :-2], out=centred[:, -1])
            _product(centred, self._factor, out)
        elif self.metric == "cosine":
            _product(unit_rows(X)[0], self._factor, out)
        elif self.metric == "manhattan":
            np.negative(cdist(X, self.prototypes, "cityblock"), out=out)
        else:
            distances = pairwise_distances(X, self.prototypes, metric=self.metric)
            np.negative(distances, out=out)


def _product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write `a @ b` to `out`."""
    n_rows = len(a)
    if n_rows >= _MIN_ROWS:
        np.matmul(a, b, out=out)
    else:
        out[:] = (np.pad(a, ((0, _MIN_ROWS - n_rows), (0, 0))) @ b)[:n_rows]


def softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax of `scores` over `temperature`, in their place."""
    proba = _tempered(scores, temperature)
    np.exp(proba, out=proba)
    proba /= proba.sum(axis=1, keepdims=True)
    return proba


def log_softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Return the logarithm of the softmax, finite throughout, in place of `scores`."""
    log_proba = _tempered(scores, temperature)
    log_proba -= np.log(np.exp(log_proba).sum(axis=1, keepdims=True))
    return log_proba


def _tempered(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Divide scores by the temperature, the highest of each query moved to zero.

    Moved first: at a low temperature the highest would overflow with the others, and
    infinities have no softmax. A temperature may be beyond the dtype of the scores.
    """
    limits = np.finfo(scores.dtype)
    temperature = min(max(temperature, float(limits.tiny)), float(limits.max))
    with np.errstate(over="ignore"):
        scores -= scores.max(axis=1, keepdims=True)
        scores /= temperature
    return np.maximum(scores, limits.min, out=scores)


def unit_rows(X: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return rows of length one, those of zeros as they are, and if there were none."""
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))
    # Squares overflow or lose their digits long before the numbers do.
    limits = np.finfo(X.dtype)
    low, high = np.sqrt(limits.tiny) / limits.eps, np.sqrt(limits.max) / 2
    extreme = np.flatnonzero(~((norms > low) & (norms < high)))
    if len(extreme):
        X, norms = X.copy(), norms.copy()
        scale = np.abs(X[extreme]).max(axis=1)
        scale[scale == 0] = 1
        X[extreme] /= scale[:, np.newaxis]
        norms[extreme] = np.sqrt(np.einsum("ij,ij->i", X[extreme], X[extreme]))
    nonzero = norms != 0
    norms[~nonzero] = 1
    return X / norms[:, np.newaxis], bool(nonzero.all())
