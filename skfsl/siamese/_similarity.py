"""The learned metric asked for itself: all pairs, given pairs, a function."""

import copy
from typing import Any

import numpy as np
import torch
from sklearn.metrics import pairwise_distances
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skfsl.utils._publish import shadow

__all__ = ["LearnedMetric", "SimilarityMixin", "fold"]

# Scores of a block of similarity, and numbers in a block of pairs.
_SCORES, _FLOATS = 2**24, 2**20

_PLAIN = {
    "euclidean": lambda u, v: np.linalg.norm(u - v),
    "manhattan": lambda u, v: np.abs(u - v).sum(),
}
# Scores are higher for what is closer, distances never negative and lower.
_DISTANCES = {
    "neg_sq_distance": lambda score: np.sqrt(max(-score, 0.0)),
    "cosine": lambda score: max(1.0 - score, 0.0),
    "logit": lambda score: np.logaddexp(0.0, -score),
}


def fold(head: Any, embeddings: torch.Tensor, device: torch.device) -> np.ndarray:
    """Return embeddings on which the plain metric of the head is the learned one."""
    with torch.inference_mode():
        return head.fold(embeddings.to(device)).cpu().numpy()


class SimilarityMixin:
    """Score pairs of samples: for a transformer with ``head_`` and ``_embed``."""

    def similarity(self, X, Y=None):
        """Score all pairs of samples by the learned metric.

        Parameters
        ----------
        X : array-like or Tensor
            n samples.
        Y : array-like or Tensor, default=None
            m samples; None compares X with itself.

        Returns
        -------
        scores : ndarray of shape (n, m)
            float32; higher is closer. The head says what a score is: for "euclidean"
            the negative squared distance, for "cosine" the cosine.
        """
        snapshot = shadow(self, fitted=True)
        a = snapshot._embed(X).to(snapshot.device_)
        b = a if Y is None else snapshot._embed(Y).to(snapshot.device_)
        out = np.empty((len(a), len(b)), dtype=np.float32)
        rows = max(1, _SCORES // max(1, len(b)))
        with torch.inference_mode():
            for start in range(0, len(a), rows):
                block = snapshot.head_.scores(a[start : start + rows], b)
                out[start : start + rows] = block.cpu().numpy()
        return out

    def pair_score(self, pairs):
        """Score given pairs of samples by the learned metric.

        Parameters
        ----------
        pairs : array-like or Tensor of shape (n, 2, ...), or sequence of pairs
            The two samples of each pair, of the kind, size and channels of those of
            `fit`.

        Returns
        -------
        scores : ndarray of shape (n,)
            float32; higher is closer. They are those of `similarity`.

        Raises
        ------
        ValueError
            If `pairs` does not consist of pairs.
        """
        snapshot = shadow(self, fitted=True)
        check_is_fitted(snapshot, "net_")
        a, b = (
            snapshot._embed(side).to(snapshot.device_) for side in _two_sides(pairs)
        )
        rows = max(1, _FLOATS // a.shape[1])
        with torch.inference_mode():
            scores = [
                snapshot.head_.paired(*block).cpu().float()
                for block in zip(a.split(rows), b.split(rows), strict=True)
            ]
            return torch.cat(scores).numpy()

    def get_metric(self):
        """Return the learned metric of two embeddings, as a function.

        Returns
        -------
        metric : callable
            ``metric(u, v) -> float`` for two rows of `transform`'s output; never
            negative, and lower is closer. It can be pickled, and keeps the head, not
            the encoder, as it is now.

        Notes
        -----
        Where the head folds, this is the distance called `metric_`: pass that name
        instead, which is far faster. Elsewhere a logit s becomes
        ``log(1 + exp(-s))``, the negative log-probability that both samples are of one
        class. That is no metric in the strict sense, so that a tree would miss
        neighbors: ``KNeighborsClassifier(metric=siamese.get_metric(),
        algorithm="brute")``.
        """
        snapshot = shadow(self, fitted=True)
        check_is_fitted(snapshot, "net_")
        return LearnedMetric(snapshot.head_, snapshot.metric_)


class LearnedMetric:
    """The distance of two embeddings that a head has learned.

    Parameters
    ----------
    head : object
        Scores pairs; copied, to the CPU.
    metric : str or None
        The plain metric of embeddings that are folded; None where they are not.
    """

    def __init__(self, head: Any, metric: str | None):
        self.metric = metric
        self.head: Any = None
        if metric is None:
            self.head = copy.deepcopy(head)
            if isinstance(head, nn.Module):
                self.head.cpu().requires_grad_(False)

    def __call__(self, u: np.ndarray, v: np.ndarray) -> float:
        """Return the distance of two embeddings of shape (d,)."""
        if self.metric in _PLAIN:
            return float(_PLAIN[self.metric](np.asarray(u), np.asarray(v)))
        if self.metric is not None:
            return float(pairwise_distances([u], [v], metric=self.metric)[0, 0])
        pair = torch.tensor(np.stack([u, v]), dtype=torch.float32)
        with torch.inference_mode():
            score = self.head.paired(pair[:1], pair[1:]).item()
        return float(_DISTANCES[self.head.score_type](score))


def _two_sides(pairs: Any) -> tuple[Any, Any]:
    """Return the first samples of all pairs, and the second ones."""
    if hasattr(pairs, "shape"):
        if len(pairs.shape) < 2 or pairs.shape[1] != 2:
            raise ValueError(
                f"Expected pairs of shape (n, 2, ...): two samples each. Got shape "
                f"{tuple(pairs.shape)}."
            )
        return pairs[:, 0], pairs[:, 1]
    pairs = [tuple(pair) for pair in pairs]
    if not pairs:
        raise ValueError("Expected pairs of two samples each. Got no pair at all.")
    for i, pair in enumerate(pairs):
        if len(pair) != 2:
            raise ValueError(
                f"Expected pairs of two samples each. Got {len(pair)} in pair {i}."
            )
    return [first for first, _ in pairs], [second for _, second in pairs]
