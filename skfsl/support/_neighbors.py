"""scikit-learn's k nearest neighbours over a support set that grows."""

import numpy as np
from scipy import sparse
from sklearn.neighbors import VALID_METRICS
from sklearn.neighbors import KNeighborsClassifier as _KNeighborsClassifier
from sklearn.utils.validation import check_consistent_length, validate_data

from skfsl.support._blank_rows import around_blanks, drop_blanks
from skfsl.support._episodes import score_by_neighbors
from skfsl.support._ids import SampleIds, check_ids
from skfsl.support._labels import Labels, check_declared
from skfsl.support._neighbor_index import index_of
from skfsl.support._neighbor_search import kneighbors, kneighbors_graph
from skfsl.support._neighbors_left_out import (
    familiar_left_out,
    nearest_left_out,
    nearest_to_others,
)
from skfsl.support._open_set import answer
from skfsl.support._sklearn_neighbors import (
    as_stored,
    check_can_enrol,
    check_can_grow,
    check_metric,
    metric_of,
    n_outputs,
    of_support,
)
from skfsl.support._store import Rows
from skfsl.support._support_mixin import SUPPORT_CONSTRAINTS, SupportMixin
from skfsl.support._support_set import NeighborSet
from skfsl.support._support_table import check_has_samples
from skfsl.support._votes import cast_votes, majority, shares
from skfsl.utils._sklearn_private import StrOptions, _fit_context
from skfsl.utils._validation import check_labels

__all__ = ["KNeighborsClassifier"]


