"""Class mates closer than strangers, by a margin."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Self

import torch
from torch.nn import functional as F

from skfsl.losses._pairs import PairLoss, Pairs
from skfsl.utils._sklearn_private import Interval, StrOptions

__all__ = ["TripletLoss"]

_PATIENCE = 3  # epochs at the margin that are called a collapse
_NEARNESS = 0.02  # of the margin


class TripletLoss(PairLoss):
    """Have class mates closer than strangers, by a margin.

    A triplet of an anchor, a class mate p and a sample n of another class costs
    ``max(0, margin + d(a, p) - d(a, n))``, with distances that are not squared.
    `mining` says which triplets of the batch count.

    Use it where only the order of distances matters, not their size. It needs more
    care than :class:`PrototypicalLoss` or :class:`SupConLoss`, and more epochs.

    Parameters
    ----------
    margin : float or "soft", default=None
        The distance, not squared, by which strangers are to be further away. None is
        a fifth of the square root of the width of the embeddings for euclidean
        scores; 0.2 for cosines, whose chords are at most 2. "soft" is
        ``log(1 + exp(d(a, p) - d(a, n)))`` instead, for "batch_hard" only.

    mining : {"semi_hard", "batch_all", "batch_hard"}, default="semi_hard"
        "semi_hard": all triplets with ``0 < d(a, n) - d(a, p) <= margin`` [1]_.
        "batch_all": all triplets that cost something [2]_. "batch_hard": for each
        anchor the farthest class mate and the nearest stranger [2]_; from random
        weights it tends to draw all embeddings to one point: begin with another.

    Attributes
    ----------
    accepts : tuple of str
        ("neg_sq_distance", "cosine").

    See Also
    --------
    ContrastiveLoss : Asks for absolute distances.
    MultiSimilarityLoss : Mines pairs.

    Notes
    -----
    On cosine scores the distance is the chord, ``d² = 2 - 2 cos``. The loss is the
    mean over the triplets that count (for "batch_hard" over the anchors that have a
    class mate and a stranger), 0 where there is none: semi-hard triplets run out both
    when all is learned and when embeddings coincide.

    It departs from [1]_ in the distances, which are squared there, and in that an
    anchor and its mate meet all semi-hard strangers of the batch rather than one;
    [2]_ found that squared distances collapse more easily.

    No triplet is ever formed: the loss is linear in the distances, each weighed by the
    number of triplets that it stands in, and these are counted in sorted rows. Time
    is O(n² log n) and memory O(n²): some 10 MB for 512 samples.

    References
    ----------
    .. [1] F. Schroff, D. Kalenichenko and J. Philbin. FaceNet: A Unified Embedding
       for Face Recognition and Clustering. CVPR, 2015.
    .. [2] A. Hermans, L. Beyer and B. Leibe. In Defense of the Triplet Loss for
       Person Re-Identification. arXiv:1703.07737, 2017.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import EuclideanHead
    >>> from skfsl.losses import TripletLoss
    >>> loss = TripletLoss(margin=2.0).build(embedding_dim=1, n_classes=2)
    >>> embeddings = torch.tensor([[0.0], [1.0], [2.5]])
    >>> loss(embeddings, torch.tensor([0, 0, 1]), EuclideanHead())
    tensor(1.)
    """

    _parameter_constraints: dict = {
        "margin": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"soft"}),
            None,
        ],
        "mining": [StrOptions({"semi_hard", "batch_all", "batch_hard"})],
    }
    accepts = ("neg_sq_distance", "cosine")

    def __init__(self, margin=None, *, mining="semi_hard"):
        self.margin = margin
        self.mining = mining

    def build(self, embedding_dim: int, n_classes: int) -> Self:
        """Return the loss itself: it has no weights.

        Parameters
        ----------
        embedding_dim : int
            Width of the embeddings; any will do.
        n_classes : int
            Number of classes in training; any will do.

        Returns
        -------
        loss : TripletLoss
            This loss.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or a soft margin is to mine anything
            but the hardest.
        """
        super().build(embedding_dim, n_classes)
        if self.margin == "soft" and self.mining != "batch_hard":
            raise ValueError(
                f"TripletLoss(margin='soft') needs mining='batch_hard'. Got "
                f"mining={self.mining!r}, which counts triplets by their margin: give "
                f"the margin as a number."
            )
        return self

    def _of(self, pairs: Pairs):
        distances = pairs.distances()
        margin = self._margin(pairs.embedding_dim, pairs.score_type)
        if self.mining == "batch_hard":
            return self._batch_hard(distances, pairs, margin)
        return self._all_triplets(distances, pairs, margin)

    def _all_triplets(self, distances, pairs: Pairs, margin: float):
        # The one question put to the device: class mates a sample has, at most.
        most = int(pairs.same.sum(dim=1).max())
        mates = distances.masked_fill(~pairs.same, -1).topk(most, dim=1)[0]
        highest = torch.finfo(distances.dtype).max
        strangers = distances.masked_fill(~pairs.different, highest).sort(dim=1)[0]
        ends = mates + margin
        semi_hard = self.mining == "semi_hard"
        of_mate, of_stranger = _count_triplets(
            mates.detach(), ends.detach(), strangers.detach(), semi_hard
        )
        # The mean over triplets of margin + d(a, p) - d(a, n), by distances.
        n_triplets = of_mate.sum().clamp(min=1)
        own = of_mate.to(distances.dtype) / n_triplets * ends
        other = of_stranger.to(distances.dtype) / n_triplets * strangers
        return own.sum() - other.sum()

    def _batch_hard(self, distances, pairs: Pairs, margin: float):
        farthest = distances.masked_fill(~pairs.same, -1).amax(dim=1)
        nearest = distances.masked_fill(~pairs.different, torch.inf).amin(dim=1)
        is_anchor = pairs.same.any(dim=1) & pairs.different.any(dim=1)
        gap = torch.where(is_anchor, farthest - nearest, 0)
        costs = F.softplus(gap) if self.margin == "soft" else F.relu(margin + gap)
        return torch.where(is_anchor, costs, 0).sum() / is_anchor.sum().clamp(min=1)

    def _margin(self, embedding_dim: int, score_type: str) -> float:
        """Return the loss where all embeddings are the same: the margin, or log 2."""
        if self.margin == "soft":
            return math.log(2)
        if self.margin is not None:
            return self.margin
        return 0.2 if score_type == "cosine" else 0.2 * math.sqrt(embedding_dim)

    def diagnose(
        self, train_losses: Sequence[float], embedding_dim: int, head
    ) -> str | None:
        """Say what the losses of the epochs tell of a training that fails.

        Parameters
        ----------
        train_losses : sequence of float
            Mean loss of each epoch so far.
        embedding_dim : int
            Width of the embeddings.
        head : head
            What scores the pairs.

        Returns
        -------
        sentence : str or None
            What is wrong and what to do; None where nothing is. A loss that stays
            within 2 % of the margin for three epochs is called a collapse.
        """
        margin = self._margin(embedding_dim, head.score_type)
        last = train_losses[-_PATIENCE:]
        if len(last) < _PATIENCE or any(
            abs(loss - margin) > _NEARNESS * margin for loss in last
        ):
            return super().diagnose(train_losses, embedding_dim, head)
        advice = "lower lr or the margin"
        if self.mining == "batch_hard":
            advice = "begin with mining='semi_hard' or 'batch_all', or lower lr"
        return (
            f"The triplet loss has stayed at {last[-1]:.4g} for {len(last)} epochs, "
            f"which is its value where all distances are the same ({margin:.4g}): the "
            f"embeddings have probably collapsed to one point. To prevent it, {advice}."
        )


def _count_triplets(mates, ends, strangers, semi_hard: bool):
    """Return in how many triplets each class mate and each stranger stands.

    The strangers of an anchor that make a triplet with a mate are a run of its sorted
    strangers, up to the end; the runs are added up by their first and last places.
    """
    is_mate = (mates >= 0).long()
    last = torch.searchsorted(strangers, ends, right=semi_hard)
    first = torch.zeros_like(last)
    if semi_hard:
        first = torch.searchsorted(strangers, mates, right=True)
    runs = last.new_zeros(len(strangers), strangers.shape[1] + 1)
    runs.scatter_add_(1, first, is_mate).scatter_add_(1, last, -is_mate)
    return (last - first) * is_mate, runs.cumsum(dim=1)[:, :-1]
