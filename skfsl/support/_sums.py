"""Weighted sums of the samples of each class, kept while classes come and go."""

import numpy as np

from skfsl.support._store import Rows

__all__ = ["ClassSums"]


class ClassSums:
    """Sum and weight of the samples of each class, in float64.

    Immutable: `add` answers a new one. A class that gets samples gets a new row,
    and ``at[code]`` points to it, so that what is added costs what it holds and not
    what is there; rows left behind are dropped when they outnumber the others.

    Parameters
    ----------
    rows : Rows of two columns, (n_rows, n_features) and (n_rows,)
        Sums and weights.
    at : ndarray of shape (n_classes,), dtype=intp
        The row of each class, by code.
    """

    __slots__ = ("_at", "_rows")

    def __init__(self, rows: Rows, at: np.ndarray) -> None:
        self._rows = rows
        self._at = at

    def __reduce__(self) -> tuple:
        compact = self.keep(np.arange(len(self._at)))
        return (ClassSums, (compact._rows, compact._at))

    def __len__(self) -> int:
        return len(self._at)

    @staticmethod
    def empty(n_features: int) -> "ClassSums":
        """Return sums of no class."""
        rows = Rows(np.empty((0, n_features)), np.empty(0))
        return ClassSums(rows, np.empty(0, dtype=np.intp))

    def add(
        self,
        X: np.ndarray,
        codes: np.ndarray,
        weight: np.ndarray | None,
        *,
        anew: bool = False,
    ) -> "ClassSums":
        """Return the sums with samples added.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Samples.
        codes : ndarray of shape (n_samples,)
            Their classes; new ones follow those known without a gap.
        weight : ndarray of shape (n_samples,) or None
            Their weights.
        anew : bool, default=False
            Whether the classes of these samples start from nothing.

        Raises
        ------
        ValueError
            If a sum overflows.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            touched, sums, weights = _sums_by_code(X, codes, weight)
        n_old = len(self._at)
        n_known = np.searchsorted(touched, n_old)
        rows = self._at[touched[:n_known]]
        old_sums, old_weights = self._rows.columns
        if not anew:
            with np.errstate(over="ignore", invalid="ignore"):
                sums[:n_known] += old_sums[rows]
                weights[:n_known] += old_weights[rows]
        if not (np.isfinite(sums).all() and np.isfinite(weights).all()):
            raise ValueError(
                "X or sample_weight is too large: the sums of some classes overflow "
                "float64. Scale them."
            )
        n_classes = n_old + len(touched) - n_known
        at = np.empty(n_classes, dtype=np.intp)
        at[:n_old] = self._at
        at[touched] = np.arange(len(self._rows), len(self._rows) + len(touched))
        grown = ClassSums(self._rows.append(sums, weights), at)
        if len(grown._rows) > 2 * n_classes + 64:
            return grown.keep(np.arange(n_classes))
        return grown

    def keep(self, codes: np.ndarray) -> "ClassSums":
        """Return the sums of some classes, which get the codes 0, 1, ... in turn."""
        return ClassSums(self._rows.take(self._at[codes]), np.arange(len(codes)))

    def sums(self, codes: np.ndarray) -> np.ndarray:
        """Return the sums, (n_codes, n_features)."""
        return self._rows.columns[0][self._at[codes]]

    def weights(self, codes: np.ndarray) -> np.ndarray:
        """Return the weights, (n_codes,)."""
        return self._rows.columns[1][self._at[codes]]


def _sums_by_code(
    X: np.ndarray, codes: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the codes that occur, sorted, and the sum and weight of each."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    first = np.empty(len(ordered), dtype=bool)
    first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    X = X[order]
    if weight is None:
        weights = np.diff(starts, append=len(ordered)).astype(np.float64)
    else:
        weight = weight[order]
        weights = np.add.reduceat(weight, starts)
        X = X * weight[:, np.newaxis]
    return ordered[starts], np.add.reduceat(X, starts, dtype=np.float64), weights
