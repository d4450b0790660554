"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from sklearn.utils import Bunch

from skfsl.datasets._resize import resize_area
from skfsl.utils._sklearn_private import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

__all__ = ["load_omniglot"]

_SIDE = 105
_SUBSETS = ("background", "evaluation")
_FIELDS = ("images", "labels", "names", "drawers")
_EXPECTED = (
    "the root folder of torchvision's Omniglot (with omniglot-py/images_background/"
    "<Alphabet>/characterNN/NNNN_DD.png and images_evaluation beside it), or an .npz "
    "file with <subset>_images, _labels, _names and _drawers for the subsets "
    "background and evaluation"
)
_CONSTRAINTS: dict = {
    "subset": [StrOptions({*_SUBSETS, "all"})],
    "image_size": [None, Interval(Integral, 1, None, closed="left")],
    "return_X_y": ["boolean"],
}


def load_omniglot(path, *, subset="background", image_size=None, return_X_y=False):
    """Load Omniglot from this machine.

    The classes are characters; two characters of one alphabet are harder to tell
    apart than two of different alphabets. A metric is learned on the background
    alphabets and tried on the evaluation alphabets, of which it has seen nothing.

    Nothing is downloaded: the data is at https://github.com/brendenlake/omniglot,
    and ``torchvision.datasets.Omniglot`` fetches it.

    Parameters
    ----------
    path : str or path-like
        The root folder of torchvision's ``Omniglot``, or the folder in it that has
        ``images_background``; or an ``.npz`` file with, for each subset,
        ``<subset>_images`` (rows of ``np.packbits`` of 105×105 pictures, ink = 1),
        ``<subset>_labels``, ``<subset>_names`` and ``<subset>_drawers``.
    subset : {"background", "evaluation", "all"}, default="background"
        The 964 characters of 30 alphabets to learn from, the 659 of 20 alphabets to
        try on, or both, in this order.
    image_size : int, default=None
        Side of the pictures in pixels, 28 for example. Each new pixel is the mean of
        the area that it covers, rounded. None leaves them at 105.
    return_X_y : bool, default=False
        Whether ``(data, target)`` is returned instead of a Bunch.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        With the fields:

        data : ndarray of shape (n_samples, image_size, image_size), uint8
            Pictures, ink white (255) on black (0).
        target : ndarray of shape (n_samples,), int64
            Code of the character, an index into `target_names`.
        target_names : ndarray of shape (n_classes,)
            "Alphabet/characterNN".
        alphabet : ndarray of shape (n_samples,), int64
            Code of the alphabet, an index into `alphabet_names`.
        alphabet_names : ndarray of shape (n_alphabets,)
            Names of the alphabets.
        drawers : ndarray of shape (n_samples,), int64
            Who drew it, 1 to 20 within an alphabet.
    (data, target) : tuple
        If `return_X_y`.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`, or no Omniglot; the message says what is
        expected there.
    ValueError
        If the file lacks an array, or pictures in the folder are not of one size.
    ImportError
        If a folder is read and Pillow is not installed.

    References
    ----------
    .. [1] B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum, "Human-level concept
       learning through probabilistic program induction", Science, 2015.

    Examples
    --------
    >>> from skfsl.datasets import load_omniglot
    >>> omniglot = load_omniglot("data/omniglot", image_size=28)  # doctest: +SKIP
    >>> omniglot.data.shape  # doctest: +SKIP
    (19280, 28, 28)
    """
    validate_parameter_constraints(
        _CONSTRAINTS,
        {"subset": subset, "image_size": image_size, "return_X_y": return_X_y},
        caller_name="load_omniglot",
    )
    path = Path(path)
    read = _open_folder(path) if path.is_dir() else _open_npz(path)
    parts = [read(s) for s in (_SUBSETS if subset == "all" else (subset,))]
    if image_size is not None:
        for part in parts:
            if part["images"].shape[1:] != (image_size, image_size):
                part["images"] = resize_area(part["images"], image_size)
    names = np.concatenate([part["names"] for part in parts])
    offsets = np.cumsum([0, *(len(part["names"]) for part in parts)])
    target = np.concatenate(
        [part["labels"].astype(np.int64) + offsets[i] for i, part in enumerate(parts)]
    )
    data = np.concatenate([part["images"] for part in parts])
    if return_X_y:
        return data, target
    alphabet_names, alphabet = np.unique(
        [name.partition("/")[0] for name in names.tolist()], return_inverse=True
    )
    return Bunch(
        data=data,
        target=target,
        target_names=names,
        alphabet=alphabet[target],
        alphabet_names=alphabet_names,
        drawers=np.concatenate([p["drawers"] for p in parts]).astype(np.int64),
    )


