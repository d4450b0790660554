"""Episodes counted by class: who was recognised, and who was taken for whom."""

from typing import Any

import numpy as np
from scipy import sparse

from skfsl.model_selection._play import Played

__all__ = ["ClassTally", "sums_by_class"]


def sums_by_class(
    played: Played, worth: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum what queries are worth over those of each class.

    Parameters
    ----------
    played : Played
        The episodes.
    worth : ndarray of shape (n_episodes, n_query)
        One number a query.
    n_classes : int
        Number of classes that episodes are drawn from.

    Returns
    -------
    sums : ndarray of shape (n_classes,)
        Their sums.
    n_queries : ndarray of shape (n_classes,)
        How many they are.
    """
    counts = played.counts
    true = np.take_along_axis(played.classes, np.maximum(played.truth, 0), axis=1)
    true = true[counts]
    sums = np.bincount(true, worth[counts].astype(float), minlength=n_classes)
    return sums, np.bincount(true, minlength=n_classes)


class ClassTally:
    """Counts of queries and answers, by class and by pair of classes.

    Parameters
    ----------
    n_classes : int
        Number of classes that episodes are drawn from.

    Attributes
    ----------
    n_queries, n_right, n_answers, n_episodes : ndarray of shape (n_classes,)
        Queries of each class, how many of them were classified rightly, how many
        queries of any class were answered by it, and episodes that it was in.
    """

    def __init__(self, n_classes: int) -> None:
        self.n_queries, self.n_right, self.n_answers, self.n_episodes = np.zeros(
            (4, n_classes), dtype=np.int64
        )
        self._confused: list[tuple[np.ndarray, np.ndarray]] = []
        self._met: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, played: Played) -> None:
        """Take up episodes."""
        n_classes, counts = len(self.n_queries), played.counts
        truth, answer, own = played.truth, played.answer, played.classes
        right, n_queries = sums_by_class(played, answer == truth, n_classes)
        self.n_queries += n_queries
        self.n_right += right.astype(np.int64)
        self.n_episodes += np.bincount(own.ravel(), minlength=n_classes)
        known = counts & (answer >= 0)
        answered = np.take_along_axis(own, np.maximum(answer, 0), axis=1)
        self.n_answers += np.bincount(answered[known], minlength=n_classes)
        wrong = known & (answer != truth)
        true = np.take_along_axis(own, np.maximum(truth, 0), axis=1)[wrong]
        self._confused.append(
            np.unique(true * n_classes + answered[wrong], return_counts=True)
        )
        place = truth + own.shape[1] * np.arange(len(own))[:, np.newaxis]
        asked = np.bincount(place[counts], minlength=own.size).reshape(own.shape)
        self._met.append((own, asked))

    @property
    def recall(self) -> np.ndarray:
        """Share of a class's queries that it was answered to; NaN without queries."""
        return _shares(self.n_right, self.n_queries)

    @property
    def precision(self) -> np.ndarray:
        """Share of the answers of a class that were right; NaN without answers."""
        return _shares(self.n_right, self.n_answers)

    def confusions(self) -> dict[str, Any]:
        """Return who was taken for whom, the most frequent first.

        Returns
        -------
        confusions : dict of str to ndarray of shape (n_confusions,)
            "true" and "answered", as codes; the "count" of queries of the one that were
            answered by the other; "n_queries", those of the one in episodes that have
            the other too, and the "share" of the count in them.
        """
        n_classes = len(self.n_queries)
        keys = np.concatenate([keys for keys, _ in self._confused])
        keys, inverse = np.unique(keys, return_inverse=True)
        counts = np.concatenate([counts for _, counts in self._confused])
        counts = np.bincount(inverse, counts, minlength=len(keys)).astype(np.int64)
        true, answered = np.divmod(keys, n_classes)
        n_queries = self._n_met(true, answered)
        share = _shares(counts, n_queries)
        order = np.lexsort((answered, true, -share, -counts))
        found = {
            "true": true, "answered": answered, "count": counts,
            "n_queries": n_queries, "share": share,
        }  # fmt: skip
        return {name: values[order] for name, values in found.items()}

    def _n_met(self, true: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Count the queries of classes in episodes that have another class too."""
        if len(true) == 0:
            return np.zeros(0, dtype=np.int64)
        columns = np.concatenate([own.ravel() for own, _ in self._met])
        asked = np.concatenate([asked.ravel() for _, asked in self._met])
        ways = np.concatenate([np.full(len(own), own.shape[1]) for own, _ in self._met])
        rows = np.repeat(np.arange(len(ways)), ways)
        shape = (len(ways), len(self.n_queries))
        n_queries = sparse.csr_array((asked, (rows, columns)), shape=shape)
        there = sparse.csr_array((np.ones_like(asked), (rows, columns)), shape=shape)
        return np.asarray((n_queries.T @ there).tocsr()[true, other]).ravel()


def _shares(counts: np.ndarray, of: np.ndarray) -> np.ndarray:
    return np.divide(counts, of, out=np.full(len(of), np.nan), where=of > 0)
