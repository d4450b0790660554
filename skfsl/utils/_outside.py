"""Where a warning is to point: to the line of the user's that asked."""

import inspect

__all__ = ["outside"]

_LIBRARIES = ("skfsl", "sklearn", "joblib")


def outside() -> int:
    """Return the stacklevel of the first caller that is in none of the libraries.

    Returns
    -------
    stacklevel : int
        For ``warnings.warn`` in the function that asks.
    """
    frame, level = inspect.currentframe(), 0
    while frame:
        name = frame.f_globals.get("__name__", "").partition(".")[0]
        if name not in _LIBRARIES:
            break
        frame, level = frame.f_back, level + 1
    return level
