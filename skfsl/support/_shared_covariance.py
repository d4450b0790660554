"""Distances from prototypes by one covariance within classes that all of them share."""

from typing import Any

import numpy as np
from scipy import linalg

from skfsl.support._leave_one_out import (
    another_of_class,
    have_others,
    mean_variances,
)
from skfsl.support._support_set import PrototypeSet
from skfsl.utils._scores import Scorer, _product, unit_rows

__all__ = ["SharedCovariance"]


class SharedCovariance:
    """A covariance drawn towards a sphere, and prototypes in the axes where it is one.

    The covariance is (1 - s)·S·d / tr(S) + s·I: its trace is that of the identity,
    whatever the scale of the samples.

    The mean of few samples lies farther from everything than that of many, by chance
    alone. Means are therefore drawn towards that of all classes, those of few samples
    more: by the share (b + v / K) / (b + v / k) of their distance from it that is left
    to one of k samples, where K is the most that a class has, v the variance within
    classes and b that between them.

    Parameters
    ----------
    support : PrototypeSet
        The support set, with its samples.
    shrinkage : float in (0, 1] or "auto"
        The share of the sphere, s.
    unit : bool
        Whether samples are brought to length one; classes are then the means of these.
    """

    def __init__(self, support: PrototypeSet, shrinkage: Any, unit: bool) -> None:
        self.unit = unit
        scatter, codes = support.scatter(unit), support.labels.codes
        self.means, self.counts = scatter.means(codes), scatter.sums.weights(codes)
        d = self.means.shape[1]
        freedom = np.maximum(self.counts - 1, 0).sum()
        s = shrinkage
        if shrinkage == "auto":
            s = _shrinkage(freedom, d, len(self.counts))
        if not np.isfinite(scatter.trace):
            raise ValueError(
                "The samples are too large for a covariance: their squares overflow. "
                "Scale them, or set covariance=None."
            )
        # Where all samples of a class are one point there is nothing to learn.
        squares = np.einsum("ij,ij->i", self.means, self.means)
        rounding = (8 * np.finfo(float).eps) ** 2 * (self.counts @ squares)
        # Below the second number squares have no digits.
        learned = scatter.trace > max(rounding, 1e-290)
        self.shrinkage = s if learned else 1.0
        # What the scatter is multiplied by.
        self._per_scatter = (1 - s) * d / scatter.trace if learned else 0.0
        covariance = self._per_scatter * scatter.matrix if learned else np.zeros((d, d))
        covariance.flat[:: d + 1] += self.shrinkage
        root = linalg.cholesky(covariance, lower=True, overwrite_a=True)
        self.center = self.means.mean(axis=0)
        self.whiten = linalg.solve_triangular(root, np.eye(d), lower=True).T
        # The trace of the scatter after whitening.
        spread = scatter.trace if learned else 0.0
        if self._per_scatter > 0:
            sphere = self.shrinkage * np.vdot(self.whiten, self.whiten)
            spread = max(d - sphere, 0) / self._per_scatter
        self._within = spread / freedom if freedom > 0 else 0.0
        self._white_means = self._white(self.means)
        between = np.vdot(self._white_means, self._white_means)
        between /= max(len(self.means) - 1, 1)
        self._between = max(between - np.mean(self._within / self.counts), 0)
        self.scales = self._scale(self.counts)

    def scorer(self, dtype: Any) -> Scorer:
        """Return what scores queries of a dtype."""
        return _WhitenedScorer(self, dtype)

    def left_out(
        self, support: PrototypeSet, rows: np.ndarray, *, single: bool = False
    ) -> np.ndarray:
        """Score stored samples by means and a covariance that they have no part in.

        The covariance without a sample is that of all less a product of one row with
        itself, whose inverse is the formula of Sherman and Morrison; the sphere's part
        is left as it is.

        Parameters
        ----------
        support : PrototypeSet
            The support set that this is of.
        rows : ndarray of shape (n_rows,), dtype=intp
            The samples that are scored.
        single : bool, default=False
            As of `leave_one_out_scores`, which own scores are like, too: on average
            those of new queries.

        Returns
        -------
        scores : ndarray of shape (n_rows, n_classes)
            Higher is closer; float64. NaN where a sample is all that its class has.
        """
        X, _, weights = support.samples.columns  # type: ignore[union-attr]
        own = support.positions
        means, x = self._white_means, self._white(self._prepared(X[rows]))
        other = X[another_of_class(own)[rows]] if single else None
        own, weight = own[rows], weights[rows].astype(np.float64)
        known = have_others(support, own, weight)
        others = np.where(known, self.counts[own] - weight, 1.0)
        residual = x - means[own]
        square = np.einsum("ij,ij->i", residual, residual)
        pull = known * self._per_scatter * weight * self.counts[own] / others
        pull /= np.maximum(1 - pull * square, np.finfo(float).eps)
        means = self.white_means()
        scores = Scorer("euclidean", means, np.dtype(float)).scores(x)
        along = np.einsum("ij,ij->i", residual, x)[:, np.newaxis] - residual @ means.T
        scores -= pull[:, np.newaxis] * along**2
        if other is None:
            apart = residual * (self.counts[own] / others)[:, np.newaxis]
            scales = self.scales[own]
        else:
            apart = x - self._white(self._prepared(other))
            scales = self._scale(np.ones(len(x)))
        # From the mean without the sample, drawn towards the centre as is the class's.
        apart = x + scales[:, np.newaxis] * (apart - x)
        rest = np.einsum("ij,ij->i", apart, apart)
        rest += pull * np.einsum("ij,ij->i", apart, residual) ** 2
        if other is None:
            both = mean_variances(support, own[known], weight[known], support.counts)
            full, less = np.multiply(both, scales[known] ** 2)
            rest[known] *= (1 + full) / (1 + less)
        scores[np.arange(len(rows)), own] = np.where(known, -rest, np.nan)
        return 1 + scores / 2 if self.unit else scores

    def white_means(self) -> np.ndarray:
        """Return the means of classes as they are compared with, float64."""
        return self._white_means * self.scales[:, np.newaxis]

    def _scale(self, counts: np.ndarray) -> np.ndarray:
        """Return which share of its distance from the centre is left to a mean."""
        most = self._between + self._within / self.counts.max()
        if most == 0:
            return np.ones(len(counts))
        return most / (self._between + self._within / counts)

    def _prepared(self, X: np.ndarray) -> np.ndarray:
        X = X.astype(np.float64)
        return unit_rows(X)[0] if self.unit else X

    def _white(self, X: np.ndarray) -> np.ndarray:
        return (X - self.center) @ self.whiten


