"""What a metric finds nearest: recall at k, R-precision and MAP@R."""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.utils import check_consistent_length, gen_batches

from skfsl.metrics._checks import (
    check_score_matrix,
    check_targets,
    check_weights,
    weighted_mean,
)
from skfsl.utils._label_kinds import check_same_kind
from skfsl.utils._sklearn_private import Interval, validate_parameter_constraints

__all__ = ["mean_average_precision_at_r", "r_precision", "recall_at_k"]

_CONSTRAINTS = {"k": [Interval(Integral, 1, None, closed="left")]}
_BLOCK = 2**22


def recall_at_k(
    y_true: object,
    y_score: object,
    *,
    k: int = 1,
    y_references: object = None,
    sample_weight: object = None,
) -> float:
    """Compute for how many queries one of the `k` nearest is of the own class.

    Recall@1 is the accuracy of the nearest neighbour. This is the recall@k of metric
    learning [1]_, which asks for one right answer; it is not the share of all right
    answers that are found.

    Parameters
    ----------
    y_true : array-like of shape (n_queries,)
        Labels of the queries.

    y_score : array-like of shape (n_queries, n_references)
        Scores, higher is closer, such as ``siamese.similarity(X)`` or distances with
        their sign changed. Only their order within a row counts. -inf stands last.

    k : int, default=1
        How many of the nearest are looked at; less than there are references.

    y_references : array-like of shape (n_references,), default=None
        Labels of the references. None is the queries themselves: `y_score` is square
        then, and its diagonal is left out, so that no sample finds itself.

    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries. None is 1 for each.

    Returns
    -------
    recall : float
        Between 0 and 1, higher is better.

    Raises
    ------
    ValueError
        If no query has a reference of its class, if there are not more than `k`
        references, if shapes do not fit, or if scores are NaN.
    TypeError
        If labels are of different kinds, strings and numbers.

    See Also
    --------
    r_precision : The share of the own class among the R nearest.
    mean_average_precision_at_r : The same, the order within them counted.

    Notes
    -----
    Queries whose class has no (other) reference are left out of the mean, as in [2]_:
    nothing right can be found for them.

    Ties count against: of equal scores the own class has the last place.

    References
    ----------
    .. [1] H. Oh Song, Y. Xiang, S. Jegelka, S. Savarese. "Deep metric learning via
       lifted structured feature embedding". CVPR, 2016.

    .. [2] K. Musgrave, S. Belongie, S.-N. Lim. "A metric learning reality check".
       ECCV, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.metrics import pairwise_distances
    >>> from skfsl.metrics import recall_at_k
    >>> embeddings = np.array([[0.0], [1.0], [1.4], [2.0], [5.0], [6.0]])
    >>> y = ["ape", "ape", "bee", "ape", "bee", "bee"]
    >>> recall_at_k(y, -pairwise_distances(embeddings))
    0.5
    >>> recall_at_k(y, -pairwise_distances(embeddings), k=2)
    0.833...
    """
    validate_parameter_constraints(_CONSTRAINTS, {"k": k}, caller_name="recall_at_k")
    task = _check(y_true, y_score, y_references, sample_weight)
    n_references = task.y_score.shape[1] - task.against_itself
    if k >= n_references:
        raise ValueError(
            f"Expected k to be less than the number of references: n_references="
            f"{n_references}. Got k={k}, with which every query finds its class. Lower "
            f"k or add references."
        )
    return _mean_over_queries(task, lambda own, _: own[:, :k].any(axis=1), depth=int(k))


