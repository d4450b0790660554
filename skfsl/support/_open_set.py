"""Predictions that may be "none of these"."""

from collections.abc import Callable
from typing import Any

import numpy as np

from skfsl.support._blank_rows import refuse_blanks
from skfsl.support._labels import check_unknown_label

__all__ = ["answer"]


def answer(
    snapshot: Any, ask: Callable, queries: Any, blank: np.ndarray | None
) -> np.ndarray:
    """Predict labels; the unknown one for what is of no class.

    Parameters
    ----------
    snapshot : classifier
        One state.
    ask : callable
        Queries to the position of the nearest class, and how near it is.
    queries : array-like of shape (n_queries - n_blank, ...) or None
        Without blank rows; None where all are blank.
    blank : ndarray of shape (n_queries,), dtype=bool, or None
        Which are blank; None where none is.

    Returns
    -------
    y : ndarray of shape (n_queries,)
        Labels.

    Raises
    ------
    ValueError
        If there are blank rows and no `unknown_label`.
    """
    both = check_unknown_label(snapshot.unknown_label, snapshot.classes_)
    if both is None:
        if blank is not None:
            refuse_blanks(blank)
        return snapshot.classes_[ask(queries)[0]]
    classes, unknown = both
    if blank is None:
        return classes[ask(queries)[0]]
    answers = np.repeat(unknown, len(blank))
    if queries is not None:
        answers[~blank] = classes[ask(queries)[0]]
    return answers
