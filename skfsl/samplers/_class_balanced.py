"""Batches of some classes with as many samples of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from skfsl.samplers._class_draw import (
    CONSTRAINTS,
    ClassDraw,
    check_n_way,
    near_classes,
    sort_classes,
)
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["BoundClassBalancedSampler", "ClassBalancedSampler"]

_BATCH_SIZE = 300
# More classes of fewer samples: nearer strangers in each batch. On Omniglot 150 x 2
# is worth more than twice the training with 60 x 5.
_MAX_WAY = 150
_MIN_BATCHES = 8


class ClassBalancedSampler(Part):
    """Draw batches of `n_way` classes with `n_shot` samples of each.

    No class is twice in a batch, and no sample either, but where a class has fewer
    than `n_shot` samples: these are repeated, as evenly as can be. Within an epoch the
    samples of a class come without replacement until it is exhausted, then anew.
    A batch is grouped by class.

    Parameters
    ----------
    n_way : int, default=None
        Classes in a batch, at least 2. None is all classes, 150 at most.

    n_shot : int, default=None
        Samples of each class in a batch. None makes batches of about 300 samples:
        ``300 // n_way``, not more than the median size of the classes, and at least 2.

    class_weight : {"proportional", "sqrt", "uniform"}, default="proportional"
        How classes are drawn. "proportional": in proportion to the samples that they
        have left in this epoch [1]_, so that an epoch sees each sample about once.
        "uniform": all alike, so that samples of small classes come up more often.
        "sqrt": in proportion to the square root of their size [2]_, halfway between.

    group_share : float, default=None
        Share of the classes of a batch, in [0, 1], that come from one group, so that
        strangers in a batch are near: a group is an alphabet, a genus, a family of
        products. Needs ``groups`` in `build`, which SiameseTransformer hands on from
        ``fit(X, y, groups=groups)``. None is 0.5 where there are groups; 0 does not
        look at them.

    n_batches : int, default=None
        Batches an epoch. None is as many as hold `n_samples` samples, at least 8.

    See Also
    --------
    EpisodeSampler : Support and query in fixed places.

    Notes
    -----
    "proportional" begins a new round when fewer than `n_way` classes have samples
    left. Classes are drawn without replacement by exponential keys divided by the
    weights; a batch costs O(n_classes + n_way * n_shot).

    A group is drawn by the weights of its classes together. Where it has fewer
    classes than are wanted, all of it is taken, and a further group is drawn for the
    rest. The other classes of the batch are drawn from all that are left, whatever
    their group.

    References
    ----------
    .. [1] D. Wertheimer and B. Hariharan. Few-Shot Learning with Localization in
       Realistic Settings. CVPR, 2019.
    .. [2] D. Mahajan, R. Girshick, V. Ramanathan et al. Exploring the Limits of
       Weakly Supervised Pretraining. ECCV, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.samplers import ClassBalancedSampler
    >>> y = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2])
    >>> sampler = ClassBalancedSampler(n_way=2, n_shot=2, n_batches=3).build(y)
    >>> for batch in sampler.epoch(np.random.RandomState(0)):
    ...     print(y[batch], len(np.unique(batch)))
    [0 0 1 1] 4
    [1 1 2 2] 4
    [1 1 0 0] 4
    """

    _parameter_constraints: dict = {
        "n_way": [Interval(Integral, 2, None, closed="left"), None],
        "n_shot": [Interval(Integral, 1, None, closed="left"), None],
        **CONSTRAINTS,
        "n_batches": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self, n_way=None, *, n_shot=None, class_weight="proportional",
        group_share=None, n_batches=None,
    ):  # fmt: skip
        self.n_way = n_way
        self.n_shot = n_shot
        self.class_weight = class_weight
        self.group_share = group_share
        self.n_batches = n_batches

    def build(self, y: np.ndarray, groups: Any = None) -> "BoundClassBalancedSampler":
        """Bind the sampler to the labels that it draws from.

        Parameters
        ----------
        y : ndarray of int, shape (n_samples,)
            Class codes.
        groups : array-like of shape (n_samples,), default=None
            The group of each sample; all samples of a class are in one group.

        Returns
        -------
        sampler : BoundClassBalancedSampler
            Has a length, the batches an epoch, and ``epoch(rng)``.

        Raises
        ------
        ValueError
            If y has fewer than `n_way` classes, or fewer than 2; if a class is in two
            groups, or there is a `group_share` and no groups.
        """
        self._validate_params()
        order, codes, sizes = sort_classes(y)
        n_way = check_n_way(self.n_way, len(sizes), _MAX_WAY, "classes in y")
        n_near, group = near_classes(self.group_share, groups, y, codes, n_way)
        n_shot = self.n_shot
        if n_shot is None:
            n_shot = max(2, min(_BATCH_SIZE // n_way, int(np.median(sizes))))
        n_batches = self.n_batches
        if n_batches is None:
            n_batches = max(_MIN_BATCHES, -(-len(y) // (n_way * n_shot)))
        return BoundClassBalancedSampler(
            order=order,
            sizes=sizes,
            n_shot=n_shot,
            n_batches=n_batches,
            classes=ClassDraw(sizes, n_way, self.class_weight, n_near, group),
        )


@dataclass(frozen=True, eq=False)
class BoundClassBalancedSampler:
    """A class-balanced sampler that knows its labels.

    Parameters
    ----------
    order : ndarray of int64, shape (n_samples,)
        Sample indices, grouped by class.
    sizes : ndarray of int, shape (n_classes,)
        Samples of each class.
    n_shot, n_batches : int
        Samples a class, batches an epoch.
    classes : ClassDraw
        Draws the classes of a batch.
    """

    order: np.ndarray
    sizes: np.ndarray
    n_shot: int
    n_batches: int
    classes: ClassDraw

    @property
    def n_way(self) -> int:
        """Classes a batch."""
        return self.classes.n_way

    def __len__(self) -> int:
        return self.n_batches

    def epoch(self, rng: np.random.RandomState) -> Iterator[np.ndarray]:
        """Draw the batches of one epoch.

        Parameters
        ----------
        rng : RandomState
            The only source of randomness: the same state gives the same batches.

        Yields
        ------
        indices : ndarray of int64, shape (n_way * n_shot,)
            Grouped by class.
        """
        queue, starts = self.order.copy(), np.cumsum(self.sizes) - self.sizes
        # Where each class stands in its part of the queue: at first, none is shuffled.
        at, left = self.sizes.copy(), self.sizes.copy()
        steps = np.arange(self.n_shot)
        for _ in range(self.n_batches):
            classes = self.classes.draw(left, rng)
            left[classes] = np.maximum(left[classes] - self.n_shot, 0)
            tired = classes[at[classes] + self.n_shot > self.sizes[classes]]
            self._shuffle(queue, starts, at, tired, rng)
            within = (at[classes, None] + steps) % self.sizes[classes, None]
            at[classes] += self.n_shot
            yield queue[starts[classes, None] + within].ravel()

    def _shuffle(self, queue, starts, at, classes, rng) -> None:
        """Shuffle the queues of `classes`, what is left of the old round first."""
        if len(classes) == 0:
            return
        sizes = self.sizes[classes]
        group = np.repeat(np.arange(len(classes)), sizes)
        within = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        seen = within < at[classes][group]
        # The whole part of a key is the class, its first binary digit is `seen`.
        keys = group + (seen + rng.random_sample(len(group))) / 2
        places = starts[classes][group] + within
        queue[places] = queue[places[np.argsort(keys)]]
        at[classes] = 0
