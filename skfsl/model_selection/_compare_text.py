"""What is said of a comparison, and no more than that."""

import textwrap
from typing import Any

import numpy as np

from skfsl.model_selection._summary import MIN_CLASSES
from skfsl.model_selection._text import (
    COVERED,
    WIDTH,
    bracketed,
    number,
    setting_name,
    shortened,
    table,
)

__all__ = ["comparison_text"]


def comparison_text(found: dict[str, Any]) -> str:
    """Return the text of `compare_few_shot`.

    Parameters
    ----------
    found : dict
        What it answers as a dict.

    Returns
    -------
    text : str
        Two tables, and a sentence on each pair.
    """
    name = getattr(found["metric"], "__name__", str(found["metric"]))
    setting = setting_name(found["n_way"], found["n_shot"])
    scores, pairs = found["estimators"], found["pairs"]
    what = (
        f"{setting}, {shortened(name, 30)}: {found['n_episodes']} episodes, of "
        f"{found['n_classes']} classes"
    )
    scored = {
        "estimator": [shortened(name, 30) for name in scores],
        "score": [number(one["score"]) for one in scores.values()],
        **_intervals(list(scores.values())),
        "worst tenth": [number(one["worst_decile"]) for one in scores.values()],
    }
    both = [
        [shortened(pair[name], 18) for name in ("first", "second")] for pair in pairs
    ]
    differences = {
        "first - second": [" - ".join(names) for names in both],
        "difference": [number(pair["difference"], signed=True) for pair in pairs],
        **_intervals(pairs),
        "episodes won:lost": [_won(pair, "episodes") for pair in pairs],
        "classes won:lost": [_won(pair, "classes") for pair in pairs],
    }
    lines = [what, "", *table(scored), "", *table(differences), "", *COVERED]
    lines.append("won:lost:      with p of a sign test; episodes share their samples")
    for pair in pairs:
        lines += ["", *_wrapped(_verdict(pair, found["n_classes"]))]
    if len(pairs) > 1:
        lines += ["", *_wrapped(
            f"Each of the {len(pairs)} pairs stands for itself: where there is no "
            f"difference, one in twenty is called better by chance."
        )]  # fmt: skip
    return "\n".join(lines)


def _wrapped(sentence: str) -> list[str]:
    """Return its lines, intervals and names unbroken."""
    lines = textwrap.wrap(
        sentence, WIDTH, break_on_hyphens=False, break_long_words=False
    )
    return [line.replace("\xa0", " ") for line in lines]


def _intervals(rows: list[dict]) -> dict[str, list[str]]:
    return {
        f"over {of}": [bracketed(row[f"{of}_low"], row[f"{of}_high"]) for row in rows]
        for of in ("episodes", "classes")
    }


def _won(pair: dict[str, Any], of: str) -> str:
    p = pair[f"{of}_p_value"]
    if np.isnan(p):
        return "-"
    shown = f"p={p:.3f}" if p >= 0.001 else "p<0.001"
    return f"{pair[f'{of}_won']}:{pair[f'{of}_lost']} {shown}"


def _verdict(pair: dict[str, Any], n_classes: int) -> str:
    """Say what can be said, and no more."""
    first, second = (shortened(pair[name], 30) for name in ("first", "second"))
    low, high = pair["classes_low"], pair["classes_high"]
    difference = pair["difference"]
    if difference < 0:
        first, second, low, high = second, first, -high, -low
    by, between = number(abs(difference)), bracketed(low, high).replace(" ", "\xa0")
    if pair["better"]:
        return (
            f"{first} is better than {second} by {by}; over other classes the interval "
            f"is {between}."
        )
    if pair["episodes_won"] == pair["episodes_lost"] == 0:
        return f"{first} and {second} are worth the same in every episode."
    ahead = f"{first} is ahead of {second} by {by} on these classes"
    unsure = f"{first} and {second} differ by {by}, which more or other episodes may "
    unsure += "turn round"
    open_ = "the data do not tell which is better"
    sure = pair["episodes_low"] > 0 or pair["episodes_high"] < 0
    if np.isnan(low):
        needs = (
            f"{MIN_CLASSES} or more classes"
            if n_classes < MIN_CLASSES
            else "scores of the classifiers"
        )
        said = ahead if sure else unsure
        return (
            f"{said}. Over other classes there is no interval, which needs {needs}: "
            f"{open_}{' on others' if sure else ''}."
        )
    if not sure:
        return f"{unsure}; over other classes the interval is {between}: {open_}."
    return (
        f"{ahead}, but over other classes the interval is {between}, with 0 in it: "
        f"{open_}."
    )
