"""Scatter of samples about the means of their classes, kept while they come and go."""

from collections.abc import Iterator

import numpy as np

from skfsl.support._store import Rows
from skfsl.support._sums import ClassSums
from skfsl.utils._scores import unit_rows

__all__ = ["Scatter"]

# Numbers that are in memory at a time.
_BLOCK = 2**20
# Times the scatter that may have come and gone. A part in 2**53 of that is rounding, so
# that twelve digits are right; beyond, it is made anew.
_MOST_SPENT = 2**12


class Scatter:
    """The sum over samples of w·(x - mu)(x - mu)^T, mu the mean of the sample's class.

    Immutable: `add` and `cut` answer a new one, for what the change costs and not what
    is there. Products of a few rows wait until they are as many as features.

    Parameters
    ----------
    sums : ClassSums
        Of the samples.
    matrix : ndarray of shape (n_features, n_features)
        The scatter but for what waits.
    waiting : Rows of one column, (n_rows, n_features)
        Rows whose products with themselves belong to it.
    trace : float
        Of the whole.
    spent : float
        The trace of all that was ever added or taken out.
    unit : bool
        Whether samples are brought to length one first.
    """

    def __init__(
        self,
        sums: ClassSums,
        matrix: np.ndarray,
        waiting: Rows,
        trace: float,
        spent: float,
        unit: bool,
    ) -> None:
        self.sums = sums
        self.trace = trace
        self._matrix = matrix
        self._waiting = waiting
        self._spent = spent
        self._unit = unit

    @staticmethod
    def of(
        X: np.ndarray, codes: np.ndarray, weight: np.ndarray | None, *, unit: bool
    ) -> "Scatter":
        """Return the scatter of samples, of classes 0, 1, ... without a gap."""
        d = X.shape[1]
        sums, waiting = ClassSums.empty(d), Rows(np.empty((0, d)))
        nothing = Scatter(sums, np.zeros((d, d)), waiting, 0.0, 0.0, unit)
        return nothing.add(X, codes, weight)

    @property
    def matrix(self) -> np.ndarray:
        """The scatter, (n_features, n_features); a new array."""
        (rows,) = self._waiting.columns
        return self._matrix + rows.T @ rows

    def means(self, codes: np.ndarray) -> np.ndarray:
        """Return the means of some classes, (n_codes, n_features)."""
        return self.sums.sums(codes) / self.sums.weights(codes)[:, np.newaxis]

    def add(
        self,
        X: np.ndarray,
        codes: np.ndarray,
        weight: np.ndarray | None,
        *,
        anew: bool = False,
    ) -> "Scatter":
        """Return the scatter with samples added; as `add` of `ClassSums`."""
        if weight is not None and not weight.all():
            # A block of them alone would have a mean of nothing.
            weighty = weight > 0
            if not weighty.any():
                return self
            X, codes, weight = X[weighty], codes[weighty], weight[weighty]
        size = max(1, _BLOCK // X.shape[1])
        if len(X) > size and not anew:
            # In the order of codes, so that new ones come without a gap.
            grown, order = self, np.argsort(codes, kind="stable")
            for start in range(0, len(X), size):
                rows = order[start : start + size]
                some = None if weight is None else weight[rows]
                grown = grown.add(X[rows], codes[rows], some)
            return grown
        X = self._prepared(X)
        sums = self.sums.add(X, codes, weight, anew=anew)
        grown = Scatter(
            sums, self._matrix, self._waiting, self.trace, self._spent, self._unit
        )
        if not anew:
            # The samples of before stand about their new mean.
            known = np.unique(codes[codes < len(self.sums)])
            moved = self.means(known) - grown.means(known)
            moved *= np.sqrt(self.sums.weights(known))[:, np.newaxis]
            grown._take_up(moved)
        for block in grown._residuals(X, codes, weight):
            grown._take_up(block)
        return grown

    def cut(self, gone: tuple, kept: np.ndarray, rest: tuple) -> "Scatter | None":
        """Return the scatter after some classes have lost samples.

        Parameters
        ----------
        gone : tuple of ndarrays (X, codes, weight)
            All samples of these classes, as they were.
        kept : ndarray of shape (n_kept,), dtype=intp
            The former codes of classes that stay, in the order of their new codes.
        rest : tuple of ndarrays (X, codes, weight)
            What is left of these classes, by new codes.

        Returns
        -------
        scatter : Scatter or None
            None where too few digits would be left: make it anew.
        """
        if not np.isfinite(self._spent):
            return None
        matrix, taken = self.matrix, 0.0
        for block in self._residuals(self._prepared(gone[0]), *gone[1:]):
            matrix -= block.T @ block
            taken += float(np.vdot(block, block))
        waiting = Rows(np.empty((0, matrix.shape[1])))
        trace, spent = self.trace - taken, self._spent + taken
        less = Scatter(self.sums.keep(kept), matrix, waiting, trace, spent, self._unit)
        if len(rest[0]):
            less = less.add(*rest, anew=True)
        return less if less._spent < _MOST_SPENT * less.trace else None

    def _prepared(self, X: np.ndarray) -> np.ndarray:
        X = X.astype(np.float64, copy=False)
        return unit_rows(X)[0] if self._unit else X

    def _residuals(
        self, X: np.ndarray, codes: np.ndarray, weight: np.ndarray | None
    ) -> Iterator[np.ndarray]:
        """Yield samples less the means of their classes, times the root of weights."""
        distinct, at = np.unique(codes, return_inverse=True)
        means = self.means(distinct)
        size = max(1, _BLOCK // X.shape[1])
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            block = X[rows] - means[at[rows]]
            if weight is not None:
                block *= np.sqrt(weight[rows], dtype=np.float64)[:, np.newaxis]
            yield block

    def _take_up(self, rows: np.ndarray) -> None:
        """Add the products of rows. Only while the scatter is being made."""
        with np.errstate(over="ignore"):
            size = float(np.vdot(rows, rows))
        self.trace += size
        self._spent += size
        if not np.isfinite(size):
            return  # who asks for distances is told
        if len(self._waiting) + len(rows) < len(self._matrix):
            self._waiting = self._waiting.append(rows)
            return
        self._matrix = self.matrix + rows.T @ rows
        self._waiting = Rows(np.empty((0, len(self._matrix))))
