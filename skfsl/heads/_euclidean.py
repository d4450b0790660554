"""The squared euclidean distance, negative."""

from typing import Self

import torch

from skfsl.utils._parts import Part

__all__ = ["EuclideanHead"]


class EuclideanHead(Part):
    """Score pairs by their negative squared euclidean distance.

    A score is ``-||a - b||²``, in (-inf, 0]: 0 for the same point, lower for points
    further apart. It has no weights. Use it by default: with it the mean of a class
    is the point that is closest to the class's examples [1]_.

    Attributes
    ----------
    score_type : str
        "neg_sq_distance".

    metric : str
        "euclidean": the plain metric that ranks folded embeddings as the head does.

    See Also
    --------
    CosineHead : Does not look at the length of embeddings.

    Notes
    -----
    All pairs are scored by one matrix product, after both sides were moved by the
    mean of `b`: the expanded square ``||a||² - 2ab + ||b||²`` loses its digits where
    the embeddings share a large offset. The product is taken in the precision of the
    embeddings also under autocast.

    References
    ----------
    .. [1] J. Snell, K. Swersky and R. Zemel. Prototypical Networks for Few-shot
       Learning. NeurIPS, 2017.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import EuclideanHead
    >>> head = EuclideanHead().build(embedding_dim=2)
    >>> a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> b = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    >>> head.scores(a, b)
    tensor([[  0.,  -9.],
            [-25., -16.]])
    """

    score_type = "neg_sq_distance"
    metric: str | None = "euclidean"

    def build(self, embedding_dim: int) -> Self:
        """Return the head itself: it has no weights.

        Parameters
        ----------
        embedding_dim : int
            Width of the embeddings; any will do.

        Returns
        -------
        head : EuclideanHead
            This head.
        """
        return self

    def scores(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score all pairs.

        Parameters
        ----------
        a : Tensor of shape (n, d)
            Embeddings, for instance of queries.
        b : Tensor of shape (m, d)
            Embeddings, for instance prototypes.

        Returns
        -------
        scores : Tensor of shape (n, m)
            Negative squared distances; higher is closer, never positive.
        """
        with torch.autocast(a.device.type, enabled=False):
            # Distances do not change with the origin, so neither do their gradients.
            origin = b.detach().mean(dim=0)
            a, b = a - origin, b - origin
            scores = torch.addmm(-b.square().sum(dim=1), a, b.T, alpha=2)
            return (scores - a.square().sum(dim=1, keepdim=True)).clamp(max=0)

    def paired(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score each row of `a` with the same row of `b`.

        Parameters
        ----------
        a, b : Tensor of shape (n, d)
            Embeddings.

        Returns
        -------
        scores : Tensor of shape (n,)
            Negative squared distances; higher is closer, never positive.
        """
        return -(a - b).square().sum(dim=1)

    def fold(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return embeddings on which `metric` ranks as the head does.

        Parameters
        ----------
        embeddings : Tensor of shape (n, d)
            Embeddings.

        Returns
        -------
        embeddings : Tensor of shape (n, d)
            The same embeddings: their euclidean distance is the head's already.
        """
        return embeddings
