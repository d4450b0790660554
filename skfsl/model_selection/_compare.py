"""Which of several estimators is better, on the same episodes."""

from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.exceptions import NotFittedError
from sklearn.utils import Bunch
from sklearn.utils.validation import check_consistent_length

from skfsl.model_selection._compare_text import comparison_text
from skfsl.model_selection._episodes import EPISODE_CONSTRAINTS, episode_blocks
from skfsl.model_selection._frames import import_pandas
from skfsl.model_selection._merits import (
    bounds_of,
    check_metric,
    influences,
    needs_scores,
    needs_unknown,
    outside_influences,
    query_worth,
    values,
)
from skfsl.model_selection._named import named_estimators
from skfsl.model_selection._play import Player, leave_unread
from skfsl.model_selection._summary import (
    Summary,
    interval_over_classes,
    interval_over_episodes,
)
from skfsl.model_selection._tally import sums_by_class
from skfsl.utils._sklearn_private import StrOptions, validate_parameter_constraints
from skfsl.utils._validation import check_labels

__all__ = ["compare_few_shot"]

_CONSTRAINTS: dict = {
    **{k: v for k, v in EPISODE_CONSTRAINTS.items() if k != "n_unknown"},
    "metric": [str, callable],
    "baseline": [str, None],
    "output": [StrOptions({"text", "dict", "frame"})],
}


