"""How much likelier a query is under a known class than under one never seen."""

from collections.abc import Iterator

import numpy as np
from scipy import linalg, sparse
from scipy.special import ndtri

from skfsl.support._open_set import Familiar, choose_rows
from skfsl.support._support_set import PrototypeSet
from skfsl.utils._scores import unit_rows

__all__ = ["LikelihoodRatio", "left_out", "ratio_of"]

# Numbers that are in memory at a time, beside the answer.
_BLOCK = 2**21
# Least shares of a sphere in the two covariances, and how soon they are reached.
_WITHIN, _BETWEEN = 0.8, 0.3
_N_FOLDS = 5
# So much of what the nearest example says is added, and so many of a class are asked.
_NEAREST, _MOST = 0.5, 20
# From here on the ratio is worth more than the highest similarity.
_MIN_CLASSES, _MIN_SHOTS = 5, 2


class LikelihoodRatio:
    """Two covariances, within classes and between them, and the classes known.

    Samples of a class are normal around its mean, with a covariance W that all classes
    share, and means are normal around a center, with a covariance B. A class known by
    k examples has a mean of its own, with what is left of B; one never seen has B
    whole. The score of a class is the logarithm of the ratio of these two likelihoods.

    Classes are not that normal: half of what the nearest example would score more, were
    it the only one, than examples of its class do on average is added, less what the
    nearest of as many is nearer by chance. More examples make no class more familiar.
    Of a class the first 20 count, and alike, whatever their weights.

    Both covariances are drawn towards a sphere, the more the less there is to learn
    them from: W by max(0.8, 1 - f / 400), f the number of samples less that of classes,
    B by max(0.3, 1 - n_classes / 60): constants that did well on sentences and letters.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), dtype=float64
        Samples.
    own : ndarray of shape (n_samples,), dtype=intp
        Their classes, every one of which has samples.
    weight : ndarray of shape (n_samples,)
        Positive weights. A class counts as many examples as would give a mean of the
        same variance without weights.
    learnt : ndarray of shape (n_classes,), dtype=bool
        The classes from which the covariances are learned.
    """

    def __init__(
        self, X: np.ndarray, own: np.ndarray, weight: np.ndarray, learnt: np.ndarray
    ) -> None:
        n_classes, d = len(learnt), X.shape[1]
        total = np.bincount(own, weight, n_classes)
        self._shots = total**2 / np.bincount(own, weight**2, n_classes)
        share = weight / total[own]
        one_hot = sparse.csr_array(
            (share, (own, np.arange(len(own)))), shape=(n_classes, len(own))
        )
        means = one_hot @ X
        self._center = means[learnt].mean(axis=0)
        rows = learnt[own]
        freedom = max((self._shots[learnt] - 1).sum(), 1.0)
        within = X[rows] - means[own[rows]]
        within *= np.sqrt(share * self._shots[own] / freedom)[rows, np.newaxis]
        means -= self._center
        between = means[learnt] / np.sqrt(max(learnt.sum() - 1, 1))
        spread = np.square(between).sum()
        # Where all samples of a class are one point, and where all are the same point.
        if not np.isfinite(spread):
            raise ValueError(
                "The samples are too large for a likelihood ratio: their squares "
                "overflow. Scale them, or set familiarity='similarity'."
            )
        inner = max(np.square(within).sum(), 1e-6 * spread) or 1.0
        outer = max(spread - inner * (1 / self._shots[learnt]).mean(), 0.1 * spread)
        # Where nothing was seen both covariances are spheres, and one axis stands for
        # all of that: fewer samples than features cost what the samples cost.
        self._basis = None
        if len(X) < d:
            self._basis = linalg.qr((X - self._center).T, mode="economic")[0]
            within, between = within @ self._basis, between @ self._basis
        a = max(_WITHIN, 1 - freedom / 400)
        b = max(_BETWEEN, 1 - learnt.sum() / 60)
        W = (1 - a) * within.T @ within
        B = (1 - b) * outer / (spread or 1.0) * between.T @ between
        W.flat[:: len(W) + 1] += a * inner / d
        B.flat[:: len(B) + 1] += b * outer / d
        # Axes in which W is one and B is diagonal.
        variances, self._axes = linalg.eigh(B, W)
        self._noise = a * inner / d
        self._between = np.append(variances, b * outer / d / self._noise)
        self._times = np.append(np.ones(len(W)), d - len(W))
        self._means = self._along(means)
        order, nth = _within_classes(own, n_classes)
        self._examples = self._along(X[order[nth[order] < _MOST]] - self._center)
        # They are not off the axes, but for what rounding leaves there.
        self._means[:, -1] = self._examples[:, -1] = 0
        n = self._n_examples = np.minimum(np.bincount(own), _MOST)
        self._starts = np.cumsum(n) - n
        gain = self._between / (self._between + 1)
        self._worth = gain / (1 + gain)
        self._squares = self._examples**2 @ (self._worth * gain)
        # The spread of examples' scores, and the largest of n normal ones (Blom, 1958).
        varied = self._worth**2 * (1 + self._between + gain**2 * (self._between + 0.5))
        self._chance = ndtri((n - 0.375) / (n + 0.25)) * np.sqrt(self._times @ varied)

    def _along(self, X: np.ndarray) -> np.ndarray:
        """Return centred samples along the axes, and how far they are off them."""
        inside, rest = X, np.zeros(len(X))
        if self._basis is not None:
            inside = X @ self._basis
            rest = (X * X).sum(axis=1) - (inside * inside).sum(axis=1)
        rest = np.sqrt(np.maximum(rest, 0) / self._noise)
        return np.column_stack([inside @ self._axes, rest])

    def best(self, X: np.ndarray) -> np.ndarray:
        """Return the logarithm of the ratio for the likeliest class, (n_queries,)."""
        best = np.concatenate([scores.max(axis=1) for scores in self._blocks(X)])
        if not np.isfinite(best).all():
            raise ValueError(
                "X is too large for a likelihood ratio: some squares overflow. Scale "
                "it as the samples, or set familiarity='similarity'."
            )
        return best

    def _blocks(self, X: np.ndarray) -> Iterator[np.ndarray]:
        size = max(1, _BLOCK // (X.shape[1] + len(self._means)))
        for start in range(0, len(X), size):
            yield self._score(self._along(X[start : start + size] - self._center))

    def _score(self, x: np.ndarray) -> np.ndarray:
        unseen = 1 + self._between
        background = (x * x) @ (1 / unseen) + self._times @ np.log(unseen)
        out = np.empty((len(x), len(self._means)))
        for shots in np.unique(self._shots):
            at = np.flatnonzero(self._shots == shots)
            gain = self._between / (self._between + 1 / shots)
            variance = unseen - self._between * gain
            means = self._means[at] * gain
            distance = -2 * (x / variance) @ means.T
            distance += (means * means) @ (1 / variance) + self._times @ np.log(
                variance
            )
            distance += ((x * x) @ (1 / variance) - background)[:, np.newaxis]
            out[:, at] = distance / -2
        return out + _NEAREST * self._nearer(x)

    def _nearer(self, x: np.ndarray) -> np.ndarray:
        """Return how much more the nearest example of each class scores than others."""
        x, out = x * self._worth, np.empty((len(x), len(self._means)))
        ends = np.append(self._starts, len(self._examples))
        # Classes at a time, rather than few queries: products of long rows are slow.
        step = max(1, _BLOCK // (_MOST * len(x)))
        for first in range(0, len(self._means), step):
            at = slice(first, first + step)
            begin, end = ends[first], ends[first : first + step + 1][-1]
            scores = x @ self._examples[begin:end].T - self._squares[begin:end] / 2
            starts = self._starts[at] - begin
            mean = np.add.reduceat(scores, starts, axis=1) / self._n_examples[at]
            out[:, at] = np.maximum.reduceat(scores, starts, axis=1) - mean
        return out - self._chance


def _within_classes(own: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the order that sorts samples by class, and which of its class each is."""
    counts = np.bincount(own, minlength=n_classes)
    order, nth = np.argsort(own, kind="stable"), np.empty_like(own)
    nth[order] = np.arange(len(own)) - (np.cumsum(counts) - counts)[own[order]]
    return order, nth


def ratio_of(
    support: PrototypeSet, metric: object, learnt: np.ndarray
) -> LikelihoodRatio | None:
    """Return the ratio of a support set; None where there is too little to learn from.

    Parameters
    ----------
    support : PrototypeSet
        The support set.
    metric : {"euclidean", "cosine", "manhattan"} or callable
        Under "cosine" samples are brought to length one; others than "euclidean" have
        no ratio.
    learnt : ndarray of shape (n_classes,), dtype=bool
        The classes that the metric was not trained on.
    """
    if metric not in ("euclidean", "cosine") or support.samples is None:
        return None
    X, own, weight = _samples(support, metric)
    totals = np.bincount(own, weight)[learnt]
    shots = totals**2 / np.bincount(own, weight**2)[learnt]
    if np.count_nonzero(shots > 1) < _MIN_CLASSES or shots.mean() < _MIN_SHOTS:
        return None
    return LikelihoodRatio(X, own, weight, learnt)


def _samples(support, metric):
    """Return samples that have a weight, in float64, their classes and weights."""
    X, _, weight = support.samples.columns
    weighty = weight > 0
    X = X[weighty].astype(np.float64)
    X = unit_rows(X)[0] if metric == "cosine" else X
    return X, support.positions[weighty], weight[weighty].astype(np.float64)


def left_out(support: PrototypeSet, metric: object, learnt: np.ndarray) -> Familiar:
    """Score stored samples by ratios that were learned without them, in five folds.

    Each fold leaves out some examples of each class that has several, never all, and
    then some classes whole.

    Parameters
    ----------
    support, metric, learnt
        As of `ratio_of`.

    Returns
    -------
    left_out : Familiar
        Of classes that are learned from.
    """
    X, own, weight = _samples(support, metric)
    rows = choose_rows(learnt[own])
    known, unknown = np.full(len(rows), np.nan), np.empty(len(rows))
    counts = np.bincount(own, minlength=len(learnt))
    _, nth = _within_classes(own, len(learnt))
    # Classes begin in turn with each fold: of few examples not all lose one at once.
    several = counts > 1
    fold = (nth + np.cumsum(several)[own]) % _N_FOLDS
    fold[~several[own]] = -1
    group = np.where(learnt, np.cumsum(learnt) % _N_FOLDS, -1)
    for number in range(_N_FOLDS):
        rest, asked = fold != number, fold[rows] == number
        if asked.any():
            ratio = LikelihoodRatio(X[rest], own[rest], weight[rest], learnt)
            known[asked] = ratio.best(X[rows[asked]])
        stays = group != number
        rest, asked = stays[own], ~stays[own[rows]]
        if asked.any():
            codes = (np.cumsum(stays) - 1)[own[rest]]
            ratio = LikelihoodRatio(X[rest], codes, weight[rest], learnt[stays])
            unknown[asked] = ratio.best(X[rows[asked]])
    return Familiar(known, unknown, own[rows])
