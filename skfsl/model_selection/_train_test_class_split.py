"""One split of arrays, by class."""

from sklearn.utils import indexable

from skfsl.model_selection._class_split import ClassShuffleSplit
from skfsl.utils._sklearn_private import _safe_indexing

__all__ = ["train_test_class_split"]


def train_test_class_split(
    X: object,
    y: object,
    *arrays: object,
    groups: object = None,
    test_size: float | int | None = None,
    train_size: float | int | None = None,
    random_state: object = None,
) -> list:
    """Split arrays into samples of some classes, and samples of all others.

    As :func:`~sklearn.model_selection.train_test_split`, but a class is on one side
    with all its samples. Use it to keep classes aside that a metric has never seen.

    Read more in the :ref:`User Guide <class_split>`.

    Parameters
    ----------
    X : array-like of length n_samples
        The samples: a table, images, paths; a list, an array, a sparse matrix, a data
        frame, a torch tensor.

    y : array-like of shape (n_samples,)
        Class labels.

    *arrays : array-likes of length n_samples
        What else is to be split alike, such as file names.

    groups : array-like of shape (n_samples,), default=None
        What samples have in common besides their class: a burst, a day, a person who
        drew. A group is never split across train and test; samples on the wrong side
        are left out, see :class:`ClassKFold`.

    test_size : float or int, default=None
        Share of the *classes* that are tested, rounded up, or their number. None is
        all that are not trained on, and 0.25 where `train_size` is None, too.

    train_size : float or int, default=None
        Share of the *classes* that are trained on, rounded down, or their number. None
        is all that are not tested.

    random_state : int, RandomState instance or None, default=None
        Governs the draw. An integer gives the same split at each call.

    Returns
    -------
    splitting : list of length 2 * (2 + len(arrays))
        X_train, X_test, y_train, y_test, and so on for `arrays`, each of the kind that
        was passed. Samples stay in their order.

    Raises
    ------
    ValueError
        If lengths differ, y has fewer than 2 classes, or sizes leave a side empty.

    See Also
    --------
    ClassShuffleSplit : Such splits as indices, for cross-validation.
    ClassKFold : Each class is tested once.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.model_selection import train_test_class_split
    >>> X = np.arange(10).reshape(5, 2)
    >>> y = ["ape", "bee", "cow", "dog", "dog"]
    >>> X_train, X_test, y_train, y_test = train_test_class_split(
    ...     X, y, test_size=2, random_state=0
    ... )
    >>> y_train, y_test
    (['ape', 'bee'], ['cow', 'dog', 'dog'])
    >>> X_train
    array([[0, 1],
           [2, 3]])
    """
    arrays = (X, y, *arrays)
    if any(array is None for array in arrays):
        raise ValueError("Expected arrays of samples to be split. Got None.")
    if test_size is None and train_size is None:
        test_size = 0.25
    arrays = indexable(*arrays)
    splitter = ClassShuffleSplit(
        1, test_size=test_size, train_size=train_size, random_state=random_state
    )
    sides = next(splitter.split(arrays[0], arrays[1], groups))
    return [_safe_indexing(array, side) for array in arrays for side in sides]
