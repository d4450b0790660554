"""A pipeline that goes on learning at its last step."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import metadata_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skfsl.pipeline._delegated import (
    calibrate,
    kneighbors,
    predict_set,
    rejection_threshold,
    score_samples,
)
from skfsl.pipeline._metric import (
    check_current,
    fit_ids,
    tell_trained_classes,
    warn_of_metric,
)
from skfsl.pipeline._routing import partial_fit_params
from skfsl.pipeline._steps import (
    is_fitted,
    is_passthrough,
    last_step_has,
    last_step_learns,
    takes_classes,
)

__all__ = ["FewShotPipeline"]


class FewShotPipeline(Pipeline):
    """Chain transformers with a last step that goes on learning.

    A :class:`sklearn.pipeline.Pipeline` with :meth:`partial_fit`: the transformers,
    once fitted, only transform, and the last step learns from the embeddings by its
    own ``partial_fit``. With a SiameseTransformer before a PrototypeClassifier,
    ``fit`` learns the metric and ``partial_fit`` adds classes to the support set, in
    milliseconds and with nothing retrained. Use it wherever classes arrive after the
    metric was learned. All else is as in scikit-learn's pipeline.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        Names and estimators, in the order in which they are chained. All but the
        last are transformers, or "passthrough". What :meth:`fit` is to keep as it is
        is wrapped in :class:`sklearn.frozen.FrozenEstimator`.
    transform_input : list of str, default=None
        Names of metadata that is transformed by the steps before the one that
        consumes it. Needs metadata routing.
    memory : str or object with the joblib.Memory interface, default=None
        Where fitted transformers are cached. A transformer with a
        ``torch.nn.Module`` among its parameters never hits the cache, since the
        module's hash changes: give encoders by name, or freeze the transformer.
    verbose : bool, default=False
        Whether the time that each step takes in :meth:`fit` is printed.

    Attributes
    ----------
    named_steps : :class:`~sklearn.utils.Bunch`
        The steps by name.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels that the last step knows. Only where it is a classifier.
    support_ : :class:`~sklearn.utils.Bunch`
        The support set of the last step as a table, where it has one.
    support_vectors_ : ndarray of shape (n_samples, n_features)
        Its samples as the last step got them, in the order of `support_`.
    n_features_in_ : int
        Number of features seen by the first step in :meth:`fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by the first step in :meth:`fit`.

    See Also
    --------
    make_few_shot_pipeline : The same, with names given automatically.

    Notes
    -----
    A failed :meth:`partial_fit` leaves the pipeline as it was, given that the last
    step's does, as those of this package do. A failed :meth:`fit` leaves the steps
    fitted that came before the failure, as in scikit-learn; where one of them is a
    learned metric, an older support set behind it is then refused as stale.

    While one thread calls :meth:`partial_fit`, others may predict; not so :meth:`fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skfsl import FewShotPipeline, PrototypeClassifier
    >>> X = np.array([[0.0, 1.0], [0.2, 0.8], [4.0, 5.0], [4.2, 5.2]])
    >>> pipe = FewShotPipeline(
    ...     [("scaler", StandardScaler()), ("clf", PrototypeClassifier())]
    ... )
    >>> pipe = pipe.fit(X, ["ant", "ant", "bee", "bee"])
    >>> pipe = pipe.partial_fit([[9.0, 0.0]], ["cow"])  # one example is enough
    >>> pipe.predict([[8.5, 0.5], [0.1, 1.1]])
    array(['cow', 'ant'], dtype='<U3')
    """

    _doc_link_module = "skfsl"
    _doc_link_template = (
        "https://skfsl.readthedocs.io/en/stable/generated/"
        "{estimator_module}.{estimator_name}.html"
    )
    score_samples = score_samples
    rejection_threshold = rejection_threshold
    calibrate = calibrate
    predict_set = predict_set
    kneighbors = kneighbors
    # Checked here and handed on as it is, never routed.
    __metadata_request__partial_fit = {"classes": metadata_routing.UNUSED}

    def fit(self, X, y=None, **params):
        """Learn everything anew: all transformers, a metric too, and the last step.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, as the first step takes them.
        y : array-like of shape (n_samples,), default=None
            Labels.
        **params : dict of str to object
            ``step__name=value`` for the ``fit`` of a step; with metadata routing
            enabled, what the steps have requested.

        Returns
        -------
        self : FewShotPipeline
            The fitted pipeline.
        """
        super().fit(X, y, **params)
        self._record()
        tell_trained_classes(self._transformers(), self._last_step(), y)
        return self

    @available_if(last_step_has("fit_predict"))
    def fit_predict(self, X, y=None, **params):
        """Fit the transformers and call the last step's ``fit_predict``.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, as the first step takes them.
        y : array-like of shape (n_samples,), default=None
            Labels.
        **params : dict of str to object
            As in :meth:`fit`.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            What the last step answers.
        """
        y_pred = super().fit_predict(X, y, **params)
        self._record()
        return y_pred

    @available_if(last_step_learns)
    def partial_fit(self, X, y, classes=None, **params):
        """Learn from more samples at the last step; the others only transform.

        Where all transformers are fitted, they transform X, and the last step learns
        by its ``partial_fit``, fitted or not. Where one is not, this is :meth:`fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, as the first step takes them.
        y : array-like of shape (n_samples,)
            Labels, new or known.
        classes : array-like of shape (n_classes,), default=None
            Labels that may occur. All of `y` must be among them. Handed on to a last
            step that takes ``classes``; without effect otherwise, and on a call that
            is :meth:`fit`.
        **params : dict of str to object
            ``laststep__name=value`` for its ``partial_fit``; with metadata routing
            enabled, what the steps have requested for ``partial_fit`` and
            ``transform``. On a call that is :meth:`fit`: as there.

        Returns
        -------
        self : FewShotPipeline
            The pipeline, with its last step having learned.

        Raises
        ------
        ValueError
            If `y` has labels that `classes` lacks, or a parameter is for none but the
            last step.
        StaleSupportError
            If a learned metric has changed since the support set was enrolled.
        """
        undeclared = () if classes is None else np.setdiff1d(y, classes)
        if len(undeclared):
            raise ValueError(
                f"y has labels that are not among classes: {undeclared.tolist()}. Add "
                f"them there, or leave classes out: labels need not be declared."
            )
        if not all(is_fitted(step) for _, step in self._transformers()):
            return self.fit(X, y, **params)
        name, last = self.steps[-1]
        enrolling = not is_fitted(last)
        if not enrolling:
            self._check_support()
        by_step = partial_fit_params(self, params)
        own = by_step.get(name, {})
        for metadata in set(own).intersection(self.transform_input or ()):
            own[metadata] = self._embed(own[metadata], by_step)
        if classes is not None and takes_classes(last):
            own["classes"] = classes
        last.partial_fit(self._embed(X, by_step), y, **own)
        if enrolling or getattr(self, "_fit_ids", None) is None:
            self._record()
        return self

    @available_if(last_step_has("forget"))
    def forget(self, classes):
        """Take classes out of the support set of the last step.

        Parameters
        ----------
        classes : label or array-like of labels
            What to forget.

        Returns
        -------
        self : FewShotPipeline
            The pipeline, without these classes.
        """
        self._last_step().forget(classes)
        return self

    @available_if(last_step_has("forget_samples"))
    def forget_samples(self, ids):
        """Take samples out of the support set of the last step.

        Parameters
        ----------
        ids : int, str or array-like of them
            What the samples are called: as in ``laststep__ids`` of :meth:`partial_fit`
            and :meth:`fit`, or by running numbers. See `support_`.

        Returns
        -------
        self : FewShotPipeline
            The pipeline, without these samples, and classes that have no other.
        """
        self._last_step().forget_samples(ids)
        return self

    @available_if(last_step_has("suspicious_support"))
    def suspicious_support(self):
        """List samples of the last step that are nearer to another class.

        Returns
        -------
        suspicious : :class:`~sklearn.utils.Bunch`
            Columns `id`, `label`, `nearer` and `margin`, most suspicious first.
        """
        self._check_support()
        return self._last_step().suspicious_support()

    @property
    def support_(self):
        """The support set of the last step."""
        return self._last_step().support_

    @property
    def support_vectors_(self):
        """The samples of the support set of the last step."""
        return self._last_step().support_vectors_

    @available_if(last_step_has("predict"))
    def predict(self, X, **params):
        """Transform X and predict with the last step.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Queries.
        **params : dict
            For the last step; with metadata routing, what the steps have requested.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Labels.
        """
        self._check_support()
        return super().predict(X, **params)

    @available_if(last_step_has("predict_proba"))
    def predict_proba(self, X, **params):
        """Transform X and give the last step's probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Queries.
        **params : dict
            As in :meth:`predict`.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        self._check_support()
        return super().predict_proba(X, **params)

    @available_if(last_step_has("predict_log_proba"))
    def predict_log_proba(self, X, **params):
        """Transform X and give the logarithms of the last step's probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Queries.
        **params : dict
            As in :meth:`predict`.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        self._check_support()
        return super().predict_log_proba(X, **params)

    @available_if(last_step_has("decision_function"))
    def decision_function(self, X, **params):
        """Transform X and give the last step's decision function.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Queries.
        **params : dict
            What the steps have requested, with metadata routing enabled.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Higher is closer; in the order of `classes_`.
        """
        self._check_support()
        return super().decision_function(X, **params)

    @available_if(last_step_has("score"))
    def score(self, X, y=None, sample_weight=None, **params):
        """Transform X and score with the last step.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Queries.
        y : array-like of shape (n_samples,), default=None
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.
        **params : dict
            What the steps have requested, with metadata routing enabled.

        Returns
        -------
        score : float
            The last step's score; accuracy where it is a classifier.
        """
        self._check_support()
        return super().score(X, y, sample_weight=sample_weight, **params)

    def get_metadata_routing(self):
        """Tell how metadata is routed, for ``partial_fit`` too.

        Returns
        -------
        routing : MetadataRouter
            What each step gets, by the pipeline's methods.
        """
        router = super().get_metadata_routing()
        last = self.steps[-1][0]
        for name, pair in router:
            callee = "partial_fit" if name == last else "transform"
            pair.mapping.add(caller="partial_fit", callee=callee)
        return router

    def _last_step(self):
        return self.steps[-1][1]

    def _transformers(self):
        return [(n, step) for n, step in self.steps[:-1] if not is_passthrough(step)]

    def _embed(self, X, by_step=None):
        for name, step in self._transformers():
            X = step.transform(X, **(by_step or {}).get(name, {}))
        return X

    def _record(self):
        """Remember which metric the support set stands under."""
        transformers = self._transformers()
        self._fit_ids = fit_ids(transformers)
        warn_of_metric(transformers, self._last_step())

    def _check_support(self):
        check_is_fitted(self)
        current = fit_ids(self._transformers())
        check_current(self.steps[-1][0], getattr(self, "_fit_ids", None), current)
