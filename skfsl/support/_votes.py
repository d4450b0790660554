"""The vote of neighbors."""

from collections.abc import Callable

import numpy as np

__all__ = ["cast_votes", "majority", "shares", "vote_weights"]


def cast_votes(classifier, X) -> tuple[np.ndarray, np.ndarray | None]:
    """Return each neighbor's class, as a position, and the weight of its vote.

    Parameters
    ----------
    classifier : KNeighborsClassifier
        One with a support set, that no writer changes.
    X : array-like of shape (n_queries, n_features) or None
        Queries. None stands for all stored samples, each without its own vote.
    """
    classifier._validate_params()  # they may have been set since `fit`
    if classifier.weights in (None, "uniform"):
        indices, weights = classifier.kneighbors(X, return_distance=False), None
    else:
        distances, indices = classifier.kneighbors(X)
        weights = vote_weights(distances, classifier.weights)
    return classifier._support.positions_of(indices), weights


def vote_weights(
    distances: np.ndarray, weights: str | Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the weight of each neighbor's vote, (n_queries, n_neighbors).

    Parameters
    ----------
    distances : ndarray of shape (n_queries, n_neighbors)
        Distances to the neighbors.
    weights : {"distance"} or callable
        The inverse of the distances, or what the callable makes of them.

    Raises
    ------
    ValueError
        If all neighbors of a query have the weight zero, or a callable returns NaN.
    """
    if callable(weights):
        votes = weights(distances)
        if np.isnan(votes).any():
            raise ValueError(
                "The callable weights returned NaN for some distances. The weight of a "
                "vote has to be a number."
            )
    else:
        votes = _inverse(distances)
    if (votes == 0).all(axis=1).any():
        raise ValueError(
            "All neighbors of some sample is getting zero weights. Please modify "
            "'weights' to avoid this case if you are using a user-defined function."
        )
    return votes


def _inverse(distances: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        inverse = 1.0 / distances
    # Where a query is a stored sample, only its likes have a vote.
    same = np.isinf(inverse)
    exact = same.any(axis=1)
    inverse[exact] = same[exact]
    return inverse


def majority(positions: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the class of most votes, the first at a tie: (n_queries,)."""
    order = np.argsort(positions, axis=1, kind="stable")
    positions = np.take_along_axis(positions, order, axis=1)
    if weights is None:
        weights = np.ones(positions.shape)
    else:
        weights = np.take_along_axis(weights, order, axis=1)
    winner, votes = positions[:, 0].copy(), weights[:, 0].copy()
    most = votes.copy()
    for column in range(1, positions.shape[1]):
        goes_on = positions[:, column] == positions[:, column - 1]
        votes = np.where(goes_on, votes, 0) + weights[:, column]
        ahead = votes > most
        winner[ahead], most[ahead] = positions[ahead, column], votes[ahead]
    return winner


def shares(
    positions: np.ndarray, weights: np.ndarray | None, n_classes: int
) -> np.ndarray:
    """Return the share of each class in the vote: (n_queries, n_classes)."""
    votes = np.zeros((len(positions), n_classes))
    rows = np.arange(len(positions))
    for column in range(positions.shape[1]):
        vote = 1.0 if weights is None else weights[:, column]
        votes[rows, positions[:, column]] += vote
    votes /= votes.sum(axis=1, keepdims=True)
    return votes
