"""Support sets that keep a few samples of each class, whatever comes."""

import hashlib
from typing import Any

import numpy as np

from skfsl.support._support_table import check_has_samples

__all__ = ["bounded"]


def bounded(support: Any, max_per_class: int | None, keep: str) -> Any:
    """Return a support set with at most so many samples of each class.

    Parameters
    ----------
    support : PrototypeSet, NeighborSet or Enrolled
        With its samples.
    max_per_class : int or None
        None keeps all.
    keep : {"herding", "random"}
        Which samples stay, as the classifiers' docstrings say.

    Raises
    ------
    ValueError
        If samples are not kept one by one.
    """
    if max_per_class is None:
        return support
    check_has_samples(support, "max_per_class")
    X, codes, *weights = support.samples.columns
    weight = weights[0] if weights else np.ones(len(X))
    counts = np.bincount(codes)
    if counts.max() <= max_per_class:
        return support
    stays = (counts <= max_per_class)[codes]
    rows = np.flatnonzero(~stays)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    for members in np.split(rows, np.flatnonzero(np.diff(codes[rows])) + 1):
        chosen = (
            _lowest_hashes(support.ids.values[members], weight[members], max_per_class)
            if keep == "random"
            else _herd(X[members].astype(np.float64), weight[members], max_per_class)
        )
        stays[members[chosen]] = True
    return support.only(stays)


def _herd(X: np.ndarray, weight: np.ndarray, n: int) -> list[int]:
    """Choose samples one by one, each to bring their mean nearest to that of all.

    Those without weight come last.

    M. Welling, "Herding Dynamical Weights to Learn", ICML 2009.
    """
    X = X - np.average(X, axis=0, weights=weight)
    X *= weight[:, np.newaxis]
    total, squares = np.zeros(X.shape[1]), np.square(X).sum(axis=1)
    chosen: list[int] = []
    for _ in range(n):
        # The square of the mean of those chosen and one more.
        with np.errstate(invalid="ignore"):
            far = total @ total + 2 * X @ total + squares
            far /= (weight[chosen].sum() + weight) ** 2
        far[weight == 0] = np.finfo(float).max
        far[chosen] = np.inf
        chosen.append(int(far.argmin()))
        total += X[chosen[-1]]
    return chosen


def _lowest_hashes(ids: np.ndarray, weight: np.ndarray, n: int) -> list[int]:
    """Choose as by chance, and the same ones in whatever order they come.

    Those without weight come last.
    """
    hashes = [hashlib.blake2b(repr(i).encode()).digest() for i in ids.tolist()]
    return sorted(range(len(hashes)), key=lambda i: (weight[i] == 0, hashes[i]))[:n]
