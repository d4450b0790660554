"""A SiameseClassifier taken apart, for many small support sets under one metric."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

from skfsl.pipeline._class_scores import class_scores, references
from skfsl.pipeline._enrolled import Enrolled, embed
from skfsl.support import PrototypeSet
from skfsl.utils._episode_scores import ways_of
from skfsl.utils._publish import shadow

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
    """Classify embeddings as a SiameseClassifier over one metric does.

    Parameters
    ----------
    classifier : FrozenEstimator
        Of a fitted SiameseClassifier that no writer changes.
    """

    def __init__(self, classifier):
        self.classifier = classifier

    def fit(self, X, y):
        """Take a support set."""
        self._enrolled = self._over(X, y)
        self.classes_ = self._enrolled.classes_
        return self

    def predict(self, X):
        """Return the class of the highest score."""
        return self.classes_[self._enrolled._nearest(X)[0]]

    def _over(self, X, y):
        """Return the SiameseClassifier over another support set."""
        one = shadow(self.classifier.estimator, fitted=True)
        support = PrototypeSet.of(X, y, None, keep_samples=True)
        one._take_up(Enrolled(support, one.siamese_.fit_id_))
        return one

    def _score_episodes(
        self, X: np.ndarray, codes: np.ndarray, blocks: Iterable[Any]
    ) -> Iterator[tuple[np.ndarray, None]]:
        clf = self.classifier.estimator
        plain = clf.max_per_class is None and clf.shortlist is None
        for block in blocks:
            if plain:  # several times faster
                yield self._score_plainly(X, codes, block), None
                continue
            episodes = zip(block.support, block.query, strict=True)
            yield np.stack([
                self._over(X[own], codes[own])._scores(X[query])
                for own, query in episodes
            ]), None  # fmt: skip

    def _score_plainly(self, X, codes, block) -> np.ndarray:
        clf = self.classifier.estimator
        head, device = clf.siamese_.head_, clf.siamese_.device_
        support, starts = ways_of(codes, block.support)
        scores = []
        for own, query in zip(support, block.query, strict=True):
            examples = references(X[own], starts, clf.aggregation)
            parts = class_scores(head, device, X[query], examples)
            scores.append(np.concatenate([part for _, part in parts]))
        return np.stack(scores)
