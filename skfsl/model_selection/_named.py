"""Several estimators by name."""

from collections.abc import Mapping
from typing import Any

__all__ = ["named_estimators"]


def named_estimators(estimators: Any, expected: str) -> dict[str, Any]:
    """Check estimators that are given with their names.

    Parameters
    ----------
    estimators : dict of str to estimator or iterable of (str, estimator) tuples
        What was given.
    expected : str
        What may be given, for the error.

    Returns
    -------
    named : dict of str to estimator
        In the order given.

    Raises
    ------
    TypeError
        If it is neither, or a name is no string or empty.
    ValueError
        If two have the same name.
    """
    pairs = estimators.items() if isinstance(estimators, Mapping) else estimators
    try:
        pairs = [(name, estimator) for name, estimator in pairs]
    except (TypeError, ValueError):
        raise TypeError(f"Expected {expected}. Got {estimators!r} instead.")
    names = [name for name, _ in pairs]
    unnamed = [name for name in names if not isinstance(name, str) or not name]
    if unnamed:
        raise TypeError(
            f"Expected {expected}. Got {unnamed[0]!r} in the place of a name."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"Names of estimators have to be unique. Got {names}.")
    return dict(pairs)