def _open_npz(path):
    if not path.exists():
        raise FileNotFoundError(f"No Omniglot at {str(path)!r}. Expected {_EXPECTED}.")

    def read(subset):
        try:
            with np.load(path) as arrays:
                part = {field: arrays[f"{subset}_{field}"] for field in _FIELDS}
        except (KeyError, BadZipFile, OSError, ValueError, TypeError) as error:
            raise ValueError(
                f"Cannot read Omniglot's {subset} subset from {str(path)!r}: {error} "
                f"Expected {_EXPECTED}."
            )
        _check_arrays(part, path)
        bits = np.unpackbits(part["images"], axis=1, count=_SIDE * _SIDE)
        part["images"] = bits.reshape(-1, _SIDE, _SIDE) * np.uint8(255)
        return part

    return read


def _check_arrays(part, path):
    images, labels = part["images"], part["labels"]
    if (
        images.dtype != np.uint8
        or images.shape[1:] != (-(-_SIDE * _SIDE // 8),)
        or labels.shape != images.shape[:1]
        or labels.dtype.kind not in "iu"
        or part["drawers"].shape != labels.shape
        or not ((labels >= 0) & (labels < len(part["names"]))).all()
    ):
        raise ValueError(
            f"The arrays in {str(path)!r} do not go together: images of {images.dtype} "
            f"and shape {images.shape}, labels of {labels.dtype} and shape "
            f"{labels.shape}, {len(part['names'])} names. Expected {_EXPECTED}."
        )


def _open_folder(path):
    for root in (path / "omniglot-py", path):
        if any((root / f"images_{s}").is_dir() for s in _SUBSETS):
            break
    else:
        raise FileNotFoundError(f"No Omniglot in {str(path)!r}. Expected {_EXPECTED}.")

    def read(subset):
        folder = root / f"images_{subset}"
        files = list(_files(folder))
        if not files:
            raise FileNotFoundError(
                f"No pictures in {str(folder)!r}. Expected {_EXPECTED}."
            )
        names, labels = np.unique([name for name, _, _ in files], return_inverse=True)
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(_read_ink, [file for _, _, file in files]))
        shapes = sorted({image.shape for image in images})
        if len(shapes) > 1:
            raise ValueError(
                f"Expected pictures of one size in {str(folder)!r}. Got {shapes}."
            )
        return {
            "images": np.stack(images),
            "labels": labels,
            "names": names,
            "drawers": np.array([drawer for _, drawer, _ in files]),
        }

    return read


def _files(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """Yield name of the character, drawer and file, in order."""
    for file in sorted(folder.glob("*/*/*.png")):
        if file.name.startswith("."):  # what file managers leave behind
            continue
        character, drawer = file.parent, file.stem[-2:]
        if not drawer.isdecimal():
            raise ValueError(f"Cannot tell the drawer of {str(file)!r} by its name.")
        yield f"{character.parent.name}/{character.name}", int(drawer), file


def _read_ink(file):
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Reading pictures requires Pillow. Install it with "
            "`pip install 'skfsl[images]'`."
        ) from error
    with Image.open(file) as image:
        return 255 - np.asarray(image.convert("L"))
