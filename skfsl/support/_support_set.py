"""Support sets, each one an immutable state: growing one answers another."""

import numpy as np

from skfsl.support._labels import Labels
from skfsl.support._store import Rows
from skfsl.support._sums import ClassSums
from skfsl.utils._scores import Scorer

__all__ = ["NeighborSet", "PrototypeSet"]


class _Derived:
    """A state that never changes, and what is derived from it."""

    _cache: dict

    def cached(self, key, make):
        """Return what is made of this state, which is made once."""
        # Two threads may both make it: the same thing, and either may be kept.
        try:
            return self._cache[key]
        except KeyError:
            return self._cache.setdefault(key, make())


class PrototypeSet(_Derived):
    """Support set of prototypes."""

    def __init__(self, labels: Labels, sums: ClassSums, samples: Rows | None) -> None:
        self.labels = labels
        self.sums = sums
        self.samples = samples
        self._cache: dict = {}

    def __reduce__(self) -> tuple:
        return (PrototypeSet, (self.labels, self.sums, self.samples))

    @property
    def positions(self) -> np.ndarray:
        """The class of every sample, as its position in classes_."""
        return self.labels.rank[self.samples.columns[1]]  # type: ignore[union-attr]

    @property
    def counts(self) -> np.ndarray:
        return self.cached("counts", lambda: _locked(self._weights()))

    def _weights(self) -> np.ndarray:
        return self.sums.weights(self.labels.codes)

    @property
    def prototypes(self) -> np.ndarray:
        return self.cached("prototypes", lambda: _locked(self._means()))

    def _means(self) -> np.ndarray:
        return self.sums.sums(self.labels.codes) / self._weights()[:, np.newaxis]

    def scorer(self, metric, dtype) -> Scorer:
        # A callable need not be hashable, and lives as long as its scorer.
        key = metric if isinstance(metric, str) else id(metric)
        return self.cached(
            (key, np.dtype(dtype)), lambda: Scorer(metric, self.prototypes, dtype)
        )

    def add(self, X, y, weight, *, keep_samples: bool) -> "PrototypeSet":
        labels, codes = self.labels.add(y)
        sums = self.sums.add(X, codes, weight)
        if len(labels) > len(self.labels):
            _check_weights(labels, sums)
        samples = self.samples if keep_samples else None
        if samples is not None:
            samples = samples.append(X, codes, _ones_or(weight, len(X)))
        elif keep_samples:
            raise ValueError(
                "store='samples' cannot take up a support set that was kept as sums: "
                "its samples are gone. Set store='sums', or call fit with all samples."
            )
        return PrototypeSet(labels, sums, samples)

    def without(self, classes) -> "PrototypeSet":
        labels, kept = self.labels.without(classes)
        sums = self.sums.keep(kept)
        samples = self.samples
        if samples is not None:
            samples = samples.keep_codes(kept, len(self.labels))
        return PrototypeSet(labels, sums, samples)

    @staticmethod
    def of(X, y, weight, *, keep_samples: bool) -> "PrototypeSet":
        labels, codes = Labels.of(y)
        sums = ClassSums.empty(X.shape[1]).add(X, codes, weight)
        _check_weights(labels, sums)
        samples = None
        if keep_samples:
            # A copy: the support set does not follow what happens to the caller's X.
            samples = Rows(np.array(X), codes, _ones_or(weight, len(X)))
        return PrototypeSet(labels, sums, samples)


def _locked(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


def _ones_or(weight, n_samples):
    return np.ones(n_samples) if weight is None else weight


def _check_weights(labels: Labels, sums: ClassSums) -> None:
    empty = sums.weights(labels.codes) == 0
    if empty.any():
        raise ValueError(
            f"The sample_weight of class {labels.classes[empty].tolist()[0]!r} sums to "
            f"zero: it has no prototype. Give one of its samples a positive weight, or "
            f"leave the class out."
        )


class NeighborSet(_Derived):
    """Support set of nearest neighbors.

    Parameters
    ----------
    labels : Labels
        The classes.
    samples : Rows of two columns, (n_samples, n_features) and (n_samples,)
        The samples and the codes of their classes.
    all_unit : bool
        Whether every sample has length one, as under the cosine metric.
    fitted_with : dict
        The parameters that distances depend on, by name, as they were in `fit`.
    """

    def __init__(
        self, labels: Labels, samples: Rows, all_unit: bool, fitted_with: dict
    ) -> None:
        self.labels = labels
        self.samples = samples
        self.all_unit = all_unit
        self.fitted_with = fitted_with
        self._cache: dict = {}

    def __reduce__(self) -> tuple:
        state = (self.labels, self.samples, self.all_unit, self.fitted_with)
        return (NeighborSet, state)

    @property
    def positions(self) -> np.ndarray:
        """The class of every sample, as its position in classes_."""
        return self.cached("positions", lambda: self.positions_of(slice(None)))

    def positions_of(self, indices: np.ndarray | slice) -> np.ndarray:
        """Return the classes of some samples, as positions in classes_."""
        return self.labels.rank[self.samples.columns[1][indices]]

    def add(self, X: np.ndarray, y: np.ndarray, all_unit: bool) -> "NeighborSet":
        """Return the support set with samples added."""
        labels, codes = self.labels.add(y)
        samples = self.samples.append(X, codes)
        return NeighborSet(
            labels, samples, self.all_unit and all_unit, self.fitted_with
        )

    def without(self, classes: object) -> "NeighborSet":
        """Return the support set with classes taken out."""
        labels, kept = self.labels.without(classes)
        samples = self.samples.keep_codes(kept, len(self.labels))
        return NeighborSet(labels, samples, self.all_unit, self.fitted_with)
