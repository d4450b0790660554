"""Scores of classes by the nearest of very many examples: the head asks those only."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from skfsl.pipeline._class_scores import References, check_scores, pair_scores

__all__ = ["shortlist_scores"]

# Scores of pairs, and of classes, that are in memory at a time.
_SCORES = 2**20


def shortlist_scores(
    head: Any,
    device: Any,
    queries: np.ndarray,
    references: References,
    index: Any,
    n_examples: int,
) -> Iterator[np.ndarray]:
    """Score classes by their best example among those nearest to a query.

    Parameters
    ----------
    head : object
        With ``paired(a, b)``.
    device : torch.device
        Where it is.
    queries : ndarray of float32, shape (n_queries, embedding_dim)
        Embeddings.
    references : References
        All examples, sorted by class.
    index : object
        With ``search``, over these examples.
    n_examples : int
        How many are scored, less than there are.

    Yields
    ------
    scores : ndarray of float32, shape (n_block, n_classes)
        Those of some queries, in their order; higher is closer. A class without an
        example on the list has the lowest score of it.
    """
    rows, starts, _ = references
    step = max(1, _SCORES // max(n_examples, len(starts)))
    for i in range(0, len(queries), step):
        block = queries[i : i + step]
        _, near = index.search(block, rows, n_examples)
        one_by_one = np.repeat(block, n_examples, axis=0)
        scores = pair_scores(head, device, one_by_one, rows[near.ravel()], "paired")
        check_scores(scores)
        scores = scores.reshape(near.shape)
        own = np.searchsorted(starts, near, side="right") - 1
        out = np.repeat(scores.min(axis=1)[:, np.newaxis], len(starts), axis=1)
        np.maximum.at(out, (np.arange(len(out))[:, np.newaxis], own), scores)
        yield out
