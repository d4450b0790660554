"""The support set as a table of samples."""

from typing import Any

import numpy as np

from skfsl.support._sums import ClassSums

__all__ = ["check_has_samples", "support_table"]

# Samples that are compared with their class at a time.
_BLOCK = 4096


def check_has_samples(support: Any, what: str) -> None:
    """Check that samples are kept one by one.

    Raises
    ------
    ValueError
        If they are not; it names `what` asks for them.
    """
    if support is None:
        raise ValueError(
            f"{what} needs samples that may come and go, which trees, sparse data, "
            f"several outputs and precomputed distances do not allow. Call fit with "
            f"algorithm='brute' and dense data."
        )
    if support.samples is None:
        raise ValueError(
            f"{what} needs samples one by one, and store='sums' keeps none. Call fit "
            f"with store='samples'."
        )


def support_table(support: Any) -> dict[str, np.ndarray]:
    """Make the columns of `support_`.

    Parameters
    ----------
    support : PrototypeSet or NeighborSet
        With its samples.

    Returns
    -------
    columns : dict of str to ndarray of shape (n_samples,)
        As the classifiers' docstrings say. Read-only.
    """
    X, codes = support.samples.columns[:2]
    own, n_classes = support.positions, len(support.labels)
    if hasattr(support, "prototypes"):
        means = support.prototypes
    else:
        sums = ClassSums.empty(X.shape[1]).add(X, codes, None)
        means = sums.sums(support.labels.codes) / np.bincount(own)[:, np.newaxis]
    distance = np.empty(len(X))
    for start in range(0, len(X), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distance[rows] = np.linalg.norm(X[rows] - means[own[rows]], axis=1)
    counts = np.bincount(own, minlength=n_classes)
    spread = np.sqrt(np.bincount(own, distance**2, n_classes) / counts)
    columns = {
        "id": support.ids.values.view(),
        "label": support.labels.classes[own],
        "distance": distance,
        "class_count": counts[own],
        "class_spread": spread[own],
    }
    for column in columns.values():
        column.flags.writeable = False
    return columns
