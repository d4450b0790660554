"""Stored examples as queries to a learned head, each without itself."""

from typing import Any

import numpy as np

from skfsl.pipeline._class_scores import class_scores, pair_scores
from skfsl.pipeline._enrolled import Enrolled
from skfsl.support import LeftOut, another_of_class

__all__ = ["left_out"]


def left_out(
    head: Any,
    device: Any,
    support: Enrolled,
    aggregation: str,
    rows: np.ndarray,
    single: bool = False,
) -> LeftOut:
    """Score classes for stored examples, their own class without them.

    Parameters
    ----------
    head : object
        With ``scores(a, b)``.
    device : torch.device
        Where it is.
    support : Enrolled
        The support set.
    aggregation : {"prototype", "mean", "max"}
        The score of a class.
    rows : ndarray of shape (n_rows,), dtype=intp
        The examples.
    single : bool, default=False
        Whether own scores are by one other example of the class, as if it had no more.

    Returns
    -------
    left_out : LeftOut
        In float64.
    """
    embeddings, positions = support.embeddings, support.positions
    queries, own = embeddings[rows], positions[rows]
    references = support.references(aggregation)
    scores = np.concatenate(
        [np.empty((0, len(support.labels)))]
        + [s for _, s in class_scores(head, device, queries, references)]
    ).astype(np.float64)
    counts = support.counts[own]
    several = np.flatnonzero(counts > 1)
    scores[counts == 1, own[counts == 1]] = np.nan
    if single:
        others = embeddings[another_of_class(positions)[rows[several]]]
        scores[several, own[several]] = pair_scores(
            head, device, queries[several], others, "paired"
        )
        return LeftOut(scores, own)
    if aggregation == "prototype":
        queries, own, counts = queries[several], own[several], counts[several]
        full = support.prototypes[own]
        rest = full + (full - queries) / (counts - 1)[:, np.newaxis]
        rest = rest.astype(np.float32)
        without = pair_scores(head, device, queries, rest, "paired").astype(np.float64)
        if head.score_type == "neg_sq_distance":
            # A mean of one less is farther by as much, on average; see "unbiased" of
            # leave_one_out_scores.
            without *= 1 - 1 / counts**2
        scores[several, own] = without
        return LeftOut(scores, positions[rows])
    for label in np.unique(own[several]):
        asked = several[own[several] == label]
        members = np.flatnonzero(positions == label)
        among = pair_scores(head, device, queries[asked], embeddings[members])
        itself = members == rows[asked][:, np.newaxis]
        if aggregation == "max":
            scores[asked, label] = np.where(itself, -np.inf, among).max(axis=1)
        else:
            rest = np.where(itself, 0, among).sum(axis=1, dtype=np.float64)
            scores[asked, label] = rest / (len(members) - 1)
    return LeftOut(scores, own)
