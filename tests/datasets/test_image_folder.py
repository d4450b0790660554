"""A folder of images, one folder a class."""

import numpy as np
import pytest

from skfsl.datasets import load_image_folder


@pytest.fixture
def root(tmp_path):
    for name in (
        "bee/2.JPG", "bee/1.png", "ape/x/deep.webp", "ape/a.tiff", "ape/notes.txt",
        "ape/.hidden.png", "ape/.cache/b.png", ".git/c.png", "loose.png",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_images_are_sorted_by_class_and_name(root):
    bunch = load_image_folder(root)
    assert bunch.filenames.tolist() == [
        "ape/a.tiff",
        "ape/x/deep.webp",
        "bee/1.png",
        "bee/2.JPG",
    ]
    assert bunch.data.dtype == object
    assert bunch.data.tolist() == [str(root / name) for name in bunch.filenames]
    assert bunch.target.dtype == np.int64
    assert bunch.target_names[bunch.target].tolist() == ["ape", "ape", "bee", "bee"]


def test_return_X_y(root):
    X, y = load_image_folder(str(root), return_X_y=True)
    assert len(X) == len(y) == 4


def test_extensions_are_a_choice(root):
    bunch = load_image_folder(root, extensions=[".png", ".txt"])
    assert bunch.filenames.tolist() == ["ape/notes.txt", "bee/1.png"]


def test_a_class_without_images_is_named(root):
    (root / "cow").mkdir()
    (root / "cow" / "readme.md").touch()
    with pytest.raises(ValueError, match=r"1 of the 3 folders in .* no images: 'cow'"):
        load_image_folder(root)


def test_no_images_at_all(tmp_path):
    (tmp_path / "loose.png").touch()
    with pytest.raises(ValueError, match=r"No images in folders of .* Got 0 folders"):
        load_image_folder(tmp_path)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No folder at .*nowhere"):
        load_image_folder(tmp_path / "nowhere")
