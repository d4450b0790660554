"""One image out of bytes of anybody's."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from skfsl.images import decode_image, read_images


def encoded(kind, size=(48, 30), **options):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def empty_png(width, height):
    """A PNG that says how large it is, and holds no pixels."""

    def chunk(name, data):
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("resize", ["pad", "crop", "squash"])
def test_bytes_are_read_as_a_file_of_them(tmp_path, kind, resize):
    content = encoded(kind)
    path = tmp_path / "a"
    path.write_bytes(content)
    expected = read_images([path], image_size=(20, 24), resize=resize)[0]
    for given in (content, bytearray(content), memoryview(content)):
        got = decode_image(given, image_size=(20, 24), resize=resize)
        np.testing.assert_array_equal(got, expected)


def test_the_number_of_pixels_is_looked_at_before_any_is_decoded():
    content = empty_png(7_000, 8_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"7000 x 8000 pixels, more than max_pixels"):
        decode_image(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    small = encoded("PNG")
    assert decode_image(small, max_pixels=48 * 30, image_size=8).shape == (3, 8, 8)
    with pytest.raises(ValueError, match=r"48 x 30 pixels, more than max_pixels=1439"):
        decode_image(small, max_pixels=48 * 30 - 1)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_without_a_limit_that_of_pillow_holds():
    with pytest.raises(ValueError, match="could be decompression bomb"):
        decode_image(empty_png(20_000, 20_000), max_pixels=None)


def test_other_formats_are_not_tried():
    content = encoded("TIFF")
    with pytest.raises(ValueError, match="not an image of one of the formats BMP, GIF"):
        decode_image(content)
    assert decode_image(content, formats=None).shape == (3, 84, 84)
    with pytest.raises(ValueError, match="not an image of one of the formats JPEG"):
        decode_image(encoded("PNG"), formats=["JPEG"])
    with pytest.raises(ValueError, match="'formats' parameter of decode_image must be"):
        decode_image(encoded("PNG"), formats="PNG")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"no picture", "not an image of one of the formats"),
        (encoded("JPEG")[:-400], "truncated"),
        (encoded("PNG")[:200], "truncated|broken"),
    ],
)
def test_what_cannot_be_read_is_said(content, said):
    with pytest.raises(ValueError, match=rf"The image cannot be read: .*({said})"):
        decode_image(content)


def test_paths_are_no_bytes(tmp_path):
    with pytest.raises(ValueError, match="'content' parameter of decode_image must be"):
        decode_image("a.png")