def r_precision(
    y_true: object,
    y_score: object,
    *,
    y_references: object = None,
    sample_weight: object = None,
) -> float:
    """Compute the share of the own class among the R nearest of each query.

    R is the number of references of the query's class, so that 1 is within reach for
    every query: all of its class nearer than anything else. The mean is taken over
    queries.

    Parameters
    ----------
    y_true : array-like of shape (n_queries,)
        Labels of the queries.

    y_score : array-like of shape (n_queries, n_references)
        Scores, higher is closer, such as ``siamese.similarity(X)`` or distances with
        their sign changed. Only their order within a row counts. -inf stands last.

    y_references : array-like of shape (n_references,), default=None
        Labels of the references. None is the queries themselves: `y_score` is square
        then, and its diagonal is left out, so that no sample finds itself.

    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries. None is 1 for each.

    Returns
    -------
    precision : float
        Between 0 and 1, higher is better.

    Raises
    ------
    ValueError
        If no query has a reference of its class, if shapes do not fit, or if scores
        are NaN.
    TypeError
        If labels are of different kinds, strings and numbers.

    See Also
    --------
    mean_average_precision_at_r : The order within the R nearest counts, too.
    recall_at_k : Whether one of the k nearest is of the own class.

    Notes
    -----
    Queries whose class has no (other) reference are left out, and ties count against,
    as in :func:`recall_at_k`.

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan, H. Schütze. "Introduction to Information
       Retrieval", section 8.4. Cambridge University Press, 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.metrics import pairwise_distances
    >>> from skfsl.metrics import r_precision
    >>> embeddings = np.array([[0.0], [1.0], [1.4], [2.0], [5.0], [6.0]])
    >>> y = ["ape", "ape", "bee", "ape", "bee", "bee"]
    >>> r_precision(y, -pairwise_distances(embeddings))
    0.416...
    """
    task = _check(y_true, y_score, y_references, sample_weight)
    return _mean_over_queries(task, lambda own, r: own[:, :r].mean(axis=1))


def mean_average_precision_at_r(
    y_true: object,
    y_score: object,
    *,
    y_references: object = None,
    sample_weight: object = None,
) -> float:
    """Compute MAP@R: R-precision in which the order counts.

    For a query with R references of its class, the precision among the i nearest is
    added up over those i up to R at which the own class stands, and divided by R [1]_.
    The mean is taken over queries. It tells well separated classes from such as have
    a neighbour of their own and strangers behind it, between which recall@1 sees no
    difference.

    Parameters
    ----------
    y_true : array-like of shape (n_queries,)
        Labels of the queries.

    y_score : array-like of shape (n_queries, n_references)
        Scores, higher is closer, such as ``siamese.similarity(X)`` or distances with
        their sign changed. Only their order within a row counts. -inf stands last.

    y_references : array-like of shape (n_references,), default=None
        Labels of the references. None is the queries themselves: `y_score` is square
        then, and its diagonal is left out, so that no sample finds itself.

    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries. None is 1 for each.

    Returns
    -------
    score : float
        Between 0 and 1, higher is better; at most the R-precision.

    Raises
    ------
    ValueError
        If no query has a reference of its class, if shapes do not fit, or if scores
        are NaN.
    TypeError
        If labels are of different kinds, strings and numbers.

    See Also
    --------
    r_precision : The same without regard to the order within the R nearest.
    mean_average_precision_at_k : One true class a query, among scores of classes.

    Notes
    -----
    Queries whose class has no (other) reference are left out, and ties count against,
    as in :func:`recall_at_k`.

    References
    ----------
    .. [1] K. Musgrave, S. Belongie, S.-N. Lim. "A metric learning reality check".
       ECCV, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.metrics import pairwise_distances
    >>> from skfsl.metrics import mean_average_precision_at_r
    >>> embeddings = np.array([[0.0], [1.0], [1.4], [2.0], [5.0], [6.0]])
    >>> y = ["ape", "ape", "bee", "ape", "bee", "bee"]
    >>> mean_average_precision_at_r(y, -pairwise_distances(embeddings))
    0.333...
    """
    task = _check(y_true, y_score, y_references, sample_weight)
    return _mean_over_queries(task, _average_precision)


def _average_precision(own: np.ndarray, r: int) -> np.ndarray:
    own = own[:, :r]
    precision = own.cumsum(axis=1) / np.arange(1, r + 1)
    return (precision * own).sum(axis=1) / r


