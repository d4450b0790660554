"""Many files: order, budget of memory, faults, progress."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from skfsl.images import ImageRows, _decode, as_files, read_images


@pytest.fixture
def photos(tmp_path, rng):
    """Twelve pictures of several formats, and what each should be at 8 x 8."""
    paths, truth = [], []
    for i in range(12):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        path = tmp_path / f"{i}.{['png', 'bmp', 'tif'][i % 3]}"
        Image.fromarray(pixels).save(path)
        paths.append(str(path))
        truth.append(pixels.transpose(2, 0, 1))
    return paths, np.stack(truth)


def small_blocks(monkeypatch, n_threads=2):
    monkeypatch.setattr(_decode, "_n_threads", lambda: n_threads)
    monkeypatch.setattr(_decode, "_FILES_A_THREAD", 2)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_images_come_in_the_order_of_the_files(photos, monkeypatch, n_threads):
    small_blocks(monkeypatch, n_threads)
    paths, truth = photos
    assert (read_images(paths, image_size=8) == truth).all()


def test_beyond_the_budget_images_are_on_disk_until_no_longer_used(photos):
    paths, truth = photos
    images = read_images(paths, image_size=8, memory_budget=truth.nbytes - 1)
    assert isinstance(images, ImageRows)
    assert images.shape == truth.shape
    assert len(images) == 12
    for index in (3, slice(2, 9), np.array([5, 0, 5]), truth[:, 0, 0, 0] > 100):
        assert type(images[index]) is np.ndarray
        assert (images[index] == truth[index]).all()
    assert (np.asarray(images) == truth).all()
    part = images.part([4, 2, 7]).part(slice(1, None))
    assert (part[:] == truth[[2, 7]]).all()
    assert images[np.array([], dtype=int)].shape == (0, 3, 8, 8)
    folder = images._source.path.parent
    assert folder.exists()
    del images
    assert folder.exists()  # a part of it is still there
    del part
    assert not folder.exists()


def test_one_file_with_many_boxes_is_many_images(tmp_path, rng):
    pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    X = np.empty((4, 2), dtype=object)
    X[:, 0] = str(tmp_path / "a.png")
    X[:, 1] = [(x, y, x + 8, y + 8) for x in (0, 8) for y in (0, 8)]
    for options in ({}, {"memory_budget": 0}):
        images = read_images(X, image_size=8, **options)
        for i, (x, y, right, lower) in enumerate(X[:, 1]):
            assert (images[i].transpose(1, 2, 0) == pixels[y:lower, x:right]).all()


def test_all_bad_files_are_named_in_one_error(photos, tmp_path, rng):
    paths, _ = photos
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("hello")
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) * 2 // 3])
    names = ["empty.jpg", "text.png", "cut.jpg", "missing.jpg"]
    X = [*paths[:2], *(tmp_path / name for name in names), *paths[2:]]
    with pytest.raises(ValueError, match="4 of 16 image files cannot be read") as error:
        read_images(X)
    said = str(error.value)
    assert "row 2, " in said
    assert "empty.jpg': the file is empty" in said
    assert "text.png': not an image" in said
    assert re.search("cut.jpg': .*truncated", said)
    assert "row 5, " in said
    assert "missing.jpg': No such file" in said


@pytest.mark.parametrize("budget", [np.inf, 0])
def test_bad_files_of_any_block_are_left_out(photos, tmp_path, monkeypatch, budget):
    small_blocks(monkeypatch)
    paths, truth = photos
    bad = [1, 4, 5, 11]
    files = as_files([str(tmp_path) if i in bad else p for i, p in enumerate(paths)])
    images, faults = _decode.decode(
        files, (8, 8), "pad", cache=None, memory_budget=budget,
        progress=_decode.Progress(12, verbose=False),
    )  # fmt: skip
    assert sorted(faults) == bad
    assert (images[:] == np.delete(truth, bad, axis=0)).all()


def test_ten_bad_files_are_named_and_the_others_counted(tmp_path):
    with pytest.raises(ValueError, match=r"row 9, 'f9'.*; and 3 more") as error:
        read_images([f"f{i}" for i in range(13)])
    assert "row 10" not in str(error.value)


@pytest.mark.parametrize("text", ["what is my balance?", "x" * 5000, "a\0b"])
def test_text_is_told_to_be_embedded_first(text):
    with pytest.raises(ValueError, match="raw text has to be embedded first"):
        read_images([text])


def test_a_box_outside_of_the_picture_is_a_fault(photos):
    X = np.empty((1, 2), dtype=object)
    X[0] = photos[0][0], (20, 20, 30, 30)
    with pytest.raises(ValueError, match="outside of the picture of 8 x 8 pixels"):
        read_images(X)


@pytest.mark.parametrize("size", [0, (3,), (3, 0), (2.5, 3)])
def test_an_image_size_is_checked(photos, size):
    with pytest.raises(ValueError, match="'image_size' parameter"):
        read_images(photos[0], image_size=size)


def test_progress_is_told(photos, monkeypatch, capsys):
    small_blocks(monkeypatch)
    monkeypatch.setattr(_decode, "_SECONDS", 0)
    read_images(photos[0], image_size=8, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"Read 8/12 images, \d+ a second, \d+ s left", lines[1])
    read_images(photos[0], image_size=8)
    assert capsys.readouterr().out == ""


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from skfsl.images import read_images
X = np.empty((400, 2), dtype=object)
X[:, 0] = sys.argv[1]
X[:, 1] = [(i % 20, i // 20, 40 + i % 20, 40 + i // 20) for i in range(400)]
status = Path("/proc/self/status")
peak = lambda: int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
read_images(X[:8], image_size=256, memory_budget=int(sys.argv[2]))
before = peak()
images = read_images(X, image_size=256, memory_budget=int(sys.argv[2]))
total = sum(int(images[i : i + 10].sum()) for i in range(0, 400, 10))
print(images.nbytes, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
@pytest.mark.parametrize("budget", [0, 2**31])
def test_memory_stays_within_the_budget_and_a_block(tmp_path, budget):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "a.png", str(budget)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    n_bytes, grown = map(int, done.stdout.split())
    assert n_bytes == 400 * 3 * 256 * 256
    n_threads = _decode._n_threads()
    block = min(64 * n_threads * 3 * 256 * 256, max(2**26, n_threads * 3 * 256 * 256))
    if budget:
        assert grown > n_bytes * 0.9  # the measure does measure
    else:
        assert grown < block + 2**24
        assert block + 2**24 < n_bytes or n_threads > 4


def test_files_with_names_of_any_bytes_are_read(tmp_path, photos):
    path = str(tmp_path).encode() + b"/\xff.png"
    try:
        with open(path, "wb") as file:  # noqa: PTH123 - Path takes no bytes
            Image.new("RGB", (8, 8), "red").save(file, "png")
    except OSError:
        pytest.skip("names are Unicode here")
    name = path.decode(errors="surrogateescape")
    images = read_images([name], image_size=8, memory_budget=0)
    assert (images[0][0] == 255).all()
    assert as_files([name]).paths[0] == name
