"""Image files as one array, for any estimator."""

import os
from numbers import Integral, Real
from typing import Any

from skfsl.images._decode import Progress, decode, raise_or_warn
from skfsl.images._files import as_files
from skfsl.images._read import RESIZES
from skfsl.utils._sklearn_private import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

__all__ = ["check_image_size", "read_images"]

_CONSTRAINTS: dict = {
    "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list],
    "resize": [StrOptions(set(RESIZES))],
    "cache": [str, os.PathLike, None],
    "memory_budget": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
}


def check_image_size(image_size: Any) -> tuple[int, int]:
    """Return (height, width) of a side or of a pair.

    Raises
    ------
    ValueError
        If it is neither one nor two positive integers.
    """
    sides = (image_size,) * 2 if isinstance(image_size, Integral) else image_size
    if len(sides) != 2 or not all(
        isinstance(s, Integral) and int(s) > 0 for s in sides
    ):
        raise ValueError(
            f"The 'image_size' parameter must be a positive int, or a pair (height, "
            f"width) of them. Got {image_size!r} instead."
        )
    return int(sides[0]), int(sides[1])


def read_images(
    X,
    *,
    image_size=84,
    resize="pad",
    cache=None,
    memory_budget=2 * 1024**3,
    verbose=0,
):
    """Read image files into one array.

    A SiameseTransformer takes files as they are. Use this where pixels are wanted: for
    another estimator, or to look at what the transformer sees.

    Read more in the :ref:`User Guide <files>`.

    Parameters
    ----------
    X : list, array or Series of paths, data frame, or object array
        Files, or a table with a column "path" and perhaps a column "box": (left, upper,
        right, lower) in pixels of the picture as a person sees it, None for all of it.
    image_size : int or (int, int), default=84
        Side of the images in pixels, or their height and width.
    resize : {"pad", "crop", "squash"}, default="pad"
        How a picture of another shape is brought to the size: "pad" fits it in, with
        gray around it; "crop" takes its middle; "squash" changes its proportions.
    cache : str or path-like, default=None
        Folder where decoded images are kept, for the next time and for other processes.
    memory_budget : int, default=2 GiB
        Bytes that the images may take in memory. Where they are more, they are left in
        files, in `cache` or in a temporary folder.
    verbose : int, default=0
        1 tells the progress every few seconds.

    Returns
    -------
    images : ndarray of shape (n, 3, height, width), uint8
        In the order of X. Beyond `memory_budget` an array-like, whose slices and other
        parts are arrays; the files behind it are removed with it.

    Raises
    ------
    ValueError
        If files cannot be read: the first ten, and how many more. If X holds no paths,
        or a box is none.
    ImportError
        If Pillow is not installed.

    See Also
    --------
    skfsl.datasets.load_image_folder : Paths and labels of a folder.
    skfsl.datasets.drop_bad_files : Leave out what cannot be read.

    Examples
    --------
    >>> from skfsl.images import read_images
    >>> X = read_images(["cat.jpg", "dog.png"], image_size=32)  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (2, 3, 32, 32)
    """
    validate_parameter_constraints(
        _CONSTRAINTS,
        {
            "image_size": image_size,
            "resize": resize,
            "cache": cache,
            "memory_budget": memory_budget,
            "verbose": verbose,
        },
        caller_name="read_images",
    )
    files = as_files(X)
    images, faults = decode(
        files, check_image_size(image_size), resize, cache=cache,
        memory_budget=memory_budget, progress=Progress(len(files), bool(verbose)),
    )  # fmt: skip
    raise_or_warn(files, faults, "raise")
    return images.whole() if images.nbytes <= memory_budget else images
