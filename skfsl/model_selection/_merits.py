"""What an episode is worth: one number each, from what was answered."""

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import rankdata

from skfsl.model_selection._play import Played

__all__ = [
    "bounds_of",
    "check_metric",
    "influences",
    "needs_scores",
    "needs_unknown",
    "outside_influences",
    "query_worth",
    "ranks",
    "values",
]

_AT_K = re.compile(r"(map|top)@([1-9][0-9]*)")
_NAMES = ("accuracy", "balanced_accuracy", "auroc_unknown")


def check_metric(metric: str | Callable, asked: str) -> None:
    """Check the name of a metric.

    Raises
    ------
    ValueError
        If it is neither known nor a callable.
    """
    if callable(metric) or metric in _NAMES:
        return
    if not (isinstance(metric, str) and _AT_K.fullmatch(metric)):
        raise ValueError(
            f"The 'metric' parameter of {asked} must be 'accuracy', "
            f"'balanced_accuracy', 'map@k' or 'top@k' with a number such as 'map@5', "
            f"'auroc_unknown', or a callable metric(y_true, y_pred). Got {metric!r}."
        )


def bounds_of(metric: str | Callable) -> tuple[float, float]:
    """Return the least and the largest value of a metric."""
    return (-np.inf, np.inf) if callable(metric) else (0.0, 1.0)


def needs_unknown(metric: str | Callable) -> bool:
    """Tell whether episodes need queries of other classes."""
    return metric == "auroc_unknown"


def needs_scores(metric: str | Callable) -> bool:
    """Tell whether a metric looks at scores, beside what is predicted."""
    return isinstance(metric, str) and metric not in _NAMES[:2]


def values(metric: str | Callable, played: Played, labels: np.ndarray) -> np.ndarray:
    """Return the worth of each episode.

    Parameters
    ----------
    metric : str or callable
        Its name, or ``metric(y_true, y_pred)``, called for one episode at a time.
    played : Played
        The episodes.
    labels : ndarray of shape (n_classes,)
        Class labels, for a callable.

    Returns
    -------
    values : ndarray of shape (n_episodes,)
        One number an episode.
    """
    if callable(metric):
        return _called(metric, played, labels)
    if metric == "balanced_accuracy":
        return _balanced(played)
    if metric == "auroc_unknown":
        return _auroc(played)
    return _mean(query_worth(metric, played), played.counts)


def query_worth(metric: str | Callable, played: Played) -> np.ndarray | None:
    """Return the worth of each query, or None where only episodes have any.

    Parameters
    ----------
    metric, played
        As of `values`.

    Returns
    -------
    worth : ndarray of shape (n_episodes, n_query) or None
        Of all queries, those that do not count too.
    """
    if callable(metric) or metric == "auroc_unknown":
        return None
    if metric in ("accuracy", "balanced_accuracy"):
        return played.answer == played.truth
    kind, k = _AT_K.fullmatch(metric).groups()  # type: ignore[union-attr]
    rank = ranks(played)
    return rank <= int(k) if kind == "top" else np.where(rank <= int(k), 1 / rank, 0)


def influences(
    metric: str | Callable, played: Played, labels: np.ndarray, worth: np.ndarray
) -> np.ndarray:
    """Return how much each class of an episode adds to what it is worth.

    `n_way` times the difference that it makes to leave the class out, with its queries
    and as an answer to the others: up to a constant, the first-order term of the mean
    over episodes as a U-statistic of the classes. Of the other classes, which differ
    from one episode to the next, little is left in the difference.

    Parameters
    ----------
    metric, played, labels
        As of `values`.
    worth : ndarray of shape (n_episodes,)
        What `values` gave.

    Returns
    -------
    influences : ndarray of shape (n_episodes, n_way)
        In the order of `played.classes`. NaN where the classifier gave no scores.
    """
    n_way = played.classes.shape[1]
    if n_way == 2:
        return np.repeat(2 * worth[:, np.newaxis], 2, axis=1)
    if played.scores is None:
        return np.full((len(worth), n_way), np.nan)
    without = [values(metric, rest, labels) for rest in _each_left_out(played, metric)]
    return n_way * (worth[:, np.newaxis] - np.stack(without, axis=1))


