"""Stored samples that look like another class than the one of their label."""

from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skfsl.support._support_table import check_has_samples

__all__ = ["suspicious_support"]

# Scores that are in memory at a time.
_BLOCK = 2**22


def suspicious_support(self: Any) -> Bunch:
    """List stored samples that are nearer to another class than to their own.

    Each sample is left out and scored as a query against the others, so that it does
    not speak for itself. Nearest of all to another class are first: labels to look at.
    Classes that the metric was trained on are no exception. Neighbors compare all
    pairs of samples: of 100,000 of 64 features in about a minute on one core.
    `max_per_class` bounds it.

    Returns
    -------
    suspicious : :class:`~sklearn.utils.Bunch`
        Columns, most suspicious first: `id` and `label`, as in `support_`, `nearer`,
        the label of the nearest other class, and `margin`, by how much its score is
        higher than that of the own class. Without samples that are alone in their
        class. ``pd.DataFrame(clf.suspicious_support())`` makes a frame of it.

    Raises
    ------
    ValueError
        If samples are not kept one by one.
    """
    snapshot = self._checked_reader(None)
    support = snapshot._support
    check_has_samples(support, "suspicious_support")
    suspects, classes = snapshot._suspects(), snapshot.classes_
    own = support.positions[suspects]
    nearer, margin = np.empty_like(own), np.empty(len(own))
    size = max(1, _BLOCK // len(classes))
    for start in range(0, len(own), size):
        rows = np.arange(start, min(start + size, len(own)))
        scores = snapshot._left_out(rows=suspects[rows]).scores
        at = np.arange(len(rows))
        mine = scores[at, own[rows]]  # NaN where it is alone
        scores[at, own[rows]] = -np.inf
        nearer[rows] = scores.argmax(axis=1)
        margin[rows] = scores[at, nearer[rows]] - mine
    found = np.flatnonzero(margin > 0)
    found = found[np.argsort(-margin[found], kind="stable")]
    return Bunch(
        id=support.ids.values[suspects[found]],
        label=classes[own[found]],
        nearer=classes[nearer[found]],
        margin=margin[found],
    )
