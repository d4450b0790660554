"""Batches that are episodes: some support examples of each class, then queries."""

from numbers import Integral
from typing import Any

import numpy as np

from skfsl.samplers._class_balanced import BoundClassBalancedSampler
from skfsl.samplers._class_draw import (
    CONSTRAINTS,
    ClassDraw,
    check_n_way,
    near_classes,
    sort_classes,
)
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["EpisodeSampler"]

# As many as of old on Omniglot: more ways than at test make a better metric.
_MAX_WAY = 60


class EpisodeSampler(Part):
    """Draw episodes: `n_way` classes, `n_shot` support and `n_query` query samples.

    A batch is grouped by class, the support examples of each class before its
    queries, and no sample is twice in it: a query is never its own support. Classes
    of fewer than ``n_shot + n_query`` samples are left out.

    Use it to train on the task of the test [1]_ [2]_, with
    ``PrototypicalLoss(folding=False)``. Batch folding on a
    :class:`ClassBalancedSampler` takes more out of as many samples.

    Parameters
    ----------
    n_way : int, default=None
        Classes in an episode, at least 2. None is all that are large enough, 60 at
        most.

    n_shot : int, default=1
        Support examples of each class.

    n_query : int, default=None
        Queries of each class. None is as many as support examples.

    class_weight : {"uniform", "sqrt", "proportional"}, default="uniform"
        How classes are drawn: as in :class:`ClassBalancedSampler`.

    group_share : float, default=None
        Share of the classes of an episode, in [0, 1], that come from one group: as in
        :class:`ClassBalancedSampler`.

    n_batches : int, default=None
        Episodes an epoch. None is as many as hold all samples that take part once, at
        least 8.

    See Also
    --------
    ClassBalancedSampler : Takes classes of any size.

    Notes
    -----
    Samples of a class come without replacement from one episode to the next, until it
    is exhausted.

    A loss knows support and query by their places alone. PrototypicalLoss takes the
    first half of each class as its support: leave ``n_query=None``. Losses on all
    pairs make no difference between the two.

    References
    ----------
    .. [1] O. Vinyals, C. Blundell, T. Lillicrap, K. Kavukcuoglu and D. Wierstra.
       Matching Networks for One Shot Learning. NeurIPS, 2016.
    .. [2] J. Snell, K. Swersky and R. Zemel. Prototypical Networks for Few-shot
       Learning. NeurIPS, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from skfsl.samplers import EpisodeSampler
    >>> y = np.repeat([0, 1, 2], 4)
    >>> sampler = EpisodeSampler(2, n_shot=1, n_query=2).build(y)
    >>> batch = next(sampler.epoch(np.random.RandomState(0)))
    >>> batch.reshape(2, 3)  # a support example, two queries
    array([[ 1,  3,  0],
           [10, 11,  8]])
    """

    _parameter_constraints: dict = {
        "n_way": [Interval(Integral, 2, None, closed="left"), None],
        "n_shot": [Interval(Integral, 1, None, closed="left")],
        "n_query": [Interval(Integral, 1, None, closed="left"), None],
        **CONSTRAINTS,
        "n_batches": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self, n_way=None, *, n_shot=1, n_query=None, class_weight="uniform",
        group_share=None, n_batches=None,
    ):  # fmt: skip
        self.n_way = n_way
        self.n_shot = n_shot
        self.n_query = n_query
        self.class_weight = class_weight
        self.group_share = group_share
        self.n_batches = n_batches

    def build(self, y: np.ndarray, groups: Any = None) -> BoundClassBalancedSampler:
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
            Has a length, the episodes an epoch, and ``epoch(rng)``.

        Raises
        ------
        ValueError
            If fewer than `n_way` classes, or fewer than 2, have ``n_shot + n_query``
            samples; if a class is in two groups, or there is a `group_share` and no
            groups.
        """
        self._validate_params()
        order, codes, sizes = sort_classes(y)
        n_query = self.n_shot if self.n_query is None else self.n_query
        each = self.n_shot + n_query
        large = sizes >= each
        if large.sum() < 2:
            raise ValueError(
                f"Cannot sample episodes with n_shot={self.n_shot} and "
                f"n_query={n_query}: {large.sum()} of {len(sizes)} classes in y have "
                f"{each} samples, at least 2 are needed. Lower n_shot or n_query."
            )
        n_way = check_n_way(
            self.n_way, large.sum(), _MAX_WAY, f"classes in y of {each} samples"
        )
        n_near, group = near_classes(self.group_share, groups, y, codes, n_way)
        group = None if group is None else group[large]
        taken = order[large[codes[order]]]
        n_batches = self.n_batches
        if n_batches is None:
            n_batches = max(8, -(-len(taken) // (n_way * each)))
        return BoundClassBalancedSampler(
            order=taken,
            sizes=sizes[large],
            n_shot=each,
            n_batches=n_batches,
            classes=ClassDraw(sizes[large], n_way, self.class_weight, n_near, group),
        )
