"""What there is to know of one estimator on classes that it never saw."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils.validation import check_consistent_length

from skfsl.model_selection._episodes import EPISODE_CONSTRAINTS, episode_blocks
from skfsl.model_selection._frames import import_pandas
from skfsl.model_selection._merits import influences, values
from skfsl.model_selection._play import Player, leave_unread
from skfsl.model_selection._report_text import report_text
from skfsl.model_selection._summary import Summary
from skfsl.model_selection._tally import ClassTally
from skfsl.model_selection._text import setting_name
from skfsl.utils._sklearn_private import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from skfsl.utils._validation import check_labels

__all__ = ["few_shot_report"]

_CONSTRAINTS: dict = {
    **{k: v for k, v in EPISODE_CONSTRAINTS.items() if k != "n_unknown"},
    "top_k": [Interval(Integral, 1, None, closed="left"), "array-like", None],
    "n_rows": [Interval(Integral, 1, None, closed="left"), None],
    "output": [StrOptions({"text", "dict", "frame"})],
}


def few_shot_report(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    n_way: Any = 5,
    n_shot: Any = 1,
    n_query: int | str | None = None,
    n_episodes: int | None = 600,
    top_k: Any = None,
    groups: Any = None,
    imbalance: str | None = None,
    replace: bool = True,
    small_classes: str = "raise",
    n_rows: int | None = 10,
    output: str = "text",
    random_state: Any = 0,
) -> str | dict[str, Any]:
    """Report how an estimator does on few-shot episodes, and where it fails.

    The samples are embedded once and episodes are played on them, of every number of
    classes with every number of shots that is asked for. The report has the accuracy of
    each setting with its intervals, the recall of each class, and which classes are
    taken for which others.

    Use it on classes that the metric was not trained on, when a model is chosen: to
    tell what to expect of it with more classes and more shots, and which classes need
    better examples.

    Read more in the :ref:`User Guide <reports>`.

    Parameters
    ----------
    estimator : estimator instance
        A fitted pipeline or transformer, or a classifier of this package, as
        :class:`EpisodicScorer` takes them.

    X : array-like of length n_samples
        Samples, as the estimator takes them.

    y : array-like of shape (n_samples,)
        Class labels.

    n_way : int, (int, int), None, or list of these, default=5
        Classes in an episode. A list is several settings, as in ``n_way=[5, 20]``; a
        tuple is one setting, of any number from the first to the second; None is all
        classes.

    n_shot : int, (int, int), "natural", or list of these, default=1
        Support examples of each class. A list is several settings.

    n_query : int, None or "natural", default=None
        Queries of each class. None is what is left of the class, 15 at most.

    n_episodes : int or None, default=600
        Number of episodes of each setting. None is as many as there are, with
        ``replace=False``.

    top_k : int or list of int, default=None
        Report also the share of queries whose class is among the first k.

    groups : array-like of shape (n_samples,), default=None
        Bursts, encounters, days: never in both the support set and the queries.

    imbalance : {"dirichlet", "long_tail"} or None, default=None
        How unequal the classes of an episode are; see :func:`iter_episodes`.

    replace : bool, default=True
        Whether a sample may be in several episodes.

    small_classes : {"raise", "drop"}, default="raise"
        Whether classes with too few samples are an error, or are left out and named in
        a warning. Settings of more shots may leave out more.

    n_rows : int or None, default=10
        How many classes and confusions the text shows. None is all.

    output : {"text", "dict", "frame"}, default="text"
        Text to print, a dict of everything, or pandas data frames of everything.

    random_state : int, RandomState instance or None, default=0
        Governs the draw of the episodes. An integer gives the same ones at each call,
        and those of an :class:`EpisodicScorer` of the same setting.

    Returns
    -------
    report : str, dict or Bunch
        The text has a table of all settings, and classes and confusions of the last.
        Where settings leave out other classes, their table has a column of n_classes.

        The dict has an entry for each setting, such as "5-way 1-shot": a dict with

        - "n_way", "n_shot", as given, "n_episodes" and "n_classes", those met;
        - what :class:`EpisodicScorer` answers with ``return_stats=True``, under the
          same names, and "top@k" for each `top_k`;
        - "classes": a dict from label, the worst first, to a dict of "recall",
          "precision", "n_queries", "n_episodes", in which the class was, and
          "n_samples" of it in y: many queries of few samples are the same ones again;
        - "confusions": a list, the highest count first, of dicts with "true",
          "answered", their "count", "n_queries" of the true class in episodes that
          have both classes, and the "share" of the count in these.

        As frames it is a :class:`~sklearn.utils.Bunch` of three: `scores` (one row a
        setting), `classes` and `confusions`, whose index starts with the setting.

    Raises
    ------
    ValueError
        If y has fewer classes than a setting asks for, or a class has too few samples.
        If a setting stands there twice.
    TypeError
        If the estimator is none of those above, or `top_k` is given and it does not
        rank classes.
    ImportError
        If frames are asked for and pandas is not installed.

    Warns
    -----
    SeenSamplesWarning
        If the metric was trained on some of the samples.
    UserWarning
        If classes are left out by ``small_classes="drop"``.

    See Also
    --------
    EpisodicScorer : One number, for scikit-learn's model selection.
    compare_few_shot : Which of several estimators is better.

    Notes
    -----
    Recall and precision are those of all queries of a setting together. They depend on
    the setting: of five classes few are alike. A confusion is counted where it could
    happen, in episodes with both classes; where n_way is small beside the number of
    classes these are few, and the share is a rough one.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skfsl.model_selection import few_shot_report
    >>> X, y = load_digits(return_X_y=True)
    >>> pca = PCA(20, random_state=0).fit(X[y < 5])
    >>> report = few_shot_report(
    ...     pca, X[y >= 5], y[y >= 5], n_shot=[1, 5], n_episodes=100, n_rows=2
    ... )
    >>> print(report)
    Accuracy in 100 episodes, of 5 classes
    <BLANKLINE>
    n_way  n_shot  score   over episodes    over classes  worst tenth
    5      1       0.719  [0.703, 0.736]  [0.466, 1.000]        0.555
    5      5       0.873  [0.864, 0.881]  [0.726, 1.000]        0.795
    <BLANKLINE>
    over episodes: 95 %, for other draws of episodes from these same samples
    over classes:  95 %, for other classes of the same kind
    <BLANKLINE>
    5-way 5-shot: classes, the lowest recall first
    <BLANKLINE>
    class  recall  precision  queries  episodes  samples
    5       0.798      0.868     1500       100      182
    8       0.823      0.842     1500       100      174
    … and 3 more, of recall 0.834 to 0.981
    <BLANKLINE>
    5-way 5-shot: confusions, the highest count first
    <BLANKLINE>
    true  answered  share   queries
    5     9         0.147  221/1500
    8     9         0.070  105/1500
    … and 16 more
    """
    shared: dict[str, Any] = {
        "n_query": n_query, "n_episodes": n_episodes, "imbalance": imbalance,
        "replace": replace, "small_classes": small_classes,
        "random_state": random_state,
    }  # fmt: skip
    settings = [(way, shot) for way in _several(n_way) for shot in _several(n_shot)]
    for way, shot in settings:
        validate_parameter_constraints(
            _CONSTRAINTS,
            {**shared, "n_way": way, "n_shot": shot}
            | {"top_k": top_k, "n_rows": n_rows, "output": output},
            caller_name="few_shot_report",
        )
    names = [setting_name(*setting) for setting in settings]
    _check_settings(settings, names)
    top_k = _top_k(top_k)
    pandas = import_pandas("few_shot_report") if output == "frame" else None
    y = check_labels(y)
    check_consistent_length(X, y)
    # All that cannot be drawn is told before anything is embedded.
    labels, drawn = _draw(y, groups, settings, shared)
    player = Player(estimator, X, "few_shot_report")
    fewer = leave_unread(X, [player], y, groups)
    if fewer is not None:
        y, groups = fewer
        labels, drawn = _draw(y, groups, settings, shared)
    report = {}
    for name, (way, shot), blocks in zip(names, settings, drawn, strict=True):
        found = _play(player, y, labels, blocks, top_k)
        report[name] = {"n_way": way, "n_shot": shot, **found}
    if pandas is not None:
        return _frames(pandas, report)
    return report if output == "dict" else report_text(report, n_rows)


def _draw(y, groups, settings: list, shared: dict) -> tuple[np.ndarray, list]:
    """Return the labels, and the episodes of each setting."""
    labels, codes = np.unique(y, return_inverse=True)
    drawn = [
        episode_blocks(labels, codes, n_way=way, n_shot=shot, groups=groups, **shared)
        for way, shot in settings
    ]
    return labels, drawn


def _several(value: Any) -> list:
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(value, list | range):
        return [value]
    return [int(v) if isinstance(v, Integral) else v for v in value]


def _check_settings(settings: list, names: list[str]) -> None:
    if not settings:
        raise ValueError(
            "Expected at least one setting. Got an empty list of n_way or n_shot."
        )
    for pair in (value for setting in settings for value in setting):
        if isinstance(pair, tuple) and len(pair) != 2:
            raise ValueError(
                f"A tuple is a pair (low, high), and a list several settings. Got "
                f"{pair!r}. Did you mean {list(pair)!r}?"
            )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Settings have to be different. Got {twice[0]!r} twice.")


def _top_k(top_k: Any) -> list[int]:
    ks = [] if top_k is None else list(top_k) if np.ndim(top_k) else [top_k]
    wrong = [k for k in ks if not isinstance(k, Integral) or k < 1]
    if wrong:
        raise ValueError(
            f"The 'top_k' parameter of few_shot_report must be an int in the range "
            f"[1, inf) or a list of such. Got {top_k!r} instead."
        )
    return list(dict.fromkeys(int(k) for k in ks))


def _play(player, y, labels, blocks, top_k: list[int]) -> dict[str, Any]:
    """Play one setting and return all there is to say of it."""
    summary, tally = Summary(len(labels), (0.0, 1.0)), ClassTally(len(labels))
    n_samples = np.bincount(np.searchsorted(labels, y))
    tops: dict[int, list[np.ndarray]] = {k: [] for k in top_k}
    scores = "needed" if top_k else "if there"
    for played in player.play(y, blocks, scores=scores):
        worth = values("accuracy", played, labels)
        added = influences("accuracy", played, labels, worth)
        summary.add(worth, played.classes, added)
        tally.add(played)
        for k, so_far in tops.items():
            so_far.append(values(f"top@{k}", played, labels))
    met = np.flatnonzero(tally.n_episodes)
    return {
        "n_episodes": len(summary.worth),
        "n_classes": len(met),
        **summary.as_dict(),
        **{f"top@{k}": float(np.concatenate(t).mean()) for k, t in tops.items()},
        "classes": _classes(tally, met, labels, n_samples),
        "confusions": _confusions(tally, labels),
    }


def _classes(
    tally: ClassTally, met: np.ndarray, labels: np.ndarray, n_samples: np.ndarray
) -> dict:
    columns = {
        "recall": tally.recall, "precision": tally.precision,
        "n_queries": tally.n_queries, "n_episodes": tally.n_episodes,
        "n_samples": n_samples,
    }  # fmt: skip
    worst_first = met[np.argsort(tally.recall[met], kind="stable")]
    rows = zip(*(v[worst_first].tolist() for v in columns.values()), strict=True)
    named = zip(labels[worst_first].tolist(), rows, strict=True)
    return {label: dict(zip(columns, row, strict=True)) for label, row in named}


def _confusions(tally: ClassTally, labels: np.ndarray) -> list[dict[str, Any]]:
    found = tally.confusions()
    found["true"], found["answered"] = labels[found["true"]], labels[found["answered"]]
    rows = zip(*(v.tolist() for v in found.values()), strict=True)
    return [dict(zip(found, row, strict=True)) for row in rows]


def _frames(pandas, report: dict) -> Bunch:
    details = ("classes", "confusions")
    scores = pandas.DataFrame(
        [{k: v for k, v in one.items() if k not in details} for one in report.values()],
        index=pandas.Index(report, name="setting"),
    )
    for size in ("n_way", "n_shot"):
        sizes = [one[size] for one in report.values()]
        if not all(isinstance(value, int) for value in sizes):
            # Or None would become NaN, and the numbers beside it floats.
            scores[size] = pandas.Series(sizes, index=scores.index, dtype=object)
    classes = [
        {"setting": name, "class": label, **row}
        for name, one in report.items()
        for label, row in one["classes"].items()
    ]
    confusions = [
        {"setting": name, **row}
        for name, one in report.items()
        for row in one["confusions"]
    ]
    names = ["setting", "true", "answered", "count", "n_queries", "share"]
    return Bunch(
        scores=scores,
        classes=pandas.DataFrame(classes).set_index(["setting", "class"]),
        confusions=pandas.DataFrame(confusions, columns=names).set_index("setting"),
    )
