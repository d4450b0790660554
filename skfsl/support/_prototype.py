"""Nearest prototype: classes as the means of their support examples."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_consistent_length, validate_data

from skfsl.support._episodes import score_by_prototypes
from skfsl.support._labels import check_declared
from skfsl.support._store import SupportMixin
from skfsl.support._support_set import PrototypeSet
from skfsl.utils._scores import log_softmax, softmax
from skfsl.utils._sklearn_private import (
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
)
from skfsl.utils._validation import check_labels

__all__ = ["PrototypeClassifier"]

_FLOATS = [np.float64, np.float32]


class PrototypeClassifier(SupportMixin, ClassifierMixin, BaseEstimator):
    """Classify by the nearest class prototype, the mean of its support examples.

    Each class is stood for by one point: the (weighted) mean of the samples that
    were given for it. A query goes to the class whose prototype is closest. Classes
    are added from one or more examples by `partial_fit`, at any time and never
    declared before, and taken out by `forget`; nothing is retrained, and the result
    is that of one `fit` on everything.

    Use it on embeddings, of a :class:`~skfsl.SiameseTransformer` or any other
    encoder, or on a table whose distances mean something. With many examples a
    class, or classes of several clusters, see
    :class:`~skfsl.KNeighborsClassifier`.

    Read more in the :ref:`User Guide <support>`.

    Parameters
    ----------
    metric : {"euclidean", "cosine", "manhattan"} or callable, default="euclidean"
        How a query is compared with a prototype. A callable takes two arrays of
        shape (n_features,) and returns their distance as a float. Prototypes do not
        depend on it: set after `fit`, it holds from the next prediction on.

    store : {"samples", "sums"}, default="samples"
        What is kept. "samples" keeps each sample with its class and weight, "sums"
        only the sum of each class: O(n_classes · n_features) whatever comes.
        Predictions are the same.

    temperature : float, default=1.0
        What scores are divided by before the softmax of `predict_proba`: above 1
        probabilities are more even, below 1 more decided.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, always sorted, whatever the order of their arrival.

    counts_ : ndarray of shape (n_classes,)
        Number of samples of each class, or the sum of their weights. Read-only.

    prototypes_ : ndarray of shape (n_classes, n_features)
        Prototype of each class, in the order of `classes_`, in float64. Read-only.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when `X` has feature
        names that are all strings.

    See Also
    --------
    skfsl.KNeighborsClassifier : Compares a query with each stored sample.
    sklearn.neighbors.NearestCentroid : The same rule without `partial_fit`.

    Notes
    -----
    Prototypes are means under every metric; scikit-learn's `NearestCentroid` takes
    medians under "manhattan".

    `fit`, `partial_fit` and `forget` either happen or leave the classifier as it was.
    They are safe beside concurrent calls of `predict` and its kin, each of which
    answers from one state, and beside each other.

    `partial_fit` costs what the new samples cost, plus O(n_classes), however many
    samples are stored. Scores are computed in the dtype of the queries, centred
    between the prototypes, in blocks of bounded size.

    References
    ----------
    .. [1] J. Snell, K. Swersky and R. Zemel, "Prototypical Networks for Few-shot
       Learning", NeurIPS 2017.

    Examples
    --------
    >>> from skfsl import PrototypeClassifier
    >>> clf = PrototypeClassifier().fit([[0, 0], [0, 2], [9, 9]], ["a", "a", "b"])
    >>> clf.predict([[1, 1], [8, 8]])
    array(['a', 'b'], dtype='<U1')
    >>> clf.partial_fit([[-9, -9]], ["A new one"]).classes_
    array(['A new one', 'a', 'b'], dtype='<U9')
    >>> clf.predict([[-8, -8]])
    array(['A new one'], dtype='<U9')
    >>> clf.forget("b").prototypes_
    array([[-9., -9.],
           [ 0.,  1.]])
    """

    _parameter_constraints: dict = {
        "metric": [StrOptions({"euclidean", "cosine", "manhattan"}), callable],
        "store": [StrOptions({"samples", "sums"})],
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, metric="euclidean", *, store="samples", temperature=1.0):
        self.metric = metric
        self.store = store
        self.temperature = temperature

    @property
    def classes_(self):
        return self._published("classes_").labels.classes

    @property
    def counts_(self):
        return self._published("counts_").counts

    @property
    def prototypes_(self):
        return self._published("prototypes_").prototypes

    def _published(self, attribute):
        try:
            return self.__dict__["_support"]
        except KeyError:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {attribute!r} before "
                f"'fit' or 'partial_fit'."
            )

    def __sklearn_is_fitted__(self):
        return "_support" in self.__dict__

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Make a support set of samples, in place of the one that was there.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Support examples.

        y : array-like of shape (n_samples,)
            Their labels: integers, booleans or strings, one example a class or more.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the mean of their class, not negative.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If X or y holds NaN or infinity, if their lengths differ, or if the
            weights of a class sum to zero.
        TypeError
            If y mixes strings and numbers.
        """
        with self._updating(fitted=False) as work:
            work._enrol(X, y, sample_weight, reset=True)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Add samples to the support set, of known classes and of new ones.

        Any labels may come at any time. The result is that of one `fit` on all
        samples, whatever the order; unfitted, this is `fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Support examples.

        y : array-like of shape (n_samples,)
            Their labels, of the same kind as the labels before.

        classes : array-like of shape (n_classes,), default=None
            Not needed. Where it is given, the labels of `y` have to be among them;
            it has no other effect.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the mean of their class, not negative.

        Returns
        -------
        self : object
            The classifier with the samples added.

        Raises
        ------
        ValueError
            As in `fit`; if the number of features or their names are not those of
            `fit`; if a label of y is not in `classes`.
        TypeError
            If the labels are of another kind, as strings after integers.
        """
        with self._updating() as work:
            reset = "_support" not in work.__dict__
            work._enrol(X, y, sample_weight, reset=reset, classes=classes)
        return self

    def _get_fitted_attr_html(self, doc_link=""):
        # What scikit-learn's HTML repr lists, without the numbers of the support set.
        attributes = super()._get_fitted_attr_html(doc_link)
        if "prototypes_" in attributes:
            attributes["prototypes_"]["value"] = "..."
        return attributes

    def _enrol(self, X, y, sample_weight, *, reset, classes=None):
        y = check_labels(y)
        X = validate_data(self, X, dtype=_FLOATS, reset=reset)
        check_consistent_length(X, y)
        check_declared(classes, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        make = PrototypeSet.of if reset else self._support.add
        keep_samples = self.store == "samples"
        self._support = make(X, y, sample_weight, keep_samples=keep_samples)

    def _without(self, classes):
        self._support = self._support.without(classes)

    def _score_episodes(self, X, codes, blocks):
        return score_by_prototypes(self, X, codes, blocks)

    def _read(self, X):
        """Return one state, its scorer, and checked queries."""
        snapshot = self._snapshot()
        # They may have been set since `fit`, and take effect here.
        snapshot._validate_params()
        X = validate_data(snapshot, X, dtype=_FLOATS, reset=False)
        support = snapshot._support
        return snapshot, support, support.scorer(snapshot.metric, X.dtype), X

    def predict(self, X):
        """Return the class of the closest prototype.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        y : ndarray of shape (n_queries,)
            Predicted labels; the first in the order of `classes_` where two are
            equally close.
        """
        _, support, scorer, X = self._read(X)
        return support.labels.classes[scorer.nearest(X)]

    def decision_function(self, X):
        """Return the score of each class: higher is closer.

        Negative squared distance under "euclidean", cosine of the angle under
        "cosine", negative distance under "manhattan" and callables.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        scores : ndarray of shape (n_queries, n_classes) or (n_queries,)
            Scores, in the order of `classes_`. With two classes, as everywhere in
            scikit-learn, one number a query: the score of ``classes_[1]`` less that
            of ``classes_[0]``.
        """
        _, _, scorer, X = self._read(X)
        scores = scorer.scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X):
        """Return class probabilities: the softmax of scores over `temperature`.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        proba : ndarray of shape (n_queries, n_classes)
            Probabilities, in the order of `classes_`.
        """
        snapshot, _, scorer, X = self._read(X)
        # In float64: float32 rounds to zero what is one in 10^45.
        scores = scorer.scores(X).astype(np.float64, copy=False)
        return softmax(scores, snapshot.temperature)

    def predict_log_proba(self, X):
        """Return logarithms of class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        log_proba : ndarray of shape (n_queries, n_classes)
            Log-probabilities, in the order of `classes_`; finite where the
            probability itself is rounded to zero.
        """
        snapshot, _, scorer, X = self._read(X)
        return log_softmax(scorer.scores(X), snapshot.temperature)

    def score_samples(self, X):
        """Return how familiar each query is: its highest score over all classes.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        scores : ndarray of shape (n_queries,)
            Score of the closest prototype; higher is more familiar.
        """
        _, _, scorer, X = self._read(X)
        return scorer.best(X)
