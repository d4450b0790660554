"""A scorer for scikit-learn's model selection that plays episodes."""

from numbers import Integral

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_consistent_length

from skfsl.model_selection._episodes import EPISODE_CONSTRAINTS, episode_blocks
from skfsl.model_selection._merits import (
    bounds_of,
    check_metric,
    influences,
    needs_scores,
    needs_unknown,
    outside_influences,
    values,
)
from skfsl.model_selection._play import Player, leave_unread
from skfsl.model_selection._summary import Summary
from skfsl.utils._sklearn_private import Interval
from skfsl.utils._validation import check_labels

__all__ = ["EpisodicScorer", "make_episodic_scorer"]


class EpisodicScorer(BaseEstimator):
    """Score an estimator by few-shot episodes, on classes that it never saw.

    A scorer for the ``scoring`` parameter of scikit-learn's :func:`cross_val_score`,
    searches and curves, together with a splitter by class such as
    :class:`ClassKFold`. It embeds the test fold once, draws episodes from it, fits the
    last step of the pipeline anew on each support set and judges its answers to the
    queries. Every candidate of a search meets the same episodes.

    Read more in the :ref:`User Guide <evaluation>`.

    Parameters
    ----------
    n_way : int, (int, int) or None, default=5
        Classes in an episode; see :func:`iter_episodes` for this and what follows.

    n_shot : int, (int, int) or "natural", default=1
        Support examples of each class.

    n_query : int, None or "natural", default=None
        Queries of each class. None is what is left of the class, 15 at most.

    n_episodes : int or None, default=600
        Number of episodes.

    metric : str or callable, default="accuracy"
        What an episode is worth.

        - "accuracy", "balanced_accuracy": of its queries;
        - "map@k", such as "map@5": mean of 1 / rank of the true class, 0 below the
          k-th rank;
        - "top@k": share of queries whose class is among the first k;
        - "auroc_unknown": the chance that a query of the episode's classes is more
          familiar than one of other classes. There are as many of these;
        - a callable ``metric(y_true, y_pred)`` that returns a float.

    imbalance : {"dirichlet", "long_tail"} or None, default=None
        How unequal the classes of an episode are.

    replace : bool, default=True
        Whether a sample may be in several episodes.

    small_classes : {"raise", "drop"}, default="raise"
        Whether classes with too few samples are an error, or are left out and named in
        a warning.

    return_stats : bool, default=False
        Whether to answer a dict in the place of a float, for
        :func:`~sklearn.model_selection.cross_validate` and, with ``refit="score"``,
        searches; as their only scorer. ``cross_val_score`` takes floats only.

    random_state : int, default=0
        Seed of the episodes. An integer only: all candidates are to meet the same ones.

    See Also
    --------
    few_shot_report : All there is to know about one estimator.
    iter_episodes : The episodes themselves.

    Notes
    -----
    It takes a Pipeline that ends in a classifier; any transformer, whose embeddings are
    classified by the nearest prototype under its ``metric_``; and a classifier of this
    package on X as it is. The transformers are not fitted again. Searches are judged by
    their best estimator.

    Episodes are played many at once with :class:`~skfsl.PrototypeClassifier`,
    :class:`~skfsl.KNeighborsClassifier` and transformers. Any other classifier is
    cloned, fitted and asked in a plain loop, episode by episode.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import cross_val_score
    >>> from skfsl.model_selection import ClassKFold, EpisodicScorer
    >>> X, y = load_digits(return_X_y=True)
    >>> scorer = EpisodicScorer(n_way=5, n_shot=5, n_episodes=100)
    >>> scores = cross_val_score(PCA(20), X, y, cv=ClassKFold(2), scoring=scorer)
    >>> scores.round(2)
    array([0.88, 0.87])
    """

    _parameter_constraints: dict = {
        **{k: v for k, v in EPISODE_CONSTRAINTS.items() if k != "n_unknown"},
        "metric": [str, callable],
        "return_stats": ["boolean"],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
    }

    def __init__(
        self, n_way=5, *, n_shot=1, n_query=None, n_episodes=600, metric="accuracy",
        imbalance=None, replace=True, small_classes="raise", return_stats=False,
        random_state=0,
    ):  # fmt: skip
        self.n_way = n_way
        self.n_shot = n_shot
        self.n_query = n_query
        self.n_episodes = n_episodes
        self.metric = metric
        self.imbalance = imbalance
        self.replace = replace
        self.small_classes = small_classes
        self.return_stats = return_stats
        self.random_state = random_state

    def set_score_request(self, *, groups):
        """Say whether metadata ``groups`` is for the scorer, under metadata routing.

        Parameters
        ----------
        groups : bool, None or str
            True: they are passed on and kept apart in episodes; False: they are for
            others; None: it is an error to pass them; a str is another name for them.

        Returns
        -------
        self : EpisodicScorer
            This scorer.

        Raises
        ------
        RuntimeError
            If metadata routing is not enabled.
        """
        if not get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "This method is only available when metadata routing is enabled. You "
                "can enable it using sklearn.set_config(enable_metadata_routing=True)."
            )
        request = MetadataRequest(owner=type(self).__name__)
        request.score.add_request(param="groups", alias=groups)
        self._metadata_request = request
        return self

    def get_metadata_routing(self):
        """Tell which metadata the scorer asks for.

        Returns
        -------
        routing : MetadataRequest
            Of the method ``score``.
        """
        if hasattr(self, "_metadata_request"):
            return self._metadata_request
        # Whether groups are bursts, to be kept apart in episodes too, one has to say.
        request = MetadataRequest(owner=type(self).__name__)
        request.score.add_request(param="groups", alias=None)
        return request

    def __call__(self, estimator, X, y=None, groups=None):
        """Score a fitted estimator on samples of classes that are new to it.

        Parameters
        ----------
        estimator : estimator instance
            A fitted pipeline or transformer, or a classifier of this package.
        X : array-like of length n_samples
            Samples, as the estimator takes them.
        y : array-like of shape (n_samples,)
            Labels.
        groups : array-like of shape (n_samples,), default=None
            Bursts, encounters, days: never in both the support set and the queries.

        Returns
        -------
        score : float or dict
            The mean over the episodes. With ``return_stats=True``: "score"; its
            "standard_error" over episodes; "episodes_low" and "episodes_high", the 95 %
            interval over the episodes drawn, which covers the sampler and not the
            data; "classes_low" and "classes_high", the 95 % interval over the classes,
            which covers other classes of the same kind and is NaN where it cannot be
            told: of fewer than four classes, of a classifier that does not rank them;
            "worst_decile", the mean of the worst tenth of the
            episodes.

        Raises
        ------
        TypeError
            If the estimator is none of these.
        ValueError
            If there are fewer classes than `n_way`, or a class has too few samples.

        Warns
        -----
        SeenSamplesWarning
            If the metric was trained on some of the samples.
        """
        summary = self._play(estimator, X, y, groups)
        return summary.as_dict() if self.return_stats else summary.mean

    def _play(self, estimator, X, y, groups=None):
        self._validate_params()
        check_metric(self.metric, type(self).__name__)
        y = check_labels(y)
        check_consistent_length(X, y)
        labels, blocks = self._draw(y, groups)
        player = Player(estimator, X, type(self).__name__)
        fewer = leave_unread(X, [player], y, groups)
        if fewer is not None:
            y, groups = fewer
            labels, blocks = self._draw(y, groups)
        ranked = needs_scores(self.metric)
        wanted = "needed" if ranked else "if there" if self.return_stats else "not"
        summary = Summary(len(labels), bounds_of(self.metric))
        for played in player.play(y, blocks, scores=wanted):
            worth = values(self.metric, played, labels)
            added = outside = None
            if self.return_stats:
                added = influences(self.metric, played, labels, worth)
                outside = outside_influences(self.metric, played, worth)
            summary.add(worth, played.classes, added, outside)
        return summary

    def _draw(self, y, groups):
        labels, codes = np.unique(y, return_inverse=True)
        drawn = episode_blocks(labels, codes, groups=groups, **self._episodes())
        return labels, drawn

    def _episodes(self):
        """Return the parameters of the episodes."""
        names = set(EPISODE_CONSTRAINTS) - {"n_unknown"}
        unknown = None if needs_unknown(self.metric) else 0
        return {"n_unknown": unknown, **{name: getattr(self, name) for name in names}}


