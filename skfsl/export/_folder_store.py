"""A snapshot and a journal in a folder, each change of which is durable."""

import contextlib
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO, Protocol

from skfsl.utils._atomic import sync_folder, write_whole

__all__ = ["FolderStore", "SupportStore"]

_MAGIC = b"SKFJ"
_HEADER = struct.Struct("<4sQI")  # the magic, the length, the checksum of both


class SupportStore(Protocol):
    """Where a SupportLog keeps what must not be lost."""

    def replay(self) -> tuple[bytes | None, list[bytes]]:
        """Return the snapshot, None at the very beginning, and all records since."""

    def append(self, record: bytes) -> None:
        """Add a record; it is durable on return, or an error is raised."""

    def compact(self, snapshot: bytes) -> None:
        """Put a snapshot in the place of snapshot and records, in one step."""

    def close(self) -> None:
        """Let go of files or connections."""


class FolderStore:
    """A store in a folder of its own, for one process at a time.

    Snapshot number n is "model-n.skfsl", a file of `save`; what came after it is in
    "journal-n". The highest number counts.

    Parameters
    ----------
    folder : str or path-like
        Made where it is not there.

    Raises
    ------
    OSError
        If another process has it open.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("ab")
        self._journal: BinaryIO | None = None
        try:
            _lock_file(self._lock)
        except OSError:
            self._lock.close()
            raise BlockingIOError(
                f"The support log {self.folder} is open already, here or in another "
                f"process. One at a time may write to it."
            )
        numbers = [int(p.stem[6:]) for p in self.folder.glob("model-*.skfsl")]
        self._number = max(numbers, default=0)

    def replay(self) -> tuple[bytes | None, list[bytes]]:
        """Return the snapshot and the records; cut off what a crash has left of one."""
        self._remove_others()
        snapshot, records = self._snapshot(self._number), list[bytes]()
        journal = self._journal_file(self._number)
        if journal.exists():
            content = journal.read_bytes()
            records, end = _parse(content, journal)
            if end < len(content):
                os.truncate(journal, end)
                warnings.warn(
                    f"{journal} ended in {len(content) - end} bytes of no whole "
                    f"record, which were cut off: a change that was never "
                    f"acknowledged, if there was a crash. If there was none, the last "
                    f"change has been damaged since: make it again.",
                    UserWarning,
                    stacklevel=3,
                )
        self._open_journal()
        return snapshot.read_bytes() if snapshot.exists() else None, records

    def append(self, record: bytes) -> None:
        """Add a record to the journal, and wait until it is on the disk."""
        journal = self._open_file()
        checksum = zlib.crc32(record, zlib.crc32(len(record).to_bytes(8, "little")))
        try:
            journal.write(_HEADER.pack(_MAGIC, len(record), checksum) + record)
            journal.flush()
            os.fsync(journal.fileno())
        except BaseException:
            # Half a record may be there, behind which no other must come.
            self.close()
            raise

    def compact(self, snapshot: bytes) -> None:
        """Write a snapshot, which begins a journal of its own."""
        after = self._number + 1
        path = self._snapshot(after)
        try:
            write_whole(path, snapshot)
        except BaseException:
            if path.exists():  # then records would go to a journal that is over
                self.close()
            raise
        self._number = after
        self._open_journal()
        self._remove_others()

    def close(self) -> None:
        """Let another process have the folder."""
        with contextlib.suppress(OSError):
            if self._journal is not None:
                self._journal.close()
        self._journal = None
        self._lock.close()

    def _snapshot(self, number: int) -> Path:
        return self.folder / f"model-{number}.skfsl"

    def _journal_file(self, number: int) -> Path:
        return self.folder / f"journal-{number}"

    def _open_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._journal = self._journal_file(self._number).open("ab")
        os.fsync(self._journal.fileno())
        sync_folder(self.folder)

    def _open_file(self) -> BinaryIO:
        if self._journal is None:
            raise ValueError(
                f"The support log {self.folder} is closed, by close() or by a write "
                f"that failed. Open it anew: what was acknowledged is in it."
            )
        return self._journal

    def _remove_others(self) -> None:
        keep = {self._snapshot(self._number).name, f"journal-{self._number}", "lock"}
        for path in self.folder.iterdir():
            ours = path.name.startswith(("model-", "journal-"))
            if ours and path.name not in keep:
                path.unlink()


def _parse(content: bytes, path: Path) -> tuple[list[bytes], int]:
    """Return the records, and where the last whole one ends.

    Raises
    ------
    ValueError
        If a record is damaged that is not the last: it had been acknowledged.
    """
    records: list[bytes] = []
    start = 0
    while start < len(content):
        record = _record_at(content, start)
        if record is None:
            later = content.find(_MAGIC, start + 1)
            while later >= 0:
                if _record_at(content, later) is not None:
                    raise ValueError(
                        f"{path} is damaged at byte {start}, before records that are "
                        f"whole. Nothing was changed. Take a copy of the folder from "
                        f"elsewhere, or cut the file off there to lose what follows."
                    )
                later = content.find(_MAGIC, later + 1)
            break
        records.append(record)
        start += _HEADER.size + len(record)
    return records, start


def _record_at(content: bytes, start: int) -> bytes | None:
    body = start + _HEADER.size
    if body > len(content):
        return None
    magic, length, checksum = _HEADER.unpack_from(content, start)
    if magic != _MAGIC or body + length > len(content):
        return None
    record = content[body : body + length]
    expected = zlib.crc32(record, zlib.crc32(length.to_bytes(8, "little")))
    return record if checksum == expected else None


def _lock_file(file: BinaryIO) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
