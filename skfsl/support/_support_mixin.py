"""Estimators over a support set, whose state is published in one step."""

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skfsl.support._blank_rows import around_blanks, blank_rows
from skfsl.support._bounded import bounded
from skfsl.support._calibrate import calibrate, calibration_of
from skfsl.support._labels import check_unknown_label, warn_if_disjoint
from skfsl.support._open_set import Familiar, rejection_threshold
from skfsl.support._support_table import check_has_samples, support_table
from skfsl.support._suspicious import suspicious_support
from skfsl.utils._publish import publish, shadow
from skfsl.utils._sklearn_private import Interval, StrOptions, _safe_indexing
from skfsl.utils._validation import as_numpy

__all__ = ["SUPPORT_CONSTRAINTS", "SupportMixin"]

# Of the parameters that all classifiers with a support set have.
SUPPORT_CONSTRAINTS: dict = {
    "unknown_label": "no_validation",  # see check_unknown_label
    "reject": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="neither"), None],
    "threshold": [Interval(Real, None, None, closed="both"), None],
    "max_per_class": [Interval(Integral, 1, None, closed="left"), None],
    "keep": [StrOptions({"herding", "random"})],
}

# Outside the estimators, so that their state, copies and pickles hold no lock.
_LOCKS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_LOCKS_GUARD = threading.Lock()


def _make_locks_anew() -> None:
    # In a forked child nobody lives who would give back what was held.
    global _LOCKS, _LOCKS_GUARD
    _LOCKS, _LOCKS_GUARD = weakref.WeakKeyDictionary(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_make_locks_anew)