class _WhitenedScorer(Scorer):
    """Negative squared distances after whitening; cosines, where lengths are one.

    Of rows of length one a half of the squared distance is what the cosine lacks of
    1; the same is answered where it is not of the plain distance.
    """

    def __init__(self, covariance: SharedCovariance, dtype: Any) -> None:
        self._middle = covariance.center.astype(dtype)
        self._whiten = covariance.whiten.astype(dtype)
        self._unit = covariance.unit
        rounded = (covariance.center - self._middle) @ covariance.whiten
        super().__init__("euclidean", covariance.white_means() + rounded, dtype)

    def scores(self, X: np.ndarray) -> np.ndarray:
        return self._told(super().scores(X))

    def nearest(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, highest = super().nearest(X)
        return at, self._told(highest)

    def best(self, X: np.ndarray) -> np.ndarray:
        return self._told(super().best(X))

    def _told(self, scores: np.ndarray) -> np.ndarray:
        return 1 + scores / 2 if self._unit else scores

    def _write_scores(self, X: np.ndarray, out: np.ndarray) -> None:
        X = unit_rows(X)[0] if self._unit else X
        white = np.empty(X.shape, self.dtype)
        _product((X - self._middle).astype(self.dtype, copy=False), self._whiten, white)
        super()._write_scores(white, out)


def _shrinkage(freedom: float, n_features: int, n_classes: int) -> float:
    """Return the share of the sphere that does well, by how much there is to learn.

    The less the samples are, less one of each class, beside 2 n_features and 4
    n_classes, the larger it is, and 0.9 at most: by trials on sentences, photos,
    letters, digits and tables. A sample counts as its weight.
    """
    return min(0.9, 1 / (1 + freedom / max(2 * n_features, 4 * n_classes)))
