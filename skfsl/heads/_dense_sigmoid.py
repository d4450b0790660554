"""A weighted sum of absolute differences, as a logit."""

import torch
from torch import nn
from torch.nn import functional as F

from skfsl.heads._blocks import all_pairs
from skfsl.heads._first_batch import BIAS, WeighedDifferences
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
    By default the weights are the softplus of what is learned, and all the same at the
    start, which ranks by the manhattan distance. The first batch in training scales
    them, to 30 at most, so that an average pair of it has a probability of one half,
    and the bias starts at 4, a probability of 0.98 for two samples that do not differ:
    logits are of a size that a sigmoid can learn from (as in [2]_, where layers are
    scaled by the first batch). With weights of 4 / d and a bias of 0.5,
    Conv4 learned much worse and `KochNet` next to nothing.

    No tensor of all pairs and components is made, neither forward nor backward: a
    batch of 512 embeddings of 512 components takes less than 64 MiB for both on a CPU
    (512 MiB for each such tensor). A GPU has blocks of up to 128 MiB.

    References
    ----------
    .. [1] G. Koch, R. Zemel and R. Salakhutdinov. Siamese Neural Networks for
       One-shot Image Recognition. ICML Deep Learning Workshop, 2015.
    .. [2] T. Salimans and D. P. Kingma. Weight Normalization: A Simple
       Reparameterization to Accelerate Training of Deep Neural Networks. NeurIPS,
       2016.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import DenseSigmoidHead
    >>> head = DenseSigmoidHead().build(embedding_dim=2).eval()
    >>> a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    >>> (head.scores(a, b) - head.bias).detach()
    tensor([[ 0., -8.]])
    """

    _parameter_constraints: dict = {"non_negative": ["boolean"]}
    score_type = "logit"

    def __init__(self, *, non_negative=True):
        self.non_negative = non_negative

    def build(self, embedding_dim: int) -> nn.Module:
        """Make a head with new weights.

        Those of ``non_negative=False`` are drawn from torch's global generator.

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


class _DenseSigmoid(WeighedDifferences):
    score_type = "logit"

    def __init__(self, embedding_dim: int, non_negative: bool):
        bias = BIAS if non_negative else torch.normal(0.5, 0.01, (1,)).item()
        super().__init__(embedding_dim, bias)
        self.non_negative = non_negative
        self.metric = "manhattan" if non_negative else None
        self.starts_random = not non_negative
        if not non_negative:
            nn.init.normal_(self.weight, 0.0, 0.2)
            self._is_fresh = False

    def _compare(self, a, b, weights):
        return -((a - b).abs() @ weights)

    def _weights(self, like: torch.Tensor) -> tuple[torch.Tensor]:
        weights = F.softplus(self.weight) if self.non_negative else self.weight
        return (weights.to(like.dtype),)

    def scores(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score all pairs: (n, d) and (m, d) -> (n, m)."""
        with torch.autocast(a.device.type, enabled=False):
            self._set_out(a, b)
            (weights,), bias = self._weights(a), self.bias.to(a.dtype)
            wide = a.dtype in (torch.float32, torch.float64)
            if self.non_negative and a.device.type == "cpu" and wide:
                # Elsewhere its backward pass makes a tensor of pairs and components,
                # and half precision it does not take.
                origin = b.detach().mean(dim=0)
                a, b = (a - origin) * weights, (b - origin) * weights
                return bias - torch.cdist(a, b, p=1)
            width = a.shape[1]
            return bias + all_pairs(
                self._compare, a, b, (weights,), floats_per_pair=width
            )

    def paired(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score row by row: (n, d) and (n, d) -> (n,)."""
        with torch.autocast(a.device.type, enabled=False):
            self._set_out(a, b)
            return self.bias.to(a.dtype) + self._compare(a, b, *self._weights(a))

    def fold(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Weigh components where the head folds: (n, d) -> (n, d)."""
        if self.metric is None:
            return embeddings
        return embeddings * self._weights(embeddings)[0]
