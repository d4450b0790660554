"""Threshold and temperature from labelled queries, kept with the support set."""

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skfsl.metrics import expected_calibration_error
from skfsl.support._calibration import fit_temperature
from skfsl.support._labels import check_unknown_label
from skfsl.support._open_set import (
    LeftOut,
    balanced,
    lowest_share,
    rejection_threshold,
)
from skfsl.utils._label_kinds import common_dtype, shown, shown_some
from skfsl.utils._scores import softmax
from skfsl.utils._validation import check_labels

__all__ = ["Calibration", "calibrate", "calibration_of"]

# Parameters that scores depend on, where an estimator has them.
_SCORED_BY = ("aggregation", "covariance", "familiarity", "metric", "shrinkage")


@dataclass(frozen=True)
class Calibration:
    """What labelled queries say; see `calibrate` for the fields."""

    threshold: float | None
    temperature: float | None
    accuracy: float
    refused_known: float
    refused_unknown: float | None
    calibration_error_before: float | None
    calibration_error: float | None
    n_known: int
    n_unknown: int
    familiarity: str | None
    scored_by: tuple
    set_as: tuple = ()  # none in files and pickles of older versions

    def __reduce__(self) -> tuple:
        return (Calibration, astuple(self))

    def holds(self, classifier: Any, name: str) -> bool:
        """Tell whether a parameter has the value that it had in `calibrate`."""
        now = getattr(classifier, name)
        return dict(self.set_as).get(name, now) == now

    def __repr__(self) -> str:
        threshold = "kept" if self.threshold is None else f"{self.threshold:.4g}"
        lines = [f"{self.n_known} known queries: accuracy {self.accuracy:.3f}"]
        if self.refused_known or self.n_unknown:
            lines[0] += f", refused {self.refused_known:.3f}"
        if self.n_unknown:
            lines += [f"{self.n_unknown} unknown: refused {self.refused_unknown:.3f}"]
        lines += [f"threshold {threshold}"]
        if self.temperature is not None:
            lines[-1] += f", temperature {self.temperature:.4g}"
            lines += [
                f"calibration error {self.calibration_error_before:.3f} before, "
                f"{self.calibration_error:.3f} after"
            ]
        return f"<Calibration: {'; '.join(lines)}>"


def calibration_of(self):
    """Return what was calibrated; None before.

    Raises
    ------
    ValueError
        If scores have become others since.
    """
    found = self.__dict__.get("calibration_")
    if found is None:
        return None
    for name, value in found.scored_by:
        now = getattr(self, name)
        if now != value:
            raise ValueError(
                f"The classifier was calibrated with {name}={value!r}, whose scores "
                f"are others than those of {name}={now!r}. Call calibrate again, or "
                f"forget the calibration: del clf.calibration_."
            )
    return found


def calibrate(self, X, y):
    """Set the threshold and the temperature from labelled queries.

    Both are kept in `calibration_`, with the support set: `partial_fit` and `forget`
    leave them as they are, `fit` and ``del clf.calibration_`` drop them. The
    temperature takes the place of the parameter `temperature`, the threshold that of
    what `reject` finds. A parameter, of these and `threshold`, that is set to another
    value later goes before; set back, the calibration is in effect again. Use it with
    some tens of queries that are like those to come.

    Parameters
    ----------
    X : array-like of shape (n_queries, ...)
        Queries, as `fit` takes samples; none of the support set, which would look
        better than it is. Rows that are wholly NaN are left out.

    y : array-like of shape (n_queries,)
        Their labels: of `classes_`, and `unknown_label` for queries of no class.

    Returns
    -------
    calibration : object
        Its fields, which `calibration_` has, too:

        - `threshold`, None where it is kept as it is: without an `unknown_label`, with
          ``reject=None`` or a parameter `threshold`, and with ``reject="auto"`` where
          no query is unknown. "auto" takes the one that tells most known and unknown
          queries right, each as one half, all classes alike; a share as `reject` the
          one that refuses this share of known queries;
        - `temperature`, of the least log-loss of known queries, all classes alike. None
          for neighbors, whose probabilities are votes;
        - `accuracy`, the share of known queries that are answered with their class;
        - `refused_known` and `refused_unknown`, the shares that are refused; None
          where there are none;
        - `calibration_error_before` and `calibration_error`, the
          :func:`~skfsl.metrics.expected_calibration_error` of known queries with the
          parameter `temperature` and with the new one;
        - `n_known` and `n_unknown`, how many queries there were;
        - `familiarity`, the kind of score that the threshold is one of: it is that of
          `score_samples` from then on; None where there is no kind, or no threshold;
        - `scored_by`, parameters that scores depend on: an error tells if they change;
        - `set_as`, the parameters `reject` and `temperature` as they were.

    Raises
    ------
    ValueError
        If a label is neither in `classes_` nor `unknown_label`; if there is no query
        of a known class, or too few for the share `reject`; if there is nothing to
        calibrate, as with neighbors and no threshold. Nothing has changed then.
    TypeError
        If the labels are of another kind than those of the support set.

    See Also
    --------
    rejection_threshold : The threshold that is in effect.
    """
    with self._updating() as work:
        check_is_fitted(work)
        work.__dict__.pop("calibration_", None)
        snapshot, queries, blank = work._ask(X)
        y = check_labels(y)
        check_consistent_length(X, y)
        if queries is None:
            raise ValueError("All rows of X are wholly NaN: there are no queries.")
        y = y if blank is None else y[~blank]
        work.calibration_ = _measure(snapshot, queries, *_true(snapshot, y))
    return work.calibration_


