"""How good a support set is, judged with nothing else at hand."""

import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from skfsl.model_selection._embed import (
    best,
    embed,
    flat,
    is_passthrough,
    unfrozen,
    unread,
)
from skfsl.model_selection._leave_out import Units
from skfsl.model_selection._named import named_estimators
from skfsl.model_selection._support_report import (
    SupportComparison,
    SupportScore,
    grown,
    listed,
    paired_half_width,
    wilson,
)
from skfsl.utils._groups import check_groups
from skfsl.utils._sklearn_private import (
    Interval,
    _safe_indexing,
    validate_parameter_constraints,
)
from skfsl.utils._validation import as_numpy, check_labels

__all__ = ["estimate_support_score"]

_EXPECTED = (
    "a classifier, a dict of names and classifiers, or a list of (name, classifier) "
    "tuples"
)

_CONSTRAINTS = {
    "n_repeats": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
}


def estimate_support_score(
    classifier: Any,
    X_support: Any,
    y_support: Any,
    *,
    groups: Any = None,
    n_repeats: int = 5,
    random_state: Any = None,
) -> SupportScore | SupportComparison:
    """Estimate the accuracy on queries from the support set alone.

    Each example is classified by a classifier that is fitted without it: in turn every
    class leaves out one of its examples, or a tenth of them where it has more than
    ten. What is right among these is then carried over to the whole support set, which
    has one example a class more. A learned metric is not trained anew.

    Use it where there are no queries with known labels to count on: to tell whether
    the support set will do, which classes need examples, and which of several
    classifiers to put behind an embedding.

    Parameters
    ----------
    classifier : estimator, dict of str to estimator or list of (str, estimator) tuples
        A classifier of embeddings, any of scikit-learn's manner; only copies of it are
        fitted. Of a pipeline the steps but the last, which have to be fitted, embed
        `X_support` once, and the last is the classifier; of a fitted search, its
        best estimator. Several, by name, are compared on the same left-out examples.

    X_support : array-like of length n_samples
        The support set, as the classifier or pipeline takes it.

    y_support : array-like of shape (n_samples,)
        Labels, of two classes or more.

    groups : array-like of shape (n_samples,), default=None
        Examples that are much alike, such as the photos of one burst. All examples of
        a class and group are left out together. Where groups have examples of several
        classes, one whole group is left out at a time, with no repeats.

    n_repeats : int, default=5
        How often all examples are left out, in other company each time. A classifier
        is fitted up to ten times a repeat.

    random_state : int, RandomState instance or None, default=None
        Governs which examples are left out together.

    Returns
    -------
    score : SupportScore or SupportComparison
        Printed, it reads as a report. Of one classifier, the attributes are

        - `accuracy` : float, the estimate, each class that has a recall counting the
          same. It is no accuracy on queries of `unestimated_classes`, which are
          recognised by one example and as a rule do worse;
        - `interval` : tuple of (float, float), its 95 % interval;
        - `left_out_accuracy` : float, what was measured, with fewer examples;
        - `classes`, `counts`, `recalls` : ndarrays of shape (n_classes,), the sorted
          labels, the number of examples of each and the share of them that was right
          when left out, NaN where there was nothing to leave out;
        - `unestimated_classes` : ndarray, the labels of these;
        - `n_examples` : int, the size of the support set.

        Of several, they are

        - `scores` : dict of str to SupportScore;
        - `best` : str, the one of the highest accuracy, the first at a tie;
        - `differences` : dict of str to (float, (float, float)), how much better the
          best is than each other, with a 95 % interval.

    Raises
    ------
    ValueError
        If no class has two examples (or two groups): what is left out would be a
        class that the classifier does not know. If y has one class.
    NotFittedError
        If a step of a pipeline that embeds is not fitted.
    TypeError
        If a candidate is no classifier.

    Warns
    -----
    UserWarning
        If some classes have one example (or one group), and no part in the estimate.
    SeenSamplesWarning
        If a metric was trained on some of the examples: it knows them by heart.

    See Also
    --------
    iter_episodes : Tasks on other classes, which tell what a metric can do.

    Notes
    -----
    Classes of one example stay in the support set, for the others to be told from, and
    have no part in the mean: it speaks of queries of the other classes. All of these
    count the same; where the frequencies of queries are known, the average of
    `recalls` by these follows them.

    It is an estimate, not a test: it knows nothing of queries that are unlike the
    support set, or of a choice of metric that was made on it. Its error is that of a
    sample of half as many examples: left-out examples share support sets, so that the
    interval counts two for one (Wilson's, on the effective number by weight). The
    :ref:`User Guide <support_score>` says how far off it was on real data.

    Differences have an interval for paired shares [1]_. That the best was chosen after
    the fact makes its own accuracy look better than it is, by a little.

    References
    ----------
    .. [1] A. Agresti and Y. Min, "Simple improved confidence intervals for comparing
       matched proportions", Statistics in Medicine 24, 2005.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfsl import PrototypeClassifier
    >>> from skfsl.model_selection import estimate_support_score
    >>> X, y = load_iris(return_X_y=True)
    >>> support = [0, 1, 2, 50, 51, 52, 100, 101, 102, 103]
    >>> score = estimate_support_score(
    ...     PrototypeClassifier(), X[support], y[support], random_state=0
    ... )
    >>> low, high = score.interval
    >>> print(f"{score.accuracy:.2f}, from {low:.2f} to {high:.2f}")
    0.97, from 0.56 to 1.00
    """
    validate_parameter_constraints(
        _CONSTRAINTS,
        {"n_repeats": n_repeats, "random_state": random_state},
        caller_name="estimate_support_score",
    )
    several = isinstance(classifier, Mapping | list | tuple)
    candidates = {"": classifier}
    if several:
        candidates = named_estimators(classifier, _EXPECTED)
        if not candidates:
            raise TypeError(f"Expected {_EXPECTED}. Got {classifier!r} instead.")
    y = check_labels(y_support)
    check_consistent_length(X_support, y)
    classes, codes = np.unique(y, return_inverse=True)
    units = _units(classes, codes, groups)
    embedded = {
        name: _embed(candidate, X_support, f"classifier {name!r}" if name else "it")
        for name, candidate in candidates.items()
    }
    skipped = unread(X_support, *(X for _, X in embedded.values()))
    if skipped is not None:
        kept = np.flatnonzero(~skipped)
        embedded = {name: (c, X[kept]) for name, (c, X) in embedded.items()}
        y, groups = y[kept], None if groups is None else _safe_indexing(groups, kept)
        classes, codes = np.unique(y, return_inverse=True)
        units = _units(classes, codes, groups)
    _warn_of_singles(classes, units.estimable, "example" if groups is None else "group")
    rng = check_random_state(random_state)
    rounds = list(units.rounds(n_repeats, rng))
    tally = _Tally(classes, codes, units, rounds)
    right = {name: _right(*both, y, rounds) for name, both in embedded.items()}
    scores = {name: tally.score(rights) for name, rights in right.items()}
    if not several:
        return scores[""]
    winner = max(scores, key=lambda name: scores[name].accuracy)
    differences = {}
    for name in scores:
        if name != winner:
            difference = scores[winner].accuracy - scores[name].accuracy
            half = tally.half_width(right[winner], right[name])
            differences[name] = difference, (difference - half, difference + half)
    return SupportComparison(scores, winner, differences)


