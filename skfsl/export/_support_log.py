"""A journal of a support set: what is acknowledged is never lost."""

import operator
import os
import threading
import warnings
from typing import Any, Self

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skfsl.exceptions import StaleSupportError
from skfsl.export._codec import Encoder
from skfsl.export._container import pack
from skfsl.export._folder_store import FolderStore, SupportStore
from skfsl.export._save import from_bytes, to_bytes
from skfsl.pipeline import flat
from skfsl.support import check_ids
from skfsl.utils._publish import publish, shadow
from skfsl.utils._validation import as_numpy, check_labels

__all__ = ["SupportLog"]

# A journal is left to grow to the size of the snapshot, and to this many bytes.
_LEAST = 2**20
_METHODS = ("calibrate", "forget", "forget_samples", "partial_fit")


class SupportLog:
    """Keep each change of a support set on the disk before it is acknowledged.

    A model and a journal of what was enrolled and forgotten since it was saved. A
    change is in the journal, and on the disk, when the method that makes it returns;
    after a crash, the same log is opened again and has them all. Where the journal has
    grown as large as the model it makes a new snapshot of the model by itself.

    Use it in a service whose classes come and go. While one thread writes, others may
    predict with `model`: they see a change when it is durable.

    Read more in the :ref:`User Guide <support_log>`.

    Parameters
    ----------
    store : str, path-like or object
        The folder of the log, made where it is not there. Or what keeps the bytes
        elsewhere, in a database: an object with ``replay()``, which returns the
        snapshot (None at the very beginning) and a list of the records since,
        ``append(record)``, ``compact(snapshot)`` and ``close()``, all of bytes.
    model : estimator, default=None
        What a new log begins with: fitted, of those that :func:`save` takes. One that
        goes on has its own, and compares the metric: a support set means something
        under the metric that it was enrolled under only.
    encoder : torch.nn.Module or callable, default=None
        As of :func:`load`.

    Attributes
    ----------
    model : estimator
        The model with all that was acknowledged; of a new log, the one that was given.
        Change its support set by the log only: what the model itself was told
        (``model.partial_fit``, ``model.set_params``) is kept by the next change of the
        log, or by `compact`, and lost with a crash before that.

    See Also
    --------
    save : Makes the snapshots.

    Notes
    -----
    Samples are stored as they are given, so that a change of them elsewhere changes
    nothing. Paths are refused: a file may be gone when it is read again. A change that
    the model refuses is not in the journal. After a write that failed, as on a full
    disk, the log is closed: opened again, it has what was acknowledged, and perhaps
    the change that failed.

    Examples
    --------
    >>> import tempfile
    >>> from skfsl import PrototypeClassifier, SupportLog
    >>> folder = tempfile.mkdtemp()
    >>> clf = PrototypeClassifier().fit([[0.0], [1.0]], ["ant", "bee"])
    >>> with SupportLog(folder, clf) as log:
    ...     log = log.partial_fit([[9.0]], ["cow"]).forget("ant")
    >>> with SupportLog(folder) as log:  # after a crash, or a night
    ...     log.model.classes_
    array(['bee', 'cow'], dtype='<U3')
    """

    def __init__(
        self,
        store: str | os.PathLike | SupportStore,
        model: Any = None,
        *,
        encoder: Any = None,
    ):
        if isinstance(store, str | os.PathLike):
            store = FolderStore(store)
        self._store = store
        self._lock = threading.RLock()
        self._n_bytes = self._n_changes = 0
        try:
            snapshot, records = self._store.replay()
            if snapshot is None:
                self._begin(model)
                return
            self.model = from_bytes(snapshot, "The snapshot", encoder)
            self._size, self._settings = len(snapshot), _settings(self.model)
            if model is not None:
                _check_same_metric(self.model, model)
            for record in records:
                change = _decoded(record)
                getattr(self.model, change["method"])(*change["args"], **change["kw"])
                self._n_bytes += len(record)
                self._n_changes += 1
            self._state = _state(self.model)
        except BaseException:
            self._store.close()
            raise

    def _begin(self, model: Any) -> None:
        if model is None:
            raise ValueError(
                "The log is new, and has no model. Give the one that it begins with: "
                "SupportLog(folder, model)."
            )
        check_is_fitted(model)
        self.model = model
        self.compact()

    def partial_fit(self, X: Any, y: Any, **params: Any) -> Self:
        """Add samples to the support set of the model, durably.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, as the model takes them: numbers, no paths.
        y : array-like of shape (n_samples,)
            Their labels.
        **params : dict
            For the ``partial_fit`` of the model, such as `sample_weight` or `ids`.

        Returns
        -------
        self : SupportLog
            On return, the samples are on the disk.
        """
        params = {name: _plain(value) for name, value in params.items()}
        return self._change("partial_fit", [_numbers(X), check_labels(y)], params)

    def forget(self, classes: Any) -> Self:
        """Take classes out of the support set of the model, durably.

        Parameters
        ----------
        classes : label or array-like of labels
            What to forget.

        Returns
        -------
        self : SupportLog
            On return, it is on the disk that they are gone. Their samples are in the
            journal until the next snapshot: `compact` makes one now.
        """
        if isinstance(classes, set | frozenset):
            classes = list(classes)
        labels = check_labels(np.atleast_1d(np.asarray(classes)))
        return self._change("forget", [labels], {})

    def forget_samples(self, ids: Any) -> Self:
        """Take samples out of the support set of the model, durably.

        Parameters
        ----------
        ids : int, str or array-like of them
            What the samples are called.

        Returns
        -------
        self : SupportLog
            As of `forget`.
        """
        return self._change("forget_samples", [check_ids(ids)], {})

    def calibrate(self, X: Any, y: Any) -> Self:
        """Set threshold and temperature of the model from labelled queries, durably.

        Parameters
        ----------
        X : array-like of shape (n_queries, ...)
            Queries: numbers, no paths.
        y : array-like of shape (n_queries,)
            Their labels; `unknown_label` for queries of no class.

        Returns
        -------
        self : SupportLog
            The report is in `calibration_` of the classifier.
        """
        return self._change("calibrate", [_numbers(X), check_labels(y)], {})

    def compact(self) -> Self:
        """Put a snapshot of the model in the place of the journal.

        Returns
        -------
        self : SupportLog
            With an empty journal.
        """
        with self._lock:
            snapshot = bytes(to_bytes(self.model))
            self._store.compact(snapshot)
            self._size, self._n_bytes, self._n_changes = len(snapshot), 0, 0
            self._settings, self._state = _settings(self.model), _state(self.model)
        return self

    def close(self) -> None:
        """Let another process open the log."""
        self._store.close()

    def __repr__(self) -> str:
        store = getattr(self._store, "folder", self._store)
        where = str(store) if isinstance(store, os.PathLike) else store
        n_classes = len(getattr(self.model, "classes_", ()))
        return (
            f"SupportLog({where!r}): {type(self.model).__name__} of {n_classes} "
            f"classes, {self._n_changes} changes since the snapshot"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _change(self, method: str, args: list, kw: dict) -> Self:
        with self._lock:
            if self._changed_beside():
                # The journal is read again by the parameters, and from the state, of
                # the snapshot: without these a change may not fit, and none be read.
                self.compact()
            aside = _aside(self.model)
            getattr(aside, method)(*args, **kw)
            encoder = Encoder()
            change = {"method": method, "args": args, "kw": kw}
            record = bytes(pack(encoder.encode(change, "change"), encoder.arrays))
            self._store.append(record)
            _take_over(self.model, aside)
            self._state = _state(self.model)
            self._n_bytes += len(record)
            self._n_changes += 1
            if self._n_bytes > max(_LEAST, self._size):
                try:
                    self.compact()
                except OSError as error:
                    # What was asked for is durable: that is no reason to raise.
                    self._n_bytes = 0
                    warnings.warn(
                        f"The journal of the support log goes on growing, since no "
                        f"snapshot could be made: {error}",
                        stacklevel=3,
                    )
        return self

    def _changed_beside(self) -> bool:
        same = map(operator.is_, _state(self.model), self._state)
        return _settings(self.model) != self._settings or not all(same)


def _numbers(X: Any) -> np.ndarray:
    X = np.asarray(as_numpy(X))
    if X.dtype.kind not in "buif":
        raise TypeError(
            f"A support log stores samples, and takes numbers. Got X of {X.dtype}. "
            f"Read image files by skfsl.images.read_images first."
        )
    return X


def _plain(value: Any) -> Any:
    """Return columns of frames, ranges and tensors as arrays, all else as it is."""
    if hasattr(value, "to_numpy") or isinstance(value, range):
        return np.asarray(value)
    return as_numpy(value)


def _settings(model: Any) -> dict:
    """Return parameters that are plain values; others are not set beside a log."""
    plain = str | int | float | np.generic | None
    return {k: v for k, v in model.get_params().items() if isinstance(v, plain)}


def _state(model: Any) -> list:
    """Return what is another object after each change of the support set."""
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    return [vars(last).get(name) for name in ("_support", "calibration_")]


def _decoded(record: bytes) -> dict:
    change = from_bytes(record, "A record of the journal")
    parts = {"method", "args", "kw"}
    if not isinstance(change, dict) or change.keys() != parts:
        raise ValueError("A record of the journal was not written by skfsl.")
    if change["method"] not in _METHODS:
        raise ValueError(
            f"The journal has a change {change['method']!r} that this version of skfsl "
            f"does not know. Update skfsl."
        )
    return change


def _aside(model: Any) -> Any:
    """Return a model over the same state, whose support set may be changed."""
    aside: Any = shadow(model, fitted=True)
    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        aside.steps = [*model.steps[:-1], (name, _aside(last))]
    return aside


def _take_over(model: Any, aside: Any) -> None:
    """Publish what was changed aside; steps stay the objects that they were."""
    if isinstance(model, Pipeline):
        _take_over(model.steps[-1][1], aside.steps[-1][1])
        aside.steps = model.steps
    publish(model, aside)


def _check_same_metric(mine: Any, given: Any) -> None:
    ids = [
        [type(model)]
        + [
            getattr(getattr(step, "siamese_", step), "fit_id_", None)
            for _, step in flat([("model", model)])
        ]
        for model in (mine, given)
    ]
    if ids[0] != ids[1]:
        raise StaleSupportError(
            "The log was begun with a model of another kind or metric than the one "
            "that was given, and its support set means nothing under that. Begin a new "
            "log in another folder, and enrol the samples there."
        )
