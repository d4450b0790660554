"""The learned kernel as a classifier."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator

from skfsl.pipeline._class_scores import AGGREGATIONS, class_scores
from skfsl.pipeline._enrolled import Enrolled, embed, fit_metric, metric_of
from skfsl.pipeline._left_out import left_out
from skfsl.pipeline._on_embeddings import Embedder, EmbeddingClassifier
from skfsl.pipeline._shortlist import shortlist_scores
from skfsl.support import (
    SUPPORT_CONSTRAINTS,
    ScoringMixin,
    check_declared,
    check_ids,
    choose_rows,
    drop_blanks,
)
from skfsl.utils._sklearn_private import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
)
from skfsl.utils._validation import check_labels

__all__ = ["SiameseClassifier"]


class SiameseClassifier(ScoringMixin, ClassifierMixin, BaseEstimator):
    """Classify by a learned similarity to the examples of a support set.

    `fit` learns a metric by a :class:`~skfsl.SiameseTransformer` and stores all of its
    samples as the support set. A query is scored against each class by the *head* of
    the metric itself, whatever it is: one that is no plain metric on embeddings, such
    as :class:`~skfsl.heads.MixedNormsHead`, decides here as it was trained.
    `partial_fit` adds classes from one or more examples, at any time, and `forget`
    takes them out; nothing is retrained.

    Use it with heads that do not fold, or where one estimator is wanted instead of two.
    Where the head folds, a :class:`~skfsl.FewShotPipeline` of the transformer and a
    :class:`~skfsl.PrototypeClassifier` decides alike and is faster.

    Read more in the :ref:`User Guide <siamese_classifier>`.

    Parameters
    ----------
    siamese : SiameseTransformer or FrozenEstimator of one, default=None
        What learns the metric; a copy of it is fitted. None is a transformer with its
        defaults, which ``set_params(siamese__lr=...)`` puts in the place of None. One
        that is fitted, in a :class:`sklearn.frozen.FrozenEstimator`, is kept as it is.

    aggregation : {"prototype", "mean", "max"}, default="prototype"
        The score of a class. "prototype" is the head's score with the mean embedding of
        the class, as in the prototypical loss; "mean" and "max" are the mean and the
        highest of its scores with all examples of the class. It may be set after `fit`.

    shortlist : int, default=None
        With "max", how many examples the head scores for a query: those whose
        embeddings are nearest to its own. Other classes then get the lowest of these
        scores. For support sets of many thousands, and heads that are slow. None is
        all of them. It may be set after `fit`.

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

    max_per_class : int, default=None
        The most samples that are kept of a class. Where more come, some of the class
        go, and all but the metric, which learns from each, is as if only the others had
        come. None keeps all.

    keep : {"herding", "random"}, default="herding"
        Which samples stay. "herding" takes those whose mean is nearest to that of all
        that are there, one after the other; "random" an equal share of all that ever
        came, by a hash of their ids.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of the support set, always sorted, whatever the order of their arrival;
        those that the metric was validated on are among them.

    counts_ : ndarray of shape (n_classes,)
        Number of examples of each class. Read-only.

    support_ : :class:`~sklearn.utils.Bunch`
        The stored samples in the order of arrival, as columns of shape (n_samples,):
        `id` (see `ids` of `fit`), `label`, `distance` (euclidean, of its embedding
        from the prototype), `class_count` (samples of its class) and `class_spread`
        (the root mean square of their distances). ``pd.DataFrame(clf.support_)`` makes
        a frame of it.

    support_vectors_ : ndarray of float32, shape (n_samples, embedding_dim)
        Embeddings of the stored samples as the head takes them, in the order of
        `support_`. Read-only.

    siamese_ : SiameseTransformer or FrozenEstimator
        The fitted metric. Its `transform`, `similarity` and `history_` are there.

    calibration_ : object
        What `calibrate` has found. Only after it, until the next `fit`.

    n_features_in_ : int
        Number of columns of the table seen by `fit`; only for tables.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where all are strings.

    See Also
    --------
    skfsl.FewShotPipeline : A metric and any classifier behind it.
    skfsl.PrototypeClassifier : Nearest prototype under a plain metric.

    Notes
    -----
    Prototypes are means of embeddings before they are folded. With "euclidean",
    "mahalanobis" and non-negative "dense_sigmoid" heads this decides as
    `PrototypeClassifier` on `siamese_.transform`, with the metric named by
    `siamese_.metric_`. With a "cosine" head it need not, since there folding brings
    embeddings to length one: here, long ones count for more in the mean. "max" decides
    as one nearest neighbor on folded embeddings, with every head that folds.

    Under "mean" a class with many looks has a lower score than one with few, and the
    length of the differences counts: it suits heads whose scores are logits, such as
    `DenseSigmoidHead` and `MixedNormsHead`.

    `fit`, `partial_fit` and `forget` either happen or leave the classifier as it was.
    They are safe beside concurrent calls of `predict` and its kin, each of which
    answers from one state, and beside each other.

    A row of a table, or an embedding, that is wholly NaN stands for a file that could
    not be read: it is left out of the support set, with a warning, and answered with
    `unknown_label`, or refused without one. NaN in part is always refused.

    Where `siamese_` has been trained on since the support set was enrolled, all that
    score raise a :class:`~skfsl.exceptions.StaleSupportError`.

    Scores are computed in blocks of bounded size, on the device of `siamese_`. `fit`
    makes a new network each time: ``warm_start`` of the transformer has no effect.

    References
    ----------
    .. [1] G. Koch, R. Zemel and R. Salakhutdinov, "Siamese Neural Networks for One-shot
       Image Recognition", ICML Deep Learning Workshop, 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfsl import SiameseClassifier, SiameseTransformer
    >>> X, y = load_iris(return_X_y=True)
    >>> siamese = SiameseTransformer(
    ...     head="dense_sigmoid", loss="binary_cross_entropy", max_epochs=5,
    ...     random_state=0,
    ... )
    >>> clf = SiameseClassifier(siamese, aggregation="mean").fit(X[:100], y[:100])
    >>> clf.partial_fit(X[100:105], y[100:105]).classes_  # five of the third kind
    array([0, 1, 2])
    >>> clf.score(X[105:], y[105:]) > 0.8
    True
    """

    _parameter_constraints: dict = {
        "siamese": [HasMethods(["fit", "transform"]), None],
        "aggregation": [StrOptions(set(AGGREGATIONS))],
        "shortlist": [Interval(Integral, 1, None, closed="left"), None],
        "temperature": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        **SUPPORT_CONSTRAINTS,
    }
    # Groups that are routed to splitters and scorers are mostly others, of samples.
    __metadata_request__fit = {"groups": False}

    def __init__(
        self,
        siamese=None,
        *,
        aggregation="prototype",
        shortlist=None,
        temperature=1.0,
        unknown_label=None,
        reject="auto",
        threshold=None,
        max_per_class=None,
        keep="herding",
    ):
        self.siamese = siamese
        self.aggregation = aggregation
        self.shortlist = shortlist
        self.temperature = temperature
        self.unknown_label = unknown_label
        self.reject = reject
        self.threshold = threshold
        self.max_per_class = max_per_class
        self.keep = keep

    def set_params(self, **params):
        """Set parameters, those of the transformer too.

        Parameters
        ----------
        **params : dict
            Parameters, e.g. ``siamese__lr=0.01``. Where `siamese` is None, this puts a
            SiameseTransformer in its place first.

        Returns
        -------
        self : SiameseClassifier
            This estimator.
        """
        nested = any(key.startswith("siamese__") for key in params)
        if nested and params.get("siamese", self.siamese) is None:
            from skfsl.siamese import SiameseTransformer  # torch wakes up here

            params["siamese"] = SiameseTransformer()
        return super().set_params(**params)

    @property
    def classes_(self):
        return self._published("_support", "classes_").labels.classes

    @property
    def counts_(self):
        return self._published("_support", "counts_").counts

    @property
    def n_features_in_(self):
        return self._published("siamese_", "n_features_in_").n_features_in_

    @property
    def feature_names_in_(self):
        return self._published("siamese_", "feature_names_in_").feature_names_in_

    def _published(self, key, attribute):
        try:
            return self.__dict__[key]
        except KeyError:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {attribute!r} before "
                f"'fit' or 'partial_fit'."
            )

    def __sklearn_is_fitted__(self):
        return "_support" in self.__dict__

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, groups=None, *, ids=None):
        """Learn the metric, and make a support set of all samples.

        Parameters
        ----------
        X : array-like or Tensor
            Samples, as the transformer takes them: a table (n, d) or images (n, h, w),
            (n, c, h, w) or (n, h, w, c).

        y : array-like of shape (n_samples,)
            Their labels: integers, booleans or strings.

        groups : array-like of shape (n_samples,), default=None
            What the classes belong to, for the transformer's sampler. Metadata routing
            leaves them out unless ``set_fit_request(groups=True)`` asks for them.

        ids : array-like of int or str, shape (n_samples,), default=None
            What the samples are called in `forget_samples` and `support_`, each by
            another one. None: by running numbers, in the order of arrival.

        Returns
        -------
        self : SiameseClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If X or y holds NaN or infinity, if their lengths differ, if there are no
            pairs to learn from, or if an id occurs twice.
        TypeError
            If `siamese` is no SiameseTransformer, or if y mixes strings and numbers.
        """
        with self._updating(fitted=False) as work:
            y = check_labels(y)
            ids = None if ids is None else check_ids(ids, len(y))
            work._learn(*drop_blanks(X, y, groups, ids))
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X, y, classes=None, *, ids=None):
        """Add samples to the support set, of known classes and of new ones.

        The metric stays as it is; unfitted, this is `fit`.

        Parameters
        ----------
        X : array-like or Tensor
            Support examples of the kind, size and channels of those of `fit`.

        y : array-like of shape (n_samples,)
            Their labels, of the same kind as the labels before.

        classes : array-like of shape (n_classes,), default=None
            Not needed. Where it is given, the labels of `y` have to be among them; it
            has no other effect.

        ids : array-like of int or str, shape (n_samples,), default=None
            As in `fit`, of one kind with those before. Given once, they have to be
            given always.

        Returns
        -------
        self : SiameseClassifier
            The classifier with the samples added.

        Raises
        ------
        ValueError
            As in `fit`; if the samples are of another kind; if a label of y is not in
            `classes`; if an id is stored already.
        TypeError
            If the labels or ids are of another kind, as strings after integers.
        StaleSupportError
            If `siamese_` was trained on since the support set was enrolled.
        """
        with self._updating() as work:
            y = check_labels(y)
            ids = None if ids is None else check_ids(ids, len(y))
            X, y, ids = drop_blanks(X, y, ids)
            check_declared(classes, y)
            if "_support" in work.__dict__:
                work._take_up(work._support.add(metric_of(work.siamese_), X, y, ids))
            else:
                work._learn(X, y, None, ids)
        return self

    def _learn(self, X, y, groups, ids):
        self.siamese_ = fit_metric(self.siamese, X, y, groups)
        if not isinstance(self.siamese, FrozenEstimator):
            held_out = self.siamese_.validation_classes_
            self._trained_on_classes(np.setdiff1d(y, held_out))
        self._take_up(Enrolled.of(metric_of(self.siamese_), X, y, ids))

    def _episode_steps(self):
        """Return what embeds samples, and what classifies embeddings as this does."""
        if type(self).predict is not SiameseClassifier.predict:
            raise TypeError(
                f"{type(self).__name__} predicts otherwise than SiameseClassifier, by "
                f"whose scores episodes are judged. Define _episode_steps in it, too."
            )
        snapshot = self._snapshot()
        snapshot._validate_params()
        metric = snapshot.siamese_ = metric_of(snapshot.siamese_)
        return [Embedder(metric), EmbeddingClassifier(FrozenEstimator(snapshot))]

    def _reader(self, X):
        snapshot = self._snapshot()
        # It has to keep to one state of the metric, too.
        snapshot.siamese_ = metric_of(snapshot.siamese_)
        snapshot._support.check_metric(snapshot.siamese_)
        return snapshot

    def _checked(self, X):
        return embed(self.siamese_, X)

    def _blocks(self, embeddings):
        metric, references = self.siamese_, self._support.references(self.aggregation)
        n, head, device = self.shortlist, metric.head_, metric.device_
        if self.aggregation == "max" and n is not None and n < len(references.rows):
            index = self._support.index(device)
            yield from shortlist_scores(head, device, embeddings, references, index, n)
            return
        for _, scores in class_scores(head, device, embeddings, references):
            yield scores

    def _left_out(self, *, rows=None, single=False):
        metric, support = self.siamese_, self._support
        if rows is None:
            rows = choose_rows(self._learnt()[support.positions])
        return left_out(
            metric.head_, metric.device_, support, self.aggregation, rows, single
        )

    def _scored_by(self):
        return self.aggregation, self._learnt().tobytes()

    def _scores(self, embeddings):
        return np.concatenate(list(self._blocks(embeddings)))

    def _nearest(self, embeddings):
        found = [(s.argmax(axis=1), s.max(axis=1)) for s in self._blocks(embeddings)]
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))

    def _best(self, embeddings):
        return self._nearest(embeddings)[1]