class SupportMixin:
    """What classifiers over an internal support set share.

    Readers work on a snapshot, writers on a copy of the fitted state that takes its
    place in one step. A call that raises leaves the estimator as it was.

    Subclasses have their support set in ``_support`` and define ``_checked``, which
    makes of queries what is scored, ``_nearest``, the position of the nearest class and
    its score (or None), ``_best``, that score alone, ``_left_out``, the scores of
    stored samples without themselves, of some by default, and ``_scored_by``, the
    settings that scores depend on.
    """

    _doc_link_module = "skfsl"
    _doc_link_template = (
        "https://skfsl.readthedocs.io/en/stable/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

    calibrate = calibrate
    _calibration = calibration_of

    def forget(self, classes):
        """Take classes out of the support set, with all of their samples.

        The samples are gone from memory and from pickles. Unlike `partial_fit`,
        this copies what stays.

        Parameters
        ----------
        classes : label or array-like of labels
            Classes to take out.

        Returns
        -------
        self : object
            The classifier without them.

        Raises
        ------
        ValueError
            If a class is not in the support set, or if no class would be left.
        """
        with self._updating() as work:
            check_is_fitted(work)
            work._check_can_change("forget")
            work._take_up(work._support.without(classes))
        return self

    def forget_samples(self, ids):
        """Take samples out of the support set; a class without samples goes, too.

        The result is that of `fit` on what remains: prototypes are computed anew from
        it. A label is corrected by `forget_samples` and then `partial_fit`.

        Parameters
        ----------
        ids : int, str or array-like of them
            What the samples are called: as in `ids` of `fit` and `partial_fit`, or by
            their running numbers, from 0, in the order of arrival, which are never
            used again. See `support_`.

        Returns
        -------
        self : object
            The classifier without them.

        Raises
        ------
        ValueError
            If an id is not in the support set, if no class would be left, or if
            samples are not kept one by one.
        TypeError
            If the ids are of another kind, as strings where they are integers.
        """
        with self._updating() as work:
            check_is_fitted(work)
            work._check_can_change("forget_samples")
            support = work._support
            check_has_samples(support, "forget_samples")
            work._take_up(support.only(support.ids.others(ids)))
        return self

    suspicious_support = suspicious_support

    @property
    def support_(self):
        support = self._with_samples("support_")
        return Bunch(**support.cached("table", lambda: support_table(support)))

    @property
    def support_vectors_(self):
        vectors = self._with_samples("support_vectors_").samples.columns[0].view()
        vectors.flags.writeable = False
        return vectors

    def _with_samples(self, attribute):
        support = self.__dict__.get("_support")
        if support is None or support.samples is None:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {attribute!r}: it is "
                f"not fitted, or keeps no samples that may be taken out."
            )
        return support

    def __setstate__(self, state):
        super().__setstate__(state)
        # Pickles of older versions lack parameters that came later.
        for name, parameter in signature(type(self)).parameters.items():
            self.__dict__.setdefault(name, parameter.default)

    def _get_fitted_attr_html(self, doc_link=""):
        # What scikit-learn's HTML repr lists, without the numbers of the support set.
        attributes = super()._get_fitted_attr_html(doc_link)
        for name in {"prototypes_", "support_", "support_vectors_"} & set(attributes):
            attributes[name]["value"] = "..."
        return attributes

    def _check_can_change(self, method):
        """Raise where classes and samples cannot be taken out."""

    def _take_up(self, support):
        """Put another support set in the place of this one."""
        self._support = bounded(support, self.max_per_class, self.keep)

    def score(self, X, y, sample_weight=None):
        """Return the mean accuracy of predictions.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            Queries, whatever `predict` takes.

        y : array-like of shape (n_queries,) or (n_queries, n_outputs)
            True labels.

        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries.

        Returns
        -------
        score : float
            Accuracy of ``predict(X)``, in [0, 1].

        Warns
        -----
        DisjointClassesWarning
            If no label of `y` is in `classes_`: the accuracy is 0 whatever the
            queries are, as in folds that share no class.
        """
        snapshot, y = self._snapshot(), as_numpy(y)
        accuracy = super(SupportMixin, snapshot).score(X, y, sample_weight)
        several = getattr(snapshot, "outputs_2d_", False) or sparse.issparse(y)
        # One right answer, and a class is shared.
        if accuracy == 0 and not several:
            warn_if_disjoint(y, snapshot.classes_)
        return accuracy

    def score_samples(self, X):
        """Return how familiar each query is.

        Parameters
        ----------
        X : array-like of shape (n_queries, ...)
            Queries, as `fit` takes samples.

        Returns
        -------
        scores : ndarray of shape (n_queries,)
            Higher is more familiar. NaN for rows that are wholly NaN.
        """
        snapshot, queries, blank = self._ask(X)
        return around_blanks(snapshot._familiar, queries, blank)

    def rejection_threshold(self):
        """Return the score of `score_samples` below which `predict` refuses a query.

        It is that of `threshold`, or what `calibrate` has found if `reject` is what it
        was then, or what `reject` makes of the support set as it is now, which changes
        as classes come and go.
        Without an `unknown_label` nothing is refused: it is what would be, with one.

        Returns
        -------
        threshold : float
            Minus infinity with ``reject=None``, or where there are too few examples.
        """
        return rejection_threshold(self._checked_reader(None))

    def _familiar(self, queries, best=None):
        """Return how familiar queries are, whose `_best` may be known already."""
        return self._best(queries) if best is None else best

    def _familiar_left_out(self):
        """Return how familiar stored samples are to the support set without them."""
        return Familiar.of(self._left_out())

    def _suspects(self):
        """Return positions of samples that may be nearer to another class: all."""
        return np.arange(len(self._support.positions))

    def _learnt(self):
        """Tell which classes the metric was not trained on: bool, (n_classes,)."""
        trained = self.__dict__.get("_trained_classes_")
        if trained is None:
            return np.ones(len(self.classes_), dtype=bool)
        return ~np.isin(self.classes_, trained)

    def _trained_on_classes(self, labels):
        """Take note of the classes that the metric was trained on."""
        self._trained_classes_ = labels

    def _snapshot(self):
        """Return a fitted copy that no writer changes."""
        snapshot = shadow(self, fitted=True)
        check_is_fitted(snapshot)
        return snapshot

    def _reader(self, X):
        """Return a snapshot that answers queries X."""
        return self._snapshot()

    def _checked_reader(self, X):
        snapshot = self._reader(X)
        # They may have been set since `fit`, and take effect here.
        snapshot._validate_params()
        check_unknown_label(snapshot.unknown_label, snapshot.classes_)
        return snapshot

    def _ask(self, X):
        """Return a snapshot, checked queries, and which rows of X are blank.

        Blank rows are not among the queries; these are None where all are blank.
        """
        snapshot = self._checked_reader(X)
        queries, blank = _split(X)
        if queries is None:
            n_features = snapshot.n_features_in_ if X is None else np.shape(X)[1]
            if n_features != snapshot.n_features_in_:
                raise ValueError(
                    f"X has {n_features} features, but {type(self).__name__} is "
                    f"expecting {snapshot.n_features_in_} features as input."
                )
            return snapshot, None, blank
        # What embeds its queries by itself may find more of them.
        queries, more = _split(snapshot._checked(queries))
        if more is not None and blank is not None:
            blank[~blank] = more
        return snapshot, queries, more if blank is None else blank

    @contextmanager
    def _updating(self, *, fitted: bool = True) -> Iterator:
        """Change a copy, one writer at a time, and publish it if nothing raised."""
        with _LOCKS_GUARD:
            lock = _LOCKS.setdefault(self, threading.RLock())
        with lock:
            work = shadow(self, fitted=fitted)
            yield work
            check_unknown_label(work.unknown_label, work.classes_)
            publish(self, work)


def _split(X):
    """Return rows that are not blank, None where all are, and which are."""
    blank = blank_rows(X)
    if blank is None:
        return X, None
    rows = np.flatnonzero(~blank)
    return _safe_indexing(X, rows) if len(rows) else None, blank
