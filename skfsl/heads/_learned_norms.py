"""A weighted sum of differences, each to a power that is learned."""

from numbers import Real

import torch
from torch import nn
from torch.nn import functional as F

from skfsl.heads._blocks import all_pairs
from skfsl.heads._first_batch import BIAS, WeighedDifferences
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["LearnedNormsHead"]


class LearnedNormsHead(Part):
    """Score pairs by differences to learned powers, weighted, as a logit.

    A score is ``bias - Σ_j w_j |a_j - b_j|^p_j``, with a weight ``w_j > 0`` and an
    exponent ``p_j`` between `p_min` and `p_max` learned for each component. An
    exponent of 1 forgives single large differences, one of 2 small ones. Its sigmoid
    is the probability that both samples are of one class.

    Use it where components differ in kind, as the columns of a table do, and it is
    not known which norm suits them.

    Parameters
    ----------
    p_min : float, default=1.0
        Smallest exponent, in [1, inf): below 1 a difference of 0 has no finite
        gradient, and nothing is a norm.

    p_max : float, default=2.0
        Largest exponent, not below `p_min`.

    Attributes
    ----------
    score_type : str
        "logit".

    See Also
    --------
    DenseSigmoidHead : All exponents are 1.
    MahalanobisHead : All are 2, after a linear map.

    Notes
    -----
    ``metric`` is None and embeddings do not fold, except where nothing is left to be
    learned of the exponents: ``p_min = p_max = 1`` folds to ``w x`` with "manhattan",
    ``p_min = p_max = 2`` to ``sqrt(w) x`` with "euclidean".

    Exponents are ``p_min + (p_max - p_min) sigmoid(q_j)`` and start halfway; weights
    are the softplus of what is learned, start at 4 / d each, and are scaled by the
    first batch in training, to 30 at most, so that an average pair of it has a
    probability of one half; the bias starts at 4.

    What pairs and components need exists for one block at a time, in the backward
    pass too, which computes it anew: a batch of 512 embeddings of 512 components
    takes less than 64 MiB for both passes on a CPU (512 MiB for each tensor of all
    pairs and components). A GPU has blocks of up to 128 MiB.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import LearnedNormsHead
    >>> head = LearnedNormsHead().build(embedding_dim=2).eval()
    >>> a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[4.0, 1.0]])
    >>> head.scores(a, b).item()  # 4 - 2 · (4 ** 1.5 + 1)
    -14.0
    """

    _parameter_constraints: dict = {
        "p_min": [Interval(Real, 1, None, closed="left")],
        "p_max": [Interval(Real, 1, None, closed="left")],
    }
    score_type = "logit"

    def __init__(self, *, p_min=1.0, p_max=2.0):
        self.p_min = p_min
        self.p_max = p_max

    def build(self, embedding_dim: int) -> nn.Module:
        """Make a head with new weights, the same ones each time.

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
            If `p_min` is below 1 or above `p_max`.
        """
        self._validate_params()
        if self.p_max < self.p_min:
            raise ValueError(
                f"The 'p_max' parameter of LearnedNormsHead must be a float in the "
                f"range [p_min, inf), with p_min={self.p_min}. Got {self.p_max} "
                f"instead."
            )
        return _LearnedNorms(embedding_dim, float(self.p_min), float(self.p_max))


class _LearnedNorms(WeighedDifferences):
    score_type = "logit"

    def __init__(self, embedding_dim: int, p_min: float, p_max: float):
        super().__init__(embedding_dim, BIAS)
        self.p_min, self.p_max = p_min, p_max
        folds = {(1.0, 1.0): "manhattan", (2.0, 2.0): "euclidean"}
        self.metric = folds.get((p_min, p_max))
        self.exponent = nn.Parameter(
            torch.zeros(embedding_dim), requires_grad=p_min < p_max
        )

    def _compare(self, a, b, weights, exponents):
        # By logarithms: in two thirds of the time of pow and its gradients. Where there
        # is no difference these are 0, or that of the smallest float.
        smallest = torch.finfo(a.dtype).tiny
        logs = (a - b).abs().clamp(min=smallest).log()
        return -((exponents * logs).exp() @ weights)

    def _weights(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        exponents = self.p_min + (self.p_max - self.p_min) * self.exponent.sigmoid()
        return F.softplus(self.weight).to(like.dtype), exponents.to(like.dtype)

    def scores(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score all pairs: (n, d) and (m, d) -> (n, m)."""
        with torch.autocast(a.device.type, enabled=False):
            self._set_out(a, b)
            scores = all_pairs(
                self._compare, a, b, self._weights(a), floats_per_pair=a.shape[1]
            )
            return self.bias.to(a.dtype) + scores

    def paired(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score row by row: (n, d) and (n, d) -> (n,)."""
        with torch.autocast(a.device.type, enabled=False):
            self._set_out(a, b)
            return self.bias.to(a.dtype) + self._compare(a, b, *self._weights(a))

    def fold(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Weigh components where the head folds: (n, d) -> (n, d)."""
        if self.metric is None:
            return embeddings
        weights, _ = self._weights(embeddings)
        return embeddings * weights.pow(1 / self.p_min)
