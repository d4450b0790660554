"""Nearest prototype: classes as the means of their support examples."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_consistent_length, validate_data

from skfsl.support._blank_rows import drop_blanks
from skfsl.support._episodes import score_by_prototypes
from skfsl.support._ids import check_ids
from skfsl.support._labels import check_declared
from skfsl.support._leave_one_out import leave_one_out_scores
from skfsl.support._likelihood_ratio import left_out, ratio_of
from skfsl.support._open_set import LeftOut, choose_rows
from skfsl.support._scoring_mixin import ScoringMixin
from skfsl.support._shared_covariance import SharedCovariance
from skfsl.support._support_mixin import SUPPORT_CONSTRAINTS
from skfsl.support._support_set import PrototypeSet
from skfsl.utils._scores import unit_rows
from skfsl.utils._sklearn_private import (
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
)
from skfsl.utils._validation import check_labels

__all__ = ["PrototypeClassifier"]

_FLOATS = [np.float64, np.float32]


class PrototypeClassifier(ScoringMixin, ClassifierMixin, BaseEstimator):
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

    max_per_class : int, default=None
        The most samples that are kept of a class. Where more come, some of the class
        go, and all is as if only the others had come. None keeps all. Not with
        store="sums".

    keep : {"herding", "random"}, default="herding"
        Which samples stay. "herding" takes those whose mean is nearest to that of all
        that are there, one after the other; "random" an equal share of all that ever
        came, by a hash of their ids. Samples without weight go first.

    covariance : {"shared"}, default=None
        "shared" measures distances by the covariance within classes, one for all, made
        of the stored samples: directions in which samples of a class differ count for
        less (see Notes). It is for several examples a class, where it is mostly worth
        some points, and is the plain prototype where no class has two. For
        store="samples" and the metric "euclidean" or "cosine".

    shrinkage : float or "auto", default="auto"
        How far `covariance` is drawn towards a sphere, in (0, 1]; at 1 it is one.
        "auto" goes by the number of samples beside those of features and classes.

    temperature : float or "auto", default=1.0
        What scores are divided by before the softmax of `predict_proba`: above 1
        probabilities are more even, below 1 more decided. "auto" is that of the least
        log-loss of stored examples that are left out.

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

    familiarity : {"auto", "similarity", "likelihood_ratio"}, default="auto"
        What `score_samples` answers. "similarity" is the highest score of all classes;
        "likelihood_ratio" how much likelier a query is under the likeliest class than
        under one never seen (see Notes). "auto" is the ratio where samples are stored
        and the metric is "euclidean" or "cosine", where five classes have several
        examples and all of them two on average, and the similarity elsewhere.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, always sorted, whatever the order of their arrival.

    counts_ : ndarray of shape (n_classes,)
        Number of samples of each class, or the sum of their weights. Read-only.

    prototypes_ : ndarray of shape (n_classes, n_features)
        Prototype of each class, in the order of `classes_`, in float64. Read-only.

    support_ : :class:`~sklearn.utils.Bunch`
        The stored samples in the order of arrival, as columns of shape (n_samples,):
        `id` (see `ids` of `fit`), `label`, `distance` (euclidean, from the prototype),
        `class_count` (samples of its class) and `class_spread` (the root mean square
        of their distances). ``pd.DataFrame(clf.support_)`` makes a frame of it. Not
        with store="sums".

    support_vectors_ : ndarray of shape (n_samples, n_features)
        The stored samples themselves, in the order of `support_`. Read-only. Not with
        store="sums".

    calibration_ : object
        What `calibrate` has found. Only after it, until the next `fit`.

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
    Scores, higher is closer, are negative squared distances under "euclidean", cosines
    of the angle under "cosine", negative distances under "manhattan" and callables.

    With ``covariance="shared"`` the distance is that of Mahalanobis, under
    ``(1 - s) * W * n_features / trace(W) + s * I``, W the scatter of all samples about
    the means of their classes and s the `shrinkage`. Its scale is that of the plain
    distance, which it is at s = 1 with as many samples in each class, so that a
    `temperature` means the same. Where classes have as many samples each, they rank as
    in :class:`~sklearn.discriminant_analysis.LinearDiscriminantAnalysis` with
    solver="lsqr" and the same shrinkage. Where they have not, the mean of few is noise
    to a larger part, and its distance from the mean of all classes is multiplied by
    ``(b + v / K) / (b + v / k)``, k the number of its samples, K the largest of these
    numbers, v the variance within classes and b that between them. "auto" is
    ``min(0.9, 1 / (1 + f / max(2 * n_features, 4 * n_classes)))``, f the number of
    samples, or their weight, less that of classes. Under "cosine" samples are brought
    to length one before all else, classes are the means of these (`prototypes_` stays
    that of the samples as they are), and the score is 1 less half of the squared
    distance: the cosine, where no class has two examples.

    Prototypes are means under every metric; scikit-learn's `NearestCentroid` takes
    medians under "manhattan".

    The likelihood ratio takes samples of all classes to be normal, with one covariance,
    and so their means [2]_: a class of k examples has a mean that is known as well as
    k examples tell, one never seen any mean. Both covariances are learned from the
    support set, drawn towards spheres, and the score is the logarithm of the ratio for
    the likeliest class. With a `sample_weight`, k is the number of equal weights that
    would make as exact a mean. As classes are less normal than that, half of what the
    nearest of a class's first 20 examples is nearer than by chance counts as well.

    What is refused is learned from classes that the metric before this classifier was
    not trained on, of which a :class:`~skfsl.FewShotPipeline` tells it in its `fit`.
    Alone, it assumes that there are none.

    `fit`, `partial_fit` and `forget` either happen or leave the classifier as it was.
    They are safe beside concurrent calls of `predict` and its kin, each of which
    answers from one state, and beside each other.

    A row that is wholly NaN stands for a file that could not be read: it is left out of
    the support set, with a warning, and answered with `unknown_label`, or refused
    without one. A row that is NaN in part is always refused.

    `partial_fit` costs what the new samples cost, plus O(n_classes), however many
    samples are stored; with `ids` it looks through those that are. Scores are
    computed in the dtype of the queries, centred between the prototypes, in blocks of
    bounded size.

    References
    ----------
    .. [1] J. Snell, K. Swersky and R. Zemel, "Prototypical Networks for Few-shot
       Learning", NeurIPS 2017.

    .. [2] S. Ioffe, "Probabilistic Linear Discriminant Analysis", ECCV 2006.

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
        "covariance": [StrOptions({"shared"}), None],
        "shrinkage": [
            StrOptions({"auto"}),
            Interval(Real, 0, 1, closed="right"),
        ],
        "temperature": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        **SUPPORT_CONSTRAINTS,
        "familiarity": [StrOptions({"auto", "similarity", "likelihood_ratio"})],
    }

    def __init__(
        self,
        metric="euclidean",
        *,
        store="samples",
        max_per_class=None,
        keep="herding",
        covariance=None,
        shrinkage="auto",
        temperature=1.0,
        unknown_label=None,
        reject="auto",
        threshold=None,
        familiarity="auto",
    ):
        self.metric = metric
        self.store = store
        self.max_per_class = max_per_class
        self.keep = keep
        self.covariance = covariance
        self.shrinkage = shrinkage
        self.temperature = temperature
        self.unknown_label = unknown_label
        self.reject = reject
        self.threshold = threshold
        self.familiarity = familiarity

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
    def fit(self, X, y, sample_weight=None, *, ids=None):
        """Make a support set of samples, in place of the one that was there.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Support examples.

        y : array-like of shape (n_samples,)
            Their labels: integers, booleans or strings, one example a class or more.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the mean of their class, not negative.

        ids : array-like of int or str, shape (n_samples,), default=None
            What the samples are called in `forget_samples` and `support_`, each by
            another one. None: by running numbers, in the order of arrival. Not with
            store="sums".

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If X or y holds NaN or infinity, if their lengths differ, if the weights of
            a class sum to zero, if `unknown_label` is in y, or if an id occurs twice.
        TypeError
            If y mixes strings and numbers, or `unknown_label` is of another kind.
        """
        with self._updating(fitted=False) as work:
            work._enrol(X, y, sample_weight, ids, reset=True)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, ids=None):
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
            As in `fit`; if the number of features or their names are not those of
            `fit`; if a label of y is not in `classes`; if an id is stored already.
        TypeError
            If the labels or ids are of another kind, as strings after integers.
        """
        with self._updating() as work:
            reset = "_support" not in work.__dict__
            work._enrol(X, y, sample_weight, ids, reset=reset, classes=classes)
        return self

    def _enrol(self, X, y, sample_weight, ids, *, reset, classes=None):
        self._check_covariance()
        y = check_labels(y)
        if ids is not None:
            if self.store == "sums":
                raise ValueError(
                    "ids are those of stored samples, and store='sums' keeps none. "
                    "Leave them out, or set store='samples'."
                )
            ids = check_ids(ids, len(y))
        X, y, sample_weight, ids = drop_blanks(X, y, sample_weight, ids)
        X = validate_data(self, X, dtype=_FLOATS, reset=reset)
        check_consistent_length(X, y)
        check_declared(classes, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        make = PrototypeSet.of if reset else self._support.add
        keep_samples = self.store == "samples"
        self._take_up(make(X, y, sample_weight, keep_samples=keep_samples, ids=ids))

    def _score_episodes(self, X, codes, blocks):
        return score_by_prototypes(self, X, codes, blocks)

    def _ratio(self):
        """Return the likelihood ratio of this state; None for the similarity."""
        calibration, kind = self._calibration(), self.familiarity
        if calibration is not None:
            # A threshold on another scale would be a number without a meaning.
            kind = calibration.familiarity or kind
        if kind == "similarity":
            return None
        if self.threshold is not None and kind == "auto":
            raise ValueError(
                f"threshold={self.threshold} is a score of one kind, and "
                f"familiarity='auto' may choose another as classes come and go. Set "
                f"familiarity='similarity' or 'likelihood_ratio'."
            )
        support, learnt = self._support, self._learnt()
        ratio = support.cached(
            ("ratio", *self._scored_by()),
            lambda: ratio_of(support, self.metric, learnt),
        )
        if ratio is None and kind == "likelihood_ratio":
            raise ValueError(
                "familiarity='likelihood_ratio' needs store='samples', the metric "
                "'euclidean' or 'cosine', and classes that the metric was not trained "
                "on, five with several examples, of two on average. Set "
                "familiarity='auto'; where calibrate has chosen it, call it again, or "
                "del clf.calibration_."
            )
        return ratio

    def _familiar(self, X, best=None):
        ratio = self._ratio()
        if ratio is None:
            return super()._familiar(X, best)
        return ratio.best(unit_rows(X)[0] if self.metric == "cosine" else X)

    def _familiar_left_out(self):
        if self._ratio() is None:
            return super()._familiar_left_out()
        return left_out(self._support, self.metric, self._learnt())

    def _left_out(self, *, rows=None, single=False):
        support = self._support
        if support.samples is None:
            raise ValueError(
                f"reject={self.reject!r} and temperature='auto' leave stored samples "
                f"out, and store='sums' keeps none. Set threshold= and a number as "
                f"temperature, or reject=None, or call fit with store='samples'."
            )
        if rows is None:
            rows = choose_rows(self._learnt()[support.positions])
        shared = self._shared()
        if shared is None:
            scores = leave_one_out_scores(
                support, self.metric, unbiased=True, single=single, rows=rows
            )
        else:
            scores = shared.left_out(support, rows, single=single)
        return LeftOut(scores, support.positions[rows])

    def _scored_by(self):
        metric = self.metric if isinstance(self.metric, str) else id(self.metric)
        settings = self.familiarity, self.covariance, self.shrinkage
        return metric, *settings, self._learnt().tobytes()

    def _checked(self, X):
        return validate_data(self, X, dtype=_FLOATS, reset=False)

    def _scorer(self, X):
        shared = self._shared()
        if shared is None:
            return self._support.scorer(self.metric, X.dtype)
        key = ("shared scorer", self.metric, self.shrinkage, X.dtype)
        return self._support.cached(key, lambda: shared.scorer(X.dtype))

    def _shared(self):
        """Return the covariance that all classes share; None where there is none."""
        if self.covariance is None:
            return None
        self._check_covariance()
        support, unit = self._support, self.metric == "cosine"
        return support.cached(
            ("shared", unit, self.shrinkage),
            lambda: SharedCovariance(support, self.shrinkage, unit),
        )

    def _check_covariance(self):
        if self.covariance is None:
            return
        if self.metric not in ("euclidean", "cosine"):
            raise ValueError(
                f"covariance='shared' is for metric='euclidean' or 'cosine'. Got "
                f"metric={self.metric!r}: choose one of them, or covariance=None."
            )
        support = self.__dict__.get("_support")
        if self.store == "sums" or (support is not None and support.samples is None):
            raise ValueError(
                "covariance='shared' is made of stored samples, and store='sums' keeps "
                "none. Call fit with store='samples', or set covariance=None."
            )

    def _scores(self, X):
        return self._scorer(X).scores(X)

    def _nearest(self, X):
        return self._scorer(X).nearest(X)

    def _best(self, X):
        return self._scorer(X).best(X)
