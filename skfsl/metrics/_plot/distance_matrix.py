"""The distance matrix: what a metric makes of classes, seen."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import pairwise_distances
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length

from skfsl.metrics._plot._axes import Blocks, figure_size, label_axis
from skfsl.metrics._plot._pyplot import import_pyplot
from skfsl.utils._validation import as_numpy, check_labels

__all__ = ["DistanceMatrixDisplay", "learned_distances"]


class DistanceMatrixDisplay:
    """Show all distances between samples, so that classes stand out as blocks.

    A labelled set against itself is sorted by class: where a metric separates the
    classes, blocks of small distances lie along the diagonal. Queries against a
    support set stay in the order given; the support set is sorted by class.

    It is recommended to use :meth:`from_estimator` or :meth:`from_distances`, which
    sort, to create a display.

    Parameters
    ----------
    distances : ndarray of shape (n_samples, n_samples) or (n_queries, n_support)
        Distances, smaller is closer, rows and columns in the order shown.
    y : ndarray of shape (n_samples,) or (n_queries,), default=None
        Labels of the rows. None where queries have none.
    y_support : ndarray of shape (n_support,), default=None
        Labels of the columns. None if these are the rows' samples.
    distance_name : str, default="distance"
        What the colours stand for.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        Image of the distances.
    ax_ : matplotlib Axes
        Axes with the image.
    figure_ : matplotlib Figure
        Figure with the image and the scale of colours.
    lines_ : list of matplotlib LineCollection
        Boundaries of the classes.

    See Also
    --------
    DistanceMatrixDisplay.from_estimator : From a fitted estimator and data.
    DistanceMatrixDisplay.from_distances : From distances that are there already.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skfsl.metrics import DistanceMatrixDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> scaler = StandardScaler().fit(X)
    >>> display = DistanceMatrixDisplay.from_estimator(scaler, X, y)
    >>> display.distances.shape
    (150, 150)
    >>> plt.close()
    """

    def __init__(self, distances, *, y=None, y_support=None, distance_name="distance"):
        self.distances = distances
        self.y = y
        self.y_support = y_support
        self.distance_name = distance_name

    def plot(
        self,
        ax=None,
        *,
        cmap="viridis",
        colorbar=True,
        xticks_rotation="auto",
        im_kw=None,
        line_kw=None,
    ):
        """Plot the distances.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. None makes a figure, large enough for the labels.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours; small distances get its first.
        colorbar : bool, default=True
            Whether the scale of colours is shown.
        xticks_rotation : {"auto", "horizontal", "vertical"} or float, default="auto"
            Rotation of the labels along x, in degrees where it is a number.
        im_kw : dict, default=None
            For :meth:`matplotlib.axes.Axes.imshow`, e.g. ``vmax``.
        line_kw : dict, default=None
            For the lines between classes, e.g. ``color``; ``{"linewidth": 0}`` draws
            none.

        Returns
        -------
        display : DistanceMatrixDisplay
            This display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        rows = None if self.y is None else Blocks(self.y)
        columns = rows if self.y_support is None else Blocks(self.y_support)
        own_figure = ax is None
        if own_figure:
            _, ax = plt.subplots(
                figsize=figure_size(rows, columns, colorbar=colorbar),
                layout="constrained",
            )
        self.ax_, self.figure_ = ax, ax.figure
        style = {"cmap": cmap, "interpolation": "nearest", "aspect": "auto"}
        if self.y_support is None:
            style["aspect"] = "equal"
        self.im_ = ax.imshow(self.distances, **{**style, **(im_kw or {})})
        if colorbar:
            self.figure_.colorbar(self.im_, ax=ax, label=self.distance_name)
        self._draw_lines(rows, columns, line_kw or {})
        against_itself = self.y_support is None
        ax.set(
            xlabel="class" if against_itself else "support set",
            ylabel="class" if against_itself else "query",
        )
        # The labels make the axes smaller, and are made again to fit what is left.
        for _ in range(2 if own_figure else 1):
            if rows is None:
                ax.set_yticks([])
            else:
                label_axis(ax, "y", rows)
            label_axis(ax, "x", columns, rotation=xticks_rotation)
            if own_figure:
                self.figure_.draw_without_rendering()
        return self

    def _draw_lines(self, rows, columns, line_kw):
        n_rows, n_columns = self.distances.shape
        width = 0.3 if len(columns.centres) > 30 else 0.8
        style = {"color": "white", "linewidth": width, **line_kw}
        down = self.ax_.vlines(columns.boundaries, -0.5, n_rows - 0.5, **style)
        self.lines_ = [down]
        if rows is not None and rows.grouped:
            across = self.ax_.hlines(rows.boundaries, -0.5, n_columns - 0.5, **style)
            self.lines_.append(across)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        X_support=None,
        y_support=None,
        metric=None,
        ax=None,
        cmap="viridis",
        colorbar=True,
        xticks_rotation="auto",
        im_kw=None,
        line_kw=None,
    ):
        """Plot the distances between the embeddings that an estimator makes.

        Parameters
        ----------
        estimator : estimator instance
            A fitted transformer, or a fitted pipeline; of one that ends in a
            classifier, the steps before it are used.
        X : array-like of shape (n_samples, ...)
            Samples, as `estimator` takes them.
        y : array-like of shape (n_samples,)
            Their labels. May be None where there is a support set.
        X_support : array-like of shape (n_support, ...), default=None
            Support set that the samples are queries of. None compares the samples
            with themselves.
        y_support : array-like of shape (n_support,), default=None
            Its labels.
        metric : str or callable, default=None
            Metric on the embeddings, as in
            :func:`sklearn.metrics.pairwise_distances`. None is the learned one: the
            transformer's ``metric_``; where that is None, its negative
            ``similarity``; "euclidean" where it has neither.
        ax : matplotlib Axes, default=None
            Axes to plot on. None makes a figure.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours; small distances get its first.
        colorbar : bool, default=True
            Whether the scale of colours is shown.
        xticks_rotation : {"auto", "horizontal", "vertical"} or float, default="auto"
            Rotation of the labels along x.
        im_kw : dict, default=None
            For :meth:`matplotlib.axes.Axes.imshow`.
        line_kw : dict, default=None
            For the lines between classes.

        Returns
        -------
        display : DistanceMatrixDisplay
            The display, plotted.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `estimator` has no ``transform``.
        ValueError
            If only one of `X_support` and `y_support` is given, or labels and samples
            differ in number.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        if (X_support is None) != (y_support is None):
            raise ValueError(
                "X_support and y_support belong together. Got only one of them."
            )
        distances, name = learned_distances(estimator, X, X_support, metric=metric)
        return cls.from_distances(
            distances,
            y,
            y_support=y_support,
            distance_name=name,
            ax=ax,
            cmap=cmap,
            colorbar=colorbar,
            xticks_rotation=xticks_rotation,
            im_kw=im_kw,
            line_kw=line_kw,
        )

    @classmethod
    def from_distances(
        cls,
        distances,
        y,
        *,
        y_support=None,
        distance_name="distance",
        ax=None,
        cmap="viridis",
        colorbar=True,
        xticks_rotation="auto",
        im_kw=None,
        line_kw=None,
    ):
        """Plot distances that are there already.

        Parameters
        ----------
        distances : array-like of shape (n_samples, n_samples) or \
                (n_queries, n_support)
            Distances, smaller is closer.
        y : array-like of shape (n_samples,) or (n_queries,)
            Labels of the rows. May be None where there is a support set.
        y_support : array-like of shape (n_support,), default=None
            Labels of the columns. None if these are the rows' samples.
        distance_name : str, default="distance"
            What the colours stand for.
        ax : matplotlib Axes, default=None
            Axes to plot on. None makes a figure.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours; small distances get its first.
        colorbar : bool, default=True
            Whether the scale of colours is shown.
        xticks_rotation : {"auto", "horizontal", "vertical"} or float, default="auto"
            Rotation of the labels along x.
        im_kw : dict, default=None
            For :meth:`matplotlib.axes.Axes.imshow`.
        line_kw : dict, default=None
            For the lines between classes.

        Returns
        -------
        display : DistanceMatrixDisplay
            The display, plotted.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the shape of `distances` does not go with the labels.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from skfsl.metrics import DistanceMatrixDisplay
        >>> display = DistanceMatrixDisplay.from_distances(
        ...     [[0, 9, 1], [9, 0, 8], [1, 8, 0]], ["ant", "bee", "ant"]
        ... )
        >>> display.distances  # the two ants come first
        array([[0, 1, 9],
               [1, 0, 8],
               [9, 8, 0]])
        >>> plt.close()
        """
        import_pyplot(f"{cls.__name__}.from_distances")
        distances = check_array(
            as_numpy(distances), dtype="numeric", input_name="distances"
        )
        if y is None and y_support is None:
            raise ValueError("y is needed where there is no support set. Got None.")
        if y is not None:
            y = check_labels(y)
            check_consistent_length(distances, y)
        y_columns = y if y_support is None else check_labels(y_support)
        if distances.shape[1] != len(y_columns):
            raise ValueError(
                f"distances with shape {distances.shape} have {distances.shape[1]} "
                f"columns for {len(y_columns)} labels. Expected shape (n_samples, "
                f"n_samples), or (n_queries, n_support) with y_support."
            )
        order = np.argsort(y_columns, kind="stable")
        distances, y_columns = distances[:, order], y_columns[order]
        if y_support is None:
            distances, y = distances[order], y_columns
        display = cls(
            distances,
            y=y,
            y_support=None if y_support is None else y_columns,
            distance_name=distance_name,
        )
        return display.plot(
            ax,
            cmap=cmap,
            colorbar=colorbar,
            xticks_rotation=xticks_rotation,
            im_kw=im_kw,
            line_kw=line_kw,
        )


def learned_distances(estimator, X, X_support=None, *, metric=None):
    """Compute the distances between the embeddings that an estimator makes.

    Parameters
    ----------
    estimator, X, X_support, metric
        As in :meth:`DistanceMatrixDisplay.from_estimator`.

    Returns
    -------
    distances : ndarray of shape (n_samples, n_samples) or (n_samples, n_support)
        In the order of the samples.
    name : str
        What they are.
    """
    first, last = _split(estimator)
    Z = _embed(first, X)
    Z_support = None if X_support is None else _embed(first, X_support)
    learned = getattr(last, "metric_", "euclidean")
    if metric is None and learned is None and hasattr(last, "similarity"):
        return -np.asarray(last.similarity(Z, Z_support)), "negative similarity"
    metric = metric or learned or "euclidean"
    Z = _read(_embed(last, Z))
    Z_support = None if Z_support is None else _read(_embed(last, Z_support))
    named = getattr(metric, "__name__", type(metric).__name__)
    name = f"{metric if isinstance(metric, str) else named} distance"
    return pairwise_distances(Z, Z_support, metric=metric), name


def _read(Z):
    bad = np.flatnonzero(np.isnan(np.asarray(Z)).all(axis=1))
    if len(bad):
        raise ValueError(
            f"The embeddings of rows {bad[:10].tolist()} are wholly NaN, as of files "
            f"that cannot be read, and have no distances. Leave them out: "
            f"skfsl.datasets.drop_bad_files does so."
        )
    return Z


def _split(estimator):
    """Tell the transformer that comes last from all that is before it."""
    if isinstance(estimator, Pipeline):
        steps = estimator.steps
        if is_classifier(estimator):
            steps = steps[:-1]
        steps = [s for _, s in steps if s is not None and not isinstance(s, str)]
        if not steps:
            return [], None
        first, last = _split(steps[-1])
        return [*steps[:-1], *first], last
    if not hasattr(estimator, "transform"):
        raise TypeError(
            f"Expected a transformer, or a pipeline with transformers. Got "
            f"{type(estimator).__name__}, which has no 'transform'."
        )
    return [], estimator


def _embed(steps, X):
    for step in steps if isinstance(steps, list) else [steps]:
        X = X if step is None else step.transform(X)
    return X
