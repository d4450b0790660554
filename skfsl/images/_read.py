"""The door to Pillow: one file to one picture, as a person sees it."""

import math
import os
from typing import Any, BinaryIO

import numpy as np

__all__ = ["RESIZES", "fault", "find_fault", "import_pillow", "read_image"]

# How a picture comes to a size that is not its own.
RESIZES = ("pad", "crop", "squash")

# Around a padded picture: the middle of the range, which is near the mean of photos.
_GRAY = 128

_ORIENTATION = 0x0112  # the tag of EXIF
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def import_pillow() -> Any:
    """Import Pillow late.

    Returns
    -------
    Image : module
        ``PIL.Image``.

    Raises
    ------
    ImportError
        If it is not installed; the message says what to do.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Reading image files requires Pillow. Install it with `pip install "
            "'skfsl[images]'`."
        ) from error
    return Image


def read_image(
    source: str | BinaryIO,
    box: tuple[float, ...] | None,
    size: tuple[int, int],
    resize: str,
    *,
    max_pixels: int | None = None,
    formats: list[str] | None = None,
) -> np.ndarray:
    """Read a picture, whatever its format, in RGB and in one size.

    Parameters
    ----------
    source : str or file
        The path of a file that Pillow can open, or one that is open; of an animation
        the first frame is read.
    box : tuple of float or None
        (left, upper, right, lower) in pixels of the picture after its EXIF
        orientation; what lies outside of the picture is cut off.
    size : tuple of int
        (height, width) of the result.
    resize : {"pad", "crop", "squash"}
        Whether the whole picture is fitted in, with gray around it; the middle of it
        fills the size; or its sides are scaled each for itself.
    max_pixels : int, default=None
        Of the picture in the file; None is the limit of Pillow.
    formats : list of str, default=None
        Pillow's names of those that are tried; None is all.

    Returns
    -------
    image : ndarray of shape (3, height, width), uint8
        Transparent parts are white; 16 bits a pixel are scaled to 8. Colour profiles
        are not applied.

    Raises
    ------
    Exception
        Whatever Pillow meets in a file that is broken, or too large to be safe.
    """
    Image = import_pillow()
    if _n_bytes(source) == 0:
        raise ValueError("the file is empty")
    with Image.open(source, formats=formats) as image:
        if max_pixels is not None and math.prod(image.size) > max_pixels:
            raise ValueError(
                f"it has {image.size[0]} x {image.size[1]} pixels, more than "
                f"max_pixels={max_pixels}"
            )
        turn = _orientation(image)
        width, height = image.size[::-1] if turn >= 5 else image.size
        part, fitted = _fit(_clip(box, width, height), size, resize)
        # A large JPEG is decoded at a half, a quarter or an eighth: twice what is
        # needed is enough.
        wanted = 2 * max(
            fitted[0] / (part[2] - part[0]), fitted[1] / (part[3] - part[1])
        )
        if wanted < 1:
            image.draft(None, tuple(math.ceil(side * wanted) for side in image.size))
        seen = _as_rgb(Image, image)
    if turn in _TURNS:
        seen = seen.transpose(Image.Transpose[_TURNS[turn]])
    # In pixels of what was decoded.
    part = tuple(
        min(at * now / before, now)
        for at, now, before in zip(
            part, seen.size * 2, (width, height) * 2, strict=True
        )
    )
    seen = seen.resize(fitted, Image.Resampling.BILINEAR, box=part, reducing_gap=3.0)
    out = np.full((*size, 3), _GRAY, dtype=np.uint8)
    top, left = (size[0] - fitted[1]) // 2, (size[1] - fitted[0]) // 2
    out[top : top + fitted[1], left : left + fitted[0]] = seen
    return out.transpose(2, 0, 1)


def find_fault(path: str, box: tuple[float, ...] | None = None) -> str | None:
    """Say in a few words why a file cannot be read; None where it can."""
    import_pillow()
    try:
        # All of it is decoded, at an eighth of its size where that is faster.
        read_image(path, box, (8, 8), "squash")
    except MemoryError:
        raise
    except Exception as error:
        return fault(error)
    return None


def fault(error: Exception) -> str:
    """Say an error of reading in a few words, without the path."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image of a format that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _n_bytes(source: str | BinaryIO) -> int:
    if isinstance(source, str | bytes):
        return os.stat(source).st_size  # noqa: PTH116 - paths may be any bytes
    n_bytes = source.seek(0, os.SEEK_END)
    source.seek(0)
    return n_bytes


def _orientation(image: Any) -> int:
    if image.format == "TIFF":
        return 1  # Pillow turns these itself
    try:
        turn = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF says nothing of the picture
        return 1
    return turn if turn in _TURNS else 1


def _as_rgb(Image: Any, image: Any) -> Any:
    """Decode a picture into 8 bits of red, green and blue."""
    if image.mode == "F":
        raise ValueError("its pixels are floats, of unknown range: pass it as an array")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels are of more than 16 bits: pass it as an array")
        scaled = (values.astype(np.uint32) * 255 + 32767) // 65535
        image = Image.fromarray(scaled.astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    return image.convert("RGB")


def _clip(box: tuple[float, ...] | None, width: int, height: int) -> tuple[float, ...]:
    whole = (0.0, 0.0, float(width), float(height))
    if box is None:
        return whole
    left, upper = max(box[0], 0.0), max(box[1], 0.0)
    right, lower = min(box[2], whole[2]), min(box[3], whole[3])
    if left >= right or upper >= lower:
        raise ValueError(
            f"its box {box} lies outside of the picture of {width} x {height} pixels"
        )
    return left, upper, right, lower


def _fit(
    box: tuple[float, ...], size: tuple[int, int], resize: str
) -> tuple[tuple[float, ...], tuple[int, int]]:
    """Return which part of the picture is taken, and its (width, height) then."""
    left, upper, right, lower = box
    width, height = right - left, lower - upper
    if resize == "squash":
        return box, size[::-1]
    scales = size[1] / width, size[0] / height
    if resize == "pad":
        scale = min(scales)
        return box, (max(1, round(width * scale)), max(1, round(height * scale)))
    scale = max(scales)
    dx = max(0.0, width - size[1] / scale) / 2
    dy = max(0.0, height - size[0] / scale) / 2
    return (left + dx, upper + dy, right - dx, lower - dy), size[::-1]
