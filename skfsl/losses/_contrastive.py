"""Same-class pairs together, different-class pairs a margin apart."""

import math
from numbers import Real

from torch.nn import functional as F

from skfsl.losses._pairs import PairLoss, Pairs, masked_mean, of_given_pairs
from skfsl.utils._sklearn_private import Interval

__all__ = ["ContrastiveLoss"]


class ContrastiveLoss(PairLoss):
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
    BinaryCrossEntropyLoss : The same decision by a probability.
    TripletLoss : Asks for the order of distances only.

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
    accepts = ("neg_sq_distance", "cosine")

    paired = of_given_pairs

    def __init__(self, margin=None):
        self.margin = margin

    def _of(self, pairs: Pairs):
        squared, distance = pairs.squared_distances(), pairs.distances()
        margin = self.margin
        if margin is None:
            chords = pairs.score_type == "cosine"
            margin = 1.0 if chords else math.sqrt(pairs.embedding_dim)
        # Equation 4.
        pull = masked_mean(squared, pairs.same)
        push = masked_mean(F.relu(margin - distance).square(), pairs.different)
        return (pull + push) / 2