def compare_few_shot(
    estimators: Any,
    X: Any,
    y: Any,
    *,
    n_way: int | tuple[int, int] | None = 5,
    n_shot: int | tuple[int, int] | str = 1,
    n_query: int | str | None = None,
    n_episodes: int | None = 600,
    metric: Any = "accuracy",
    baseline: str | None = None,
    groups: Any = None,
    imbalance: str | None = None,
    replace: bool = True,
    small_classes: str = "raise",
    output: str = "text",
    random_state: Any = 0,
) -> str | dict[str, Any]:
    """Compare estimators on the same few-shot episodes, two by two.

    Each estimator embeds the samples once, and all of them play the same episodes.
    Differences are therefore paired, and much better known than the scores themselves.
    Each has an interval over the episodes and one over the classes.

    Use it to choose between metrics, and before one is called better: a difference may
    be certain on these classes, and say nothing of others.

    Read more in the :ref:`User Guide <reports>`.

    Parameters
    ----------
    estimators : dict of str to estimator or list of (str, estimator) tuples
        Two or more, by name, fitted; each as :class:`EpisodicScorer` takes them.

    X : array-like of length n_samples
        Samples, the same for all. Where estimators take different ones, put what is
        different in front: ``make_pipeline(FunctionTransformer(flatten), estimator)``.

    y : array-like of shape (n_samples,)
        Class labels.

    n_way : int, (int, int) or None, default=5
        Classes in an episode; see :func:`iter_episodes` for this and what follows.

    n_shot : int, (int, int) or "natural", default=1
        Support examples of each class.

    n_query : int, None or "natural", default=None
        Queries of each class. None is what is left of the class, 15 at most.

    n_episodes : int or None, default=600
        Number of episodes.

    metric : str or callable, default="accuracy"
        What an episode is worth, higher being better; see :class:`EpisodicScorer`.

    baseline : str, default=None
        Name of the estimator that each other is compared with. None compares all
        pairs, the first named less the second.

    groups : array-like of shape (n_samples,), default=None
        Bursts, encounters, days: never in both the support set and the queries.

    imbalance : {"dirichlet", "long_tail"} or None, default=None
        How unequal the classes of an episode are.

    replace : bool, default=True
        Whether a sample may be in several episodes.

    small_classes : {"raise", "drop"}, default="raise"
        Whether classes with too few samples are an error, or are left out and named in
        a warning.

    output : {"text", "dict", "frame"}, default="text"
        Text to print, a dict of everything, or pandas data frames of everything.

    random_state : int, RandomState instance or None, default=0
        Governs the draw of the episodes. An integer gives the same ones at each call.

    Returns
    -------
    comparison : str, dict or Bunch
        The text ends in a sentence on each pair that says what can be said.

        The dict has "n_way", "n_shot" and "metric" as given, "n_episodes", "n_classes",
        and

        - "estimators": a dict from name to what :class:`EpisodicScorer` answers with
          ``return_stats=True``;
        - "pairs": a list of dicts with "first", "second", their mean "difference"
          (first less second), its "standard_error", "episodes_low" and "episodes_high",
          "classes_low" and "classes_high"; "episodes_won", "episodes_lost" and
          "episodes_tied" by the first, and "episodes_p_value" of a sign test; the same
          four of "classes"; and "better", the name of the better one, or None where the
          data do not tell;
        - "classes": a dict from label to a dict from name to the mean of the class.

        As frames it is a :class:`~sklearn.utils.Bunch` of three: `estimators`, `pairs`
        and `classes`.

    Raises
    ------
    ValueError
        If there are fewer than two estimators, or a name stands there twice, or
        `baseline` is none of the names. If y has fewer classes than `n_way`, or a class
        has too few samples.
    TypeError
        If `estimators` has no names, or an estimator cannot be judged by episodes.
    NotFittedError
        If an estimator is not fitted; the message names it.
    ImportError
        If frames are asked for and pandas is not installed.

    Warns
    -----
    SeenSamplesWarning
        If a metric was trained on some of the samples.
    UserWarning
        If classes are left out by ``small_classes="drop"``.

    See Also
    --------
    few_shot_report : All there is to know of one estimator.
    estimate_support_score : Compares classifiers of one support set.

    Notes
    -----
    One is called better where both 95 % intervals of the difference are on one side of
    zero. The interval over episodes alone is no reason: it shrinks with `n_episodes`,
    on however few classes. Each pair stands for itself; of many pairs without any
    difference one in twenty or so is called better by chance.

    Sign tests leave ties out [1]_. The one over episodes takes them for independent,
    which they are not, since they share samples: its p-value speaks of these samples
    only. The one over classes speaks of others. It counts a class for the estimator to
    which it brings more, by its own queries and by those of other classes that are
    taken for it: what leaving it out takes away, as in the interval. By the means of
    its own queries alone, equal metrics would be told apart up to twice too often.

    Means of classes are those of their own queries, such as their recall; where a
    metric is of whole episodes ("auroc_unknown", callables), what they bring.

    References
    ----------
    .. [1] J. Demšar, "Statistical comparisons of classifiers over multiple data sets",
       Journal of Machine Learning Research 7, 2006, section 3.1.4.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skfsl.model_selection import compare_few_shot
    >>> X, y = load_digits(return_X_y=True)
    >>> candidates = {str(d): PCA(d, random_state=0).fit(X) for d in (2, 20)}
    >>> found = compare_few_shot(candidates, X, y, n_episodes=100, output="dict")
    >>> pair = found["pairs"][0]
    >>> print(f"{pair['difference']:.2f}, better: {pair['better']}")
    -0.12, better: 20
    """
    episodes: dict[str, Any] = {
        "n_way": n_way, "n_shot": n_shot, "n_query": n_query, "n_episodes": n_episodes,
        "imbalance": imbalance, "replace": replace, "small_classes": small_classes,
        "random_state": random_state,
    }  # fmt: skip
    validate_parameter_constraints(
        _CONSTRAINTS,
        {**episodes, "metric": metric, "baseline": baseline, "output": output},
        caller_name="compare_few_shot",
    )
    check_metric(metric, "compare_few_shot")
    named = named_estimators(
        estimators,
        "a dict of names and estimators, or a list of (name, estimator) tuples",
    )
    if len(named) < 2:
        raise ValueError(
            f"A comparison needs at least two estimators. Got {list(named)}. One alone "
            f"is judged by few_shot_report."
        )
    pairs = _pairs(list(named), baseline)
    pandas = import_pandas("compare_few_shot") if output == "frame" else None
    y = check_labels(y)
    check_consistent_length(X, y)
    episodes["n_unknown"] = None if needs_unknown(metric) else 0
    labels, blocks = _draw(y, groups, episodes)
    players = {name: _player(name, one, X) for name, one in named.items()}
    fewer = leave_unread(X, list(players.values()), y, groups)
    if fewer is not None:
        y, groups = fewer
        labels, blocks = _draw(y, groups, episodes)
    results = {
        name: _Result(player, y, labels, blocks, metric)
        for name, player in players.items()
    }
    one = next(iter(results.values()))
    found = {
        "n_way": n_way,
        "n_shot": n_shot,
        "metric": metric,
        "n_episodes": len(one.worth),
        "n_classes": len(one.labels),
        "estimators": {name: r.summary.as_dict() for name, r in results.items()},
        "pairs": [_compared(*pair, results, bounds_of(metric)) for pair in pairs],
        "classes": {
            label: {name: float(r.by_class[i]) for name, r in results.items()}
            for i, label in enumerate(one.labels.tolist())
        },
    }
    if pandas is not None:
        return _frames(pandas, found)
    return found if output == "dict" else comparison_text(found)


