"""One file to one picture, as a person sees it."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from skfsl.images import read_images
from skfsl.images._read import read_image


@pytest.fixture
def marked(rng):
    """A picture that is like none of its turns and mirrors."""
    return Image.fromarray(rng.integers(0, 256, (5, 8, 3), dtype=np.uint8)).resize(
        (48, 30), Image.Resampling.BICUBIC
    )


def seen(path, size, resize="squash", box=None):
    return read_image(str(path), box, size, resize).transpose(1, 2, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
def test_exif_orientation_is_that_of_image_ops(tmp_path, marked, orientation, kind):
    path = tmp_path / f"a.{kind}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    marked.save(path, exif=exif)
    with Image.open(path) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    got = seen(path, expected.size[::-1])
    assert (got == np.asarray(expected)).all()


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(tmp_path, marked, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    marked.save(tmp_path / "a.png", exif=exif)
    marked.save(tmp_path / "b.png")
    for box in (None, (2, 3, 40, 20)):
        a, b = (
            seen(tmp_path / name, (30, 48), "pad", box) for name in ("a.png", "b.png")
        )
        assert (a == b).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_spoil_a_picture(tmp_path, marked):
    marked.save(tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert seen(tmp_path / "a.jpg", (30, 48)).std() > 10


@pytest.mark.parametrize("kind", ["png", "webp", "bmp", "tif"])
def test_lossless_formats_give_the_same_pixels(tmp_path, marked, kind):
    marked.save(
        tmp_path / f"a.{kind}", **({"lossless": True} if kind == "webp" else {})
    )
    assert (seen(tmp_path / f"a.{kind}", (30, 48)) == np.asarray(marked)).all()


def plain(mode, color):
    return Image.new(mode, (6, 4), color)


def palette(transparency=None):
    image = plain("RGB", (200, 100, 50)).convert("P", palette=Image.Palette.ADAPTIVE)
    if transparency is not None:
        image.info["transparency"] = image.getpixel((0, 0))
    return image


@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (plain("L", 90), "a.png", (90, 90, 90)),
        (plain("1", 1), "a.png", (255, 255, 255)),
        (palette(), "a.png", (200, 100, 50)),
        (palette(transparency=True), "a.png", (255, 255, 255)),
        (palette(transparency=True), "a.gif", (255, 255, 255)),
        # A half of each over white, by hand: 255 - (255 - v) * 128 / 255.
        (plain("RGBA", (200, 100, 50, 128)), "a.png", (227, 177, 152)),
        (plain("LA", (100, 128)), "a.png", (177, 177, 177)),
        (plain("RGBA", (200, 100, 50, 128)), "a.webp", (227, 177, 152)),
        (plain("CMYK", (255, 0, 0, 0)), "a.jpg", (0, 255, 255)),
        (plain("CMYK", (0, 0, 0, 255)), "a.tif", (0, 0, 0)),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "mode", ""),
)
def test_a_mode_is_seen_in_its_colours(tmp_path, image, name, expected):
    image.save(tmp_path / name, **({"lossless": True} if "webp" in name else {}))
    got = seen(tmp_path / name, (4, 6))
    assert np.abs(got.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, kind):
    values = np.linspace(0, 65535, 24).reshape(4, 6).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{kind}")
    got = seen(tmp_path / f"a.{kind}", (4, 6))
    assert (got == np.rint(values / 257)[..., None]).all()


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    red, blue = plain("RGB", (255, 0, 0)), plain("RGB", (0, 0, 255))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    assert (seen(tmp_path / "a.gif", (4, 6)) == (255, 0, 0)).all()


@pytest.fixture
def quarters(tmp_path):
    """A large JPEG, which is decoded coarsely: red, green / blue, white."""
    pixels = np.zeros((1200, 1600, 3), dtype=np.uint8)
    pixels[:600, :800, 0] = pixels[:600, 800:, 1] = pixels[600:, :800, 2] = 255
    pixels[600:, 800:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter: blue, red / white, green is seen
    path = tmp_path / "quarters.jpg"
    Image.fromarray(pixels).save(path, quality=95, exif=exif)
    return path


@pytest.mark.parametrize(
    ("box", "color"),
    [
        ((0, 0, 600, 800), (0, 0, 255)),
        ((600, 0, 1200, 800), (255, 0, 0)),
        ((0, 800, 600, 1600), (255, 255, 255)),
        ((610, 810, 5000, 5000), (0, 255, 0)),  # cut off at the edges
    ],
)
def test_a_box_is_in_pixels_of_the_picture_as_seen(quarters, box, color):
    got = seen(quarters, (40, 40), "squash", box)[2:-2, 2:-2]
    assert np.abs(got.astype(int) - color).max() < 8


def test_a_coarsely_decoded_jpeg_looks_like_the_whole(quarters):
    with Image.open(quarters) as image:
        whole = ImageOps.exif_transpose(image).resize(
            (30, 40), Image.Resampling.BILINEAR
        )
    difference = seen(quarters, (40, 30)) - np.asarray(whole).astype(int)
    assert np.abs(difference).mean() < 1


def test_pad_keeps_all_in_proportion_between_gray(tmp_path):
    plain("RGB", (255, 0, 0)).resize((60, 30)).save(tmp_path / "a.png")
    got = seen(tmp_path / "a.png", (20, 20), "pad")
    assert (got[5:15] == (255, 0, 0)).all()
    assert (got[:5] == 128).all()
    assert (got[15:] == 128).all()


def test_crop_takes_the_middle(tmp_path):
    pixels = np.zeros((30, 90, 3), dtype=np.uint8)
    pixels[:, 30:60] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (seen(tmp_path / "a.png", (30, 30), "crop") == 255).all()
    assert (seen(tmp_path / "a.png", (30, 30), "squash")[:, :8] == 0).all()


@pytest.mark.parametrize("resize", ["pad", "crop", "squash"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (7, 11), (301, 299)])
def test_any_shape_comes_to_the_size(tmp_path, resize, shape):
    Image.new("RGB", shape, "red").save(tmp_path / "a.png")
    got = read_images([tmp_path / "a.png"], image_size=(13, 17), resize=resize)
    assert got.shape == (1, 3, 13, 17)
    assert (got[0, 0, 6] == 255).any()


def test_a_large_picture_that_could_be_a_bomb_is_a_bad_file(tmp_path, monkeypatch):
    plain("RGB", "red").save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"row 0, .*a\.png': Image size .* exceeds"):
        read_images([tmp_path / "a.png"])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.ones((2, 2), np.float32), "its pixels are floats"),
        (np.full((2, 2), 70_000, np.int32), "more than 16 bits"),
    ],
)
def test_pixels_of_unknown_range_are_refused(tmp_path, values, reason):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=reason):
        read_images([tmp_path / "a.tif"])


def test_without_pillow_the_error_names_the_extra(tmp_path, monkeypatch):
    plain("RGB", "red").save(tmp_path / "a.png")
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'skfsl\[images\]'"):
        read_images([tmp_path / "a.png"])
