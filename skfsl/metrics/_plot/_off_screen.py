"""Distance matrices drawn into files: no window is opened, in any thread."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skfsl.metrics._plot._axes import Blocks, figure_size, label_axis
from skfsl.metrics._plot._pyplot import import_pyplot
from skfsl.metrics._plot.distance_matrix import DistanceMatrixDisplay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_off_screen", "write_gif"]


def draw_off_screen(display: DistanceMatrixDisplay, title: str) -> "Figure":
    """Draw a labelled set against itself on a figure that pyplot does not know.

    Parameters
    ----------
    display : DistanceMatrixDisplay
        Is plotted.
    title : str
        Stands above.

    Returns
    -------
    figure : matplotlib Figure
        Large enough for the names of the classes.
    """
    import_pyplot("Drawing a distance matrix")
    from matplotlib.figure import Figure

    blocks = Blocks(display.y)
    size = figure_size(blocks, blocks, colorbar=True)
    figure = Figure(figsize=size, layout="constrained")
    ax = figure.subplots()
    # Lines around each single sample would hide it.
    single = len(blocks.centres) == blocks.n_samples
    display.plot(ax, line_kw={"linewidth": 0} if single else None)
    ax.set_title(title)
    # The names make the axes smaller, and are made again to fit what is left.
    figure.draw_without_rendering()
    label_axis(ax, "y", blocks)
    label_axis(ax, "x", blocks)
    return figure


def write_gif(
    path: Path,
    frames: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    y: np.ndarray,
    distance_name: str,
    fps: int = 4,
) -> None:
    """Write distance matrices of the same samples as a moving picture.

    Parameters
    ----------
    path : Path
        The file.
    frames : sequence of ndarray of shape (n, n)
        The matrices, sorted by class; each has colours of its own.
    titles : sequence of str
        One a frame.
    y : ndarray of shape (n,)
        The labels.
    distance_name : str
        What the colours stand for.
    fps : int, default=4
        Frames a second.
    """
    display = DistanceMatrixDisplay(frames[0], y=y, distance_name=distance_name)
    figure = draw_off_screen(display, titles[0])
    from matplotlib.animation import PillowWriter

    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the axes are not to move
    writer = PillowWriter(fps=fps)
    with writer.saving(figure, str(path), figure.dpi):
        for distances, title in zip(frames, titles, strict=True):
            display.im_.set_data(distances)
            display.im_.autoscale()
            display.ax_.set_title(title)
            writer.grab_frame()
