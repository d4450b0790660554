"""The cosine of the angle between two embeddings."""

from typing import Self

import torch

from skfsl.utils._parts import Part

__all__ = ["CosineHead"]


class CosineHead(Part):
    """Score pairs by the cosine of the angle between them.

    A score is ``ab / (||a|| ||b||)``, in [-1, 1]: 1 for the same direction, 0 for a
    right angle, and 0 wherever one of the two is the zero vector. It has no weights.
    Use it where the length of an embedding says nothing about the class: frozen
    encoders of text or images, encoders trained by a softmax.

    Attributes
    ----------
    score_type : str
        "cosine".

    metric : str
        "euclidean": the plain metric that ranks folded embeddings as the head does.

    See Also
    --------
    EuclideanHead : Looks at lengths, too.

    Notes
    -----
    Folded embeddings have length 1. Their euclidean distance is the chord,
    ``d² = 2 - 2 cos``, which falls where the cosine rises. A zero vector stays zero:
    it is as far from one embedding as from any other.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import CosineHead
    >>> head = CosineHead().build(embedding_dim=2)
    >>> a = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
    >>> b = torch.tensor([[1.0, 0.0], [0.0, 5.0], [-2.0, 0.0]])
    >>> head.scores(a, b)
    tensor([[ 1.,  0., -1.],
            [ 0.,  0.,  0.]])
    """

    score_type = "cosine"
    metric: str | None = "euclidean"

    def build(self, embedding_dim: int) -> Self:
        """Return the head itself: it has no weights.

        Parameters
        ----------
        embedding_dim : int
            Width of the embeddings; any will do.

        Returns
        -------
        head : CosineHead
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
            Cosines in [-1, 1]; higher is closer.
        """
        with torch.autocast(a.device.type, enabled=False):
            return (self.fold(a) @ self.fold(b).T).clamp(-1, 1)

    def paired(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score each row of `a` with the same row of `b`.

        Parameters
        ----------
        a, b : Tensor of shape (n, d)
            Embeddings.

        Returns
        -------
        scores : Tensor of shape (n,)
            Cosines in [-1, 1]; higher is closer.
        """
        return (self.fold(a) * self.fold(b)).sum(dim=1).clamp(-1, 1)

    def fold(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return embeddings on which `metric` ranks as the head does.

        Parameters
        ----------
        embeddings : Tensor of shape (n, d)
            Embeddings.

        Returns
        -------
        embeddings : Tensor of shape (n, d)
            Brought to length 1; zero vectors stay zero.
        """
        # Squares of very small or large numbers would leave the range of float32. The
        # direction does not change with the length, so neither does its gradient.
        largest = embeddings.detach().abs().amax(dim=1, keepdim=True)
        scaled = embeddings / torch.where(largest > 0, largest, 1)
        squared = scaled.square().sum(dim=1, keepdim=True)
        return scaled * torch.where(squared > 0, squared, 1).rsqrt()
