"""Every sample closest to the mean of its own class."""

from numbers import Integral, Real
from typing import Self

import torch
from torch.nn import functional as F

from skfsl.losses._temperature import SCORE_TYPES, default_temperature
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["PrototypicalLoss"]


class PrototypicalLoss(Part):
    """Classify samples by the prototypes of the batch.

    The prototype of a class is the mean embedding of its samples. A query's logits
    are its scores against all prototypes of the batch, divided by the temperature;
    the loss is the mean cross-entropy of the queries.

    With `folding` every sample is a query, and meets the prototype of its own class
    without itself in it: a batch of n samples gives n queries where the episodes of
    [1]_ give only some. It is the loss to begin with.

    Parameters
    ----------
    folding : bool, default=True
        Whether every sample is a query (batch folding [2]_). Otherwise the first
        samples of each class in the batch are its support examples, and the others are
        the queries.

    n_shot : int, default=None
        Support examples of each class, without `folding`; a class of no more samples
        keeps one as a query. None is half of them, rounded down but at least 1.

    temperature : float, default=None
        What scores are divided by. None is a quarter of the width of the embeddings,
        between 1 and 16, for squared distances; 0.02 for cosines; 1 for logits. The
        papers have 1, which saturates the softmax.

    Attributes
    ----------
    accepts : tuple of str
        ("neg_sq_distance", "cosine", "logit").

    See Also
    --------
    ContrastiveLoss : Compares pairs of samples.

    Notes
    -----
    A class with one sample in the batch has a prototype, but gives no query.

    With euclidean scores, a class of n samples with mean ``mu`` and a sample ``x`` of
    it, the own prototype is ``(n mu - x) / (n - 1)`` and the logits are
    ``-||x - prototype||²`` (equation 2 of [1]_).

    References
    ----------
    .. [1] J. Snell, K. Swersky and R. Zemel. Prototypical Networks for Few-shot
       Learning. NeurIPS, 2017.
    .. [2] D. Wertheimer and B. Hariharan. Few-Shot Learning with Localization in
       Realistic Settings. CVPR, 2019.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import EuclideanHead
    >>> from skfsl.losses import PrototypicalLoss
    >>> loss = PrototypicalLoss().build(embedding_dim=1, n_classes=2)
    >>> embeddings = torch.tensor([[0.0], [0.0], [2.0], [2.0]])
    >>> loss(embeddings, torch.tensor([0, 0, 1, 1]), EuclideanHead())
    tensor(0.0181)
    """

    _parameter_constraints: dict = {
        "folding": ["boolean"],
        "n_shot": [Interval(Integral, 1, None, closed="left"), None],
        "temperature": [Interval(Real, 0, None, closed="neither"), None],
    }
    accepts: tuple[str, ...] = SCORE_TYPES

    def __init__(self, *, folding=True, n_shot=None, temperature=None):
        self.folding = folding
        self.n_shot = n_shot
        self.temperature = temperature

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
        loss : PrototypicalLoss
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
            What scores samples against prototypes.

        Returns
        -------
        loss : Tensor of shape ()
            Mean cross-entropy of the queries; float32 at least, also for embeddings
            of half precision.

        Raises
        ------
        ValueError
            If no class has two samples in the batch.
        """
        classes, codes = labels.unique(return_inverse=True)
        if len(classes) == len(labels):
            raise ValueError(
                f"PrototypicalLoss needs a class with at least 2 samples in a batch. "
                f"Got {len(labels)} sample(s) of {len(classes)} class(es). Set "
                f"n_shot >= 2 in the sampler."
            )
        # No further question is put to the device: all shapes are known by now.
        with torch.autocast(embeddings.device.type, enabled=False):
            x = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
            member = codes[:, None] == torch.arange(len(classes), device=codes.device)
            logits, is_query = (self._fold if self.folding else self._split)(
                x, codes, member, head
            )
            temperature = self.temperature
            if temperature is None:
                width = embeddings.shape[1]
                temperature = default_temperature(head.score_type, width)
            losses = F.cross_entropy(logits / temperature, codes, reduction="none")
            return (losses * is_query).sum() / is_query.sum()

    def _fold(self, x, codes, member, head):
        """Score every sample; its own class without the sample itself."""
        sizes = member.sum(dim=0)
        sums = member.to(x.dtype).T @ x
        own_size = sizes[codes]
        own = (sums[codes] - x) / (own_size - 1).clamp(min=1)[:, None]
        scores = head.scores(x, sums / sizes[:, None])
        logits = torch.where(member, head.paired(x, own)[:, None], scores)
        return logits, own_size > 1

    def _split(self, x, codes, member, head):
        """Score all samples against the mean of the first ones of each class."""
        sizes = member.sum(dim=0)
        n_shots = (sizes // 2).clamp(min=1)
        if self.n_shot is not None:
            n_shots = (sizes - 1).clamp(min=1, max=self.n_shot)
        rank = (member.cumsum(dim=0) * member).sum(dim=1) - 1
        is_query = rank >= n_shots[codes]
        support = (member & ~is_query[:, None]).to(x.dtype)
        return head.scores(x, support.T @ x / n_shots[:, None]), is_query
