"""Many episodes in a few numbers, with an interval over each of what was drawn."""

from collections.abc import Iterator

import numpy as np

__all__ = [
    "MIN_CLASSES",
    "NORMAL_95",
    "Summary",
    "interval_over_classes",
    "interval_over_episodes",
]

_N_BOOTSTRAP = 2000
_BLOCK = 2**20
MIN_CLASSES = 4
NORMAL_95 = 1.959963984540054


class Summary:
    """What episodes were worth, and what each class has to do with it.

    Parameters
    ----------
    n_classes : int
        Number of classes that episodes are drawn from.
    bounds : (float, float)
        The least and the largest value there can be.
    """

    def __init__(self, n_classes: int, bounds: tuple[float, float]) -> None:
        self.bounds = bounds
        self._worth: list[np.ndarray] = []
        self._influence = np.zeros(n_classes)
        self._n_met = np.zeros(n_classes, dtype=np.int64)
        self._outside = np.zeros(n_classes)
        self._n_outside = np.zeros(n_classes, dtype=np.int64)

    def add(
        self,
        worth: np.ndarray,
        classes: np.ndarray,
        influence: np.ndarray | None,
        outside: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Take up episodes.

        Parameters
        ----------
        worth : ndarray of shape (n_episodes,)
            One number an episode.
        classes : ndarray of shape (n_episodes, n_way)
            Their classes, as codes.
        influence : ndarray of shape (n_episodes, n_way) or None
            How much each class adds, up to a constant. None: no interval over classes.
        outside : tuple of ndarrays of shape (n,), or None
            Codes of classes that are not in an episode, and how much they add to it.
        """
        self._worth.append(worth)
        if outside is not None:
            np.add.at(self._outside, *outside)
            np.add.at(self._n_outside, outside[0], 1)
        if influence is not None:
            np.add.at(self._influence, classes, influence)
            np.add.at(self._n_met, classes, 1)

    @property
    def worth(self) -> np.ndarray:
        """All episodes, (n_episodes,)."""
        return np.concatenate(self._worth)

    @property
    def mean(self) -> float:
        """Their mean."""
        return float(self.worth.mean())

    @property
    def influence(self) -> np.ndarray:
        """What each class that was met adds to the mean, up to a constant."""
        met = self._n_met > 0
        outside = self._outside[met] / np.maximum(self._n_outside[met], 1)
        return self._influence[met] / self._n_met[met] + outside

    def as_dict(self) -> dict[str, float]:
        """Return mean, standard error, both intervals and the worst decile."""
        worth = self.worth
        mean = self.mean
        error, *episodes = interval_over_episodes(worth)
        classes = interval_over_classes(mean, self.influence)
        low, high = self.bounds
        intervals = np.clip([*episodes, *classes], low, high).tolist()
        names = ("episodes_low", "episodes_high", "classes_low", "classes_high")
        n_worst = -(-len(worth) // 10)
        return {
            "score": mean,
            "standard_error": error,
            **dict(zip(names, intervals, strict=True)),
            "worst_decile": float(np.partition(worth, n_worst - 1)[:n_worst].mean()),
        }


def interval_over_episodes(worth: np.ndarray) -> tuple[float, float, float]:
    """Return the standard error of the mean and its 95 % interval.

    It covers the draw of the episodes: with more of them it shrinks to nothing, on
    however few classes.
    """
    if len(worth) < 2:
        return np.nan, np.nan, np.nan
    mean, error = worth.mean(), worth.std(ddof=1) / np.sqrt(len(worth))
    half = NORMAL_95 * error
    return float(error), float(mean - half), float(mean + half)


def interval_over_classes(mean: float, influence: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean over other classes of the same kind.

    A bootstrap by class, studentised (Efron and Tibshirani, "An introduction to the
    bootstrap", 1993, section 12.5): percentiles would cover too little on few classes
    and on a mean near 1.

    Parameters
    ----------
    mean : float
        The mean.
    influence : ndarray of shape (n_classes,)
        What each class adds to it, up to a constant.
    """
    n_classes = len(influence)
    # Of three classes one sample in nine is of one class alone, and has no spread.
    if n_classes < MIN_CLASSES or np.isnan(influence).any():
        return np.nan, np.nan
    centred = influence - influence.mean()
    error = centred.std(ddof=1) / np.sqrt(n_classes)
    if error == 0:
        return mean, mean
    ratios = np.concatenate(list(_studentised(centred)))
    # As far from either end, so that the interval of a difference turned round is its
    # mirror image.
    low, high = np.sort(ratios)[[_N_BOOTSTRAP // 40 - 1, -_N_BOOTSTRAP // 40]]
    return float(mean - high * error), float(mean - low * error)


def _studentised(centred: np.ndarray) -> Iterator[np.ndarray]:
    """Yield means of bootstrap samples over their standard errors, in blocks."""
    n_classes = len(centred)
    rng = np.random.RandomState(0)
    size = max(1, _BLOCK // n_classes)
    for start in range(0, _N_BOOTSTRAP, size):
        n_samples = min(size, _N_BOOTSTRAP - start)
        drawn = centred[rng.randint(n_classes, size=(n_samples, n_classes))]
        means, spreads = drawn.mean(axis=1), drawn.std(axis=1, ddof=1)
        # Where one class alone was drawn there is no spread: it is an outermost ratio.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = means / (spreads / np.sqrt(n_classes))
        yield np.where(np.isnan(ratios), 0, ratios)
