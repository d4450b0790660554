"""Decoded images kept in a folder: rows in one file, an index of them in another."""

import contextlib
import errno
import os
import shutil
import sqlite3
import struct
import tempfile
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skfsl.images._rows import FileRows

__all__ = ["ImageCache"]

# Changes when the same file would be decoded into other pixels.
_VERSION = 1
_WAIT = 600.0  # seconds for another process to write a block
_TRY = 0.2  # of these at a time: SQLite waits deaf to Ctrl-C
_COLUMNS = "path = ? AND box = ? AND size = ? AND mtime_ns = ?"


class _Key(NamedTuple):
    """What tells a decoded picture from another one."""

    path: bytes
    box: bytes
    size: int
    mtime_ns: int


class ImageCache:
    """Images of one size in a folder, found by file, shared by processes.

    Rows are only ever appended, under the lock of the index, and are in the file
    before the index names them: a process that is killed leaves at most bytes that
    nothing points to, and a row that was found stays where it is. A checksum tells
    rows that were damaged since.

    Parameters
    ----------
    folder : path-like or None
        Made where it is not there. None takes a temporary one, which is removed when
        the rows are no longer used.
    size : tuple of int
        (height, width).
    resize : str
        How pictures came to this size.
    check : callable
        Called now and again while another process writes; what it raises ends
        the waiting.

    Raises
    ------
    OSError
        If the folder cannot be used.
    """

    def __init__(
        self,
        folder: str | os.PathLike | None,
        size: tuple[int, int],
        resize: str,
        check: Callable[[], None],
    ):
        self._check = check
        name = f"{size[0]}x{size[1]}-{resize}-v{_VERSION}"
        self.folder = Path(
            tempfile.mkdtemp(prefix="skfsl-") if folder is None else folder
        )
        self._path = self.folder / f"{name}.sqlite"
        with self._told():
            self.folder.mkdir(parents=True, exist_ok=True)
        self.rows = FileRows(self.folder / f"{name}.rows", (3, *size))
        self._row_bytes = 3 * size[0] * size[1]
        if folder is None:
            weakref.finalize(self.rows, shutil.rmtree, self.folder, ignore_errors=True)
        with self._told():
            self._index = sqlite3.connect(
                self._path, timeout=_TRY, isolation_level=None
            )
            try:
                self._execute(
                    "CREATE TABLE IF NOT EXISTS images (path BLOB, box BLOB, "
                    "size INTEGER, mtime_ns INTEGER, row INTEGER NOT NULL, "
                    "checksum INTEGER NOT NULL, "
                    "PRIMARY KEY (path, box, size, mtime_ns)) WITHOUT ROWID"
                )
            except BaseException:
                self.close()
                raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say of which folder an error is, and what to do about it."""
        try:
            yield
        except OSError as error:
            raise OSError(
                f"Cannot use the cache in {str(self.folder)!r}: {error.strerror}. Set "
                f"'cache' to a folder that can be made and written to, with room for "
                f"the images."
            ) from error
        except sqlite3.Error as error:
            name = self._path.stem
            raise OSError(
                f"Cannot use the cache in {str(self.folder)!r}: {error}. If it can be "
                f"written to and has room, delete {name}.sqlite and {name}.rows in it; "
                f"else set 'cache' to another folder."
            ) from error

    def _execute(self, statement: str, values: tuple = ()) -> Any:
        """Execute a statement; wait for a process that writes."""
        deadline = time.monotonic() + _WAIT
        while True:
            try:
                return self._index.execute(statement, values)
            except sqlite3.OperationalError as error:
                # The low byte is the kind of the error.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                self._check()
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        errno.ETIMEDOUT,
                        f"another process has been writing to it for {_WAIT:.0f} s",
                    ) from error

    def close(self) -> None:
        """Close the index; rows may still be read."""
        self._index.close()

    @staticmethod
    def key(path: str, box: tuple[float, ...] | None) -> _Key:
        """Name a picture by its file, the state of it, and the box."""
        state = os.stat(path)  # noqa: PTH116 - paths may be any bytes
        name = os.fsencode(os.path.abspath(path))  # noqa: PTH100
        packed = b"" if box is None else struct.pack("<4d", *box)
        return _Key(name, packed, state.st_size, state.st_mtime_ns)

    def find(self, keys: Iterable[_Key | None]) -> list[tuple[int, int] | None]:
        """Return the row and the checksum of each picture, None where it has none."""
        query = f"SELECT row, checksum FROM images WHERE {_COLUMNS}"
        with self._told():
            self._execute("BEGIN")
            found = [
                None if key is None else self._execute(query, key).fetchone()
                for key in keys
            ]
            self._execute("COMMIT")
        return found

    def load(self, found: tuple[int, int], out: np.ndarray) -> bool:
        """Read a row into `out`, (3, h, w); answer whether it is what was written."""
        row, checksum = found
        try:
            with self.rows.path.open("rb", buffering=0) as file:
                file.seek(row * self._row_bytes)
                n_read = file.readinto(out.reshape(-1).data)
        except OSError:
            return False
        return n_read == self._row_bytes and _checksum(out) == checksum

    def add(self, keys: list[_Key], images: np.ndarray, at: list[int]) -> list[int]:
        """Append ``images[at]`` for `keys`, and return their rows."""
        if not keys:  # a folder that is full, or may only be read, will do
            return []
        with self._told():
            # An error leaves the transaction to `close`, which undoes it.
            self._execute("BEGIN IMMEDIATE")
            with self.rows.path.open("ab") as file:
                # What a killed process left is not to shift the rows behind it.
                first = file.tell() // self._row_bytes
                file.truncate(first * self._row_bytes)
                for i in at:
                    file.write(images[i].reshape(-1))
            rows = list(range(first, first + len(at)))
            self._index.executemany(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (*key, row, _checksum(images[i]))
                    for key, row, i in zip(keys, rows, at, strict=True)
                ],
            )
            self._execute("COMMIT")
        return rows


def _checksum(image: np.ndarray) -> int:
    return zlib.crc32(image.reshape(-1).data)
