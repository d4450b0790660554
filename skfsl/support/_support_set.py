"""Support sets, each one an immutable state: growing one answers another."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from skfsl.support._ids import SampleIds
from skfsl.support._labels import Labels
from skfsl.support._neighbor_index import AnyIndex, make_index
from skfsl.support._scatter import Scatter
from skfsl.support._store import Rows
from skfsl.support._sums import ClassSums
from skfsl.utils._scores import Scorer

__all__ = ["NeighborSet", "PrototypeSet"]


class _SupportSet:
    """A state that never changes, and what is derived from it."""

    labels: Labels
    samples: Rows | None
    ids: SampleIds | None
    _cache: dict

    def cached(self, key, make):
        """Return what is made of this state, which is made once."""
        # Two threads may both make it: the same thing, and either may be kept.
        try:
            return self._cache[key]
        except KeyError:
            return self._cache.setdefault(key, make())

    def without(self, classes: Any) -> Any:
        """Return the support set with classes taken out."""
        labels, kept = self.labels.without(classes)
        stays = None
        if self.samples is not None:
            stays = np.isin(self.samples.columns[1], kept)
        return self._cut(labels, kept, stays)

    def only(self, stays: np.ndarray) -> Any:
        """Return the support set of some samples, and of the classes that have any.

        Parameters
        ----------
        stays : ndarray of shape (n_samples,), dtype=bool
            Which samples stay.
        """
        codes = self.samples.columns[1]  # type: ignore[union-attr]
        left = np.bincount(codes[stays], minlength=len(self.labels))
        gone = self.labels.classes[left[self.labels.codes] == 0]
        return self._cut(*self.labels.without(gone), stays)

    def _cut(self, labels: Labels, kept: np.ndarray, stays: np.ndarray | None) -> Any:
        """Return what is left: its labels, their former codes, and which samples."""
        raise NotImplementedError

    def _rows_of(self, kept: np.ndarray, stays: np.ndarray) -> tuple[Rows, SampleIds]:
        """Return samples that stay, and their ids; their classes get new codes."""
        samples: Any = self.samples
        ids: Any = self.ids
        renamed = np.full(len(self.labels), -1)
        renamed[kept] = np.arange(len(kept))
        first, codes, *others = samples.take(stays).columns
        return Rows(first, renamed[codes], *others), ids.take(stays)


class PrototypeSet(_SupportSet):
    """Support set of prototypes."""

    def __init__(
        self,
        labels: Labels,
        sums: ClassSums,
        samples: Rows | None,
        ids: SampleIds | None = None,
    ) -> None:
        self.labels = labels
        self.sums = sums
        self.samples = samples
        if ids is None and samples is not None:
            ids = SampleIds.of(None, len(samples))
        self.ids = ids
        self._cache: dict = {}

    def __reduce__(self) -> tuple:
        return (PrototypeSet, (self.labels, self.sums, self.samples, self.ids))

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

    def scatter(self, unit: bool) -> Scatter:
        """Return the scatter within classes, of samples or of their directions."""
        return self.cached(
            ("scatter", unit),
            lambda: Scatter.of(*self.samples.columns, unit=unit),  # type: ignore[union-attr]
        )

    def _hand_on(self, to: "PrototypeSet", change: Callable) -> "PrototypeSet":
        """Give the next state what is known of the scatter, changed as it was."""
        for key in (("scatter", False), ("scatter", True)):
            scatter = self._cache.get(key)
            changed = None if scatter is None else change(scatter)
            if changed is not None:
                to._cache[key] = changed
        return to

    def add(self, X, y, weight, *, keep_samples: bool, ids=None) -> "PrototypeSet":
        labels, codes = self.labels.add(y)
        sums = self.sums.add(X, codes, weight)
        if len(labels) > len(self.labels):
            _check_weights(labels, sums)
        if not keep_samples:
            return PrototypeSet(labels, sums, None)
        if self.samples is None or self.ids is None:
            raise ValueError(
                "store='samples' cannot take up a support set that was kept as sums: "
                "its samples are gone. Set store='sums', or call fit with all samples."
            )
        samples_ids = self.ids.add(ids, len(X))
        samples = self.samples.append(X, codes, _ones_or(weight, len(X)))
        grown = PrototypeSet(labels, sums, samples, samples_ids)
        return self._hand_on(grown, lambda scatter: scatter.add(X, codes, weight))

    def _cut(self, labels, kept, stays) -> "PrototypeSet":
        sums = self.sums.keep(kept)
        if stays is None:
            return PrototypeSet(labels, sums, None)
        samples, ids = self._rows_of(kept, stays)
        X, codes, weight = samples.columns
        # Of classes that lost samples anew, from what is left: nothing is subtracted.
        lost = np.unique(self.samples.columns[1][~stays])  # type: ignore[union-attr]
        anew = np.isin(codes, np.flatnonzero(np.isin(kept, lost)))
        if anew.any():
            sums = sums.add(X[anew], codes[anew], weight[anew], anew=True)
            _check_weights(labels, sums)
        less = PrototypeSet(labels, sums, samples, ids)
        gone = np.isin(self.samples.columns[1], lost)  # type: ignore[union-attr]
        if 2 * np.count_nonzero(gone) > len(gone):
            return less  # anew is cheaper
        before = self.samples.take(gone).columns  # type: ignore[union-attr]
        rest = samples.take(anew).columns
        return self._hand_on(less, lambda scatter: scatter.cut(before, kept, rest))

    @staticmethod
    def of(X, y, weight, *, keep_samples: bool, ids=None) -> "PrototypeSet":
        labels, codes = Labels.of(y)
        sums = ClassSums.empty(X.shape[1]).add(X, codes, weight)
        _check_weights(labels, sums)
        if not keep_samples:
            return PrototypeSet(labels, sums, None)
        # A copy: the support set does not follow what happens to the caller's X.
        samples = Rows(np.array(X), codes, _ones_or(weight, len(X)))
        return PrototypeSet(labels, sums, samples, SampleIds.of(ids, len(X)))


def _locked(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


def _ones_or(weight, n_samples):
    if weight is None:
        return np.ones(n_samples)
    extreme = weight[(weight != 0) & ~((weight > 1e-100) & (weight < 1e100))]
    if len(extreme):  # whose squares would be lost
        raise ValueError(
            f"Expected each sample_weight to be 0 or between 1e-100 and 1e100. Got "
            f"{extreme[0]:g}. Scale all of them: only their shares count in a mean."
        )
    return weight


def _check_weights(labels: Labels, sums: ClassSums) -> None:
    empty = sums.weights(labels.codes) == 0
    if empty.any():
        raise ValueError(
            f"The sample_weight of class {labels.classes[empty].tolist()[0]!r} sums to "
            f"zero: it has no prototype. Give one of its samples a positive weight, or "
            f"leave the class out."
        )


class NeighborSet(_SupportSet):
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
    ids : SampleIds, default=None
        The ids of the samples; running numbers by default.
    """

    samples: Rows
    ids: SampleIds

    def __init__(
        self,
        labels: Labels,
        samples: Rows,
        all_unit: bool,
        fitted_with: dict,
        ids: SampleIds | None = None,
    ) -> None:
        self.labels = labels
        self.samples = samples
        self.all_unit = all_unit
        self.fitted_with = fitted_with
        self.ids = SampleIds.of(None, len(samples)) if ids is None else ids
        self._cache: dict = {}
        # How near stored samples are to all others, of this state or an earlier one.
        self.left_out: Any = None

    def __reduce__(self) -> tuple:
        state = (self.labels, self.samples, self.all_unit, self.fitted_with, self.ids)
        return (NeighborSet, state)

    @property
    def positions(self) -> np.ndarray:
        """The class of every sample, as its position in classes_."""
        return self.cached("positions", lambda: self.positions_of(slice(None)))

    def positions_of(self, indices: np.ndarray | slice) -> np.ndarray:
        """Return the classes of some samples, as positions in classes_."""
        return self.labels.rank[self.samples.columns[1][indices]]

    def add(
        self,
        X: np.ndarray,
        y: np.ndarray,
        all_unit: bool,
        ids: np.ndarray | None = None,
    ) -> "NeighborSet":
        """Return the support set with samples added."""
        labels, codes = self.labels.add(y)
        all_ids = self.ids.add(ids, len(X))
        samples = self.samples.append(X, codes)
        grown = NeighborSet(
            labels, samples, self.all_unit and all_unit, self.fitted_with, all_ids
        )
        grown.left_out = self.left_out
        return self._hand_on(grown, lambda index: index.append(X))

    def _cut(self, labels, kept, stays) -> "NeighborSet":
        samples, ids = self._rows_of(kept, stays)
        rest = NeighborSet(labels, samples, self.all_unit, self.fitted_with, ids)
        return self._hand_on(rest, lambda index: index.take(stays))

    def index(self, kind: str) -> AnyIndex:
        """Return an index over the samples: what was handed on, or one made now."""
        # Making one may take minutes: others wait for it instead of doing the same.
        with self._cache.setdefault("lock", threading.Lock()):
            index = self._cache.get("index")
            if index is None or index.kind != kind:
                index = make_index(kind, self.samples.columns[0])
                self._cache["index"] = index
            return index

    def _hand_on(self, other: "NeighborSet", change: Callable) -> "NeighborSet":
        index = self._cache.get("index")
        if index is not None:
            other._cache["index"] = change(index)
        return other
