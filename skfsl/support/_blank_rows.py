"""Rows of nothing but NaN: what stands for samples that could not be read."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from skfsl.utils._label_kinds import shown_some
from skfsl.utils._outside import outside
from skfsl.utils._sklearn_private import _safe_indexing
from skfsl.utils._validation import as_numpy

__all__ = ["around_blanks", "blank_rows", "drop_blanks", "refuse_blanks"]


def blank_rows(X: Any) -> np.ndarray | None:
    """Tell which rows of a table hold nothing but NaN.

    Parameters
    ----------
    X : array-like
        Samples, not checked. Only a dense table of floats has blank rows; one with
        a number in it is not blank, and is refused by the checks of values.

    Returns
    -------
    blank : ndarray of shape (n_samples,), dtype=bool, or None
        None where no row is.
    """
    if X is None or sparse.issparse(X):
        return None
    try:
        X = np.asarray(as_numpy(X))
    except (TypeError, ValueError):  # a ragged list; the checks say so better
        return None
    if X.ndim != 2 or X.dtype.kind != "f" or 0 in X.shape:
        return None
    # Nearly always the first column alone shows that there is none.
    blank = np.isnan(X[:, 0])
    blank[blank] = np.isnan(X[blank]).all(axis=1)
    return blank if blank.any() else None


def drop_blanks(X: Any, y: Any, *others: Any) -> tuple:
    """Leave blank rows out of what is enrolled, and warn of them.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        Samples.
    y : array-like of shape (n_samples,)
        Their labels.
    *others : array-like of shape (n_samples,) or None
        What else belongs to the samples.

    Returns
    -------
    X, y, *others
        Without these rows; as they are where no row is blank.

    Raises
    ------
    ValueError
        If all rows are blank.
    """
    blank = blank_rows(X)
    if blank is None or len(blank) != len(y):  # lengths are checked by others
        return (X, y, *others)
    if blank.all():
        raise ValueError(
            f"All {len(blank)} rows of X are wholly NaN, as the embeddings of files "
            f"that could not be read: there is nothing to enrol."
        )
    rows = np.flatnonzero(~blank)
    labels = np.asarray(y)
    lost = np.setdiff1d(labels[blank], labels[rows])
    warnings.warn(
        f"Rows {shown_some(np.flatnonzero(blank))} of X are wholly NaN, as the "
        f"embeddings of files that could not be read. These {blank.sum()} samples are "
        f"not enrolled."
        + (
            f" Classes with no other sample here: {shown_some(lost)}." * bool(len(lost))
        ),
        UserWarning,
        stacklevel=outside(),
    )
    return tuple(
        values if values is None else _safe_indexing(values, rows)
        for values in (X, y, *others)
    )


def refuse_blanks(blank: np.ndarray) -> None:
    """Raise for blank rows among queries, which no known class is an answer to.

    Raises
    ------
    ValueError
        Naming the rows.
    """
    raise ValueError(
        f"Input X contains NaN: rows {shown_some(np.flatnonzero(blank))} are wholly "
        f"NaN, as the embeddings of files that could not be read. Set unknown_label "
        f"to have them answered by it, or leave them out."
    )


def around_blanks(
    ask: Callable, queries: Any, blank: np.ndarray | None, width: int | None = None
) -> np.ndarray:
    """Ask about the rows that are not blank; the answer to a blank one is NaN.

    Parameters
    ----------
    ask : callable
        Queries to floats, one or `width` each.
    queries : array-like of shape (n_queries - n_blank, ...) or None
        Without blank rows; None where all are blank.
    blank : ndarray of shape (n_queries,), dtype=bool, or None
        Which are blank; None where none is.
    width : int, default=None
        Number of answers to a query, where there is an axis for them.

    Returns
    -------
    answers : ndarray of shape (n_queries,) or (n_queries, width)
        In the order of the rows.
    """
    if blank is None:
        return ask(queries)
    known = np.empty(0) if queries is None else ask(queries)
    shape = (len(blank),) if width is None else (len(blank), width)
    answers = np.full(shape, np.nan, known.dtype)
    if queries is not None:
        answers[~blank] = known
    return answers