def _units(classes: np.ndarray, codes: np.ndarray, groups: Any) -> Units:
    if len(classes) < 2:
        raise ValueError(
            f"A support set of one class has nothing to tell apart. Got "
            f"{classes.tolist()}. Add examples of another class."
        )
    if groups is None:
        units, of_what = Units(codes, np.arange(len(codes))), "example"
    else:
        units, of_what = Units(codes, check_groups(groups, len(codes))[1]), "group"
    if not units.estimable.any():
        raise ValueError(
            f"Each of the {len(classes)} classes has one {of_what}: left out, nothing "
            f"of its class is there to recognise it by, and no accuracy can be "
            f"estimated. Add a second {of_what} of some classes, or judge the metric "
            f"by episodes of one shot on other classes (iter_episodes)."
        )
    return units


def _warn_of_singles(classes: np.ndarray, estimable: np.ndarray, unit: str) -> None:
    single = classes[~estimable].tolist()
    if not single:
        return
    n_classes, n_known = len(classes), np.count_nonzero(estimable)
    have = "has" if len(single) == 1 else "have"
    warnings.warn(
        f"{len(single)} of the {n_classes} classes {have} one {unit}, and no part in "
        f"the estimate: {listed(single)}. It is the accuracy on queries of the other "
        f"{n_known}; on those of all {n_classes} expect less. Add a second {unit} of "
        f"each to have them in it.",
        UserWarning,
        stacklevel=3,
    )


