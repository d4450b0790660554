"""Axes whose ticks are blocks of samples of one class."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Blocks", "figure_size", "label_axis"]

_MAX_LABEL = 24  # characters; the middle of longer ones is left out
_MAX_SIZE, _MIN_SIZE = 10.0, 5.0  # points
_WIDTH, _LINE = 0.6, 1.3  # of a character and a line, in font sizes


class Blocks:
    """Runs of equal labels.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Labels in the order shown.

    Attributes
    ----------
    n_samples : int
        Number of samples.
    boundaries : ndarray of shape (n_blocks - 1,)
        Positions between two blocks; sample i reaches from i - 0.5 to i + 0.5.
    centres : ndarray of shape (n_blocks,)
        Positions of the middles.
    names : list of str
        Labels of the blocks, shortened to fit.
    grouped : bool
        Whether each label makes one block only.
    """

    def __init__(self, labels: np.ndarray) -> None:
        starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
        ends = np.r_[starts[1:], len(labels)]
        self.n_samples = len(labels)
        self.boundaries = starts[1:] - 0.5
        self.centres = (starts + ends - 1) / 2
        self.names = [_shorten(str(label)) for label in labels[starts].tolist()]
        self.grouped = len(starts) == len(np.unique(labels))

    @property
    def longest(self) -> int:
        """Length of the longest name."""
        return max(map(len, self.names))


def _shorten(name: str) -> str:
    if len(name) <= _MAX_LABEL:
        return name
    half = (_MAX_LABEL - 1) // 2
    return f"{name[: half + 1]}…{name[-half:]}"


def _readable(blocks: Blocks, points: float) -> tuple[list[int], float]:
    """Choose which names are shown, and how large, so that none overlaps another."""
    per_sample = points / blocks.n_samples
    nearest = np.diff(blocks.centres).min() if len(blocks.centres) > 1 else np.inf
    size = float(np.clip(nearest * per_sample / _LINE, _MIN_SIZE, _MAX_SIZE))
    shown: list[int] = []
    for i, centre in enumerate(blocks.centres):
        if (
            not shown
            or (centre - blocks.centres[shown[-1]]) * per_sample >= size * _LINE
        ):
            shown.append(i)
    return shown, size


def figure_size(
    rows: Blocks | None, columns: Blocks, *, colorbar: bool
) -> tuple[float, float]:
    """Find a size for a figure in which each name has its place, within reason.

    Parameters
    ----------
    rows, columns : Blocks
        The blocks along both axes; None for rows without labels.
    colorbar : bool
        Whether a scale of colours stands beside.

    Returns
    -------
    width, height : float
        Inches.
    """
    blocks = [columns] if rows is None else [columns, rows]
    n_names = max(len(b.centres) for b in blocks)
    side = float(np.clip(n_names * 7.5 / 72, 4, 8))
    left = 0.3
    if rows is not None:
        left += 0.1 + 1.2 * rows.longest * _WIDTH * _size(rows, side) / 72
    size = _size(columns, side)
    upright = columns.longest * _WIDTH * size > side * 72 / len(columns.centres)
    below = 0.3 + (columns.longest * _WIDTH if upright else 1) * size / 72
    return side + left + (0.9 if colorbar else 0), side + below


def _size(blocks: Blocks, inches: float) -> float:
    return _readable(blocks, inches * 72)[1]


def label_axis(
    ax: "Axes", which: str, blocks: Blocks, *, rotation: str | float = "auto"
) -> None:
    """Put the names of blocks at their middles, as many as can be read.

    Parameters
    ----------
    ax : matplotlib Axes
        What is labelled.
    which : {"x", "y"}
        The axis.
    blocks : Blocks
        The blocks along that axis.
    rotation : {"auto", "horizontal", "vertical"} or float, default="auto"
        Rotation of the names along x. "auto" stands them up where they would run
        into each other.
    """
    box = ax.get_window_extent()
    points = (box.width if which == "x" else box.height) * 72 / ax.figure.dpi
    shown, size = _readable(blocks, points)
    names = [blocks.names[i] for i in shown]
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_ticks(blocks.centres[shown], names, fontsize=size)
    if which == "y":
        return
    if rotation == "auto":
        gap = np.diff(blocks.centres[shown]).min() if len(shown) > 1 else np.inf
        width = size * _WIDTH * (blocks.longest + 1)
        rotation = "horizontal" if gap * points / blocks.n_samples > width else 90
    named = {"horizontal": 0.0, "vertical": 90.0}
    axis.set_tick_params(rotation=named.get(str(rotation), rotation))
