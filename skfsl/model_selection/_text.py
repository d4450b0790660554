"""Tables in plain text, no wider than a terminal."""

from typing import Any

import numpy as np

__all__ = [
    "COVERED",
    "WIDTH",
    "bracketed",
    "number",
    "setting_name",
    "shortened",
    "shown_size",
    "table",
]

WIDTH = 88
_GAP = 2

# What the intervals are of, under each table that has them.
COVERED = [
    "over episodes: 95 %, for other draws of episodes from these same samples",
    "over classes:  95 %, for other classes of the same kind",
]


def number(value: float, *, signed: bool = False) -> str:
    """Return a number with three digits, a dash where there is none."""
    if np.isnan(value):
        return "-"
    # What is nothing but for rounding has no sign; what is little is more than nothing.
    value = 0.0 if abs(value) < 1e-6 else value
    digits = ".1g" if 0 < abs(value) < 5e-4 else ".3f"
    return format(value, f"+{digits}" if signed and value else digits)


def bracketed(low: float, high: float) -> str:
    """Return an interval, a dash where there is none."""
    if np.isnan(low) or np.isnan(high):
        return "-"
    return f"[{number(low)}, {number(high)}]"


def setting_name(n_way: Any, n_shot: Any) -> str:
    """Return the name of a setting, such as "5-way 1-shot"."""
    return f"{shown_size(n_way)}-way {shown_size(n_shot)}-shot"


def shown_size(value: Any) -> str:
    """Return a number of ways or shots as it stands in names."""
    if value is None:
        return "all"
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def shortened(label: Any, width: int) -> str:
    """Return a label in one line of at most `width` characters, cut in its middle.

    Long labels differ at their ends more often than in between.
    """
    text = " ".join(str(label).split()) or repr(str(label))
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def table(columns: dict[str, list[str]], n_names: int = 1) -> list[str]:
    """Return the lines of a table; columns that are too many go below the others.

    Parameters
    ----------
    columns : dict of str to list of str
        Header and cells of each.
    n_names : int, default=1
        The first so many columns name the rows: they are repeated, and set to the left.

    Returns
    -------
    lines : list of str
        Of at most 88 characters, where no single column is too wide for it.
    """
    cells = {header: [header, *rows] for header, rows in columns.items()}
    widths = {header: max(map(len, rows)) for header, rows in cells.items()}
    names = list(cells)[:n_names]
    parts: list[list[str]] = [[]]
    room = free = WIDTH - sum(widths[name] + _GAP for name in names) + _GAP
    for header in list(cells)[n_names:]:
        free -= widths[header] + _GAP
        if free < 0 and parts[-1]:
            parts.append([])
            free = room - widths[header] - _GAP
        parts[-1].append(header)
    lines: list[str] = []
    for part in parts:
        lines += [""] if lines else []
        for row in range(len(cells[names[0]])):
            line = [cells[name][row].ljust(widths[name]) for name in names]
            line += [cells[header][row].rjust(widths[header]) for header in part]
            lines.append((" " * _GAP).join(line).rstrip())
    return lines
