"""Class labels: shown sorted, kept in the order of their arrival."""

import warnings
from collections.abc import Set

import numpy as np

from skfsl.exceptions import DisjointClassesWarning
from skfsl.utils._label_kinds import common_dtype, label_kind, shown, shown_some
from skfsl.utils._validation import check_labels

__all__ = ["Labels", "check_declared", "check_unknown_label", "warn_if_disjoint"]

_OURS = "the support set's"


class Labels:
    """Class labels, sorted, each with the code under which its samples are stored.

    Codes follow the order of arrival and do not change when a class is added;
    positions in `classes` do. Samples are stored by code, everything that is
    answered goes by position: ``rank[code]``.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted. Read-only from here on: they are the state of estimators.
    codes : ndarray of shape (n_classes,), dtype=intp
        The code of each.
    """

    __slots__ = ("classes", "codes", "rank")

    def __init__(self, classes: np.ndarray, codes: np.ndarray) -> None:
        classes.flags.writeable = False
        self.classes = classes
        self.codes = codes
        self.rank = np.empty_like(codes)
        self.rank[codes] = np.arange(len(codes))

    def __len__(self) -> int:
        return len(self.classes)

    def __reduce__(self) -> tuple:
        return (Labels, (self.classes, self.codes))

    @staticmethod
    def of(y: np.ndarray) -> tuple["Labels", np.ndarray]:
        """Return the labels of `y` and the code of each sample."""
        classes, codes = _distinct(y)
        return Labels(classes, np.arange(len(classes))), codes

    def add(self, y: np.ndarray) -> tuple["Labels", np.ndarray]:
        """Return the labels with those of `y` among them and each sample's code.

        Raises
        ------
        TypeError
            If `y` is of another kind than the labels.
        ValueError
            If the two have no common dtype that keeps every label as it is.
        """
        values, inverse = _distinct(y)
        classes, values = common_dtype(self.classes, values, _OURS)
        at, known = _find(classes, values)
        new = ~known
        n_new = np.count_nonzero(new)
        codes = np.empty(len(values), dtype=np.intp)
        codes[known] = self.codes[at[known]]
        codes[new] = np.arange(len(classes), len(classes) + n_new)
        sample_codes = codes[inverse]
        if not n_new:
            if classes is self.classes:
                return self, sample_codes
            return Labels(classes, self.codes), sample_codes
        return (
            Labels(
                np.insert(classes, at[new], values[new]),
                np.insert(self.codes, at[new], codes[new]),
            ),
            sample_codes,
        )

    def without(self, labels: object) -> tuple["Labels", np.ndarray]:
        """Take classes out; codes are dealt out anew, in sorted order.

        Parameters
        ----------
        labels : label, set or array-like of labels
            The classes to take out.

        Returns
        -------
        rest : Labels
            What stays.
        kept : ndarray of shape (n_kept,), dtype=intp
            The former codes of the classes that stay, in sorted order of class.

        Raises
        ------
        ValueError
            If a label is not there, or none would be left.
        """
        if isinstance(labels, Set):
            labels = list(labels)
        if np.ndim(labels) == 0:  # type: ignore[arg-type]
            labels = [labels]
        if not len(labels):  # type: ignore[arg-type]
            return Labels(self.classes, np.arange(len(self))), self.codes
        gone, _ = _distinct(check_labels(labels))
        classes, gone = common_dtype(self.classes, gone, _OURS)
        at, known = _find(classes, gone)
        if not known.all():
            raise ValueError(
                f"Cannot forget classes that are not in the support set: "
                f"{shown_some(gone[~known])}. Its {len(self)} classes are in classes_."
            )
        if len(gone) == len(self):
            raise ValueError(
                f"Cannot forget all of the {len(self)} classes: a classifier without "
                f"classes has no answer. Keep one class, or start again from "
                f"sklearn.base.clone()."
            )
        stays = np.ones(len(self), dtype=bool)
        stays[at] = False
        kept = self.codes[stays]
        return Labels(_narrowed(self.classes[stays]), np.arange(len(kept))), kept


