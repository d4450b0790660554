"""Quarter turns of a class as classes of their own."""

import sys

import numpy as np

from skfsl.utils._validation import as_array, check_labels, image_layout

__all__ = ["rotate_as_classes"]


def rotate_as_classes(
    X: object, y: object, *, input_layout: str = "auto"
) -> tuple[object, np.ndarray]:
    """Make each quarter turn of a class a class of its own.

    The images are followed by their turns by 90, 180 and 270 degrees
    (counterclockwise), with labels of their own: four times the classes to learn a
    metric from. For characters and other things that are something else when turned;
    not for photos that are the same either way up. Call it before `fit`, on the
    training set only.

    Parameters
    ----------
    X : array-like or Tensor, shape (n, h, w), (n, c, h, w) or (n, h, w, c)
        Square images.

    y : array-like of shape (n,)
        Class labels: integers or strings.

    input_layout : {"auto", "channels_first", "channels_last"}, default="auto"
        Where the channels of four-dimensional images are. "auto" takes the one axis
        of size 1, 3 or 4.

    Returns
    -------
    X : ndarray or Tensor, of shape (4 * n, ...)
        The images, of the same kind and dtype as they came: all as they were, then all
        turned once, twice and three times.

    y : ndarray of shape (4 * n,)
        Their labels. The images as they were keep theirs. A string label gets
        "@90", "@180" and "@270" appended; to an integer label 1, 2 and 3 times the
        span of the labels, ``max(y) - min(y) + 1``, is added. Floats come as float64.

    Raises
    ------
    ValueError
        If X are not square images, if their layout cannot be told, or if a label made
        for a turn is in y already or too large for a dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.augmentation import rotate_as_classes
    >>> X = np.array([[[1, 2], [3, 4]]])
    >>> X_turned, y_turned = rotate_as_classes(X, ["a"])
    >>> y_turned
    array(['a', 'a@90', 'a@180', 'a@270'], dtype='<U5')
    >>> X_turned[1]
    array([[2, 4],
           [1, 3]])
    >>> rotate_as_classes(np.zeros((3, 2, 2)), [5, 6, 9])[1]
    array([ 5,  6,  9, 10, 11, 14, 15, 16, 19, 20, 21, 24])
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(X, torch.Tensor):
        rot90, concatenate = torch.rot90, torch.cat
    else:
        X = np.asarray(as_array(X))
        rot90, concatenate = np.rot90, np.concatenate
    y = check_labels(y)
    if input_layout not in ("auto", "channels_first", "channels_last"):
        raise ValueError(
            "The 'input_layout' parameter of rotate_as_classes must be 'auto', "
            f"'channels_first' or 'channels_last'. Got {input_layout!r} instead."
        )
    shape = tuple(X.shape)
    if len(shape) not in (3, 4):
        raise ValueError(
            "Expected images of shape (n, h, w), (n, c, h, w) or (n, h, w, c). Got an "
            f"array of shape {shape}."
        )
    if len(y) != shape[0]:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: "
            f"{[shape[0], len(y)]}"
        )
    axes = (2, 3) if image_layout(shape, input_layout) == "channels_first" else (1, 2)
    height, width = shape[axes[0]], shape[axes[1]]
    if height != width:
        raise ValueError(
            f"Quarter turns need square images. Got images of height {height} and "
            f"width {width} (X has shape {shape}). Pad or crop them first."
        )
    turned = concatenate([X, *(rot90(X, turn, axes) for turn in (1, 2, 3))])
    return turned, _labels(y)


def _labels(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind in "US":
        y = y.astype(str)
        turns = [np.char.add(y, f"@{90 * turn}") for turn in (1, 2, 3)]
        taken = np.intersect1d(y, np.concatenate(turns))
        if len(taken):
            raise ValueError(
                f"Cannot name the turns: the label {str(taken[0])!r} is in y already. "
                f"Rename the labels that end in '@90', '@180' or '@270'."
            )
        return np.concatenate([y, *turns])
    if y.dtype.kind not in "biuf":
        raise ValueError(
            f"Labels of turns are made for integers and strings. Got y of {y.dtype}."
        )
    if y.dtype.kind == "f":
        y = y.astype(np.float64)
        turns = [y + turn * (y.max() - y.min() + 1) for turn in (1, 2, 3)]
        turned = np.concatenate([y, *turns])
        exact = len(np.unique(turned)) == 4 * len(np.unique(y))
    else:
        span = int(y.max()) - int(y.min()) + 1
        largest = int(y.max()) + 3 * span
        if y.dtype.kind == "b" or largest > np.iinfo(y.dtype).max:
            y = y.astype(np.uint64 if y.dtype == np.uint64 else np.int64)
        exact = max(span * 3, largest) <= np.iinfo(y.dtype).max
        if exact:
            turns = [y + y.dtype.type(turn * span) for turn in (1, 2, 3)]
            turned = np.concatenate([y, *turns])
    if not exact:
        raise ValueError(
            f"Cannot number the turns: labels from {y.min()} to {y.max()} leave no "
            f"room for three times as many in {y.dtype}. Use smaller numbers, for "
            f"example np.unique(y, return_inverse=True)[1]."
        )
    return turned
