"""load_omniglot: one Bunch, out of an .npz file or torchvision's folder."""

import builtins

import numpy as np
import pytest

from skfsl.datasets import load_omniglot
from skfsl.datasets._resize import resize_area

CHARACTERS = {
    "background": ["Greek/character01", "Greek/character02", "Latin/character01"],
    "evaluation": ["Angelic/character01", "Oriya/character01"],
}
DRAWERS = 3


@pytest.fixture
def drawings():
    rng = np.random.default_rng(0)
    return {
        subset: rng.random((len(names) * DRAWERS, 105, 105)) < 0.1
        for subset, names in CHARACTERS.items()
    }


@pytest.fixture
def npz(drawings, tmp_path):
    arrays = {}
    for subset, ink in drawings.items():
        n = len(CHARACTERS[subset])
        arrays |= {
            f"{subset}_images": np.packbits(ink.reshape(len(ink), -1), axis=1),
            f"{subset}_labels": np.repeat(np.arange(n), DRAWERS).astype(np.int16),
            f"{subset}_names": np.array(CHARACTERS[subset]),
            f"{subset}_drawers": np.tile(np.arange(1, DRAWERS + 1), n).astype(np.uint8),
        }
    np.savez(tmp_path / "omniglot.npz", **arrays)
    return tmp_path / "omniglot.npz"


@pytest.fixture
def folder(drawings, tmp_path):
    image = pytest.importorskip("PIL.Image")
    for subset, ink in drawings.items():
        for i, name in enumerate(CHARACTERS[subset]):
            where = tmp_path / "root" / "omniglot-py" / f"images_{subset}" / name
            where.mkdir(parents=True)
            for d in range(DRAWERS):
                picture = image.fromarray(~ink[i * DRAWERS + d])  # mode "1", as there
                picture.save(where / f"{i + 1:04d}_{d + 1:02d}.png")
    (tmp_path / "root" / "omniglot-py" / "images_background.zip").touch()
    return tmp_path / "root"


@pytest.fixture(params=["npz", "folder", "inner folder"])
def path(request):
    if request.param == "npz":
        return request.getfixturevalue("npz")
    root = request.getfixturevalue("folder")
    return root if request.param == "folder" else str(root / "omniglot-py")


def test_pictures_are_white_ink_on_black(path, drawings):
    for subset, ink in drawings.items():
        data, target = load_omniglot(path, subset=subset, return_X_y=True)
        assert data.dtype == np.uint8
        np.testing.assert_array_equal(data, ink * 255)
        assert target.dtype == np.int64
        np.testing.assert_array_equal(
            target, np.repeat(np.arange(len(CHARACTERS[subset])), DRAWERS)
        )


def test_all_joins_both_subsets(path, drawings):
    both = load_omniglot(path, subset="all")
    assert both.target_names.tolist() == [
        *CHARACTERS["background"],
        *CHARACTERS["evaluation"],
    ]
    np.testing.assert_array_equal(both.target, np.repeat(np.arange(5), DRAWERS))
    assert both.alphabet_names.tolist() == ["Angelic", "Greek", "Latin", "Oriya"]
    alphabets = both.alphabet_names[both.alphabet]
    characters = both.target_names[both.target]
    for alphabet, character in zip(alphabets, characters, strict=True):
        assert character.startswith(f"{alphabet}/")
    np.testing.assert_array_equal(both.drawers, np.tile([1, 2, 3], 5))
    np.testing.assert_array_equal(
        both.data, np.concatenate(list(drawings.values())) * 255
    )


def test_image_size(path, drawings):
    data = load_omniglot(path, image_size=21).data
    means = drawings["background"].reshape(-1, 21, 5, 21, 5).mean(axis=(2, 4)) * 255
    np.testing.assert_array_equal(data, np.rint(means))
    assert load_omniglot(path, image_size=28).data.shape == (9, 28, 28)
    assert load_omniglot(path, image_size=105).data.shape == (9, 105, 105)


def test_resize_by_area_against_a_slow_loop(rng):
    image = rng.integers(0, 256, (1, 7, 5), dtype=np.uint8)
    fine = image.repeat(3, axis=1).repeat(3, axis=2)  # 21 x 15: both divide by 3
    expected = fine.reshape(1, 3, 7, 3, 5).mean(axis=(2, 4))
    np.testing.assert_array_equal(resize_area(image, 3), np.rint(expected))
    flat = np.full((3, 105, 105), 255, dtype=np.uint8)
    np.testing.assert_array_equal(resize_area(flat, 28, block=2), 255)
    np.testing.assert_array_equal(resize_area(image[:, :5], 5), image[:, :5])


def test_nothing_there_is_said_clearly(tmp_path):
    for path in (tmp_path / "absent.npz", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"images_background.*\.npz"):
            load_omniglot(path)


def test_empty_subset_is_said_clearly(folder):
    evaluation = folder / "omniglot-py" / "images_evaluation"
    evaluation.rename(evaluation.with_name("elsewhere"))
    assert len(load_omniglot(folder).data) == 9
    with pytest.raises(FileNotFoundError, match=r"No pictures in .*images_evaluation"):
        load_omniglot(folder, subset="evaluation")


def test_file_that_is_something_else(tmp_path):
    np.savez(tmp_path / "other.npz", X=np.ones(3))
    (tmp_path / "other.txt").write_text("no archive")
    for name in ("other.npz", "other.txt"):
        with pytest.raises(ValueError, match="Cannot read Omniglot's background"):
            load_omniglot(tmp_path / name)


def test_pictures_of_two_sizes(folder):
    image = pytest.importorskip("PIL.Image")
    where = folder / "omniglot-py/images_background/Greek/character01/0001_09.png"
    image.new("1", (50, 60)).save(where)
    with pytest.raises(ValueError, match=r"one size.*\(60, 50\), \(105, 105\)"):
        load_omniglot(folder)


@pytest.mark.parametrize(
    "params", [{"subset": "test"}, {"image_size": 0}, {"return_X_y": "yes"}]
)
def test_bad_parameters(params, npz):
    with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter of load_"):
        load_omniglot(npz, **params)


def test_missing_pillow_is_told_with_its_remedy(folder, monkeypatch):
    real = builtins.__import__

    def no_pillow(name, *args, **kwargs):
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_pillow)
    with pytest.raises(ImportError, match=r"pip install 'skfsl\[images\]'"):
        load_omniglot(folder)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("images", np.zeros((9, 3), np.uint8)),
        ("images", np.zeros((9, 1379))),
        ("images", np.zeros((9, 105, 105), np.uint8)),
        ("labels", np.arange(9)),
        ("labels", np.zeros(9)),
        ("labels", np.zeros(8, int)),
        ("drawers", np.zeros(3, int)),
    ],
)
def test_arrays_that_do_not_go_together(npz, field, values):
    with np.load(npz) as arrays:
        changed = {**arrays, f"background_{field}": values}
    np.savez(npz, **changed)
    with pytest.raises(ValueError, match="do not go together"):
        load_omniglot(npz)


def test_hidden_files_are_no_pictures(folder):
    character = folder / "omniglot-py" / "images_background" / "Greek" / "character01"
    (character / "._0001_01.png").write_bytes(b"not a picture")
    assert len(load_omniglot(folder).data) == 9


def test_a_file_without_a_drawer_is_named(folder):
    character = folder / "omniglot-py" / "images_background" / "Greek" / "character01"
    (character / "picture.png").touch()
    with pytest.raises(ValueError, match=r"drawer of .*picture\.png"):
        load_omniglot(folder)
