"""The door to pandas: reports as data frames, for those who ask for them."""

from typing import Any

__all__ = ["import_pandas"]


def import_pandas(caller: str) -> Any:
    """Import pandas late.

    Parameters
    ----------
    caller : str
        Who needs it, for the error.

    Returns
    -------
    pandas : module
        The library.

    Raises
    ------
    ImportError
        If it is not installed; the message says what to do.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{caller} with output='frame' requires pandas. Install it with `pip "
            f"install pandas`, or set output='dict'."
        ) from error
    return pandas
