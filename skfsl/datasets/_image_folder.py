"""Paths and labels of a folder of images, one folder a class."""

import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

__all__ = ["IMAGE_EXTENSIONS", "load_image_folder"]

IMAGE_EXTENSIONS = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
)  # fmt: skip


def load_image_folder(root, *, return_X_y=False, extensions=IMAGE_EXTENSIONS):
    """Load the paths of images from a folder that has one folder for each class.

    The files themselves are not opened: a SiameseTransformer reads them. Images lie in
    the folder of their class or in folders below it. Hidden files and folders, other
    files, and images beside the folders of the classes are left out.

    Read more in the :ref:`User Guide <files>`.

    Parameters
    ----------
    root : str or path-like
        ``root/<class>/.../<image>``; links to folders are followed, but for those to
        a folder above or to one that was seen in the same class.
    return_X_y : bool, default=False
        Whether ``(data, target)`` is returned instead of a Bunch.
    extensions : str or tuple of str
        How names of images end, in small or large letters; by default those of BMP,
        GIF, JPEG, PNG, TIFF and WebP.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        With the fields:

        data : ndarray of shape (n_samples,), dtype=object
            Paths as str, sorted by class and name.
        target : ndarray of shape (n_samples,), int64
            Code of the class, an index into `target_names`.
        target_names : ndarray of shape (n_classes,)
            Names of the folders, sorted.
        filenames : ndarray of shape (n_samples,), dtype=object
            The paths from `root` on, with slashes.
    (data, target) : tuple
        If `return_X_y`.

    Raises
    ------
    FileNotFoundError
        If `root` is no folder.
    ValueError
        If it has no folders with images, or one of the folders has none.

    See Also
    --------
    load_image_table : Paths and labels from a table.
    drop_bad_files : Leave out what cannot be read.

    Examples
    --------
    >>> from skfsl.datasets import load_image_folder
    >>> photos = load_image_folder("photos")  # doctest: +SKIP
    >>> photos.data[0], photos.target_names[photos.target[0]]  # doctest: +SKIP
    ('photos/apple/0001.jpg', 'apple')
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"No folder at {str(root)!r}. Expected one with a folder for each class."
        )
    if isinstance(extensions, str):
        extensions = (extensions,)
    extensions = tuple(name.lower() for name in extensions)
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not _hidden(p.name))
    files = [_images_in(folder, extensions) for folder in folders]
    empty = [
        folder.name for folder, found in zip(folders, files, strict=True) if not found
    ]
    if len(empty) == len(folders):
        raise ValueError(
            f"No images in folders of {str(root)!r}. Expected one folder for each "
            f"class, with files in it that end in {', '.join(extensions)}. Got "
            f"{len(folders)} folders."
        )
    if empty:
        raise ValueError(
            f"{len(empty)} of the {len(folders)} folders in {str(root)!r} have no "
            f"images: {', '.join(map(repr, empty[:10]))}. Remove them, or see whether "
            f"the names of their files end in {', '.join(extensions)}."
        )
    data = np.array([path for found in files for path in found], dtype=object)
    target = np.repeat(np.arange(len(files)), [len(found) for found in files])
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=np.array([folder.name for folder in folders]),
        filenames=np.array(
            [Path(path).relative_to(root).as_posix() for path in data], dtype=object
        ),
    )


def _images_in(folder: Path, extensions: tuple[str, ...]) -> list[str]:
    found = []
    seen = set(Path(os.path.realpath(folder)).parents)
    for place, inner, names in os.walk(folder, followlinks=True):
        real = Path(os.path.realpath(place))
        if real in seen:  # a link: it may go round in circles
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not _hidden(name))
        found += [
            str(Path(place, name))
            for name in names
            if not _hidden(name) and name.lower().endswith(extensions)
        ]
    return sorted(found)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