@dataclass(frozen=True)
class _Task:
    """Queries and references, checked; classes as codes."""

    y_score: np.ndarray
    queries: np.ndarray
    references: np.ndarray
    against_itself: bool
    weights: np.ndarray


def _check(
    y_true: object, y_score: object, y_references: object, sample_weight: object
) -> _Task:
    y_true = check_targets(y_true, "y_true")
    y_score = check_score_matrix(y_score, "y_score", "n_references")
    check_consistent_length(y_true, y_score)
    weights = check_weights(sample_weight, y_true)
    against_itself = y_references is None
    if against_itself:
        if y_score.shape[1] != len(y_true):
            raise ValueError(
                f"Expected scores of the queries against each other, of shape "
                f"({len(y_true)}, {len(y_true)}). Got shape {y_score.shape}. Pass "
                f"y_references= for other references than the queries."
            )
        y_references = y_true
    else:
        y_references = check_targets(y_references, "y_references")
        check_same_kind(y_true, "y_true", y_references, "y_references")
        if y_score.shape[1] != len(y_references):
            raise ValueError(
                f"Expected a column of y_score for each reference. Got "
                f"{y_score.shape[1]} columns and {len(y_references)} labels in "
                f"y_references."
            )
    both = np.concatenate([y_true, y_references])
    codes = np.unique(both, return_inverse=True)[1].reshape(-1)
    queries, references = np.split(codes, [len(y_true)])
    return _Task(y_score, queries, references, against_itself, weights)


def _mean_over_queries(task: _Task, measure, depth: int | None = None) -> float:
    """Average ``measure(own, R)`` over the queries that have something to find."""
    values, weights = [], []
    for rows, own, r in _nearest(task, depth):
        values.append(measure(own, r))
        weights.append(task.weights[rows])
    what = "queries whose class has another sample among the references"
    if not values:
        raise ValueError(f"Expected {what}. Got none: nothing right can be found.")
    return weighted_mean(np.concatenate(values), np.concatenate(weights), what)


def _nearest(
    task: _Task, depth: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield which of the nearest are of the own class, for queries of one class each.

    Yields rows of the queries, a bool array (n_rows, `depth`), nearest first, and R,
    the number of references of the class; R is the depth where it is None. Memory is
    bounded whatever the number of queries.
    """
    n_codes = 1 + max(task.queries.max(), task.references.max())
    queries_of = _indices_of(task.queries, n_codes)
    references_of = _indices_of(task.references, n_codes)
    step = max(1, _BLOCK // len(task.references))
    for queries, own in zip(queries_of, references_of, strict=True):
        r = len(own) - task.against_itself
        if r > 0 and len(queries):
            for block in gen_batches(len(queries), step):
                rows = queries[block]
                yield rows, _own_among_nearest(task, rows, own, depth or r), r


def _indices_of(codes: np.ndarray, n_codes: int) -> list[np.ndarray]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=n_codes))[:-1])


def _own_among_nearest(
    task: _Task, rows: np.ndarray, own: np.ndarray, depth: int
) -> np.ndarray:
    distances = -task.y_score[rows].astype(_float_type(task.y_score.dtype), copy=False)
    of_own = distances[:, own]
    if task.against_itself:
        # Last, where nothing is counted: the depth is less than there are references.
        of_own[own == rows[:, None]] = np.inf
    distances[:, own] = np.inf
    n_others = min(depth, distances.shape[1] - len(own))
    others = distances[:, :0]
    if n_others:
        others = np.partition(distances, n_others - 1, axis=1)[:, :n_others]
    # The sort is stable: strangers stand first, and so keep their place in a tie.
    both = np.concatenate([others, of_own], axis=1)
    order = np.argsort(both, axis=1, kind="stable")[:, :depth]
    return order >= n_others


def _float_type(dtype: np.dtype) -> type:
    return np.float32 if dtype in (np.float16, np.float32) else np.float64