def _embed(classifier: Any, X: Any, named: str) -> tuple[Any, Any]:
    """Return the classifier at the end of pipelines, and what they make of X for it."""
    *steps, (_, last) = flat(best(classifier))
    last = unfrozen(last)
    # Regressors and clusterers predict as well, but no labels: all would be wrong.
    able = hasattr(last, "fit") and hasattr(last, "predict")
    if not (able and is_classifier(last)):
        raise TypeError(
            f"Expected a classifier with fit and predict, or a pipeline that ends in "
            f"one. Got {last!r} instead."
        )
    for name, step in steps:
        try:
            if not is_passthrough(step):
                check_is_fitted(step)
        except NotFittedError:
            raise NotFittedError(
                f"Step {name!r} of {named} is not fitted. Only the last step is "
                f"fitted here; the others embed, and a metric learned from these "
                f"few examples would know them by heart. Call fit first."
            )
    X, _ = embed(
        [step for _, step in steps],
        X,
        samples="support examples",
        advice="it knows them by heart, and the estimate is far too high. Pass "
        "examples that it was not trained on, best of other classes.",
    )
    return last, as_numpy(X)


def _right(classifier: Any, X: Any, y: np.ndarray, rounds: list) -> np.ndarray:
    """Tell of each query of each round whether it is classified rightly."""
    right = []
    for left_out, _ in rounds:
        support, query = np.flatnonzero(~left_out), np.flatnonzero(left_out)
        with warnings.catch_warnings():
            # Meant for regression targets; here there are few examples of each class.
            warnings.filterwarnings("ignore", "The number of unique classes is greater")
            fitted = clone(classifier).fit(_safe_indexing(X, support), y[support])
        predicted = np.asarray(fitted.predict(_safe_indexing(X, query)))
        right.append(predicted == y[query])
    return np.concatenate(right)


class _Tally:
    """Weighs left-out examples: classes the same, and within them examples the same."""

    def __init__(self, classes, codes, units, rounds):
        self.classes, self.codes = classes, codes
        self.counts = np.bincount(codes)
        self.estimable = units.estimable
        n_classes = np.count_nonzero(self.estimable)
        weights = self.estimable[codes] / (n_classes * self.counts[codes])
        of_unit = np.bincount(units.of_sample, weights)
        # Number of units that weigh the same and tell as much (Kish).
        self.n_effective = float(1 / np.sum(of_unit**2))
        self.queries = np.concatenate([np.flatnonzero(out) for out, _ in rounds])
        times = np.bincount(self.queries, minlength=len(codes))
        self.weights = weights[self.queries] / times[self.queries]
        log_shots = np.array([log_shots for _, log_shots in rounds])
        per_class = np.nanmean(log_shots[:, self.estimable], axis=0)
        self.log_shots = float(per_class.mean())

    def score(self, right: np.ndarray) -> SupportScore:
        n_classes, of_class = len(self.classes), self.codes[self.queries]
        known = self.estimable
        recalls = np.full(n_classes, np.nan)
        hits = np.bincount(of_class, self.weights * right, minlength=n_classes)
        all_ = np.bincount(of_class, self.weights, minlength=n_classes)
        recalls[known] = hits[known] / all_[known]
        share = float(recalls[known].mean())
        accuracy, low, high = (
            grown(value, 1 / n_classes, self.log_shots)
            for value in (share, *wilson(share, self.n_effective / 2))
        )
        return SupportScore(
            accuracy, (low, high), share, self.classes, self.counts, recalls
        )

    def half_width(self, first: np.ndarray, second: np.ndarray) -> float:
        ahead = float(self.weights @ (first & ~second))
        behind = float(self.weights @ (second & ~first))
        return paired_half_width(ahead, behind, self.n_effective)