def make_episodic_scorer(
    n_way=5, *, n_shot=1, n_query=None, n_episodes=600, metric="accuracy",
    imbalance=None, replace=True, small_classes="raise", return_stats=False,
    random_state=0,
):  # fmt: skip
    """Make a scorer that plays few-shot episodes on the fold it is given.

    Read more in the :ref:`User Guide <evaluation>`.

    Parameters
    ----------
    n_way : int, (int, int) or None, default=5
        Classes in an episode; see :func:`iter_episodes` for this and what follows.
    n_shot : int, (int, int) or "natural", default=1
        Support examples of each class.
    n_query : int, None or "natural", default=None
        Queries of each class. None is what is left of the class, 15 at most.
    n_episodes : int or None, default=600
        Number of episodes.
    metric : str or callable, default="accuracy"
        What an episode is worth; see :class:`EpisodicScorer`.
    imbalance : {"dirichlet", "long_tail"} or None, default=None
        How unequal the classes of an episode are.
    replace : bool, default=True
        Whether a sample may be in several episodes.
    small_classes : {"raise", "drop"}, default="raise"
        Whether classes with too few samples are an error, or are left out and named in
        a warning.
    return_stats : bool, default=False
        Whether the scorer answers a dict with intervals in the place of a float.
    random_state : int, default=0
        Seed of the episodes.

    Returns
    -------
    scorer : EpisodicScorer
        For the ``scoring`` parameter of scikit-learn's model selection.

    Examples
    --------
    >>> from skfsl.model_selection import make_episodic_scorer
    >>> make_episodic_scorer(n_way=20, n_shot=5, metric="map@5")
    EpisodicScorer(metric='map@5', n_shot=5, n_way=20)
    """
    return EpisodicScorer(
        n_way, n_shot=n_shot, n_query=n_query, n_episodes=n_episodes, metric=metric,
        imbalance=imbalance, replace=replace, small_classes=small_classes,
        return_stats=return_stats, random_state=random_state,
    )  # fmt: skip
