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


@pytest.mark.parametrize("extensions", [".TIFF", (".tiff",), [".Tiff"]])
def test_extensions_are_in_any_letters(root, extensions):
    (root / "bee" / "3.tiff").touch()
    bunch = load_image_folder(root, extensions=extensions)
    assert bunch.filenames.tolist() == ["ape/a.tiff", "bee/3.tiff"]


@pytest.mark.parametrize("target", [".", "..", "ape", "ape/x"])
@pytest.mark.parametrize("place", ["ape/a_link", "ape/x/z_link"])
def test_links_do_not_go_round_in_circles(root, target, place):
    names = load_image_folder(root).filenames.tolist()
    (root / place).symlink_to(root / target, target_is_directory=True)
    found = load_image_folder(root).filenames.tolist()
    if (place, target) == ("ape/a_link", "ape/x"):  # seen first by this name
        names[names.index("ape/x/deep.webp")] = "ape/a_link/deep.webp"
    assert found == sorted(names)


def test_links_to_other_folders_are_followed(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "1.png").touch()
    for place in ("ape/more", "cow"):
        (root / place).symlink_to(elsewhere, target_is_directory=True)
    names = load_image_folder(root).filenames.tolist()
    assert {"ape/more/1.png", "cow/1.png"} < set(names)
