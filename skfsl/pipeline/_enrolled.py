"""A metric and the embeddings that were enrolled under it."""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_consistent_length

from skfsl.exceptions import StaleSupportError
from skfsl.pipeline._class_scores import References, references
from skfsl.pipeline._steps import unfrozen
from skfsl.support import (
    DeviceIndex,
    Labels,
    PrototypeSet,
    Rows,
    SampleIds,
    drop_blanks,
)
from skfsl.utils._publish import shadow
from skfsl.utils._validation import as_numpy

__all__ = ["Enrolled", "embed", "fit_metric", "metric_of"]


def fit_metric(siamese: Any, X: Any, y: np.ndarray, groups: Any) -> Any:
    """Fit a copy of the transformer; a frozen one is kept as it is.

    Parameters
    ----------
    siamese : SiameseTransformer, FrozenEstimator or None
        None is a transformer with its defaults.
    X, y, groups
        As its ``fit`` takes them.

    Raises
    ------
    TypeError
        If `siamese` is none of these.
    """
    from skfsl.siamese import SiameseTransformer  # torch wakes up here

    if siamese is None:
        siamese = SiameseTransformer()
    if not isinstance(unfrozen(siamese), SiameseTransformer):
        raise TypeError(
            f"The 'siamese' parameter must be a SiameseTransformer, or one that is "
            f"fitted in a FrozenEstimator. Got {siamese!r}. What is to come before it "
            f"goes into a FewShotPipeline, whose last step is this classifier."
        )
    return clone(siamese).fit(X, y, groups=groups)


def metric_of(siamese: Any) -> Any:
    """Return a transformer as it is now, whatever another thread makes of it."""
    return shadow(unfrozen(siamese), fitted=True)  # type: ignore[arg-type]


def embed(metric: Any, X: Any) -> np.ndarray:
    """Return embeddings as the head takes them, not folded; finite ones.

    Parameters
    ----------
    metric : SiameseTransformer
        Fitted.
    X : array-like or Tensor
        Samples.

    Returns
    -------
    embeddings : ndarray of float32, shape (n_samples, embedding_dim)
        The input of ``head_``. A row of NaN is a file that could not be read.

    Raises
    ------
    ValueError
        If an embedding is NaN or infinite.
    """
    embeddings = metric._embed(X).numpy()
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all() and not _holds_numbers(X):
        finite |= np.isnan(embeddings).all(axis=1)
    if not finite.all():
        raise ValueError(
            "The embeddings of some samples are NaN or infinite: X holds values that "
            "are too large for the encoder. Scale it as the samples that the metric "
            "was trained on."
        )
    return embeddings


def _holds_numbers(X: Any) -> bool:
    return np.asarray(as_numpy(X)).dtype.kind in "buif"


class Enrolled:
    """Support set of embeddings, immutable, with the name of their metric.

    Parameters
    ----------
    support : PrototypeSet
        Embeddings that are not folded.
    fit_id : str
        The `fit_id_` of the transformer that made them.
    """

    def __init__(self, support: PrototypeSet, fit_id: str) -> None:
        self._support = support
        self._fit_id = fit_id
        self._examples: tuple[np.ndarray, np.ndarray] | None = None

    def __reduce__(self) -> tuple:
        return (Enrolled, (self._support, self._fit_id))

    @staticmethod
    def of(metric: Any, X: Any, y: np.ndarray, ids: Any = None) -> "Enrolled":
        """Enrol the first samples."""
        embeddings, y, ids = _embed_labelled(metric, X, y, ids)
        support = PrototypeSet.of(embeddings, y, None, keep_samples=True, ids=ids)
        return Enrolled(support, metric.fit_id_)

    @property
    def labels(self) -> Labels:
        """The classes."""
        return self._support.labels

    @property
    def positions(self) -> np.ndarray:
        """The class of every example, as a position."""
        return self._support.positions

    @property
    def samples(self) -> Rows:
        """Embeddings, codes and weights of all examples, in the order of arrival."""
        return self._support.samples  # type: ignore[return-value]

    @property
    def ids(self) -> SampleIds:
        """The ids of all examples."""
        return self._support.ids  # type: ignore[return-value]

    @property
    def embeddings(self) -> np.ndarray:
        """All examples, in the order of arrival."""
        return self.samples.columns[0]

    @property
    def prototypes(self) -> np.ndarray:
        """The mean embedding of each class, in float64."""
        return self._support.prototypes

    def cached(self, key: Any, make: Any) -> Any:
        """Return what is made of this state, which is made once."""
        return self._support.cached(key, make)

    @property
    def counts(self) -> np.ndarray:
        """How many examples each class has, in float64."""
        return self._support.counts

    def add(self, metric: Any, X: Any, y: np.ndarray, ids: Any = None) -> "Enrolled":
        """Return the support set with samples added."""
        self.check_metric(metric)
        embeddings, y, ids = _embed_labelled(metric, X, y, ids)
        support = self._support.add(embeddings, y, None, keep_samples=True, ids=ids)
        return Enrolled(support, self._fit_id)

    def without(self, classes: Any) -> "Enrolled":
        """Return the support set with classes taken out."""
        return Enrolled(self._support.without(classes), self._fit_id)

    def only(self, stays: np.ndarray) -> "Enrolled":
        """Return the support set of some samples; bool, (n_samples,)."""
        return Enrolled(self._support.only(stays), self._fit_id)

    def check_metric(self, metric: Any) -> None:
        """Raise where the metric is not the one of the embeddings.

        Raises
        ------
        StaleSupportError
            If its `fit_id_` is another one.
        """
        if metric.fit_id_ != self._fit_id:
            raise StaleSupportError(
                "The metric siamese_ has changed since the support set was enrolled, "
                "so that their embeddings can no longer be compared. Enrol the "
                "support set again: SiameseClassifier(FrozenEstimator(clf.siamese_))"
                ".fit(X_support, y_support) keeps the metric, clf.fit(X, y) learns "
                "both anew."
            )

    def references(self, aggregation: str) -> References:
        """Return what queries are compared with, classes in sorted order."""
        if aggregation == "prototype":
            prototypes = self._support.prototypes.astype(np.float32)
            return References(prototypes, np.arange(len(prototypes)), aggregation)
        if self._examples is None:
            # Two threads may both sort: either may be kept.
            self._examples = self._sorted()
        return references(*self._examples, aggregation)

    def index(self, device: Any) -> DeviceIndex:
        """Return what finds the nearest examples, in the order of references."""
        rows = self.references("max").rows
        key = ("index", str(device))
        return self.cached(key, lambda: DeviceIndex.of(rows, device))

    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        embeddings, codes, _ = self.samples.columns
        position = self.labels.rank[codes]
        if (position[1:] < position[:-1]).any():
            order = np.argsort(position, kind="stable")
            embeddings, position = embeddings[order], position[order]
        return embeddings, np.searchsorted(position, np.arange(len(self.labels)))


def _embed_labelled(metric: Any, X: Any, y: np.ndarray, ids: Any) -> tuple:
    embeddings = embed(metric, X)
    check_consistent_length(embeddings, y)
    return drop_blanks(embeddings, y, ids)