class KNeighborsClassifier(SupportMixin, _KNeighborsClassifier):
    """Classify by a vote of the nearest samples of a support set that can grow.

    This is scikit-learn's :class:`~sklearn.neighbors.KNeighborsClassifier` with
    `partial_fit`, that adds samples of known classes and of new ones at any time,
    and `forget`, that takes classes out. All that `fit` does there it does here:
    trees, sparse input, several outputs, precomputed distances, any metric.

    Use it where classes have more than one look, so that one prototype does not
    stand for them; with a few examples a class
    :class:`~skfsl.PrototypeClassifier` is less noisy and faster.

    Read more in the :ref:`User Guide <support>`.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of neighbors that vote; all, while fewer are stored.

    weights : {"uniform", "distance"}, callable or None, default="uniform"
        Weight of a vote: the same for all, the inverse of the distance, or what the
        callable makes of an array of distances.

    algorithm : {"auto", "ball_tree", "kd_tree", "brute"}, default="auto"
        How neighbors are found. "auto" is "brute" wherever the metric allows it. A
        tree has to be built anew for each sample: with "ball_tree" and "kd_tree"
        `partial_fit` and `forget` raise.

    leaf_size : int, default=30
        Leaf size of the trees.

    p : float, default=2
        Power of the Minkowski metric.

    metric : str or callable, default="minkowski"
        Any metric of scikit-learn's classifier; "precomputed" only with `fit`. A
        change of it, of `p` or of `metric_params` takes effect in the next `fit`.

    metric_params : dict, default=None
        Additional keyword arguments of the metric.

    n_jobs : int, default=None
        Number of parallel jobs of the search.

    index : {"exact", "auto", "torch", "faiss", "hnsw"}, default="exact"
        How neighbors are found among very many samples. "exact" is scikit-learn's
        search. "torch" compares all samples, too, by products in float32 on a GPU,
        or on the CPU without one. "faiss" looks through the nearest of several lists
        of samples, "hnsw" follows the links of a graph: both find nearly always the
        nearest samples, by FAISS. These three are for the metrics "euclidean" and
        "cosine" and for 10,000 samples or more; fewer are searched as by "exact".
        "auto" is, from 100,000 samples on and where that is possible, "torch" if torch
        has been imported and has a GPU, "faiss" if FAISS is there; or else "exact". It
        may be set after `fit`. What is forgotten is never found again, but may be kept
        in memory by FAISS until the index is made anew. See :ref:`millions`.

    unknown_label : int, str or other label, default=None
        What `predict` answers for queries of no class, those whose `score_samples` is
        too low. It is of the labels' kind, never in `classes_`, and has no column.
        None: a class is always answered.

    reject : "auto", float or None, default="auto"
        What is refused with an `unknown_label`. "auto" leaves stored examples, and
        their classes, out in turn, and puts the threshold where both are told right
        most often; a float in (0, 1) is the share of queries of known classes that may
        be refused; None refuses nothing but rows that are wholly NaN.

    threshold : float, default=None
        The score below which a query is refused, in the place of what `reject` finds.

    max_per_class : int, default=None
        The most samples that are kept of a class. Where more come, some of the class
        go, and all is as if only the others had come. None keeps all. Only where
        `partial_fit` is possible.

    keep : {"herding", "random"}, default="herding"
        Which samples stay. "herding" takes those whose mean is nearest to that of all
        that are there, one after the other; "random" an equal share of all that ever
        came, by a hash of their ids.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, always sorted, whatever the order of their arrival.

    effective_metric_ : str or callable
        The metric used: `metric`, or a synonym of it.

    effective_metric_params_ : dict
        Additional keyword arguments of the metric used.

    calibration_ : object
        What `calibrate` has found. Only after it, until the next `fit`.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when `X` has feature
        names that are all strings.

    n_samples_fit_ : int
        Number of samples stored.

    support_ : :class:`~sklearn.utils.Bunch`
        The stored samples in the order of arrival, as columns of shape (n_samples,):
        `id` (see `ids` of `fit`), `label`, `distance` (euclidean, from the mean of its
        class), `class_count` (samples of its class) and `class_spread` (the root mean
        square of their distances). ``pd.DataFrame(clf.support_)`` makes a frame of it.
        Only where `partial_fit` is possible.

    support_vectors_ : ndarray of shape (n_samples, n_features)
        The stored samples themselves, in the order of `support_`; of length one with
        metric="cosine". Read-only. Only where `partial_fit` is possible.

    outputs_2d_ : bool
        Whether `y` had several columns in `fit`.

    See Also
    --------
    skfsl.PrototypeClassifier : Compares a query with one point a class.
    sklearn.neighbors.KNeighborsClassifier : What this extends.

    Notes
    -----
    `fit`, `partial_fit` and `forget` either happen or leave the classifier as it was.
    They are safe beside concurrent calls of `predict` and its kin, each of which
    answers from one state, and beside each other.

    `partial_fit` costs what the new samples cost, plus O(n_classes), and now and then a
    copy; with `ids` it looks through those that are stored. `score_samples` is the
    distance of the nearest sample, negative. A row that is wholly NaN, as of a file
    that could not be read, is not stored, with a warning, and answered with
    `unknown_label`, or refused without one.

    Queries are brought to the dtype of the stored samples. Under "cosine" these are
    stored at unit length, where euclidean neighbors are the same ones and are found
    several times faster.

    Examples
    --------
    >>> from skfsl import KNeighborsClassifier
    >>> clf = KNeighborsClassifier(n_neighbors=1).fit([[0.0], [1.0]], ["b", "c"])
    >>> clf.partial_fit([[-5.0]], ["a"]).classes_
    array(['a', 'b', 'c'], dtype='<U1')
    >>> clf.predict([[-4.0], [0.1]])
    array(['a', 'b'], dtype='<U1')
    >>> clf.forget("a").predict([[-4.0]])
    array(['b'], dtype='<U1')
    """

    _parameter_constraints: dict = {
        **_KNeighborsClassifier._parameter_constraints,
        **SUPPORT_CONSTRAINTS,
        "index": [StrOptions({"exact", "auto", "faiss", "hnsw", "torch"})],
    }
    _score_episodes = score_by_neighbors
    kneighbors = kneighbors
    kneighbors_graph = kneighbors_graph
    _left_out = nearest_left_out
    _familiar_left_out = familiar_left_out
    _suspects = nearest_to_others
    _fit_X = of_support("_fit_X", lambda support: support.samples.columns[0])
    _y = of_support("_y", lambda support: support.positions)

    def __init__(
        self,
        n_neighbors=5,
        *,
        weights="uniform",
        algorithm="auto",
        leaf_size=30,
        p=2,
        metric="minkowski",
        metric_params=None,
        n_jobs=None,
        index="exact",
        unknown_label=None,
        reject="auto",
        threshold=None,
        max_per_class=None,
        keep="herding",
    ):
        super().__init__(
            n_neighbors,
            weights=weights,
            algorithm=algorithm,
            leaf_size=leaf_size,
            p=p,
            metric=metric,
            metric_params=metric_params,
            n_jobs=n_jobs,
        )
        self.index = index
        self.unknown_label = unknown_label
        self.reject = reject
        self.threshold = threshold
        self.max_per_class = max_per_class
        self.keep = keep

    def fit(self, X, y, *, ids=None):
        """Make a support set of samples, in place of the one that was there.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or \
                (n_samples, n_samples) if metric="precomputed"
            Support examples.

        y : {array-like, sparse matrix} of shape (n_samples,) or \
                (n_samples, n_outputs)
            Their labels.

        ids : array-like of int or str, shape (n_samples,), default=None
            What the samples are called in `forget_samples` and `support_`, each by
            another one. None: by running numbers, in the order of arrival. Only where
            `partial_fit` is possible.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If X or y is not what scikit-learn's classifier takes, or if an id occurs
            twice.
        TypeError
            If y mixes strings and numbers.
        """
        with self._updating(fitted=False) as work:
            work._learn(X, y, ids)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y, classes=None, *, ids=None):
        """Add samples to the support set, of known classes and of new ones.

        The result is that of one `fit` on all samples, in the order they came;
        unfitted, this is `fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Support examples.

        y : array-like of shape (n_samples,)
            Their labels, of the same kind as the labels before.

        classes : array-like of shape (n_classes,), default=None
            Not needed. Where it is given, the labels of `y` have to be among them;
            it has no other effect.

        ids : array-like of int or str, shape (n_samples,), default=None
            As in `fit`, of one kind with those before. Given once, they have to be
            given always.

        Returns
        -------
        self : object
            The classifier with the samples added.

        Raises
        ------
        ValueError
            If the number of features or their names are not those of `fit`; if a
            label of y is not in `classes`; if an id is stored already; under a tree
            algorithm, with metric="precomputed", after a fit on sparse input or several
            outputs; if `metric`, `p` or `metric_params` has changed since.
        TypeError
            If X is sparse, or labels or ids are of another kind, as strings after
            integers.
        """
        with self._updating() as work:
            check_can_grow(work, "partial_fit")
            check_can_enrol(X, y)
            y = check_labels(y)
            check_declared(classes, y)
            if "_fit_method" in work.__dict__:
                work._enrol(X, y, ids)
            else:
                work._learn(X, y, ids)
        return self

    def _learn(self, X, y, ids):
        """Fit as scikit-learn does; keep what can grow."""
        self._support = None
        self._fit_samples(X, y, ids)
        for name, value in (("ids", ids), ("max_per_class", self.max_per_class)):
            if value is not None:
                check_has_samples(self._support, name)
        index_of(self)

    def _fit_samples(self, X, y, ids):
        if y is None or sparse.issparse(y) or n_outputs(y) > 1:
            self._fit_with_algorithm(X, y)
            return
        y = check_labels(y)
        if ids is not None:
            ids = check_ids(ids, len(y))
        if self.metric != "precomputed":  # where rows and columns are the same samples
            X, y, ids = drop_blanks(X, y, ids)
        labels, codes = Labels.of(y)
        # Labels are encoded here; scikit-learn gets a stand-in to give no advice on.
        self._fit_with_algorithm(X, np.zeros(len(codes), dtype=np.intp))
        self.classes_, self._y = labels.classes, codes
        if (
            self._fit_method != "brute"
            or self.metric == "precomputed"
            or sparse.issparse(self._fit_X)
        ):
            return
        samples, all_unit = as_stored(self._fit_X, self.effective_metric_)
        if samples is self._fit_X:  # the caller's own, perhaps
            samples = samples.copy()
        rows, params = Rows(samples, codes), metric_of(self)
        sample_ids = SampleIds.of(ids, len(codes))
        self._take_up(NeighborSet(labels, rows, all_unit, params, sample_ids))
        # Read off the support set from now on.
        self.__dict__.update(_fit_X=None, _y=None)

    def _fit_with_algorithm(self, X, y):
        algorithm = self.algorithm
        if algorithm == "auto" and (
            callable(self.metric) or self.metric in VALID_METRICS["brute"]
        ):
            self.algorithm = "brute"
        super().fit(X, y)
        self.algorithm = algorithm

    def _enrol(self, X, y, ids):
        support = self._support
        check_metric(self, support.fitted_with)
        if ids is not None:
            ids = check_ids(ids, len(y))
        X, y, ids = drop_blanks(X, y, ids)
        X = self._check_samples(X)
        check_consistent_length(X, y)
        X, all_unit = as_stored(X, self.effective_metric_)
        self._take_up(support.add(X, y, all_unit, ids))

    def _check_can_change(self, method):
        check_can_grow(self, method)

    def _take_up(self, support):
        super()._take_up(support)
        support = self._support
        self.classes_ = support.labels.classes
        self.n_samples_fit_ = len(support.samples)
        index_of(self)

    def _check_samples(self, X):
        """Check samples or queries; bring them to the dtype of the stored ones."""
        stored = self._fit_X.dtype
        return validate_data(
            self,
            X,
            dtype=stored if stored in (np.float32, np.float64) else "numeric",
            ensure_all_finite="allow-nan" if self.metric == "nan_euclidean" else True,
            reset=False,
            order="C",
        )

    def _reader(self, X):
        """Return a snapshot that asks for no more neighbors than are stored."""
        snapshot = self._snapshot()
        if snapshot._support is not None:
            snapshot.__dict__.update(snapshot._support.fitted_with)
        n_others = snapshot.n_samples_fit_ - (X is None)
        if snapshot.n_neighbors is not None and n_others > 0:
            snapshot.n_neighbors = min(snapshot.n_neighbors, n_others)
        return snapshot

    def predict(self, X):
        """Return the class that most neighbors vote for.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features) or \
                (n_queries, n_indexed) if metric="precomputed", or None
            Queries. With None, predictions for all stored samples, each without its
            own vote.

        Returns
        -------
        y : ndarray of shape (n_queries,) or (n_queries, n_outputs)
            Predicted labels; the first in the order of `classes_` at a tie.
            `unknown_label` for rows that are wholly NaN.
        """
        snapshot, queries, blank = self._ask(X)
        if snapshot.outputs_2d_:
            return super(KNeighborsClassifier, snapshot).predict(X)
        return answer(snapshot, snapshot._nearest, queries, blank)

    def predict_proba(self, X):
        """Return the share of each class in the vote.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features) or \
                (n_queries, n_indexed) if metric="precomputed", or None
            Queries. None stands for all stored samples, each without its own vote.

        Returns
        -------
        p : ndarray of shape (n_queries, n_classes), or a list of n_outputs of such \
                arrays if n_outputs > 1
            Probabilities, in the order of `classes_`; NaN for rows wholly NaN.
        """
        snapshot, queries, blank = self._ask(X)
        if snapshot.outputs_2d_:
            return super(KNeighborsClassifier, snapshot).predict_proba(X)
        n_classes = len(snapshot.classes_)
        return around_blanks(snapshot._shares, queries, blank, n_classes)

    def _checked(self, X):
        return X  # by kneighbors

    def _nearest(self, X):
        if self._support is None:
            return np.searchsorted(self.classes_, super().predict(X)), None
        return majority(*cast_votes(self, X)), None

    def _best(self, X):
        return -self.kneighbors(X, n_neighbors=1)[0][:, 0]

    def _scored_by(self):
        return (self._learnt().tobytes(),)

    def _shares(self, X):
        if self._support is None:
            return super().predict_proba(X)
        return shares(*cast_votes(self, X), len(self.classes_))
