"""Samples whose files can be read."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from sklearn.utils import check_consistent_length, indexable

from skfsl.exceptions import BadFilesWarning
from skfsl.images import as_files, find_fault, is_files, raise_or_warn
from skfsl.utils._sklearn_private import _safe_indexing

__all__ = ["drop_bad_files"]


def drop_bad_files(X, y, *arrays):
    """Leave out samples whose image files cannot be read, and warn of them.

    Each file is decoded once, to be sure. Or, behind a SiameseTransformer with
    ``on_error="skip"``: leave out embeddings that are rows of NaN, for classifiers
    that do not take them.

    Read more in the :ref:`User Guide <files>`.

    Parameters
    ----------
    X : array-like of length n_samples
        Image files, as a SiameseTransformer takes them; or a table of floats.
    y : array-like of shape (n_samples,)
        Class labels.
    *arrays : array-likes of length n_samples
        What else belongs to the samples: groups, weights.

    Returns
    -------
    kept : list of length 2 + len(arrays)
        X, y, and so on for `arrays`, each of the kind that was passed.

    Raises
    ------
    ValueError
        If lengths differ, if no sample is left, or if rows of a table are NaN in part.

    Warns
    -----
    BadFilesWarning
        If samples are left out: the first ten, and how many more.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skfsl.datasets import drop_bad_files
    >>> embeddings = np.array([[0.0, 1.0], [np.nan, np.nan], [1.0, 0.0]])
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     X, y = drop_bad_files(embeddings, ["ape", "ape", "bee"])
    >>> y
    ['ape', 'bee']
    """
    if is_files(X):
        files = as_files(X)
        check_consistent_length(files, y, *arrays)
        boxes = [files.box(row) for row in range(len(files))]
        with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
            found = list(pool.map(find_fault, files.paths, boxes))
        faults = {row: fault for row, fault in enumerate(found) if fault}
        raise_or_warn(files, faults, "skip")
        bad = np.array([fault is not None for fault in found])
    else:
        check_consistent_length(X, y, *arrays)
        bad = _bad_rows(X)
    if bad.all():
        raise ValueError(f"All {len(bad)} samples are of files that cannot be read.")
    if not bad.any():
        return list(indexable(X, y, *arrays))
    return [_safe_indexing(data, np.flatnonzero(~bad)) for data in (X, y, *arrays)]


def _bad_rows(X) -> np.ndarray:
    missing = np.isnan(np.asarray(X, dtype=np.float64)).reshape(len(X), -1)
    bad = np.asarray(missing.all(axis=1))
    partly = np.flatnonzero(missing.any(axis=1) & ~bad)
    if len(partly):
        raise ValueError(
            f"Rows {partly[:10].tolist()} of X are NaN in part: these are no "
            f"embeddings of files that could not be read."
        )
    if bad.any():
        rows = np.flatnonzero(bad)
        more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
        warnings.warn(
            f"{len(rows)} of {len(X)} rows of X are NaN, as embeddings of files that "
            f"cannot be read: {rows[:10].tolist()}{more}. They are left out.",
            BadFilesWarning,
            stacklevel=3,
        )
    return bad
