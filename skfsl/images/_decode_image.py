"""One image out of bytes of anybody's."""

from io import BytesIO
from numbers import Integral

from skfsl.images._read import RESIZES, fault, read_image
from skfsl.images._read_images import check_image_size
from skfsl.utils._sklearn_private import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

__all__ = ["decode_image"]

_CONSTRAINTS: dict = {
    "content": [bytes, bytearray, memoryview],
    "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list],
    "resize": [StrOptions(set(RESIZES))],
    "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
    "formats": [tuple, list, set, None],
}


def decode_image(
    content,
    *,
    image_size=84,
    resize="pad",
    max_pixels=50_000_000,
    formats=("BMP", "GIF", "JPEG", "PNG", "WEBP"),
):
    """Decode an image file that is in memory, as one that was uploaded.

    What is read is what :func:`read_images` reads from a file of the same bytes. As
    they may come from a stranger, two things are looked at before anything is decoded:
    how many pixels there will be, and of which format the file is.

    Read more in the :ref:`User Guide <files>`.

    Parameters
    ----------
    content : bytes
        The file. Of an animation the first frame is read.
    image_size : int or (int, int), default=84
        Side of the image in pixels, or its height and width. A fitted
        SiameseTransformer has them in ``input_shape_[1:]``.
    resize : {"pad", "crop", "squash"}, default="pad"
        As in :func:`read_images`.
    max_pixels : int or None, default=50_000_000
        Width times height of the largest picture that is decoded. A file of some
        kilobytes may hold as many as it likes: decoding takes up to 16 bytes for each.
        None leaves it to Pillow, which refuses about 179 million.
    formats : list of str or None, default=("BMP", "GIF", "JPEG", "PNG", "WEBP")
        Names of Pillow's formats that are tried. None is all, of which some are read
        by programs outside of Pillow.

    Returns
    -------
    image : ndarray of shape (3, height, width), uint8
        In RGB, as a person sees it: EXIF orientation is applied.

    Raises
    ------
    ValueError
        If it cannot be read, is cut off, too large or of another format.
    ImportError
        If Pillow is not installed.

    See Also
    --------
    read_images : Many files on the disk, by threads.

    Examples
    --------
    >>> from io import BytesIO
    >>> from PIL import Image
    >>> from skfsl.images import decode_image
    >>> Image.new("RGB", (640, 480), "red").save(uploaded := BytesIO(), "PNG")
    >>> image = decode_image(uploaded.getvalue(), image_size=8)
    >>> image.shape, image[:, 4, 4].tolist()
    ((3, 8, 8), [255, 0, 0])
    >>> decode_image(b"no picture")
    Traceback (most recent call last):
        ...
    ValueError: The image cannot be read: not an image of ... BMP, GIF, JPEG, PNG, WEBP.
    """
    validate_parameter_constraints(
        _CONSTRAINTS,
        {
            "content": content,
            "image_size": image_size,
            "resize": resize,
            "max_pixels": max_pixels,
            "formats": formats,
        },
        caller_name="decode_image",
    )
    size = check_image_size(image_size)
    names = None if formats is None else list(formats)
    try:
        return read_image(
            BytesIO(content), None, size, resize, max_pixels=max_pixels, formats=names
        )
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        reason = fault(error)
        if names is not None and type(error).__name__ == "UnidentifiedImageError":
            reason = f"not an image of one of the formats {', '.join(names)}"
        raise ValueError(f"The image cannot be read: {reason}.") from None
