"""The class with the highest mean score."""

from numbers import Real

import torch
from torch.nn import functional as F

from skfsl.losses._pairs import PairLoss, Pairs
from skfsl.losses._temperature import default_temperature
from skfsl.utils._sklearn_private import Interval

__all__ = ["MeanScoreLoss", "class_mean_logits"]


class MeanScoreLoss(PairLoss):
    """Classify samples by their mean score with each class of the batch.

    The score of a sample for a class is the mean of its scores with the samples of
    that class in the batch, itself left out; the loss is the mean cross-entropy.

    Use it with heads that are no distances, whose score against a mean embedding says
    little: it trains what a classifier by mean scores predicts with. On euclidean
    scores it differs from :class:`PrototypicalLoss` by the variances of the classes.

    Parameters
    ----------
    temperature : float, default=None
        What scores are divided by. None is a quarter of the width of the embeddings,
        between 1 and 16, for squared distances; 0.02 for cosines; 1 for logits.

    Attributes
    ----------
    accepts : tuple of str
        ("neg_sq_distance", "cosine", "logit").

    See Also
    --------
    PrototypicalLoss : Scores samples against mean embeddings.
    ClassConsistencyLoss : Class mates should agree in their class scores, too.

    Notes
    -----
    With C_i = C without i, the score of sample i for the class C and the loss are::

        S_iC = 1 / |C_i| sum_{j in C_i} s_ij
        mean over i of  -log(exp(S_iy / temperature) / sum_C exp(S_iC / temperature))

    with y the class of i. A sample without a class mate in the batch is no query, but
    the others are scored against it. A batch of one class costs nothing. It is our
    own, made after the classification by mean scores of siamese networks.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import EuclideanHead
    >>> from skfsl.losses import MeanScoreLoss
    >>> loss = MeanScoreLoss(temperature=1.0).build(embedding_dim=1, n_classes=2)
    >>> embeddings = torch.tensor([[0.0], [1.0], [2.0]])
    >>> loss(embeddings, torch.tensor([0, 0, 1]), EuclideanHead())
    tensor(0.3709)
    """

    _parameter_constraints: dict = {
        "temperature": [Interval(Real, 0, None, closed="neither"), None]
    }

    def __init__(self, temperature=None):
        self.temperature = temperature

    def _of(self, pairs: Pairs):
        logits, codes = class_mean_logits(pairs, self.temperature)
        costs = F.cross_entropy(logits, codes, reduction="none")
        is_query = pairs.same.any(dim=1)
        return torch.where(is_query, costs, 0).sum() / is_query.sum().clamp(min=1)


def class_mean_logits(pairs: Pairs, temperature: float | None):
    """Return mean scores (n, n_classes) over the temperature, and columns of labels.

    No sample is scored with itself; where it has no class mate the own score is 0.
    """
    classes, codes = pairs.labels.unique(return_inverse=True)
    member = codes[:, None] == torch.arange(len(classes), device=codes.device)
    sizes = member.sum(dim=0) - member.long()
    sums = pairs.scores.masked_fill(~pairs.others, 0) @ member.to(pairs.scores.dtype)
    if temperature is None:
        temperature = default_temperature(pairs.score_type, pairs.embedding_dim)
    return sums / sizes.clamp(min=1) / temperature, codes
