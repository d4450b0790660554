"""The cache: found again, shared, and never wrong."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from skfsl.images import Progress, _cache, _decode, as_files, read_images
from skfsl.images._read import read_image

N = 300
ROW = 3 * 16 * 16


@pytest.fixture
def X(tmp_path, rng):
    """One picture, and so many boxes in it: each is an entry of its own."""
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    X = np.empty((N, 2), dtype=object)
    X[:, 0] = str(tmp_path / "a.png")
    X[:, 1] = [(i % 32, i // 32, 16 + i % 32, 16 + i // 32) for i in range(N)]
    return X


def read(X, cache, **options):
    return read_images(X, image_size=16, cache=cache, **options)[:]


@pytest.fixture
def no_decoding(monkeypatch):
    def stop():
        def refuse(*args):
            raise RuntimeError("decoded again")

        monkeypatch.setattr(_decode, "read_image", refuse)

    return stop


@pytest.mark.parametrize("options", [{}, {"memory_budget": 0}])
def test_nothing_is_decoded_twice(X, tmp_path, no_decoding, rng, options):
    truth = read(X, None)
    assert (read(X, tmp_path / "cache", **options) == truth).all()
    no_decoding()
    order = rng.permutation(N)
    assert (read(X[order], tmp_path / "cache", **options) == truth[order]).all()
    with pytest.raises(ValueError, match="decoded again"):
        read_images(X, image_size=17, cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="decoded again"):
        read_images(X, image_size=16, resize="crop", cache=tmp_path / "cache")


def test_only_what_is_new_is_decoded(X, tmp_path, monkeypatch):
    truth = read(X, None)
    read(X[:200], tmp_path / "cache")
    decoded = []
    monkeypatch.setattr(
        _decode, "read_image", lambda *args: decoded.append(1) or read_image(*args)
    )
    assert (read(X[::-1], tmp_path / "cache") == truth[::-1]).all()
    assert len(decoded) == 100


def test_a_file_that_changed_is_decoded_anew(tmp_path):
    path, cache = tmp_path / "a.bmp", tmp_path / "cache"
    Image.new("RGB", (16, 16), (1, 1, 1)).save(path)
    state = path.stat()
    assert (read([path], cache) == 1).all()
    Image.new("RGB", (16, 16), (2, 2, 2)).save(path)
    assert path.stat().st_size == state.st_size
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert (read([path], cache) == 2).all()


def test_a_relative_path_is_the_same_file(tmp_path, monkeypatch, no_decoding):
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.png")
    read([tmp_path / "a.png"], tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    no_decoding()
    read(["a.png"], "cache")


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
@pytest.mark.parametrize("options", [{}, {"memory_budget": 0}])
def test_a_damaged_row_is_decoded_anew(X, tmp_path, no_decoding, damage, options):
    truth = read(X, tmp_path / "cache")
    [rows] = (tmp_path / "cache").glob("*.rows")
    data = bytearray(rows.read_bytes())
    assert len(data) == N * ROW
    if damage == "gone":
        rows.unlink()
    else:
        data[40 * ROW + 7] ^= 1
        rows.write_bytes(data if damage == "flipped" else data[: 200 * ROW + 5])
    assert (read(X, tmp_path / "cache", **options) == truth).all()
    no_decoding()
    assert (read(X, tmp_path / "cache", **options) == truth).all()


def test_half_a_row_of_a_killed_process_shifts_nothing(X, tmp_path, no_decoding):
    truth = read(X, None)
    read(X[:100], tmp_path / "cache")
    [rows] = (tmp_path / "cache").glob("*.rows")
    with rows.open("ab") as file:
        file.write(b"half a row")
    assert (read(X, tmp_path / "cache", memory_budget=0) == truth).all()
    no_decoding()
    assert (read(X, tmp_path / "cache") == truth).all()


def test_bad_files_are_not_kept(X, tmp_path):
    (tmp_path / "bad.png").write_text("x")
    for _ in range(2):
        with pytest.raises(ValueError, match="1 of 2 image files"):
            read([X[0, 0], tmp_path / "bad.png"], tmp_path / "cache")
    Image.new("RGB", (16, 16), "red").save(tmp_path / "bad.png")
    assert (read([tmp_path / "bad.png"], tmp_path / "cache")[:, 0] == 255).all()


def test_an_index_that_is_none_is_told_of(X, tmp_path):
    read(X[:1], tmp_path / "cache")
    [index] = (tmp_path / "cache").glob("*.sqlite")
    index.write_bytes(b"no database at all" * 100)
    with pytest.raises(
        OSError, match=r"delete 16x16-.*\.sqlite and 16x16-.*\.rows in it"
    ):
        read(X, tmp_path / "cache")


def test_a_cache_that_has_all_need_not_be_written_to(
    X, tmp_path, no_decoding, monkeypatch
):
    truth = read(X, tmp_path / "cache")
    no_decoding()
    connect = sqlite3.connect

    def read_only(path, **options):
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    (rows,) = (tmp_path / "cache").glob("*.rows")
    rows.chmod(0o400)
    assert (read(X, tmp_path / "cache") == truth).all()


def test_a_cache_that_cannot_be_written_to_is_told_of(X, tmp_path, monkeypatch):
    truth = read(X[:5], tmp_path / "cache")
    connect = sqlite3.connect

    def read_only(path, **options):
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", read_only)
        with pytest.raises(OSError, match="another folder"):
            read(X, tmp_path / "cache")
    assert (read(X, tmp_path / "cache")[:5] == truth).all()


def test_a_disk_that_is_full_is_told_of(X, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * ROW + 5, limits[1]))
    try:
        with pytest.raises(OSError, match=r"Cannot use the cache in .*with room"):
            read(X, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (read(X, tmp_path / "cache") == read(X, None)).all()


def test_an_index_that_is_damaged_inside_is_told_of(X, tmp_path):
    read(X, tmp_path / "cache")
    (index,) = (tmp_path / "cache").glob("*.sqlite")
    content = index.read_bytes()
    index.write_bytes(content[:4096] + b"\xab" * (len(content) - 4096))
    with pytest.raises(OSError, match=r"Cannot use the cache in .*delete"):
        read(X, tmp_path / "cache")


def test_a_folder_that_cannot_be_made_is_told_of(X, tmp_path):
    (tmp_path / "file").write_text("x")
    for taken in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(
            OSError, match=r"Cannot use the cache in .*Set 'cache' to a folder"
        ):
            read(X, taken)


@pytest.fixture(params=["IMMEDIATE", "EXCLUSIVE"])
def held(X, tmp_path, monkeypatch, request):
    """A cache that another process writes to: how to stop that."""
    monkeypatch.setattr(_cache, "_WAIT", 5.0)
    read(X[:5], tmp_path / "cache")
    (index,) = (tmp_path / "cache").glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(index, isolation_level=None)) as other:
        other.execute(f"BEGIN {request.param}")
        yield lambda: other.execute("ROLLBACK")


def test_ctrl_c_ends_the_wait_for_another_process(X, tmp_path, held):
    timer = threading.Timer(0.7, signal.raise_signal, [signal.SIGINT])
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        read(X, tmp_path / "cache")
    assert time.monotonic() - began < 2
    held()
    assert (read(X, tmp_path / "cache") == read(X, None)).all()
    assert check_rows(tmp_path / "cache") == N


def test_threads_that_nobody_waits_for_do_not_wait_either(X, tmp_path, held):
    progress = Progress(N, verbose=False)
    threading.Timer(0.7, progress.close).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        _decode.decode(
            as_files(X), (16, 16), "pad", cache=tmp_path / "cache",
            memory_budget=np.inf, progress=progress,
        )  # fmt: skip
    assert time.monotonic() - began < 2


def test_another_process_is_waited_for_but_not_for_ever(X, tmp_path, held, monkeypatch):
    monkeypatch.setattr(_cache, "_WAIT", 0.2)
    with pytest.raises(OSError, match=r"another process has been writing .* 0 s\. Set"):
        read(X, tmp_path / "cache")
    monkeypatch.setattr(_cache, "_WAIT", 5.0)
    with ThreadPoolExecutor(1) as pool:
        images = pool.submit(read, X, tmp_path / "cache")
        time.sleep(1.2)
        assert not images.done()
        held()
        assert (images.result() == read(X, None)).all()


READ = """
import sys
import numpy as np
from skfsl.images import read_images
X = np.empty((int(sys.argv[3]), 2), dtype=object)
X[:, 0] = sys.argv[1]
X[:, 1] = [(i % 32, i // 32, 16 + i % 32, 16 + i // 32) for i in range(len(X))]
order = np.random.default_rng(int(sys.argv[4])).permutation(len(X))
images = read_images(X[order], image_size=16, cache=sys.argv[2])
np.save(sys.argv[5], images[np.argsort(order)])
"""


def start(X, cache, seed, out, n=N):
    arguments = [X[0, 0], cache, n, seed, out]
    return subprocess.Popen([sys.executable, "-c", READ, *map(str, arguments)])


def check_rows(cache):
    """All rows that the index names are what it says; return how many."""
    [rows], [index] = cache.glob("*.rows"), cache.glob("*.sqlite")
    data = rows.read_bytes()
    with contextlib.closing(sqlite3.connect(index)) as db:
        entries = db.execute("SELECT row, checksum FROM images").fetchall()
    for row, checksum in entries:
        assert zlib.crc32(data[row * ROW : (row + 1) * ROW]) == checksum
    return len(entries)


def test_two_processes_fill_one_cache_at_once(X, tmp_path, no_decoding):
    truth, cache = read(X, None), tmp_path / "cache"
    outs = [tmp_path / f"{i}.npy" for i in range(2)]
    running = [start(X, cache, i, out) for i, out in enumerate(outs)]
    assert [process.wait(60) for process in running] == [0, 0]
    for out in outs:
        assert (np.load(out) == truth).all()
    assert check_rows(cache) == N
    no_decoding()
    assert (read(X, cache) == truth).all()


def test_threads_fill_one_cache_at_once(X, tmp_path, rng):
    truth = read(X, None)
    orders = [rng.permutation(N) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        read_all = pool.map(lambda at: read(X[at], tmp_path / "cache"), orders)
        for order, images in zip(orders, read_all, strict=True):
            assert (images == truth[order]).all()
    assert check_rows(tmp_path / "cache") == N


def test_a_killed_process_leaves_no_row_that_lies(X, tmp_path, rng):
    # Each is a large picture: the process is killed amidst its work.
    pixels = rng.integers(0, 256, (600, 600, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cache, n = tmp_path / "cache", 1000
    process = start(X, cache, 0, tmp_path / "out.npy", n)
    try:
        deadline = time.monotonic() + 60
        while not sum(path.stat().st_size for path in cache.glob("*.rows")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()
    kept = check_rows(cache)
    assert kept < n
    assert (read(X[:64], cache) == read(X[:64], None)).all()
    assert check_rows(cache) >= max(kept, 64)
