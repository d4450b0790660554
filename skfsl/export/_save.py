"""Models into files and out of them, without pickle."""

import os
from pathlib import Path
from typing import Any

from skfsl.export._codec import Decoder, Encoder
from skfsl.export._container import pack, unpack
from skfsl.export._known import name_of
from skfsl.utils._atomic import write_whole

__all__ = ["from_bytes", "load", "save", "to_bytes"]

# What comes of a file that is whole, but whose values are not those of a model.
_MADE_UP = (
    AttributeError, IndexError, KeyError, RecursionError, RuntimeError, TypeError,
)  # fmt: skip


def save(model: Any, path: str | os.PathLike) -> None:
    """Save a model in one file that holds no code.

    All that the model is goes in: parameters, weights, the support set, and what
    later calls of `partial_fit` and `forget` need. A loaded one answers with the same
    bits on the same machine.

    The file takes the place of an older one in one step: whatever happens in the
    middle, the old one is there or the new one. Of what cannot be saved nothing is
    written.

    Read more in the :ref:`User Guide <save>`.

    Parameters
    ----------
    model : estimator
        A SiameseTransformer, SiameseClassifier, PrototypeClassifier,
        KNeighborsClassifier, or a FewShotPipeline of these and of scikit-learn's
        transformers; fitted or not.
    path : str or path-like
        What the file is called.

    Raises
    ------
    ValueError
        If the model holds what would need code: functions, callbacks, estimators of
        other libraries, scikit-learn's trees. The error names it.
    ImportError
        If there is a step of scikit-learn's and skops is not installed.

    See Also
    --------
    load : Reads it.
    SupportLog : Keeps each change of a support set.

    Notes
    -----
    The file is a safetensors file; the header holds JSON and a SHA-256 of the whole.

    Examples
    --------
    >>> import tempfile, os
    >>> import skfsl
    >>> clf = skfsl.PrototypeClassifier().fit([[0.0], [1.0]], ["a", "b"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "clf.skfsl")
    ...     skfsl.save(clf, path)
    ...     clf = skfsl.load(path)
    >>> clf.partial_fit([[5.0]], ["c"]).predict([[4.0]])
    array(['c'], dtype='<U1')
    """
    write_whole(path, to_bytes(model))


def load(path: str | os.PathLike, *, encoder: Any = None) -> Any:
    """Load a model that `save` has written; nothing in the file is run.

    Parameters
    ----------
    path : str or path-like
        The file.
    encoder : torch.nn.Module or callable, default=None
        What was given to the SiameseTransformer as its `encoder`, where that was a
        module or a function and not a name or part: a file holds weights, and not
        what to do with them. It is copied.

    Returns
    -------
    model : estimator
        As it was saved. It computes on the device that its `device` names, or on the
        CPU where that is not there.

    Raises
    ------
    ValueError
        If the file is cut off, was altered, is none of `save`, or is of a newer
        version of skfsl; if an encoder is missing, or is not the one of the weights.
    ImportError
        If there is a step of scikit-learn's and skops is not installed.

    See Also
    --------
    save : Writes it.

    Examples
    --------
    >>> import tempfile, os
    >>> import skfsl
    >>> clf = skfsl.KNeighborsClassifier(1).fit([[0.0], [1.0]], ["a", "b"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "clf.skfsl")
    ...     skfsl.save(clf, path)
    ...     skfsl.load(path)
    KNeighborsClassifier(n_neighbors=1)
    """
    return from_bytes(Path(path).read_bytes(), str(path), encoder)


def to_bytes(model: Any) -> bytearray:
    """Return what `save` writes."""
    if name_of(type(model)) is None:
        raise ValueError(
            f"skfsl.save takes an estimator of skfsl or a FewShotPipeline of them. Got "
            f"{type(model).__name__}. Use joblib.dump(model, path) for others."
        )
    encoder = Encoder()
    return pack(encoder.encode(model, type(model).__name__), encoder.arrays)


def from_bytes(content: bytes, source: str, encoder: Any = None) -> Any:
    """Return the model that `to_bytes` made content of."""
    model, arrays = unpack(content, source)
    try:
        return Decoder(arrays, encoder).decode(model)
    except _MADE_UP as error:
        raise ValueError(
            f"{source} is whole, and yet no model can be made of it: {error!r}. It was "
            f"written by a newer version of skfsl, or by something else."
        ) from error
