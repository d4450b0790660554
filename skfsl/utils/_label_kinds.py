"""Labels of one kind: numbers and strings never meet without a word."""

import reprlib

import numpy as np

__all__ = ["check_same_kind", "common_dtype", "label_kind", "shown", "shown_some"]

# Labels in error messages: whole where they are short.
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 60

_NAMES = {
    "U": "str", "S": "bytes", "b": "bool", "M": "datetime64", "m": "timedelta64",
}  # fmt: skip


def label_kind(labels: np.ndarray) -> str:
    """Name the kind of labels: all numbers are of one."""
    kind = labels.dtype.kind
    return "number" if kind in "iuf" else _NAMES.get(kind, str(labels.dtype))


def shown(label: object) -> str:
    """Show one label, as an error names it."""
    return _SHOWN.repr(np.asarray(label).item())


def shown_some(labels: np.ndarray) -> str:
    """Show a few labels, as an error names them."""
    some = ", ".join(_SHOWN.repr(label) for label in labels[:5].tolist())
    return f"[{some}{', ...' if len(labels) > 5 else ''}]"


def check_same_kind(
    labels: np.ndarray, name: str, others: np.ndarray, other_name: str
) -> None:
    """Refuse to compare numbers with strings: NumPy would find them all unequal.

    Raises
    ------
    TypeError
        If they are of two kinds.
    """
    first, second = label_kind(labels), label_kind(others)
    if first != second:
        raise TypeError(
            f"Expected labels of one kind. Got {first} in {name} (such as "
            f"{shown(labels[0])}) and {second} in {other_name} (such as "
            f"{shown(others[0])}). Convert one of them."
        )


def common_dtype(
    old: np.ndarray, new: np.ndarray, old_name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Bring labels to one dtype that holds both; refuse to change any label by it.

    Raises
    ------
    TypeError
        If they are of two kinds.
    ValueError
        If no dtype keeps all of them.
    """
    if old.dtype == new.dtype:
        return old, new
    known, got = label_kind(old), label_kind(new)
    if known != got:
        raise TypeError(
            f"Expected labels of the kind of {old_name}: {known} (such as "
            f"{shown(old[0])}). Got {got} (such as {shown(new[0])}) instead. Convert "
            f"one of them."
        )
    dtype = np.result_type(old.dtype, new.dtype)
    with np.errstate(invalid="ignore"):
        for labels in (old, new):
            if (labels.astype(dtype).astype(labels.dtype) != labels).any():
                raise ValueError(
                    f"Labels of dtype {old.dtype} and {new.dtype} have no common dtype "
                    f"that keeps them all: {dtype} would change some. Convert one of "
                    f"them."
                )
    return old.astype(dtype, copy=False), new.astype(dtype, copy=False)
