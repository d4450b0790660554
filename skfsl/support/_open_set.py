"""Predictions that may be "none of these", and the score that this begins below."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from skfsl.support._blank_rows import refuse_blanks
from skfsl.support._labels import check_unknown_label
from skfsl.utils._outside import outside

__all__ = [
    "Familiar", "LeftOut", "answer", "balanced", "choose_rows", "lowest_share",
    "rejection_threshold",
]  # fmt: skip

# Stored samples that are left out, at most: enough for any threshold.
_MOST = 4000
# The fractions of its multiples lie as evenly as any.
_GOLDEN = (5**0.5 - 1) / 2


class LeftOut(NamedTuple):
    """Stored samples as queries to the support set without them.

    Attributes
    ----------
    scores : ndarray of shape (n_rows, n_classes)
        Higher is closer. NaN where a sample is all that its own class has.
    own : ndarray of shape (n_rows,), dtype=intp
        The class of each, as a position.
    """

    scores: np.ndarray
    own: np.ndarray


class Familiar(NamedTuple):
    """How familiar stored samples are to the support set without them.

    Attributes
    ----------
    known : ndarray of shape (n_rows,)
        Left out alone; NaN where a sample is all that its own class has.
    unknown : ndarray of shape (n_rows,)
        Left out with all of their class. Minus infinity where there is no other one.
    own : ndarray of shape (n_rows,), dtype=intp
        The class of each, as a position.
    """

    known: np.ndarray
    unknown: np.ndarray
    own: np.ndarray

    @staticmethod
    def of(left_out: LeftOut) -> "Familiar":
        """Take the highest scores, with the own class and without."""
        scores, own = left_out
        rows = np.arange(len(own))
        others = scores.copy()
        others[rows, own] = -np.inf
        return Familiar(scores.max(axis=1), others.max(axis=1), own)


def choose_rows(eligible: np.ndarray) -> np.ndarray:
    """Choose which samples are left out: all, or some thousands spread evenly.

    Samples that are added at the end leave the choice before them as it was, until
    there are twice as many and one of twice as many has to do.

    Parameters
    ----------
    eligible : ndarray of shape (n_samples,), dtype=bool
        Samples of classes that the metric was not trained on.

    Returns
    -------
    rows : ndarray of shape (n_rows,), dtype=intp
        Their positions.
    """
    rows = np.flatnonzero(eligible)
    step = 1 << (max(1, -(-len(rows) // _MOST)) - 1).bit_length()
    # One of each `step` samples, and not the same one: samples that come by turns of
    # their classes would be of few classes.
    turn = np.arange(len(rows) // step)
    return rows[turn * step + (turn * _GOLDEN % 1 * step).astype(np.intp)]


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
    answers = np.repeat(unknown, 0 if blank is None else len(blank))
    if blank is not None and blank.all():
        return answers
    positions, best = ask(queries)
    known = classes[positions]
    threshold = rejection_threshold(snapshot)
    if threshold > -np.inf:
        known[snapshot._familiar(queries, best) < threshold] = unknown[0]
    if blank is None:
        return known
    answers[~blank] = known
    return answers


def rejection_threshold(snapshot: Any) -> float:
    """Return the score of `score_samples` below which a query is refused.

    It is made of a state once, and belongs to it.
    """
    if snapshot.threshold is not None:
        return snapshot.threshold
    if snapshot.reject is None:
        return -np.inf
    calibration = snapshot._calibration()
    if calibration is not None and calibration.threshold is not None:
        if calibration.holds(snapshot, "reject"):
            return calibration.threshold
    reject = snapshot.reject
    if snapshot._support is None:  # trees and their like: an error that says so
        snapshot._left_out()
    key = ("threshold", reject, *snapshot._scored_by())
    return snapshot._support.cached(
        key, lambda: _choose(snapshot._familiar_left_out(), reject)
    )


def _choose(left_out: Familiar, reject: Any) -> float:
    known, unknown, own = left_out
    # Classes count alike, whatever they have of examples.
    weight = 1 / np.bincount(own)[own] if len(own) else np.empty(0)
    seen = ~np.isnan(known)
    if reject != "auto":
        threshold = lowest_share(known[seen], reject)
        if threshold is None:
            _warn(
                f"reject={reject:g} asks for {int(np.ceil(1 / reject)) - 1} examples "
                f"or more that can be left out, of classes that have another one and "
                f"that the metric was not trained on. There are {seen.sum()}"
            )
            return -np.inf
        return threshold
    if not np.isfinite(unknown).any():
        _warn(
            "reject='auto' leaves out examples and classes that the metric was not "
            "trained on, of two classes or more in all. There are too few"
        )
        return -np.inf
    if not seen.any():
        return float(np.median(unknown))
    return balanced(known[seen], weight[seen], unknown, weight)


def lowest_share(known: np.ndarray, share: float) -> float | None:
    """Return what a share of queries scores below; None where there are too few."""
    at = int(share * (len(known) + 1))
    return float(np.partition(known, at - 1)[at - 1]) if at else None


def balanced(known, known_weight, unknown, unknown_weight) -> float:
    """Return where most of both are told right, each taken as one half of all."""
    scores = np.concatenate([known, unknown])
    gain = np.concatenate(
        [-known_weight / known_weight.sum(), unknown_weight / unknown_weight.sum()]
    )
    order = np.argsort(scores, kind="stable")
    scores, told = scores[order], np.cumsum(gain[order])
    # Refused are all up to here; equal scores go together.
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    if told.max() <= 0:
        return -np.inf
    best = np.flatnonzero(told[ends] >= told[ends].max() - 1e-12)
    last = ends[best[len(best) // 2]]
    return float(scores[last : last + 2].mean())


def _warn(why: str) -> None:
    warnings.warn(
        f"Nothing is refused: {why}. Enrol more examples, set threshold=, or "
        f"reject=None.",
        UserWarning,
        stacklevel=outside(),
    )
