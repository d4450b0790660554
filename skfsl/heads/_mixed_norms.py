"""A small network that mixes several norms of each component."""

from collections.abc import Callable
from numbers import Integral

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from skfsl.heads._blocks import all_pairs
from skfsl.heads._cosine import CosineHead
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["MixedNormsHead"]


def _cosine(a, b):
    # Zero vectors stay zero; F.normalize gives them gradients of 1e12.
    head = CosineHead()
    return 1 - head.fold(a) * head.fold(b)


def _softmax(a, b):
    return (a - b).abs().softmax(dim=-1)


NORMS: dict[str, Callable] = {
    "absolute": lambda a, b: (a - b).abs(),
    "cosine": _cosine,
    "product": lambda a, b: a * b,
    "softmax": _softmax,
    "squared": lambda a, b: (a - b).square(),
    "sum": lambda a, b: a + b,
}


class MixedNormsHead(Part):
    """Score pairs by a small network that mixes several norms of each component.

    For each component of two embeddings some numbers are computed, by default the
    product, the sum, the absolute and the squared difference. A network of one hidden
    layer, the same for all components, makes one number of them; a learned weighted
    sum over the components is the score, a logit. [1]_ recognises whales by it, of a
    few photos each.

    Use it with a loss on logits and with plenty of pairs: it is not a metric (a
    sample may be closer to another than to itself), and is slower by far than the
    other heads.

    Parameters
    ----------
    norms : tuple of str or callable, default=("product", "sum", "absolute", "squared")
        What is computed of each component: names or functions ``f(a, b)`` of two
        tensors whose last axis has the components, the axes before to be broadcast.
        A function returns a number for each component, or one for all of them (its
        last axis has length 1). The names, with x and y the components of `a` and
        `b`:

        - "product", "sum": ``x y``, ``x + y``;
        - "absolute", "squared": ``|x - y|``, ``(x - y)²``;
        - "cosine": ``1 - x y`` after both embeddings were brought to length 1;
        - "softmax": the softmax of all ``|x - y|`` over the components.

    hidden : int, default=32
        Width of the hidden layer.

    Attributes
    ----------
    score_type : str
        "logit".

    See Also
    --------
    DenseSigmoidHead : One norm, the absolute difference, and no hidden layer.

    Notes
    -----
    ``metric`` is None: embeddings do not fold. Scores are symmetric as far as the
    norms are; all that have names are. Functions are pickled by name: define them in
    a module.

    Weights start at random, uniform as by Glorot and Bengio (AISTATS, 2010), biases
    at 0.

    All pairs are scored in blocks, and computed anew in the backward pass: a batch of
    512 embeddings of 512 components takes less than 64 MiB for both passes on a CPU.
    A GPU has blocks of up to 128 MiB. The hidden layer of all pairs alone would take
    16 GiB.

    References
    ----------
    .. [1] M. Piotte. Whale Recognition Model with score 0.78563. Notebook of the
       Humpback Whale Identification Challenge, Kaggle, 2018.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import MixedNormsHead
    >>> head = MixedNormsHead(("absolute", "cosine")).build(embedding_dim=8)
    >>> head.scores(torch.ones(3, 8), torch.zeros(2, 8)).shape
    torch.Size([3, 2])
    """

    _parameter_constraints: dict = {
        "norms": [tuple, list],
        "hidden": [Interval(Integral, 1, None, closed="left")],
    }
    score_type = "logit"

    def __init__(self, norms=("product", "sum", "absolute", "squared"), *, hidden=32):
        self.norms = norms
        self.hidden = hidden

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
            If a norm has no such name, there is none, or `hidden` is not above 0.
        """
        self._validate_params()
        for norm in self.norms or (None,):
            if not (callable(norm) or (isinstance(norm, str) and norm in NORMS)):
                raise ValueError(
                    f"The 'norms' parameter of MixedNormsHead must be a tuple of names "
                    f"among {sorted(NORMS)} or functions, at least one. Got "
                    f"{self.norms!r} instead."
                )
        return _MixedNorms(embedding_dim, tuple(self.norms), self.hidden)


class _MixedNorms(nn.Module):
    score_type = "logit"
    metric = None
    starts_random = True

    def __init__(self, embedding_dim: int, norms: tuple, hidden: int):
        super().__init__()
        self.norms = norms
        self.mix, self.one = nn.Linear(len(norms), hidden), nn.Linear(hidden, 1)
        self.dense = nn.Linear(embedding_dim, 1)
        for layer in (self.mix, self.one, self.dense):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def _weights(self, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mix = torch.cat([self.mix.weight, self.mix.bias[:, None]], dim=1)
        weights = (mix, self.one.weight[0], self.dense.weight[0])
        return tuple(weight.to(like.dtype) for weight in weights)

    def _bias(self, like: torch.Tensor) -> torch.Tensor:
        return (self.one.bias * self.dense.weight.sum() + self.dense.bias).to(like)

    def _compare(self, a, b, mix, one, dense):
        shape = torch.broadcast_shapes(a.shape, b.shape)
        values = [_norm(norm, a, b, shape) for norm in self.norms]
        values.append(a.new_ones(()).expand(shape).reshape(-1))  # of the bias
        return _Shared.apply(torch.stack(values), mix, one).view(shape) @ dense

    def scores(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score all pairs: (n, d) and (m, d) -> (n, m)."""
        with torch.autocast(a.device.type, enabled=False):
            floats = a.shape[1] * max(self.mix.out_features, len(self.norms) + 1)
            scores = all_pairs(
                self._compare, a, b, self._weights(a), floats_per_pair=floats
            )
            return scores + self._bias(a)

    def paired(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Score row by row: (n, d) and (n, d) -> (n,)."""
        with torch.autocast(a.device.type, enabled=False):
            return self._compare(a, b, *self._weights(a)) + self._bias(a)

    def fold(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return embeddings as they are."""
        return embeddings


def _norm(norm, a, b, shape):
    """Return a norm of all components, (n_pairs * d,)."""
    value = (NORMS[norm] if isinstance(norm, str) else norm)(a, b)
    if value.shape not in (shape, (*shape[:-1], 1)):
        raise ValueError(
            f"A norm of MixedNormsHead must return a number for each component, or one "
            f"for all (a last axis of length 1). {norm!r} returned shape "
            f"{tuple(value.shape)} for {tuple(a.shape)} and {tuple(b.shape)}, which "
            f"is neither {tuple(shape)} nor {(*shape[:-1], 1)}."
        )
    return value.expand(shape).reshape(-1)


class _Shared(torch.autograd.Function):
    """The network of one hidden layer: ``one · relu(mix @ values)`` a column.

    Autograd would keep the hidden layer and pass over it thrice as often: of it the
    gradients need nothing but which units are on.
    """

    @staticmethod
    def forward(ctx, values, mix, one):
        ctx.save_for_backward(values, mix, one)
        return one @ (mix @ values).relu_()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        values, mix, one = ctx.saved_tensors
        on = (mix @ values).gt_(0)
        sums = on @ (values * grad).T
        by_values = grad * ((one[:, None] * mix).T @ on)
        return by_values, one[:, None] * sums, (mix * sums).sum(dim=1)