def _draw(y, groups, episodes: dict) -> tuple[np.ndarray, list]:
    """Return the labels, and the episodes that all play."""
    labels, codes = np.unique(y, return_inverse=True)
    return labels, list(episode_blocks(labels, codes, groups=groups, **episodes))


def _pairs(names: list[str], baseline: str | None) -> list[tuple[str, str]]:
    if baseline is None:
        return list(combinations(names, 2))
    if baseline not in names:
        raise ValueError(
            f"The 'baseline' parameter of compare_few_shot must be the name of an "
            f"estimator, one of {names}. Got {baseline!r} instead."
        )
    return [(name, baseline) for name in names if name != baseline]


def _player(name: str, estimator: Any, X: Any) -> Player:
    try:
        return Player(estimator, X, f"compare_few_shot (estimator {name!r})")
    except NotFittedError as error:
        raise NotFittedError(f"Estimator {name!r} is not fitted: {error}") from error


class _Result:
    """One estimator's episodes."""

    def __init__(self, player, y, labels, blocks, metric):
        scores = "needed" if needs_scores(metric) else "if there"
        self.summary = Summary(len(labels), bounds_of(metric))
        sums, n_queries = np.zeros((2, len(labels)))
        met = np.zeros(len(labels), dtype=bool)
        for played in player.play(y, blocks, scores=scores):
            worth = values(metric, played, labels)
            added = influences(metric, played, labels, worth)
            outside = outside_influences(metric, played, worth)
            self.summary.add(worth, played.classes, added, outside)
            met[played.classes] = True
            each = query_worth(metric, played)
            if each is not None:
                by_class = sums_by_class(played, each, len(labels))
                sums += by_class[0]
                n_queries += by_class[1]
        self.worth, self.influence = self.summary.worth, self.summary.influence
        self.labels = labels[met]
        if n_queries.any():
            self.by_class = sums[met] / n_queries[met]
        else:
            # As in a jackknife: their mean is the score, and the interval is theirs.
            own = self.influence - self.influence.mean()
            self.by_class = self.summary.mean + own


def _compared(first: str, second: str, results: dict, bounds) -> dict[str, Any]:
    one, other = results[first], results[second]
    worth = one.worth - other.worth
    difference = float(worth.mean())
    error, *episodes = interval_over_episodes(worth)
    influence = one.influence - other.influence
    if not worth.any():
        influence = np.zeros_like(influence)
    classes = interval_over_classes(difference, influence)
    widest = bounds[1] - bounds[0]
    names = ("episodes_low", "episodes_high", "classes_low", "classes_high")
    low, high, *_ = ends = np.clip([*episodes, *classes], -widest, widest).tolist()
    better = None
    if low > 0 and ends[2] > 0:
        better = first
    elif high < 0 and ends[3] < 0:
        better = second
    return {
        "first": first,
        "second": second,
        "difference": difference,
        "standard_error": error,
        **dict(zip(names, ends, strict=True)),
        **_sign_test("episodes", worth),
        **_sign_test("classes", difference + influence - influence.mean()),
        "better": better,
    }


def _sign_test(of: str, differences: np.ndarray) -> dict[str, float]:
    if np.isnan(differences).any():
        return dict.fromkeys([f"{of}_won", f"{of}_lost", f"{of}_tied"], 0) | {
            f"{of}_p_value": np.nan
        }
    # What is nothing but for rounding is a tie.
    signs = np.sign(np.where(np.abs(differences) < 1e-12, 0, differences))
    won, lost = int((signs > 0).sum()), int((signs < 0).sum())
    p_value = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    return {
        f"{of}_won": won,
        f"{of}_lost": lost,
        f"{of}_tied": len(signs) - won - lost,
        f"{of}_p_value": p_value,
    }


def _frames(pandas, found: dict) -> Bunch:
    classes = pandas.DataFrame.from_dict(found["classes"], orient="index")
    return Bunch(
        estimators=pandas.DataFrame(
            list(found["estimators"].values()),
            index=pandas.Index(list(found["estimators"]), name="estimator"),
        ),
        pairs=pandas.DataFrame(found["pairs"]).set_index(["first", "second"]),
        classes=classes.rename_axis(index="class", columns="estimator"),
    )
