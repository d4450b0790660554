"""Answers of classifiers that score each class: labels, scores, probabilities."""

import numpy as np

from skfsl.support._blank_rows import around_blanks
from skfsl.support._calibration import fit_temperature
from skfsl.support._label_sets import predict_set
from skfsl.support._open_set import answer
from skfsl.support._support_mixin import SupportMixin
from skfsl.utils._scores import log_softmax, softmax

__all__ = ["ScoringMixin"]


class ScoringMixin(SupportMixin):
    """What classifiers share that have a score of every class for a query.

    Subclasses define ``_scores``, too, of shape (n_queries, n_classes); their
    ``_left_out`` takes ``single``, as of `leave_one_out_scores`.
    """

    predict_set = predict_set

    def predict(self, X):
        """Return the class of the highest score.

        Parameters
        ----------
        X : array-like of shape (n_queries, ...)
            Queries, as `fit` takes samples.

        Returns
        -------
        y : ndarray of shape (n_queries,)
            Predicted labels; the first in the order of `classes_` at a tie.
            `unknown_label` for rows that are wholly NaN.

        Raises
        ------
        ValueError
            If rows are wholly NaN and `unknown_label` is None, or some are in part.
        """
        snapshot, queries, blank = self._ask(X)
        return answer(snapshot, snapshot._nearest, queries, blank)

    def decision_function(self, X):
        """Return the score of each class: higher is closer.

        Parameters
        ----------
        X : array-like of shape (n_queries, ...)
            Queries, as `fit` takes samples.

        Returns
        -------
        scores : ndarray of shape (n_queries, n_classes) or (n_queries,)
            Scores, in the order of `classes_`. With two classes, as everywhere in
            scikit-learn, one number a query: the score of ``classes_[1]`` less that
            of ``classes_[0]``. NaN for rows that are wholly NaN.
        """
        _, scores = self._all_scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X):
        """Return class probabilities: the softmax of scores over `temperature`.

        Parameters
        ----------
        X : array-like of shape (n_queries, ...)
            Queries, as `fit` takes samples.

        Returns
        -------
        proba : ndarray of shape (n_queries, n_classes)
            Probabilities, in the order of `classes_`, given that the query is of one
            of them. NaN for rows that are wholly NaN.
        """
        snapshot, scores = self._all_scores(X)
        # In float64: float32 rounds to zero what is one in 10^45.
        return softmax(scores.astype(np.float64, copy=False), snapshot._temperature())

    def predict_log_proba(self, X):
        """Return logarithms of class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_queries, ...)
            Queries, as `fit` takes samples.

        Returns
        -------
        log_proba : ndarray of shape (n_queries, n_classes)
            Log-probabilities, in the order of `classes_`; finite where the
            probability itself is rounded to zero. NaN for rows that are wholly NaN.
        """
        snapshot, scores = self._all_scores(X)
        return log_softmax(
            scores.astype(np.float64, copy=False), snapshot._temperature()
        )

    def _temperature(self):
        calibration = self._calibration()
        if calibration is not None and calibration.holds(self, "temperature"):
            return calibration.temperature
        if self.temperature != "auto":
            return self.temperature
        return self._auto_temperature()

    def _auto_temperature(self):
        return self._support.cached(
            ("temperature", *self._scored_by()),
            lambda: fit_temperature(self._left_out()),
        )

    def _all_scores(self, X):
        """Return one state and its scores, (n_queries, n_classes)."""
        snapshot, queries, blank = self._ask(X)
        n_classes = len(snapshot.classes_)
        return snapshot, around_blanks(snapshot._scores, queries, blank, n_classes)
