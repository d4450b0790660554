"""Same-class pairs together, different-class pairs a margin apart."""

import math
from numbers import Real
from typing import Self

import torch
from torch.nn import functional as F

from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["ContrastiveLoss"]


class ContrastiveLoss(Part):
    """Pull same-class pairs together, push others a margin apart.

    With ``d`` the euclidean distance of two embeddings, a same-class pair costs
    ``d²`` and a different-class pair ``max(0, margin - d)²``. All pairs of the batch
    count, none with itself. The loss is half the sum of two means, one over the
    same-class pairs and one over the different-class pairs.

    Use it where absolute distances matter, for instance to tell "same" from "not the
    same" by a threshold. For accuracy among many classes prefer `PrototypicalLoss`.

    Parameters
    ----------
    margin : float, default=None
        The distance, not squared, from which different-class pairs cost nothing. None
        is the square root of the width of the embeddings, a difference of one in each
        component, for euclidean scores; 1 for cosines, whose chords are at most 2. A
        margin far below the distances at the start only draws all together.

    Attributes
    ----------
    accepts : tuple of str
        ("neg_sq_distance", "cosine").

    See Also
    --------
    PrototypicalLoss : Compares samples with class means.

    Notes
    -----
    On cosine scores ``d`` is the chord between the two directions,
    ``d² = 2 - 2 cos``.

    It departs from equation 4 of [1]_ in the pairs and in the mean: the paper sums
    over a list of pairs; here they are all pairs of the batch, and each kind has a
    mean of its own, since the different-class pairs are far more numerous. A kind
    that the batch does not have costs nothing.

    References
    ----------
    .. [1] R. Hadsell, S. Chopra and Y. LeCun. Dimensionality Reduction by Learning
       an Invariant Mapping. CVPR, 2006.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import EuclideanHead
    >>> from skfsl.losses import ContrastiveLoss
    >>> loss = ContrastiveLoss(margin=2.0).build(embedding_dim=1, n_classes=2)
    >>> embeddings = torch.tensor([[0.0], [1.0], [1.5]])
    >>> loss(embeddings, torch.tensor([0, 0, 1]), EuclideanHead())
    tensor(1.1250)
    """

    _parameter_constraints: dict = {
        "margin": [Interval(Real, 0, None, closed="neither"), None]
    }
    accepts: tuple[str, ...] = ("neg_sq_distance", "cosine")

    def __init__(self, margin=None):
        self.margin = margin

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
        loss : ContrastiveLoss
            This loss.

        Raises
        ------
        ValueError
            If `margin` is not above 0.
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
            Never negative.
        """
        scores = head.scores(embeddings, embeddings)
        squared = 2 - 2 * scores if head.score_type == "cosine" else -scores
        # The root has no finite gradient at 0: there the distance is held.
        apart = squared > 0
        distance = torch.where(apart, squared, 1).sqrt() * apart
        same = labels[:, None] == labels[None, :]
        different = ~same
        same = same.fill_diagonal_(False)
        # Equation 4.
        pull = (squared * same).sum() / same.sum().clamp(min=1)
        margin = self.margin
        if margin is None:
            chords = head.score_type == "cosine"
            margin = 1.0 if chords else math.sqrt(embeddings.shape[1])
        push = F.relu(margin - distance).square() * different
        return (pull + push.sum() / different.sum().clamp(min=1)) / 2
