"""What the losses over all pairs of a batch have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from skfsl.losses._temperature import SCORE_TYPES, default_temperature
from skfsl.utils._parts import Part

__all__ = [
    "PairLoss",
    "Pairs",
    "masked_logsumexp",
    "masked_mean",
    "mean_over_anchors",
    "of_given_pairs",
]


@dataclass(frozen=True)
class Pairs:
    """Pairs that are scored: all of a batch of n samples, or k given ones.

    Parameters
    ----------
    scores : Tensor of shape (n, n) or (k,)
        Higher is closer; float32 at least.
    labels : LongTensor of shape (n,) or None
        Class codes. None: the pairs are given, and may be of any samples.
    same : BoolTensor of the shape of `scores`
        Pairs of one class; none of a sample with itself.
    different : BoolTensor of the shape of `scores`
        Pairs of two classes.
    score_type : str
        Kind of the scores.
    embedding_dim : int
        Width of the embeddings.
    """

    scores: torch.Tensor
    labels: Any
    same: torch.Tensor
    different: torch.Tensor
    score_type: str
    embedding_dim: int

    @property
    def others(self) -> torch.Tensor:
        """All pairs but those of a sample with itself."""
        return self.same | self.different

    def squared_distances(self) -> torch.Tensor:
        """Return squared distances; on cosines those of the chord."""
        if self.score_type == "cosine":
            return 2 - 2 * self.scores
        return -self.scores

    def distances(self) -> torch.Tensor:
        """Return distances, not squared; their gradient is finite at 0, too."""
        squared = self.squared_distances()
        # The root has no finite gradient at 0: there the distance is held.
        apart = squared > 0
        return torch.where(apart, squared, 1).sqrt() * apart

    def logits(self, temperature: float | None) -> torch.Tensor:
        """Return the scores divided by the temperature, or by what suits them."""
        if temperature is None:
            temperature = default_temperature(self.score_type, self.embedding_dim)
        return self.scores / temperature


class PairLoss(Part):
    """Base of the losses that compare all pairs of a batch and have no weights.

    A subclass states in ``accepts`` the scores that it is defined on, and computes
    its equation in ``_of``. Scores are float32 at least, also under autocast and for
    embeddings of half precision. A batch without a pair that teaches costs nothing,
    and its gradient is zero.
    """

    accepts: tuple[str, ...] = SCORE_TYPES

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
        loss : PairLoss
            This loss.

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        """
        self._validate_params()
        return self

    def __call__(
        self, embeddings: torch.Tensor, labels: torch.Tensor, head
    ) -> torch.Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        embeddings : Tensor of shape (n, d)
            Embeddings of the batch.
        labels : LongTensor of shape (n,)
            Class codes; any integers.
        head : head
            What scores the pairs.

        Returns
        -------
        loss : Tensor of shape ()
            Never negative; 0 where no pair of the batch teaches.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            x = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
            scores = head.scores(x, x)
            same = labels[:, None] == labels[None, :]
            pairs = Pairs(
                scores,
                labels,
                same=same.clone().fill_diagonal_(False),
                different=~same,
                score_type=head.score_type,
                embedding_dim=embeddings.shape[1],
            )
            return self._of(pairs)

    def _of(self, pairs: Pairs) -> torch.Tensor:
        raise NotImplementedError

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
            What is wrong and what to do; None where nothing is.
        """
        if not len(train_losses) or any(train_losses):
            return None
        return (
            f"{type(self).__name__} was 0 in every epoch: nothing was learned. Either "
            f"no batch had two samples of one class beside other classes (set n_shot "
            f">= 2 and n_way >= 2 in the sampler), or all embeddings are the same (are "
            f"all rows of X?), or the classes are as far apart as the loss asks for "
            f"already."
        )


def of_given_pairs(
    self: PairLoss, a: torch.Tensor, b: torch.Tensor, same: torch.Tensor, head
) -> torch.Tensor:
    """Return the loss of given pairs, of which only these count.

    Parameters
    ----------
    a, b : Tensor of shape (k, d)
        Embeddings of the one and of the other sample of each pair.
    same : BoolTensor of shape (k,)
        Whether a pair is of one class.
    head : head
        What scores the pairs.

    Returns
    -------
    loss : Tensor of shape ()
        Never negative.
    """
    with torch.autocast(a.device.type, enabled=False):
        dtype = torch.promote_types(a.dtype, torch.float32)
        pairs = Pairs(
            head.paired(a.to(dtype), b.to(dtype)),
            None,
            same=same,
            different=~same,
            score_type=head.score_type,
            embedding_dim=a.shape[1],
        )
        return self._of(pairs)


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of the finite `values` in `mask`; 0 where it is empty."""
    return torch.where(mask, values, 0).sum() / mask.sum().clamp(min=1)


def mean_over_anchors(costs: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    """Return the mean of the means of the rows of `costs` in `of`.

    Rows without any do not count.
    """
    sizes = of.sum(dim=1)
    means = torch.where(of, costs, 0).sum(dim=1) / sizes.clamp(min=1)
    return means.sum() / (sizes > 0).sum().clamp(min=1)


def masked_logsumexp(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return logsumexp of each row over `mask`; finite and very low where empty."""
    # Half of the lowest number: another logit can be taken from it.
    lowest = torch.finfo(values.dtype).min / 2
    return values.masked_fill(~mask, lowest).logsumexp(dim=1)
