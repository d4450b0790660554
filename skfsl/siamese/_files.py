"""The entrance of a transformer: samples as they are, files decoded on the way in."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import zip_longest
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from skfsl.images import (
    Progress,
    as_files,
    check_image_size,
    decode,
    is_files,
    raise_or_warn,
)
from skfsl.siamese._module import encoder_part
from skfsl.utils._sklearn_private import _safe_indexing, validate_parameter_constraints
from skfsl.utils._validation import check_samples

__all__ = ["apply_to_samples", "read_training_data"]

# The parameters of the transformer that concern files only.
_SETTINGS = ("image_size", "resize", "on_error", "cache", "memory_budget")

# Where neither the user nor the encoder names a size: that of few-shot benchmarks.
_DEFAULT_SIZE = 84
# Bytes of images that are decoded, embedded and forgotten at a time.
_BLOCK = 2**26


def read_training_data(work: Any, X: Any, y: Any, groups: Any, *, reset: bool) -> tuple:
    """Check samples; of files, decode all and leave out the bad ones.

    Parameters
    ----------
    work : SiameseTransformer
        As of `check_samples`.
    X, y, groups : array-like
        As given to ``fit``.
    reset : bool
        Whether this is the data of a first ``fit``.

    Returns
    -------
    samples : ndarray or ImageRows
        Of shape (n, d) or (n, c, h, w).
    X, y, groups : array-like
        Without the rows of bad files.
    """
    if not is_files(X):
        layout = work.input_layout
        return check_samples(work, X, input_layout=layout, reset=reset), X, y, groups
    files = as_files(X)
    if y is not None:
        check_consistent_length(files, y, groups)  # before the long work
    samples, faults = _decode(work, files, _size(work, reset), work.memory_budget)
    raise_or_warn(files, faults, work.on_error)
    if not len(samples):
        raise ValueError(f"None of the {len(files)} image files can be read.")
    check_samples(work, samples[:1], input_layout="channels_first", reset=reset)
    if faults:
        good = np.delete(np.arange(len(files)), list(faults))
        X, y, groups = (
            None if data is None else _safe_indexing(data, good)
            for data in (X, y, groups)
        )
    return samples, X, y, groups


def apply_to_samples(
    estimator: Any, X: Any, function: Callable, *, tell: bool = True
) -> Any:
    """Apply a function to checked samples; to those of files block by block.

    Parameters
    ----------
    estimator : SiameseTransformer
        Fitted.
    X : array-like
        Samples.
    function : callable
        Samples, an ndarray of shape (n, ...), to an array or tensor of length n.
    tell : bool, default=True
        Whether bad files that are skipped are warned of.

    Returns
    -------
    answers : array or tensor of length n
        Of bad files that are skipped NaN, or False.
    """
    if not is_files(X):
        layout = estimator.input_layout
        return function(check_samples(estimator, X, input_layout=layout, reset=False))
    files, size = as_files(X), _size(estimator, reset=False)
    progress = Progress(len(files), bool(estimator.verbose))
    step = max(1, _BLOCK // (3 * size[0] * size[1]))
    faults: dict[int, str] = {}
    answers: np.ndarray | None = None

    def answer(images, rows):
        nonlocal answers
        checked = check_samples(
            estimator, images, input_layout="channels_first", reset=False
        )
        block = np.asarray(function(checked))
        if answers is None:
            empty = np.nan if block.dtype.kind == "f" else 0
            answers = np.full((len(files), *block.shape[1:]), empty, block.dtype)
        answers[rows] = block[: len(rows)]

    blocks = [files[start : start + step] for start in range(0, len(files), step)]
    start = 0
    # The next block is decoded while this one is embedded.
    # After an error or a Ctrl-C it is not waited for.
    with ThreadPoolExecutor(1) as ahead, closing(progress):

        def read(block):
            return ahead.submit(_decode, estimator, block, size, np.inf, progress)

        coming = read(blocks[0])
        for block, following in zip_longest(blocks, blocks[1:]):
            images, bad = coming.result()
            if following is not None:
                coming = read(following)
            faults |= {start + i: reason for i, reason in bad.items()}
            # After a bad one the others are looked at only, to name all that are bad.
            if len(images) and (not faults or estimator.on_error == "skip"):
                good = np.delete(np.arange(len(block)), list(bad))
                answer(images.whole(), start + good)
            start += len(block)
    if tell or estimator.on_error == "raise":
        raise_or_warn(files, faults, estimator.on_error)
    if answers is None:  # how wide one would be
        answer(np.zeros((1, 3, *size), dtype=np.uint8), np.empty(0, dtype=np.int64))
    return answers


def _decode(estimator, files, size, memory_budget, progress=None):
    return decode(
        files,
        size,
        estimator.resize,
        cache=estimator.cache,
        memory_budget=memory_budget,
        progress=progress or Progress(len(files), bool(estimator.verbose)),
    )


def _size(estimator: Any, reset: bool) -> tuple[int, int]:
    """Return (height, width) of the images that files are made into."""
    # They may have been set since `fit`.
    validate_parameter_constraints(
        {name: estimator._parameter_constraints[name] for name in _SETTINGS},
        {name: getattr(estimator, name) for name in _SETTINGS},
        caller_name=type(estimator).__name__,
    )
    if not reset:
        shape = estimator.input_shape_
        if len(shape) != 3 or shape[0] != 3:
            raise ValueError(
                f"{type(estimator).__name__} was fitted on samples of shape {shape}. "
                f"Got image files, which are made into images of shape (3, h, w)."
            )
        return shape[1:]
    size = estimator.image_size
    if size is None and estimator.encoder != "auto":
        part = encoder_part(estimator.encoder, estimator.weights)
        size = getattr(part, "image_size", None)
    return check_image_size(_DEFAULT_SIZE if size is None else size)