def _distinct(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels that occur in `y`, sorted, and where each sample's is."""
    if y.ndim != 1:
        raise ValueError(
            f"Expected one label a sample, an int, a bool or a str. Got y of shape "
            f"{y.shape}: sequences cannot be labels."
        )
    if y.dtype.kind in "mM" and np.isnat(y).any():
        raise ValueError("Input y contains NaT. Every sample needs a label.")
    values, inverse = np.unique(y, return_inverse=True)
    return values, inverse.reshape(-1)


def _narrowed(classes: np.ndarray) -> np.ndarray:
    """Return strings in an array no wider than the longest."""
    if classes.dtype.kind not in "US":
        return classes
    width = max(1, np.char.str_len(classes).max())
    return classes.astype(f"{classes.dtype.kind}{width}")


def _find(classes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where `values` stand or belong in `classes`, and which are there."""
    at = np.searchsorted(classes, values)
    known = at < len(classes)
    known[known] = classes[at[known]] == values[known]
    return at, known


def check_declared(classes: object, y: np.ndarray) -> None:
    """Check that the labels of `y` are among `classes`, as partial_fit got them.

    Raises
    ------
    ValueError
        If one is not.
    TypeError
        If they are of another kind.
    """
    if classes is None:
        return
    declared, _ = _distinct(check_labels(classes))
    declared, values = common_dtype(declared, _distinct(y)[0], "classes=")
    _, known = _find(declared, values)
    if not known.all():
        raise ValueError(
            f"y has labels that are not in classes=: {shown_some(values[~known])}. "
            f"Name them there, or leave classes=None: labels need not be declared."
        )


def check_unknown_label(
    unknown_label: object, classes: object
) -> tuple[np.ndarray, np.ndarray] | None:
    """Check that `unknown_label` is of the labels' kind and none of them.

    Parameters
    ----------
    unknown_label : label or None
        None is none.
    classes : ndarray of shape (n_classes,), or list of them
        The labels of the support set; a list where there are several outputs.

    Returns
    -------
    both : tuple of ndarrays of shape (n_classes,) and (1,), or None
        The labels and the unknown one, of one dtype.

    Raises
    ------
    ValueError
        If it is a label of the support set, or no label, or if there are several
        outputs.
    TypeError
        If it is of another kind.
    """
    if unknown_label is None:
        return None
    if not isinstance(classes, np.ndarray):
        raise ValueError(
            f"unknown_label stands for one label a sample. Got "
            f"unknown_label={unknown_label!r} with a y of several outputs. Set it to "
            f"None."
        )
    if np.ndim(unknown_label) != 0:  # type: ignore[arg-type]
        raise ValueError(
            f"The 'unknown_label' parameter must be one label or None. Got "
            f"{unknown_label!r} instead."
        )
    label = check_labels([unknown_label])
    if label_kind(label) != label_kind(classes):
        raise TypeError(
            f"Expected an unknown_label of the kind of the labels: "
            f"{label_kind(classes)} (such as {shown(classes[0])}). Got "
            f"{unknown_label!r} instead. Where scikit-learn numbers the classes before "
            f"fit, as in cross_val_predict with another method than predict, "
            f"CalibratedClassifierCV, voting and stacking, set it to None."
        )
    classes, label = common_dtype(classes, label, _OURS)
    if (classes == label).any():
        raise ValueError(
            f"unknown_label={shown(label[0])} is a class of the support set. It stands "
            f"for what is of no class there: choose a label that no sample has."
        )
    return classes, label


def warn_if_disjoint(y: object, classes: np.ndarray) -> None:
    """Warn where no label of `y` is among `classes`, so that none can be predicted.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        True labels.
    classes : ndarray of shape (n_classes,)
        The labels of the support set.
    """
    # Sets of Python's objects: NumPy takes 1 and "1" for the same label.
    true = np.asarray(y).ravel()
    labels = set(true.tolist())
    if not labels.isdisjoint(classes.tolist()):
        return
    warnings.warn(
        f"None of the {len(labels)} classes in y, {shown_some(np.unique(true))}, is "
        f"among the {len(classes)} of the support set, {shown_some(classes)}: a class "
        f"that was never enrolled cannot be predicted, so that the score is 0. Enrol "
        f"some examples of each by partial_fit and score the others. To judge a metric "
        f"on new classes, cross-validate with folds of classes (ClassKFold) and "
        f"scoring=make_episodic_scorer() of skfsl.model_selection.",
        DisjointClassesWarning,
        stacklevel=3,
    )
