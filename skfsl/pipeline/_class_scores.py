"""Scores of classes by a learned head: of their prototypes, or of their examples."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "AGGREGATIONS",
    "References",
    "check_scores",
    "class_scores",
    "pair_scores",
    "references",
]

AGGREGATIONS = ("prototype", "mean", "max")

# Scores of pairs, and of classes, that are in memory at a time.
_SCORES = 2**22
# Queries that are scored together at least: each lot is compared with all there is.
_MIN_ROWS = 256


class References(NamedTuple):
    """What queries are compared with.

    Attributes
    ----------
    rows : ndarray of float32, shape (n_references, embedding_dim)
        Prototypes, or support examples sorted by class.
    starts : ndarray of shape (n_classes,)
        The first row of each class.
    aggregation : {"prototype", "mean", "max"}
        What is made of the scores of a class; of one prototype nothing.
    """

    rows: np.ndarray
    starts: np.ndarray
    aggregation: str


def references(examples: np.ndarray, starts: np.ndarray, aggregation: str):
    """Make references of a support set that is sorted by class.

    Parameters
    ----------
    examples : ndarray of float32, shape (n_support, embedding_dim)
        Embeddings.
    starts : ndarray of shape (n_classes,)
        The first row of each class.
    aggregation : {"prototype", "mean", "max"}
        As of `References`.

    Returns
    -------
    references : References
        Means are taken in float64.
    """
    if aggregation != "prototype":
        return References(examples, starts, aggregation)
    counts = np.diff(starts, append=len(examples))
    sums = np.add.reduceat(examples, starts, axis=0, dtype=np.float64)
    means = (sums / counts[:, np.newaxis]).astype(np.float32)
    return References(means, np.arange(len(means)), aggregation)


def class_scores(
    head: Any, device: Any, queries: np.ndarray, references: References
) -> Iterator[tuple[slice, np.ndarray]]:
    """Score classes, in blocks of queries and of references.

    Parameters
    ----------
    head : object
        With ``scores(a, b)``.
    device : torch.device
        Where it is.
    queries : ndarray of float32, shape (n_queries, embedding_dim)
        Embeddings.
    references : References
        What they are compared with.

    Yields
    ------
    block : slice
        Some of the queries.
    scores : ndarray of shape (n_block, n_classes)
        Theirs, float32 (float64 for "mean"); higher is closer.

    Raises
    ------
    ValueError
        If a score is not a finite number.
    """
    n_classes = len(references.starts)
    n_rows = _SCORES // len(references.rows)
    n_rows = max(1, n_rows, min(_MIN_ROWS, _SCORES // n_classes))
    for start in range(0, len(queries), n_rows):
        block = slice(start, start + n_rows)
        scores = _score_block(head, device, queries[block], references)
        check_scores(scores)
        yield block, scores


def check_scores(scores: np.ndarray) -> None:
    """Raise a ValueError if a score is not a finite number."""
    if not np.isfinite(scores).all():
        raise ValueError(
            "The scores of some queries are NaN or infinite: X holds values that are "
            "too large for the learned metric. Scale it as the samples that the metric "
            "was trained on."
        )


def _score_block(head, device, queries, references) -> np.ndarray:
    rows, starts, aggregation = references
    n_columns = max(1, _SCORES // len(queries))
    if aggregation == "prototype":
        blocks = [
            pair_scores(head, device, queries, rows[i : i + n_columns])
            for i in range(0, len(rows), n_columns)
        ]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
    mean = aggregation == "mean"
    reduce = np.add if mean else np.maximum
    dtype = np.float64 if mean else np.float32
    out = np.full((len(queries), len(starts)), 0 if mean else -np.inf, dtype)
    for i in range(0, len(rows), n_columns):
        scores = pair_scores(head, device, queries, rows[i : i + n_columns])
        # A class may go on from the block before, and into the next.
        first = np.searchsorted(starts, i, side="right") - 1
        last = np.searchsorted(starts, i + scores.shape[1])
        own = np.maximum(starts[first:last] - i, 0)
        reduced = reduce.reduceat(scores, own, axis=1, dtype=dtype)
        reduce(out[:, first:last], reduced, out=out[:, first:last])
    return out / np.diff(starts, append=len(rows)) if mean else out


def pair_scores(
    head: Any,
    device: Any,
    queries: np.ndarray,
    rows: np.ndarray,
    method: str = "scores",
) -> np.ndarray:
    """Score queries with rows: all with all, or one by one with method="paired"."""
    import torch  # its first use: who only imports the room does without

    a, b = (
        # torch warns of what is read-only, as a file that is mapped into memory.
        torch.from_numpy(np.require(x, requirements="W")).to(device)
        for x in (queries, rows)
    )
    with torch.inference_mode():
        return getattr(head, method)(a, b).float().cpu().numpy()
