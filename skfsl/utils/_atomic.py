"""Files that are there whole or not at all."""

import contextlib
import os
import secrets
import shutil
from pathlib import Path

__all__ = ["sync_folder", "write_whole"]


def write_whole(
    path: str | os.PathLike, content: bytes | bytearray | memoryview
) -> None:
    """Put a file in place of the one that is there, in one step, and durably.

    Whenever the process is killed, or the machine, the old file is there or the new
    one. A kill in the middle leaves a file beside it, named after it, that ends in
    ".tmp".

    Parameters
    ----------
    path : str or path-like
        What it is called. A link stays one, and the file behind it is replaced.
    content : bytes
        What is in it.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    """
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(path.parent)!r} to write {path.name!r} into. "
            f"Make it first."
        )
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(path, aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names of the files in a folder outlive a loss of power."""
    with contextlib.suppress(OSError):  # a folder cannot be opened on Windows
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
