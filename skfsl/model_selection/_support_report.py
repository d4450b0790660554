"""What is answered about a support set, as numbers and as text."""

import math
from dataclasses import dataclass, field

import numpy as np

from skfsl.model_selection._summary import NORMAL_95

__all__ = [
    "SupportComparison",
    "SupportScore",
    "grown",
    "listed",
    "paired_half_width",
    "wilson",
]


# The odds of a right answer grow with this power of the number of shots: the middle of
# what was found on texts, drawings and digits; see benchmarks/support_estimate.py.
_POWER = 0.6


def grown(accuracy: float, chance: float, log_shots: float) -> float:
    """Carry an accuracy over to more support examples.

    What is above chance is taken for a probability, whose odds grow with a power of
    the number of examples. At chance, and where all is right, nothing is added.

    Parameters
    ----------
    accuracy : float
        Accuracy with fewer examples.
    chance : float
        Accuracy of a guess.
    log_shots : float
        Logarithm of the number of examples over what it was.

    Returns
    -------
    accuracy : float
        What is to be expected with all of them.
    """
    share = (accuracy - chance) / (1 - chance)
    if share <= 0 or share >= 1:
        return accuracy
    odds = share / (1 - share) * math.exp(_POWER * log_shots)
    return chance + (1 - chance) * odds / (1 + odds)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share that was seen in `n` trials."""
    middle = (share + NORMAL_95**2 / (2 * n)) / (1 + NORMAL_95**2 / n)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / n + (NORMAL_95 / (2 * n)) ** 2)
    half /= 1 + NORMAL_95**2 / n
    # Rounding is not to leave none and all just outside.
    return (middle - half if share > 0 else 0.0, middle + half if share < 1 else 1.0)


def paired_half_width(ahead: float, behind: float, n: float) -> float:
    """Return half the width of a 95 % interval of a difference of paired shares.

    Parameters
    ----------
    ahead, behind : float
        Share of the trials in which the first alone was right, and the second alone.
    n : float
        Number of trials. One of each kind is added, so that two that never differed
        are not taken for equal (Agresti and Min 2005).
    """
    ahead, behind = (ahead * n + 1) / (n + 2), (behind * n + 1) / (n + 2)
    return NORMAL_95 * math.sqrt((ahead + behind - (ahead - behind) ** 2) / (n + 2))


def listed(labels: list, n: int = 5) -> str:
    """Return labels in a row, the first `n` of them."""
    return ", ".join(map(str, labels[:n])) + (", ..." if len(labels) > n else "")


@dataclass(frozen=True, eq=False)
class SupportScore:
    """How well a classifier does on new queries, from its support set alone.

    Parameters
    ----------
    accuracy : float
        Estimated accuracy on queries, each class that has a recall being asked for
        equally often. Queries of `unestimated_classes` are not in it.
    interval : tuple of (float, float)
        Its 95 % interval.
    left_out_accuracy : float
        What was measured: the mean of `recalls`, with fewer examples a class.
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    counts : ndarray of shape (n_classes,)
        Number of examples of each class.
    recalls : ndarray of shape (n_classes,)
        Share of the left-out examples of each class that were classified rightly; NaN
        where a class could not leave one out.
    """

    accuracy: float
    interval: tuple[float, float]
    left_out_accuracy: float
    classes: np.ndarray = field(repr=False)
    counts: np.ndarray = field(repr=False)
    recalls: np.ndarray = field(repr=False)

    @property
    def n_examples(self) -> int:
        """Number of support examples."""
        return int(self.counts.sum())

    @property
    def unestimated_classes(self) -> np.ndarray:
        """Labels of the classes that have no recall: of one example, or one group."""
        return self.classes[np.isnan(self.recalls)]

    def __str__(self) -> str:
        few, many = self.counts.min(), self.counts.max()
        shots = f"{few}" if few == many else f"{few} to {many}"
        asked, left = _of_which(self)
        lines = [
            f"Accuracy on queries{asked}: {_measured(self)}",
            f"{self.n_examples} examples of {len(self.classes)} classes, {shots} each; "
            f"left out, {self.left_out_accuracy:.3f} of them are classified rightly",
        ]
        lines += left
        known = np.flatnonzero(self.recalls < 1)
        worst = known[np.argsort(self.recalls[known], kind="stable")]
        if len(worst):
            recalls = [f"{self.classes[i]} {self.recalls[i]:.2f}" for i in worst[:5]]
            lines.append(f"Lowest recalls: {', '.join(recalls)}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class SupportComparison:
    """Several classifiers on one support set, judged by the same left-out examples.

    Parameters
    ----------
    scores : dict of str to SupportScore
        Each candidate's own estimate.
    best : str
        The candidate of the highest accuracy, the first at a tie.
    differences : dict of str to (float, (float, float))
        Accuracy of the best less that of each other candidate, with its 95 % interval.
    """

    scores: dict[str, SupportScore]
    best: str
    differences: dict[str, tuple[float, tuple[float, float]]]

    def __str__(self) -> str:
        lines = [f"{self.best}: {_measured(self.scores[self.best])}"]
        for name, (difference, (low, high)) in self.differences.items():
            lines.append(
                f"{name}: {_measured(self.scores[name])}; {self.best} is better by "
                f"{difference:.3f} ({low:.3f} to {high:.3f})"
            )
        asked, left = _of_which(self.scores[self.best])
        if left:
            lines += [f"These are accuracies on queries{asked}", *left]
        open_ = [name for name, (_, (low, _)) in self.differences.items() if low <= 0]
        verdict = f"Take {self.best}"
        if open_:
            verdict += f"; that it is better than {listed(open_)} may be chance"
        return "\n".join([*lines, verdict])


def _measured(score: SupportScore) -> str:
    low, high = score.interval
    return f"{score.accuracy:.3f} (95 % interval {low:.3f} to {high:.3f})"


def _of_which(score: SupportScore) -> tuple[str, list[str]]:
    """Say of which classes an accuracy speaks, and in a line of which it does not."""
    single = np.isnan(score.recalls)
    if not single.any():
        return "", []
    n_single, n_known = np.count_nonzero(single), np.count_nonzero(~single)
    # With several examples there is one group of them.
    unit = "example" if (score.counts[single] == 1).all() else "group"
    has, their = ("class has", "its") if n_single == 1 else ("classes have", "their")
    known = f"{n_known} class{'es' if n_known > 1 else ''}"
    line = (
        f"{n_single} {has} one {unit}: {their} queries are not in it, and as a rule do "
        f"worse: {listed(score.unestimated_classes.tolist())}"
    )
    return f" of the {known} with two {unit}s or more", [line]