def outside_influences(
    metric: str | Callable, played: Played, worth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how much classes add to episodes in which they are unknown.

    Of "auroc_unknown", the difference between what the known queries are worth against
    those of one unknown class and against all. Of other metrics, nothing.

    Parameters
    ----------
    metric, played, worth
        As of `influences`.

    Returns
    -------
    classes : ndarray of shape (n,)
        Codes, one for each episode and class that is unknown in it.
    added : ndarray of shape (n,)
        What each adds, up to a constant.
    """
    if not needs_unknown(metric):
        return np.empty(0, dtype=np.intp), np.empty(0)
    classes, added = [], []
    familiarities = _familiarity(played)
    for i, (known, unknown) in enumerate(zip(*_sides(played), strict=True)):
        asked, familiarity = played.asked[i], familiarities[i]
        for code in np.unique(asked[unknown]):
            of_class = familiarity[unknown & (asked == code)]
            classes.append(code)
            added.append(_area(familiarity[known], of_class) - worth[i])
    return np.array(classes, dtype=np.intp), np.array(added)


def _each_left_out(played: Played, metric) -> Iterator[Played]:
    """Yield the episodes without their first class, without their second, ..."""
    second = _second(played)
    for position in range(played.classes.shape[1]):
        others = played.truth != position
        if played.block.valid is not None:
            others = others & played.block.valid
        answer = np.where(played.answer == position, second, played.answer)
        rest = replace(played, block=replace(played.block, valid=others), answer=answer)
        if needs_scores(metric):
            rest = replace(rest, scores=_masked(played.scores, position))
            if played.closeness is not None:
                rest = replace(rest, closeness=_masked(played.closeness, position))
        yield rest


def _second(played: Played) -> np.ndarray:
    """Return what would be answered if the answer were not there."""
    answered = np.maximum(played.answer, 0)[..., np.newaxis]
    scores = played.scores.copy()
    np.put_along_axis(scores, answered, -np.inf, axis=2)
    if played.closeness is None:
        return scores.argmax(axis=2)
    # Votes for others are few, and most often tied.
    tied = scores == scores.max(axis=2, keepdims=True)
    return np.where(tied, played.closeness, -np.inf).argmax(axis=2)


def _masked(scores: np.ndarray, position: int) -> np.ndarray:
    """Return scores without those of a class."""
    scores = scores.copy()
    scores[:, :, position] = -np.inf
    return scores


def _mean(worth: Any, counts: np.ndarray) -> np.ndarray:
    return (worth * counts).sum(axis=1) / counts.sum(axis=1)


def _balanced(played: Played) -> np.ndarray:
    right = played.answer == played.truth
    total, n_asked = np.zeros(len(right)), np.zeros(len(right))
    for position in range(played.classes.shape[1]):
        own = played.counts & (played.truth == position)
        asked = own.any(axis=1)
        total += (right & own).sum(axis=1) / np.maximum(own.sum(axis=1), 1)
        n_asked += asked
    return total / n_asked


def ranks(played: Played) -> np.ndarray:
    """Return the place of each query's class: (n_episodes, n_query).

    The first place is what `predict` answers. Of other classes of equal scores the
    closer one comes first, and the true one last where they are equally close.
    """
    truth = np.maximum(played.truth, 0)[..., np.newaxis]
    own = np.take_along_axis(played.scores, truth, axis=2)
    ahead = played.scores > own
    tied = played.scores == own
    if played.closeness is not None:
        tied &= played.closeness >= np.take_along_axis(played.closeness, truth, axis=2)
    np.put_along_axis(tied, truth, False, axis=2)
    place = np.maximum(2, 1 + (ahead | tied).sum(axis=2))
    return np.where(played.answer == played.truth, 1, place)


def _auroc(played: Played) -> np.ndarray:
    """Return the chance that a known query is more familiar than an unknown one."""
    familiarities = _familiarity(played)
    if np.ptp(familiarities) == 0:
        warnings.warn(
            "All queries of an episode are equally familiar to the classifier, known "
            "and unknown ones: its scores do not tell them apart, and auroc_unknown is "
            "0.5 by that. Use a classifier with score_samples or finer scores.",
            UserWarning,
            stacklevel=2,
        )
    sides = zip(familiarities, *_sides(played), strict=True)
    return np.array([_area(f[known], f[unknown]) for f, known, unknown in sides])


def _sides(played: Played) -> tuple[np.ndarray, np.ndarray]:
    """Tell which queries are of the episode's classes, and which of others."""
    unknown = played.truth < 0
    if played.block.valid is not None:
        unknown &= played.block.valid
    return played.counts, unknown


def _area(known: np.ndarray, unknown: np.ndarray) -> float:
    """Return the chance that one of `known` is above one of `unknown`."""
    rank = rankdata(np.r_[known, unknown])[: len(known)]
    below = rank.sum() - len(known) * (len(known) + 1) / 2
    return below / (len(known) * len(unknown))


def _familiarity(played: Played) -> np.ndarray:
    if played.familiarity is not None:
        return played.familiarity
    closeness = played.scores if played.closeness is None else played.closeness
    return closeness.max(axis=2)


def _called(metric, played: Played, labels: np.ndarray) -> np.ndarray:
    worth = np.empty(len(played.truth))
    for i, counts in enumerate(played.counts):
        own = labels[played.classes[i]]
        true, answer = played.truth[i, counts], played.answer[i, counts]
        predicted = own[answer]
        if (answer < 0).any():
            raise ValueError(
                "The classifier predicted labels that are not in its support set. A "
                "callable metric cannot be given them."
            )
        worth[i] = metric(own[true], predicted)
    return worth
