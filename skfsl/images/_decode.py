"""Many files to images of one size, by threads, in bounded memory."""

import os
import time
import warnings
from concurrent.futures import CancelledError, ThreadPoolExecutor
from os import PathLike

import numpy as np

from skfsl.exceptions import BadFilesWarning
from skfsl.images._cache import ImageCache
from skfsl.images._files import ImageFiles
from skfsl.images._read import fault, import_pillow, read_image
from skfsl.images._rows import ImageRows
from skfsl.utils._outside import outside

__all__ = ["Progress", "decode", "raise_or_warn"]

# Of a block, that is decoded, written and told of at once.
_FILES_A_THREAD, _BYTES = 64, 2**26
_SECONDS = 5.0  # between two lines on the progress
_NAMED = 10  # files of those that are bad


class Progress:
    """Print how many images have been read, every few seconds, until it is closed.

    Parameters
    ----------
    n_images : int
        How many there will be.
    verbose : bool
        Whether anything is printed.
    """

    def __init__(self, n_images: int, verbose: bool):
        self.n_images = n_images
        self.verbose = verbose
        self.n_done = 0
        self._closed = False
        self._began = self._told = time.perf_counter()

    def close(self) -> None:
        """Have threads that are reading give up: nobody waits for them."""
        self._closed = True

    def check(self) -> None:
        """Raise CancelledError if it is closed."""
        if self._closed:
            raise CancelledError

    def add(self, n_images: int) -> None:
        """Count images that were read."""
        self.n_done += n_images
        now = time.perf_counter()
        if not self.verbose or now - self._told < _SECONDS:
            return
        self._told = now
        rate = self.n_done / (now - self._began)
        left = (self.n_images - self.n_done) / rate
        print(
            f"Read {self.n_done}/{self.n_images} images, {rate:.0f} a second, "
            f"{left:.0f} s left",
            flush=True,
        )


def decode(
    files: ImageFiles,
    size: tuple[int, int],
    resize: str,
    *,
    cache: str | PathLike | None,
    memory_budget: float,
    progress: Progress,
) -> tuple[ImageRows, dict[int, str]]:
    """Read files into images of one size.

    Parameters
    ----------
    files : ImageFiles
        What to read; all are tried, even when some are bad.
    size : tuple of int
        (height, width).
    resize : {"pad", "crop", "squash"}
        As of `read_image`.
    cache : path-like or None
        Folder where decoded images are kept.
    memory_budget : float
        Bytes that the images may take in memory; more of them stay in the cache,
        or in a temporary folder.
    progress : Progress
        Is told of each block, and asked before each file whether to stop.

    Returns
    -------
    images : ImageRows
        Those of the good files, in their order.
    faults : dict of int to str
        Rows of the bad files, and what is wrong with each.
    """
    import_pillow()  # its absence is no fault of a file
    shape = (3, *size)
    row_bytes = 3 * size[0] * size[1]
    in_memory = len(files) * row_bytes <= memory_budget
    n_threads = _n_threads()
    per_block = max(n_threads, min(_FILES_A_THREAD * n_threads, _BYTES // row_bytes))
    store = None
    if cache is not None or not in_memory:
        store = ImageCache(cache, size, resize, progress.check)
    n_buffered = len(files) if in_memory else min(per_block, len(files))
    images = np.empty((n_buffered, *shape), dtype=np.uint8)
    at = np.arange(len(files))
    faults: dict[int, str] = {}
    try:
        with ThreadPoolExecutor(n_threads) as pool:
            for start in range(0, len(files), per_block):
                block = files[start : start + per_block]
                first = start if in_memory else 0
                out = images[first : first + len(block)]
                rows, bad = _fill(block, out, resize, store, pool, progress)
                faults |= {start + i: reason for i, reason in bad.items()}
                if not in_memory:
                    at[start : start + len(block)] = rows
                progress.add(len(block))
    finally:
        if store is not None:
            store.close()
    source = images if in_memory or store is None else store.rows
    return ImageRows(source, np.delete(at, list(faults)), shape), faults


def _fill(
    files: ImageFiles,
    out: np.ndarray,
    resize: str,
    store: ImageCache | None,
    pool: ThreadPoolExecutor,
    progress: Progress,
) -> tuple[list[int], dict[int, str]]:
    """Read files into `out`; return their rows in the store, and what went wrong."""

    def name(i):
        try:
            return ImageCache.key(files.paths[i], files.box(i))
        except Exception:
            return None  # reading it will tell why

    everyone = range(len(files))
    keys: list = list(pool.map(name, everyone)) if store else [None] * len(files)
    found = store.find(keys) if store else [None] * len(files)

    def read(i):
        progress.check()
        if found[i] is not None and store.load(found[i], out[i]):
            return None
        try:
            out[i] = read_image(files.paths[i], files.box(i), out.shape[2:], resize)
            if store and keys[i] is None:
                keys[i] = ImageCache.key(files.paths[i], files.box(i))
        except MemoryError:
            raise
        except Exception as error:
            return fault(error)
        found[i] = None
        return None

    faults = {i: bad for i, bad in enumerate(pool.map(read, everyone)) if bad}
    if store is None:
        return [], faults
    new = [i for i in everyone if found[i] is None and i not in faults]
    rows = [-1 if known is None else known[0] for known in found]
    for i, row in zip(new, store.add([keys[i] for i in new], out, new), strict=True):
        rows[i] = row
    return rows, faults


def raise_or_warn(files: ImageFiles, faults: dict[int, str], on_error: str) -> None:
    """Name the files that could not be read.

    Raises
    ------
    ValueError
        With ``on_error="raise"``, if there are any.

    Warns
    -----
    BadFilesWarning
        With ``on_error="skip"``, if there are any.
    """
    if not faults:
        return
    rows = sorted(faults)
    named = "; ".join(
        f"row {row}, {_short(files.paths[row])}: {faults[row]}" for row in rows[:_NAMED]
    )
    more = f"; and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    message = f"{len(rows)} of {len(files)} image files cannot be read: {named}{more}."
    if on_error == "skip":
        warnings.warn(message, BadFilesWarning, stacklevel=outside())
        return
    missing = next((r for r in rows if not os.path.lexists(files.paths[r])), None)
    if missing is not None:
        message += (
            f" Strings in X are paths, and {_short(files.paths[missing])} is no file: "
            f"raw text has to be embedded first, with a text model."
        )
    raise ValueError(
        f"{message} Mend these files or leave them out: skfsl.datasets.drop_bad_files "
        f"does so, and on_error='skip' where an estimator has it."
    )


def _short(path: str) -> str:
    return repr(path if len(path) <= 200 else f"{path[:100]}...{path[-90:]}")


def _n_threads() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
