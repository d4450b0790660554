"""All pairs, a block of them at a time, forward and backward."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

__all__ = ["all_pairs"]

# Numbers in the largest tensor of a block. A mebibyte stays in the caches of a CPU;
# an accelerator is busy with 128 of them only.
_FLOATS = {"cpu": 2**18, "other": 2**25}


def all_pairs(
    compare: Callable[..., torch.Tensor],
    a: torch.Tensor,
    b: torch.Tensor,
    weights: tuple[torch.Tensor, ...],
    *,
    floats_per_pair: int,
) -> torch.Tensor:
    """Score all pairs; what a pair needs in between exists for one block at a time.

    The backward pass computes each block anew instead of keeping it, so that
    training is bounded by the same block. It cannot be differentiated twice.

    Parameters
    ----------
    compare : callable
        ``compare(a, b, *weights) -> scores`` for `a` of shape (r, 1, d) and `b` of
        shape (c, d), scores of shape (r, c). It draws no random numbers.
    a : Tensor of shape (n, d)
        Embeddings.
    b : Tensor of shape (m, d)
        Embeddings.
    weights : tuple of Tensor
        All that `compare` is to be differentiated by beside `a` and `b`.
    floats_per_pair : int
        Numbers that the largest tensor in `compare` has for a pair.

    Returns
    -------
    scores : Tensor of shape (n, m)
        What `compare` gives.
    """
    floats = _FLOATS.get(a.device.type, _FLOATS["other"])
    columns = min(max(1, floats // floats_per_pair), max(1, len(b)))
    rows = max(1, floats // (floats_per_pair * columns))
    return _InBlocks.apply(compare, (rows, columns), a, b, *weights)


def _blocks(ctx: Any, n: int, m: int) -> Iterator[tuple[slice, slice]]:
    rows, columns = ctx.size
    for i in range(0, n, rows):
        for j in range(0, m, columns):
            yield slice(i, i + rows), slice(j, j + columns)


class _InBlocks(torch.autograd.Function):
    # Results and gradients are written into tensors made beforehand: small ones that
    # outlive a block would lie between the large ones and keep their memory apart.

    @staticmethod
    def forward(ctx, compare, size, a, b, *weights):
        ctx.compare, ctx.size = compare, size
        ctx.save_for_backward(a, b, *weights)
        scores = a.new_empty(len(a), len(b))
        for i, j in _blocks(ctx, len(a), len(b)):
            scores[i, j] = compare(a[i, None], b[j], *weights)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        a, b, *weights = (
            tensor.detach().requires_grad_(needed)
            for tensor, needed in zip(
                ctx.saved_tensors, ctx.needs_input_grad[2:], strict=True
            )
        )
        totals = [torch.zeros_like(t) for t in (a, b, *weights)]
        off = torch.autocast(grad.device.type, enabled=False)
        for i, j in _blocks(ctx, len(a), len(b)):
            x, y = (t.detach().requires_grad_(t.requires_grad) for t in (a[i], b[j]))
            inputs = (x, y, *weights)
            places = (totals[0][i], totals[1][j], *totals[2:])
            wanted = [k for k, t in enumerate(inputs) if t.requires_grad]
            with torch.enable_grad(), off:
                scores = ctx.compare(x[:, None], y, *weights)
                grads = torch.autograd.grad(
                    scores, [inputs[k] for k in wanted], grad[i, j], allow_unused=True
                )
            for k, value in zip(wanted, grads, strict=True):
                if value is not None:
                    places[k].add_(value)
        return (None, None, *totals)
