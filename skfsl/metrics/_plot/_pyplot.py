"""The door to matplotlib."""

from typing import Any

__all__ = ["import_pyplot"]


def import_pyplot(caller: str) -> Any:
    """Import matplotlib late.

    Parameters
    ----------
    caller : str
        Who needs it, for the error.

    Returns
    -------
    plt : module
        ``matplotlib.pyplot``.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to install it.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib. Install it with "
            f"`pip install 'skfsl[plot]'`."
        ) from error
    return plt
