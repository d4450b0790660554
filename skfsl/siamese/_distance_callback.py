"""Watch the classes of a fixed sample become blocks while the metric is learned."""

import numbers
import os
from pathlib import Path

import numpy as np
import torch
from sklearn.utils import check_consistent_length

from skfsl.metrics import (
    DistanceMatrixDisplay,
    draw_off_screen,
    learned_distances,
    write_gif,
)
from skfsl.siamese._net import Callback
from skfsl.utils._random import seeded
from skfsl.utils._sklearn_private import (
    HasMethods,
    Interval,
    validate_parameter_constraints,
)
from skfsl.utils._validation import check_labels

__all__ = ["DistanceMatrixCallback"]

# What is kept goes into pickles of the estimator.
_FRAMES, _BYTES = 100, 2**25


class DistanceMatrixCallback(Callback):
    """Draw the distance matrix of a fixed sample again and again while training.

    Before the first epoch, after every so many and after the last, the sample is
    embedded, and all its distances by the metric as it is then are sorted by class:
    classes that are told apart become dark blocks on the diagonal. Give it to
    :class:`~skfsl.SiameseTransformer` in ``callbacks=``. The training is the same, to
    the last bit, as without it.

    Take samples that are *not* trained on, of ten classes or so with ten each.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        The sample, as the transformer's `fit` takes it.

    y : array-like of shape (n_samples,), default=None
        Its labels. None leaves the sample in its order, without names.

    every : int, default=1
        Epochs from one matrix to the next.

    directory : str or path-like, default=None
        Where pictures are written: each training makes itself a folder in it, named
        ``fit_1``, ``fit_2`` and so on, with a file ``epoch_0007.png`` for each matrix.

    writer : torch.utils.tensorboard.SummaryWriter, default=None
        Gets each matrix as the figure "distance_matrix". It is the user's to close.
        Neither pickles nor workers of ``n_jobs`` have it: nothing is written there.

    gif : bool, default=False
        Whether the matrices that are kept are written as ``distances.gif`` beside the
        pictures, at the end of the training.

    Attributes
    ----------
    distances_ : list of ndarray of shape (n_samples, n_samples)
        The matrices, float32, sorted by class. At most 100, and at most 32 MiB, but two
        of them at least: beyond that every second one is dropped.

    epochs_ : list of int
        The epoch after which each was computed; 0 is before the training.

    labels_ : ndarray of shape (n_samples,)
        The sorted labels.

    directory_ : pathlib.Path or None
        Where the pictures of the last training are.

    See Also
    --------
    skfsl.metrics.DistanceMatrixDisplay : The matrix of a fitted estimator.

    Notes
    -----
    Drawing needs matplotlib: ``pip install "skfsl[plot]"``. Where classes are held out
    to validate, the weights kept are those of the best epoch, and the last matrix is
    that of the last one.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfsl import SiameseTransformer
    >>> from skfsl.siamese import DistanceMatrixCallback
    >>> X, y = load_iris(return_X_y=True)
    >>> watch = DistanceMatrixCallback(X[1::10], y[1::10], every=2)
    >>> siamese = SiameseTransformer(max_epochs=5, callbacks=[watch], random_state=0)
    >>> siamese = siamese.fit(X[::2], y[::2])
    >>> watch.epochs_
    [0, 2, 4, 5]
    >>> watch.distances_[-1].shape
    (15, 15)
    """

    _parameter_constraints: dict = {
        "X": "no_validation",
        "y": "no_validation",
        "every": [Interval(numbers.Integral, 1, None, closed="left")],
        "directory": [str, os.PathLike, None],
        "writer": [HasMethods("add_figure"), None],
        "gif": ["boolean"],
    }

    def __init__(self, X, y=None, *, every=1, directory=None, writer=None, gif=False):
        self.X = X
        self.y = y
        self.every = every
        self.directory = directory
        self.writer = writer
        self.gif = gif

    def initialize(self):
        """Forget the matrices of the last training.

        Returns
        -------
        self : DistanceMatrixCallback
            This callback.
        """
        self.distances_, self.epochs_ = [], []
        self.directory_ = None
        self._n_seen_, self._stride_ = 0, 1
        return self

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Check the settings, and draw the matrix before the training.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net that trains.
        X, y : object
            Its data.
        **kwargs : dict
            Not used.

        Raises
        ------
        ValueError
            If a setting is out of its range, or `X` and `y` differ in length.
        """
        validate_parameter_constraints(
            self._parameter_constraints,
            self.get_params(deep=False),
            caller_name=type(self).__name__,
        )
        if self.gif and self.directory is None:
            raise ValueError(
                f"gif=True of {type(self).__name__} needs a directory to write it "
                f"into. Got directory=None."
            )
        if self.y is not None:
            check_consistent_length(self.X, self.y)
        if self.directory is not None:
            self.directory_ = _new_folder(Path(self.directory))
        self._look(net)

    def on_epoch_end(self, net, **kwargs):
        """Draw the matrix where it is time.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net that trains.
        **kwargs : dict
            Not used.
        """
        if len(net.history) % self.every == 0:
            self._look(net)

    def on_train_end(self, net, X=None, y=None, **kwargs):
        """Draw the last matrix, and write the moving picture.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net that trains.
        X, y : object
            Its data.
        **kwargs : dict
            Not used.
        """
        if len(net.history) % self.every:
            self._look(net)
        if self.gif:
            write_gif(
                self.directory_ / "distances.gif",
                self.distances_,
                [f"epoch {epoch}" for epoch in self.epochs_],
                y=self.labels_,
                distance_name=self._distance_name_,
            )
        if hasattr(self.writer, "flush"):
            self.writer.flush()

    def _look(self, net):
        """Compute the matrix as of now, draw it, and keep it."""
        epoch = len(net.history)
        net._set_training(False)
        # Views may draw at random; the training is not to notice.
        with seeded(0, torch.device(net.device)):
            distances, name = learned_distances(net.as_estimator(), self.X)
        labels = np.arange(len(distances)) if self.y is None else check_labels(self.y)
        order = np.argsort(labels, kind="stable")
        distances = distances[np.ix_(order, order)].astype(np.float32, copy=False)
        self.labels_, self._distance_name_ = labels[order], name
        if self.directory_ is not None or self.writer is not None:
            display = DistanceMatrixDisplay(
                distances, y=self.labels_, distance_name=name
            )
            figure = draw_off_screen(display, f"epoch {epoch}")
            if self.directory_ is not None:
                figure.savefig(self.directory_ / f"epoch_{epoch:04d}.png")
            if self.writer is not None:
                self.writer.add_figure("distance_matrix", figure, global_step=epoch)
        self._keep(epoch, distances)

    def _keep(self, epoch, distances):
        if self._n_seen_ % self._stride_ == 0:
            self.distances_.append(distances)
            self.epochs_.append(epoch)
        self._n_seen_ += 1
        if len(self.epochs_) > max(2, min(_FRAMES, _BYTES // distances.nbytes)):
            del self.distances_[1::2], self.epochs_[1::2]
            self._stride_ *= 2

    # A clone watches the same sample, and writes where this one does.
    def __sklearn_clone__(self):
        return type(self)(**self.get_params(deep=False))

    # Files and threads of a writer cannot be pickled.
    def __getstate__(self):
        return {**self.__dict__, "writer": None}


def _new_folder(directory: Path) -> Path:
    """Make a folder that no other training has, of whatever process."""
    directory.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        try:
            (directory / f"fit_{number}").mkdir()
            return directory / f"fit_{number}"
        except FileExistsError:
            number += 1
