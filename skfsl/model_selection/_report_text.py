"""What is shown of a report on paper: all settings, and the last one in detail."""

from typing import Any

from skfsl.model_selection._text import (
    COVERED,
    bracketed,
    number,
    shortened,
    shown_size,
    table,
)

__all__ = ["report_text"]


def report_text(report: dict[str, Any], n_rows: int | None) -> str:
    """Return the text of `few_shot_report`.

    Parameters
    ----------
    report : dict
        What it answers as a dict.
    n_rows : int or None
        How many classes and confusions are shown; None is all.

    Returns
    -------
    text : str
        A table of all settings, and two of the last.
    """
    settings = list(report.values())
    columns = {
        "n_way": [shown_size(one["n_way"]) for one in settings],
        "n_shot": [shown_size(one["n_shot"]) for one in settings],
        **_n_classes(settings),
        "score": [number(one["score"]) for one in settings],
        "over episodes": [
            bracketed(one["episodes_low"], one["episodes_high"]) for one in settings
        ],
        "over classes": [
            bracketed(one["classes_low"], one["classes_high"]) for one in settings
        ],
        "worst tenth": [number(one["worst_decile"]) for one in settings],
    }
    for name in settings[0]:
        if name.startswith("top@"):
            columns[name] = [number(one[name]) for one in settings]
    name, last = list(report.items())[-1]
    classes, confusions = last["classes"], last["confusions"]
    lines = [f"Accuracy in {_drawn(settings)}", "", *table(columns, 2), "", *COVERED]
    lines += ["", f"{name}: classes, the lowest recall first", ""]
    lines += _class_lines(classes, n_rows)
    if confusions:
        lines += ["", f"{name}: confusions, the highest count first", ""]
        lines += _confusion_lines(confusions, n_rows)
    return "\n".join(lines)


def _n_classes(settings: list[dict]) -> dict[str, list[str]]:
    """Return a column of them, where settings differ."""
    numbers = [str(one["n_classes"]) for one in settings]
    return {"n_classes": numbers} if len(set(numbers)) > 1 else {}


def _drawn(settings: list[dict]) -> str:
    def span(name):
        numbers = [one[name] for one in settings]
        low, high = min(numbers), max(numbers)
        return f"{low}" if low == high else f"{low} to {high}"

    return f"{span('n_episodes')} episodes, of {span('n_classes')} classes"


def _class_lines(classes: dict, n_rows: int | None) -> list[str]:
    shown = list(classes.items())[:n_rows]
    lines = table(
        {
            "class": [shortened(label, 40) for label, _ in shown],
            "recall": [number(row["recall"]) for _, row in shown],
            "precision": [number(row["precision"]) for _, row in shown],
            "queries": [str(row["n_queries"]) for _, row in shown],
            "episodes": [str(row["n_episodes"]) for _, row in shown],
            "samples": [str(row["n_samples"]) for _, row in shown],
        }
    )
    rest = list(classes.values())[len(shown) :]
    if rest:
        low, high = rest[0]["recall"], rest[-1]["recall"]
        lines.append(
            f"… and {len(rest)} more, of recall {number(low)} to {number(high)}"
        )
    return lines


def _confusion_lines(confusions: list[dict], n_rows: int | None) -> list[str]:
    shown = confusions[:n_rows]
    lines = table(
        {
            "true": [shortened(row["true"], 30) for row in shown],
            "answered": [shortened(row["answered"], 30) for row in shown],
            "share": [number(row["share"]) for row in shown],
            "queries": [f"{row['count']}/{row['n_queries']}" for row in shown],
        },
        2,
    )
    left = len(confusions) - len(shown)
    return [*lines, f"… and {left} more"] if left else lines
