"""A weighted sum of absolute differences, as a logit."""

import torch
from torch import nn
from torch.nn import functional as F

from skfsl.heads._blocks import all_pairs
from skfsl.utils._parts import Part

__all__ = ["DenseSigmoidHead"]


class DenseSigmoidHead(Part):
    """Score pairs by a weighted sum of absolute differences, as a logit.

    A score is ``bias - Σ_j w_j |a_j - b_j|``, with a learned weight for each
    component; its sigmoid is the probability that both samples are of one class. It
    is the head of Koch's siamese networks [1]_.

    Use it with a loss on logits, such as binary cross-entropy, where the question is
    "the same or not".

    Parameters
    ----------
    non_negative : bool, default=True
        Whether weights are kept from falling below 0. A difference then never brings
        two samples closer, and embeddings fold, so that any classifier can read them
        with the manhattan metric. False is the paper's, where they may.

    Attributes
    ----------
    score_type : str
        "logit".

    See Also
    --------
    LearnedNormsHead : Learns the exponents, too.
    MixedNormsHead : Learns what to make of several differences.

    Notes
    -----
    Folded embeddings are ``w x``, and ``metric`` is "manhattan". With
    ``non_negative=False`` there is no plain metric: ``metric`` is None.

    The paper's ``α_j`` is ``-w_j``. It draws them from N(0, 0.2) and the bias from
    N(0.5, 0.01); so does ``non_negative=False``, whose start is therefore at random.
    By default the weights are the softplus of what is learned and start at 4 / d
    each: the start ranks by the manhattan distance, and logits are of a size that a
    sigmoid can learn from, however wide the embeddings are.

    No tensor of all pairs and components is made, neither forward nor backward: a
    batch of 512 embeddings of 512 components takes less than 64 MiB for both on a CPU
    (512 MiB for each such tensor). A GPU has blocks of up to 128 MiB.

    References
    ----------
    .. [1] G. Koch, R. Zemel and R. Salakhutdinov. Siamese Neural Networks for
       One-shot Image Recognition. ICML Deep Learning Workshop, 2015.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import DenseSigmoidHead
    >>> head = DenseSigmoidHead().build(embedding_dim=2)
    >>> a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    >>> (head.scores(a, b) - head.bias).detach()
    tensor([[ 0., -8.]])
    """

    _parameter_constraints: dict = {"non_negative": ["boolean"]}
    score_type = "logit"

    def __init__(self, *, non_negative=True):
        self.non_negative = non_negative

    def build(self, embedding_dim: int) -> nn.Module:
        """Make a head with new weights, drawn from torch's global generator.

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
            If `non_negative` is no bool.
        """
        self._validate_params()
        return _DenseSigmoid(embedding_dim, bool(self.non_negative))


def _compare(a, b, weights):
    return -((a - b).abs() @ weights)


class _DenseSigmoid(nn.Module):
    score_type = "logit"

    def __init__(self, embedding_dim: int, non_negative: bool):
        super().__init__()
        self.non_negative = non_negative
        self.metric = "manhattan" if non_negative else None
        self.starts_random = not non_negative
        # Its softplus is 4 / d.
        start = torch.full((embedding_dim,), 4 / embedding_dim).expm1().log()
        if not non_negative:
            start = torch.empty(embedding_dim).normal_(0.0, 0.2)
        self.weight = nn.Parameter(start)
        self.bias = nn.Parameter(torch.normal(0.5, 0.01, (1,)))

    def _weights(self, like: torch.Tensor) -> torch.Tensor:
        weights = F.softplus(self.weight) if self.non_negative else self.weight
        return weights.to(like.dtype)

    def scores(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score all pairs: (n, d) and (m, d) -> (n, m)."""
        with torch.autocast(a.device.type, enabled=False):
            weights, bias = self._weights(a), self.bias.to(a.dtype)
            wide = a.dtype in (torch.float32, torch.float64)
            if self.non_negative and a.device.type == "cpu" and wide:
                # Elsewhere its backward pass makes a tensor of pairs and components,
                # and half precision it does not take.
                origin = b.detach().mean(dim=0)
                a, b = (a - origin) * weights, (b - origin) * weights
                return bias - torch.cdist(a, b, p=1)
            width = a.shape[1]
            return bias + all_pairs(_compare, a, b, (weights,), floats_per_pair=width)

    def paired(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score row by row: (n, d) and (n, d) -> (n,)."""
        with torch.autocast(a.device.type, enabled=False):
            return self.bias.to(a.dtype) + _compare(a, b, self._weights(a))

    def fold(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Weigh components where the head folds: (n, d) -> (n, d)."""
        if self.metric is None:
            return embeddings
        return embeddings * self._weights(embeddings)
