"""Methods of a pipeline that are those of its last step, on embeddings."""

from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if

from skfsl.pipeline._steps import last_step_has

__all__ = [
    "calibrate", "kneighbors", "predict_set", "rejection_threshold", "score_samples",
]  # fmt: skip


@available_if(last_step_has("score_samples"))
def score_samples(self, X):
    """Transform X and tell how familiar it is to the last step.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        Queries.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        Higher is more familiar.
    """
    self._check_support()
    return Pipeline.score_samples(self, X)


@available_if(last_step_has("rejection_threshold"))
def rejection_threshold(self):
    """Return the score of `score_samples` below which `predict` refuses a query.

    Returns
    -------
    threshold : float
        That of the last step.
    """
    self._check_support()
    return self._last_step().rejection_threshold()


@available_if(last_step_has("calibrate"))
def calibrate(self, X, y):
    """Set threshold and temperature of the last step from labelled queries.

    Parameters
    ----------
    X : array-like of shape (n_queries, ...)
        Queries.
    y : array-like of shape (n_queries,)
        Their labels; `unknown_label` of the last step for queries of no class.

    Returns
    -------
    calibration : object
        That of the last step, which has it as `calibration_`.
    """
    self._check_support()
    return self._last_step().calibrate(self._embed(X), y)


@available_if(last_step_has("predict_set"))
def predict_set(self, X, alpha=0.1):
    """Transform X and tell which classes the last step cannot rule out.

    Parameters
    ----------
    X : array-like of shape (n_queries, ...)
        Queries.
    alpha : float, default=0.1
        The share of queries whose set may miss the true class.

    Returns
    -------
    sets : ndarray of shape (n_queries, n_classes), dtype=bool
        In the order of `classes_`.
    """
    self._check_support()
    return self._last_step().predict_set(self._embed(X), alpha)


@available_if(last_step_has("kneighbors"))
def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
    """Transform X and find its nearest neighbours in the support set.

    Parameters
    ----------
    X : array-like of shape (n_queries, ...), default=None
        Queries. None asks for the neighbours of each sample of the support set,
        itself left out.
    n_neighbors : int, default=None
        How many. None is what the last step was made with.
    return_distance : bool, default=True
        Whether distances are returned too.

    Returns
    -------
    distances : ndarray of shape (n_queries, n_neighbors)
        Distances, ascending. Only where `return_distance`.
    indices : ndarray of shape (n_queries, n_neighbors)
        Rows of the support set.
    """
    self._check_support()
    return self._last_step().kneighbors(
        None if X is None else self._embed(X),
        n_neighbors=n_neighbors,
        return_distance=return_distance,
    )
