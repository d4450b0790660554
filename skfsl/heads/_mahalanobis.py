"""The squared distance after a linear map that is learned."""

import math
from numbers import Integral

import torch
from torch import nn

from skfsl.heads._euclidean import EuclideanHead
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["MahalanobisHead"]


class MahalanobisHead(Part):
    """Score pairs by a negative squared Mahalanobis distance, of low rank.

    A score is ``-||L (a - b)||²`` with a learned matrix L of shape (rank, d), in
    (-inf, 0]; ``L^T L`` is the inverse covariance of the classical distance [1]_. It
    weighs directions against each other, and leaves out those that L maps to zero.

    Use it where the encoder is given (``max_epochs=0`` does not train it, a frozen
    network neither) or the embeddings are wide: a `rank` below the width gives
    smaller embeddings.

    Parameters
    ----------
    rank : int, default=None
        Number of rows of L, and components of a folded embedding; at most the width
        of the embeddings, which None stands for.

    Attributes
    ----------
    score_type : str
        "neg_sq_distance".

    metric : str
        "euclidean": the plain metric that ranks folded embeddings as the head does.

    See Also
    --------
    EuclideanHead : The same without L.
    DenseSigmoidHead : Weighs single components, by their absolute difference.

    Notes
    -----
    Folded embeddings are ``L x``, of `rank` components.

    L starts as the identity where `rank` is the width: the scores are those of
    `EuclideanHead` then. Below it starts with random orthonormal rows, times
    ``sqrt(d / rank)``, which keep squared distances in the mean.

    Behind an encoder that ends in a linear layer L adds nothing that the encoder could
    not learn itself. It departs from [1]_ in being trained with the encoder, by any
    loss that takes squared distances.

    References
    ----------
    .. [1] J. Goldberger, S. Roweis, G. Hinton and R. Salakhutdinov. Neighbourhood
       Components Analysis. NeurIPS, 2004.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import MahalanobisHead
    >>> head = MahalanobisHead().build(embedding_dim=2)
    >>> a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> head.scores(a, b).item()
    -25.0
    """

    _parameter_constraints: dict = {
        "rank": [Interval(Integral, 1, None, closed="left"), None]
    }
    score_type = "neg_sq_distance"
    metric = "euclidean"

    def __init__(self, rank=None):
        self.rank = rank

    def build(self, embedding_dim: int) -> nn.Module:
        """Make a head with new weights; random ones from torch's global generator.

        Parameters
        ----------
        embedding_dim : int
            Width of the embeddings.

        Returns
        -------
        head : nn.Module
            With ``scores``, ``paired`` and ``fold``.

        Raises
        ------
        ValueError
            If `rank` is no positive int or greater than `embedding_dim`.
        """
        self._validate_params()
        rank = embedding_dim if self.rank is None else self.rank
        if rank > embedding_dim:
            raise ValueError(
                f"Cannot map to rank={rank} components with MahalanobisHead, greater "
                f"than the width of the embeddings: embedding_dim={embedding_dim}. "
                f"Lower rank."
            )
        return _Mahalanobis(embedding_dim, rank)


class _Mahalanobis(nn.Module):
    score_type = "neg_sq_distance"
    metric = "euclidean"

    def __init__(self, embedding_dim: int, rank: int):
        super().__init__()
        start = torch.eye(embedding_dim)
        if rank < embedding_dim:
            start = nn.init.orthogonal_(torch.empty(rank, embedding_dim))
            start *= math.sqrt(embedding_dim / rank)
        self.weight = nn.Parameter(start)

    def scores(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score all pairs: (n, d) and (m, d) -> (n, m)."""
        # Before the map: a large offset would cost digits in it.
        origin = b.detach().mean(dim=0)
        return EuclideanHead().scores(self.fold(a - origin), self.fold(b - origin))

    def paired(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score row by row: (n, d) and (n, d) -> (n,)."""
        return -self.fold(a - b).square().sum(dim=1)

    def fold(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Map by L: (n, d) -> (n, rank)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return embeddings @ self.weight.to(embeddings.dtype).T
