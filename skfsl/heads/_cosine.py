"""The cosine of the angle between two embeddings."""

from numbers import Real

import torch
from torch import nn

from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval, StrOptions

__all__ = ["CosineHead"]


class CosineHead(Part):
    """Score pairs by the cosine of the angle between them.

    A score is ``ab / (||a|| ||b||)``, in [-1, 1]: 1 for the same direction, 0 for a
    right angle, and 0 wherever one of the two is the zero vector. It has no weights
    unless the scale is learned. Use it where the length of an embedding says nothing
    about the class: frozen encoders of text or images, encoders trained by a softmax.

    Parameters
    ----------
    scale : float or "learned", default=None
        None scores by cosines. A scale, above 0, makes logits of them: they are
        multiplied by it, or by one that is learned with the encoder, from 10 on [1]_.
        It changes no ranking. Leave it out with a loss that takes cosines and has a
        temperature or scale of its own.

    Attributes
    ----------
    score_type : str
        "cosine"; "logit" with a scale.

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

    References
    ----------
    .. [1] S. Gidaris and N. Komodakis. Dynamic Few-Shot Visual Learning without
       Forgetting. CVPR, 2018.

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

    _parameter_constraints: dict = {
        "scale": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"learned"}),
            None,
        ]
    }
    metric: str | None = "euclidean"
    unit_length = True

    def __init__(self, scale=None):
        self.scale = scale

    @property
    def score_type(self) -> str:
        """What scores are: "cosine", or "logit" with a scale."""
        return "cosine" if self.scale is None else "logit"

    def build(self, embedding_dim: int) -> "CosineHead | nn.Module":
        """Return the head itself, or a module where the scale is learned.

        Parameters
        ----------
        embedding_dim : int
            Width of the embeddings; any will do.

        Returns
        -------
        head : CosineHead or nn.Module
            With ``scores``, ``paired`` and ``fold``.

        Raises
        ------
        ValueError
            If `scale` is neither above 0 nor "learned".
        """
        self._validate_params()
        return _LearnedScale() if self.scale == "learned" else self

    def _scaled(self, cosines: torch.Tensor) -> torch.Tensor:
        if isinstance(self.scale, str):
            raise ValueError(
                f"CosineHead(scale={self.scale!r}) has weights: score with what "
                f"build(embedding_dim) returns."
            )
        return cosines if self.scale is None else cosines * self.scale

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
            Cosines in [-1, 1], times the scale; higher is closer.
        """
        with torch.autocast(a.device.type, enabled=False):
            return self._scaled((self.fold(a) @ self.fold(b).T).clamp(-1, 1))

    def paired(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score each row of `a` with the same row of `b`.

        Parameters
        ----------
        a, b : Tensor of shape (n, d)
            Embeddings.

        Returns
        -------
        scores : Tensor of shape (n,)
            Cosines in [-1, 1], times the scale; higher is closer.
        """
        return self._scaled((self.fold(a) * self.fold(b)).sum(dim=1).clamp(-1, 1))

    def fold(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return embeddings on which `metric` ranks as the head does.

        Parameters
        ----------
        embeddings : Tensor of shape (..., d)
            Embeddings.

        Returns
        -------
        embeddings : Tensor of shape (..., d)
            Brought to length 1; zero vectors stay zero.
        """
        # Squares of very small or large numbers would leave the range of float32. The
        # direction does not change with the length, so neither does its gradient.
        largest = embeddings.detach().abs().amax(dim=-1, keepdim=True)
        scaled = embeddings / torch.where(largest > 0, largest, 1)
        squared = scaled.square().sum(dim=-1, keepdim=True)
        return scaled * torch.where(squared > 0, squared, 1).rsqrt()


class _LearnedScale(nn.Module):
    score_type = "logit"
    metric = "euclidean"
    unit_length = True

    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((), 10.0).log())

    def scores(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score all pairs: (n, d) and (m, d) -> (n, m)."""
        return CosineHead().scores(a, b) * self.log_scale.exp().to(a.dtype)

    def paired(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score row by row: (n, d) and (n, d) -> (n,)."""
        return CosineHead().paired(a, b) * self.log_scale.exp().to(a.dtype)

    def fold(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Bring embeddings to length 1: (n, d) -> (n, d)."""
        return CosineHead().fold(embeddings)