def _true(snapshot: Any, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of classes, and which queries are unknown."""
    unknown = np.zeros(len(y), dtype=bool)
    hint = "set unknown_label, and give it to queries that are to be refused"
    classes, y = common_dtype(snapshot.classes_, y, "the support set's")
    both = check_unknown_label(snapshot.unknown_label, classes)
    if both is not None:
        label = both[1]
        unknown = y == label
        hint = f"give {shown(label[0])}, the unknown_label, to what is to be refused"
    own = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    stray = (classes[own] != y) & ~unknown
    if stray.any():
        raise ValueError(
            f"y has labels that are not in the support set: "
            f"{shown_some(np.unique(y[stray]))}. Enrol these classes first, or {hint}."
        )
    if unknown.all():
        raise ValueError(
            "calibrate asks for queries of known classes. All labels in y are the "
            "unknown_label."
        )
    return own, unknown


def _measure(snapshot, queries, own, unknown) -> Calibration:
    known = ~unknown
    position, best = snapshot._nearest(queries)
    familiar = snapshot._familiar(queries, best)
    threshold = _threshold(snapshot, familiar, own[known], unknown)
    temperature, before, after = _temperature(snapshot, queries, own, known)
    if threshold is None and temperature is None:
        raise ValueError(
            f"{type(snapshot).__name__} has nothing to calibrate but a threshold: its "
            f"probabilities are votes. Set unknown_label and threshold=None, and "
            f"either reject='auto', with queries in y that are unknown, or a share."
        )
    limit, kind = threshold, None
    if threshold is None:
        refuses = snapshot.unknown_label is not None
        limit = rejection_threshold(snapshot) if refuses else -np.inf
    elif hasattr(snapshot, "_ratio"):
        kind = "similarity" if snapshot._ratio() is None else "likelihood_ratio"
    refused = familiar < limit
    return Calibration(
        threshold=threshold,
        temperature=temperature,
        accuracy=float(((position == own) & ~refused)[known].mean()),
        refused_known=float(refused[known].mean()),
        refused_unknown=float(refused[unknown].mean()) if unknown.any() else None,
        calibration_error_before=before,
        calibration_error=after,
        n_known=int(known.sum()),
        n_unknown=int(unknown.sum()),
        familiarity=kind,
        scored_by=_values(snapshot, _SCORED_BY),
        set_as=_values(snapshot, ("reject", "temperature")),
    )


def _values(snapshot, names) -> tuple:
    return tuple((n, getattr(snapshot, n)) for n in names if hasattr(snapshot, n))


def _threshold(snapshot, familiar, own, unknown) -> float | None:
    """Return the threshold by queries; None where they have no say in it."""
    reject, known = snapshot.reject, familiar[~unknown]
    if snapshot.unknown_label is None or snapshot.threshold is not None:
        return None
    if reject is None or (reject == "auto" and not unknown.any()):
        return None
    if reject == "auto":
        weight = 1 / np.bincount(own)[own]
        return balanced(known, weight, familiar[unknown], np.ones(unknown.sum()))
    threshold = lowest_share(known, reject)
    if threshold is None:
        raise ValueError(
            f"reject={reject:g} asks for {int(np.ceil(1 / reject)) - 1} queries of "
            f"known classes or more. There are {len(known)} in y."
        )
    return threshold


def _temperature(snapshot, queries, own, known):
    """Return the temperature, and calibration errors before and with it."""
    if not hasattr(snapshot, "_temperature"):
        return None, None, None
    before = snapshot._temperature()
    scores, own = snapshot._scores(queries[known]).astype(np.float64), own[known]
    one_class = scores.shape[1] == 1
    after = before if one_class else fit_temperature(LeftOut(scores, own))
    errors = (
        expected_calibration_error(
            own, softmax(scores.copy(), t), labels=np.arange(scores.shape[1])
        )
        for t in (before, after)
    )
    return float(after), *errors
