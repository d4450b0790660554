"""scikit-learn's own estimators, by skops; and what is refused."""

import io
import types
import zipfile
from typing import Any

__all__ = ["from_skops", "refusal", "to_skops"]


def refusal(value: Any, where: str) -> ValueError:
    """Return the error that tells what a file cannot hold, and what can.

    Parameters
    ----------
    value : object
        What was met.
    where : str
        What it is called.
    """
    is_function = isinstance(value, types.FunctionType | types.BuiltinFunctionType)
    named = value if is_function or isinstance(value, type) else type(value)
    what = f"{'the' if named is value else 'a'} {named.__module__}.{named.__qualname__}"
    return ValueError(
        f"Cannot save {where}, {what}: a file of skfsl.save holds skfsl's own "
        f"estimators and numbers, and no code. Use joblib.dump(model, path), and load "
        f"such files from whom you trust only."
    )


def to_skops(estimator: Any, where: str) -> bytes:
    """Return an estimator of scikit-learn as bytes.

    Parameters
    ----------
    estimator : estimator instance
        Fitted or not.
    where : str
        What it is called.

    Raises
    ------
    ImportError
        If skops is not installed.
    ValueError
        If it holds types that skops does not trust.
    """
    skops = _skops_io(f"To save {where}, a {type(estimator).__name__},")
    try:
        content = skops.dumps(estimator)
        untrusted = skops.get_untrusted_types(data=content)
    except skops.exceptions.UnsupportedTypeException:
        raise refusal(estimator, where)
    if untrusted:
        error = refusal(estimator, where)
        error.add_note(f"skops does not trust {', '.join(map(str, untrusted))} in it.")
        raise error
    return content


def from_skops(content: bytes) -> Any:
    """Return the estimator that `to_skops` made bytes of.

    Raises
    ------
    ImportError
        If skops is not installed.
    ValueError
        If they are compressed, which `to_skops` does not do: little may become much.
    skops.io.exceptions.UntrustedTypesFoundException
        If they are made to hold types that are not to be trusted.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(file.file_size for file in archive.infolist()) > len(content):
            raise ValueError(
                "The file has a step of scikit-learn that is larger than it. It was "
                "not written by skfsl."
            )
    return _skops_io("To load a step of scikit-learn").loads(content, trusted=[])


def _skops_io(purpose: str) -> Any:
    try:
        import skops.io
    except ModuleNotFoundError:
        raise ImportError(
            f"{purpose} skops is needed: python -m pip install 'skfsl[save]'."
        )
    return skops.io
