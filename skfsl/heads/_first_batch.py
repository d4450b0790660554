"""Weights of differences, set out from the first batch that is trained on."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from skfsl.heads._blocks import all_pairs

__all__ = ["BIAS", "WeighedDifferences"]

# The logit of two samples without a difference, and what an average pair of the first
# batch is below it: it may be of one class or of two.
BIAS = 4.0
# Of one weight: embeddings that begin as nearly one point move apart in training, and
# logits would be beyond all bounds.
_LARGEST = 30.0
_MOST = 64  # samples of the first batch that are compared, at most


class WeighedDifferences(nn.Module):
    """A bias less a sum of differences, weighed by the softplus of what is learned.

    The weights start at 4 / d each, and are scaled once, at the first scores in
    training mode, so that pairs differ by 4 on average, however wide embeddings are
    and however small their differences: the sigmoids of a wide layer begin nearly
    alike. They are 30 at most. Weights that are loaded stay as they are, but for those
    of the start.

    Parameters
    ----------
    embedding_dim : int
        Width of the embeddings.
    bias : float
        Of the logits.
    """

    _is_fresh = False  # on the class for pickles that have none

    def __init__(self, embedding_dim: int, bias: float):
        super().__init__()
        self.weight = nn.Parameter(_start(embedding_dim))
        self.bias = nn.Parameter(torch.full((1,), bias))
        self._is_fresh = True

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        # A schedule may go back to where it began, and files hold what is untrained.
        self._is_fresh = torch.equal(
            self.weight, _start(len(self.weight)).to(self.weight)
        )

    def _set_out(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """Scale the weights by a batch: (n, d) and (m, d), the first one only."""
        if not (self._is_fresh and self.training):
            return
        self._is_fresh = False
        with torch.no_grad():
            # From all over the batch, which samplers group by class.
            a, b = (t[:: 1 + len(t) // _MOST].to(self.weight.dtype) for t in (a, b))
            sums = -all_pairs(
                self._compare, a, b, self._weights(a), floats_per_pair=a.shape[1]
            )
            # Not of a sample and itself, of which a sum may be more than 0 in rounding.
            mean = sums[torch.cdist(a, b, p=math.inf) > 0].mean()
            weight = F.softplus(self.weight) * (BIAS / mean)
            weight = _inverse_softplus(weight.clamp(max=_LARGEST))
            if torch.isfinite(weight).all():  # else there is no difference, or no bound
                self.weight.copy_(weight)

    def _compare(
        self, a: torch.Tensor, b: torch.Tensor, *weights: torch.Tensor
    ) -> torch.Tensor:
        raise NotImplementedError

    def _weights(self, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise NotImplementedError


def _start(embedding_dim: int) -> torch.Tensor:
    return _inverse_softplus(torch.full((embedding_dim,), BIAS / embedding_dim))


def _inverse_softplus(values: torch.Tensor) -> torch.Tensor:
    return values + torch.log(-torch.expm1(-values))  # expm1 of large ones overflows
