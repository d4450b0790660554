"""Episodes played: an estimator's embeddings, its classifier, their answers."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import tee
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array

from skfsl.exceptions import MetricMismatchWarning
from skfsl.model_selection._draw import Block
from skfsl.model_selection._embed import (
    best,
    embed,
    flat,
    is_passthrough,
    unfrozen,
    unread,
)
from skfsl.utils._episode_scores import prototype_scores
from skfsl.utils._sklearn_private import _safe_indexing

__all__ = ["Played", "Player", "leave_unread"]

_FLOATS = [np.float64, np.float32]
_METRICS = ("euclidean", "cosine", "manhattan")
_SEEN = (
    "this is no score on new classes. Split by class, as ClassKFold does. "
    "(return_train_score=True, the default of halving searches, and learning_curve "
    "score training samples on purpose.)"
)


@dataclass(frozen=True)
class Played:
    """What was answered in a block of episodes.

    Attributes
    ----------
    block : Block
        The episodes.
    classes : ndarray of shape (n_episodes, n_way)
        Codes of the classes of each, sorted: what positions below refer to.
    asked : ndarray of shape (n_episodes, n_query)
        The code of each query's class.
    truth : ndarray of shape (n_episodes, n_query)
        The position of each query's class, -1 where the episode does not have it.
    answer : ndarray of shape (n_episodes, n_query)
        The position that was predicted, -1 where it is none of the episode's.
    scores : ndarray of shape (n_episodes, n_query, n_way) or None
        Higher is closer.
    closeness : ndarray of shape (n_episodes, n_query, n_way) or None
        What ranks classes of equal scores, and how near the closest one is. None: the
        scores themselves.
    familiarity : ndarray of shape (n_episodes, n_query) or None
        Higher is more familiar. None: the highest closeness is.
    """

    block: Block
    classes: np.ndarray
    asked: np.ndarray
    truth: np.ndarray
    answer: np.ndarray
    scores: Any = None
    closeness: Any = None
    familiarity: Any = None

    @property
    def counts(self) -> np.ndarray:
        """Which queries are of the episode's classes, (n_episodes, n_query)."""
        known = self.truth >= 0
        return known if self.block.valid is None else known & self.block.valid


class Player:
    """An estimator made ready for episodes: samples embedded, classifier at hand.

    Parameters
    ----------
    estimator : estimator instance
        A fitted pipeline or transformer, or a classifier with a support set.
    X : array-like of length n_samples
        Samples.
    asked : str
        Who asks, for error messages.

    Raises
    ------
    TypeError
        If `estimator` is none of these.
    """

    def __init__(self, estimator: Any, X: Any, asked: str = "EpisodicScorer") -> None:
        estimator = best(estimator)
        *steps, last = [step for _, step in flat(estimator)]
        self.classifier: Any = None
        if _is_classifier(last, in_pipeline=isinstance(estimator, Pipeline)):
            self.classifier = last
        elif is_passthrough(last) or hasattr(last, "transform"):
            steps.append(last)
        else:
            raise TypeError(
                f"{asked} takes a Pipeline that ends in a classifier, a transformer "
                f"(whose embeddings are classified by the nearest prototype), or a "
                f"classifier of skfsl. Got {type(last).__name__}. To judge another "
                f"classifier on X as it is, put it last in a Pipeline behind "
                f"'passthrough'."
            )
        self.X, teacher = embed(steps, X, samples="samples to score", advice=_SEEN)
        self.metric: Any = _metric_of(teacher) if self.classifier is None else None
        self.vectorised = self.classifier is None or _has_hook(last)

    def play(
        self, labels: np.ndarray, blocks: Iterable[Block], *, scores: str
    ) -> Iterator[Played]:
        """Play episodes.

        Parameters
        ----------
        labels : ndarray of shape (n_samples,)
            Class labels of the samples.
        blocks : iterable of Block
            The episodes.
        scores : {"needed", "if there", "not"}
            What is asked of a classifier, beside its predictions, where scores and
            familiarity cost extra.

        Yields
        ------
        played : Played
            For every block, or for every episode of it.
        """
        classes, codes = np.unique(labels, return_inverse=True)
        if not self.vectorised:
            for block in blocks:
                for support, query in block.episodes():
                    one = Block(support[np.newaxis], query[np.newaxis])
                    yield self._play_one(one, labels, classes, codes, scores)
            return
        blocks, theirs = tee(blocks)
        if self.classifier is None:
            X = check_array(self.X, dtype=_FLOATS, input_name="X")
            answers = prototype_scores(self.metric, X, codes, theirs)
        else:
            answers = self.classifier._score_episodes(self.X, codes, theirs)
        for block, (given, closeness) in zip(blocks, answers, strict=True):
            ways, truth = _positions(block, codes)
            answer = given.argmax(axis=2)
            asked = codes[block.query]
            yield Played(block, ways, asked, truth, answer, given, closeness)

    def _play_one(self, block, labels, classes, codes, wanted):
        (support,), (query,) = block.support, block.query
        ways, truth = _positions(block, codes)
        with warnings.catch_warnings():
            # With one example a class there are as many classes as samples.
            warnings.filterwarnings("ignore", "The number of unique classes")
            fitted = clone(self.classifier)
            fitted.fit(_safe_indexing(self.X, support), labels[support])
        queries = _safe_indexing(self.X, query)
        predicted = np.asarray(fitted.predict(queries))
        own = classes[ways[0]]
        answer = np.searchsorted(own, predicted)
        answer[answer == len(own)] = 0
        answer[own[answer] != predicted] = -1
        played = Played(block, ways, codes[block.query], truth, answer[np.newaxis])
        if wanted == "not" or (wanted == "if there" and not _ranks(fitted)):
            return played
        try:
            scores = _scores(fitted, queries)[np.newaxis]
        except ValueError:
            # At one shot some have no spread to divide by; their answers still count.
            if wanted == "needed":
                raise
            return played
        if wanted == "if there" and not _rank_all(scores):
            return played
        if not hasattr(fitted, "score_samples"):
            return replace(played, scores=scores)
        familiarity = np.asarray(fitted.score_samples(queries))[np.newaxis]
        return replace(played, scores=scores, familiarity=familiarity)


