"""A SiameseClassifier taken apart, for many small support sets under one metric."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

from skfsl.pipeline._class_scores import class_scores, references
from skfsl.pipeline._enrolled import embed
from skfsl.utils._episode_scores import ways_of

__all__ = ["Embedder", "EmbeddingClassifier"]


class Embedder(TransformerMixin, BaseEstimator):
    """Embed as a fitted SiameseTransformer does, without folding.

    Parameters
    ----------
    siamese : SiameseTransformer
        Fitted.
    """

    def __init__(self, siamese):
        self.siamese = siamese

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y=None):
        """Do nothing: the metric is there."""
        return self

    def transform(self, X):
        """Return embeddings as the head takes them."""
        return embed(self.siamese, X)

    def _trained_on(self, X):
        return self.siamese._trained_on(X)


class EmbeddingClassifier(ClassifierMixin, BaseEstimator):
    """Classify embeddings by the head of a fitted SiameseTransformer.

    Parameters
    ----------
    head : object
        Scores pairs.
    device : torch.device
        Where it is.
    aggregation : {"prototype", "mean", "max"}
        As of SiameseClassifier.
    """

    def __init__(self, head, device, aggregation):
        self.head = head
        self.device = device
        self.aggregation = aggregation

    def fit(self, X, y):
        """Take a support set."""
        self.classes_, position = np.unique(y, return_inverse=True)
        order = np.argsort(position, kind="stable")
        starts = np.searchsorted(position[order], np.arange(len(self.classes_)))
        self._references = references(X[order], starts, self.aggregation)
        return self

    def predict(self, X):
        """Return the class of the highest score."""
        return self.classes_[self._scores(X, self._references).argmax(axis=1)]

    def _scores(self, X, references) -> np.ndarray:
        blocks = class_scores(self.head, self.device, X, references)
        return np.concatenate([scores for _, scores in blocks])

    def _score_episodes(
        self, X: np.ndarray, codes: np.ndarray, blocks: Iterable[Any]
    ) -> Iterator[tuple[np.ndarray, None]]:
        for block in blocks:
            support, starts = ways_of(codes, block.support)
            scores = [
                self._scores(X[query], references(X[own], starts, self.aggregation))
                for own, query in zip(support, block.query, strict=True)
            ]
            yield np.stack(scores), None