def leave_unread(X: Any, players: list[Player], *columns: Any) -> tuple | None:
    """Leave out files that some player's transformer skipped as unreadable.

    Parameters
    ----------
    X : array-like of length n_samples
        Samples.
    players : list of Player
        Of the same samples. They go on without these.
    *columns : array-like of length n_samples or None
        What else belongs to the samples.

    Returns
    -------
    columns : tuple or None
        Those of the samples that stay; None where all do.
    """
    rows = unread(X, *(player.X for player in players))
    if rows is None:
        return None
    kept = np.flatnonzero(~rows)
    for player in players:
        player.X = _safe_indexing(player.X, kept)
    return tuple(None if c is None else _safe_indexing(c, kept) for c in columns)


def _is_classifier(last, *, in_pipeline: bool) -> bool:
    """Tell whether support sets are to be given to `last`."""
    if isinstance(last, FrozenEstimator):
        if hasattr(last, "transform"):
            return False
        raise ValueError(
            "A FrozenEstimator cannot be fitted on support sets. Freeze the steps "
            "before the classifier only."
        )
    if not in_pipeline or is_passthrough(last):
        return _has_hook(last)
    # Regressors and clusterers predict as well, but no labels.
    return is_classifier(last)


def _has_hook(classifier) -> bool:
    """Tell whether `classifier` scores many episodes at once.

    A subclass that predicts otherwise does not.
    """
    mro = type(classifier).__mro__

    def place(name):
        return next(i for i, c in enumerate(mro) if name in vars(c))

    return hasattr(classifier, "_score_episodes") and (
        place("_score_episodes") <= place("predict")
    )


def _metric_of(teacher) -> str:
    """Return the metric under which prototypes are nearest."""
    metric = getattr(teacher, "metric_", "euclidean")
    if metric in _METRICS:
        return metric
    warnings.warn(
        f"{type(unfrozen(teacher)).__name__} has learned a metric that is no plain "
        f"one on its embeddings (metric_={metric!r}), and is judged by their euclidean "
        f"distances. Choose a head that has a metric_, such as 'euclidean'.",
        MetricMismatchWarning,
        stacklevel=4,
    )
    return "euclidean"


def _positions(block: Block, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of episodes, sorted, and the position of each query's."""
    own = np.sort(codes[block.support], axis=1)
    new = np.r_[True, own[0, 1:] != own[0, :-1]]
    ways = own[:, new]
    n_episodes, n_way = ways.shape
    shift = np.arange(n_episodes)[:, np.newaxis]
    # One sorted list of all episodes: each one's codes are above those before it.
    apart = shift * (codes.max() + 1)
    listed, sought = (ways + apart).ravel(), codes[block.query] + apart
    place = np.minimum(np.searchsorted(listed, sought), len(listed) - 1)
    return ways, np.where(listed[place] == sought, place - shift * n_way, -1)


def _rank_all(scores: np.ndarray) -> bool:
    """Tell whether scores say which class comes second, for most queries at least.

    Those of one neighbour, or of a tree, are 1 for the answer and 0 for all others.
    """
    if not np.isfinite(scores).all():
        return False
    if scores.shape[2] == 2:
        return True
    ordered = np.sort(scores, axis=2)
    return bool((ordered[..., -2] == ordered[..., -3]).mean() < 0.5)


def _ranks(fitted) -> bool:
    """Tell whether a classifier gives one score a class."""
    return hasattr(fitted, "predict_proba") or (
        hasattr(fitted, "decision_function") and not _of_pairs(fitted)
    )


def _of_pairs(fitted) -> bool:
    """Tell whether decisions are on pairs of classes: three classes have three."""
    return getattr(fitted, "decision_function_shape", "ovr") == "ovo"


def _scores(fitted, queries) -> np.ndarray:
    """Return scores of the classes in their order, (n_queries, n_way).

    Decisions rather than probabilities, many of which are rounded to zero.
    """
    n_columns = None
    if hasattr(fitted, "decision_function"):
        scores = np.asarray(fitted.decision_function(queries))
        if scores.ndim == 1:
            return np.stack([-scores, scores], axis=1)
        n_columns = scores.shape[1]
        if n_columns == len(fitted.classes_) and not _of_pairs(fitted):
            return scores
    if hasattr(fitted, "predict_proba"):
        return np.asarray(fitted.predict_proba(queries))
    name = type(fitted).__name__
    if n_columns is None:
        raise TypeError(
            f"This metric ranks classes, for which {name} needs predict_proba or "
            f"decision_function."
        )
    raise TypeError(
        f"This metric ranks classes, for which decision_function needs one column a "
        f"class. {name} gave {n_columns} columns for {len(fitted.classes_)} classes: "
        f"set decision_function_shape='ovr'?"
    )
