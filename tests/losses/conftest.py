"""Batches, a head that gives logits, and the comparison with slow loops."""

import pytest
import torch
from torch import nn

from skfsl.heads import CosineHead, EuclideanHead


class LogitHead(nn.Module):
    """Scores of no distance: not symmetric, of either sign, with weights."""

    score_type = "logit"

    def __init__(self):
        super().__init__()
        g = torch.Generator().manual_seed(0)
        weight = torch.randn(3, 3, generator=g, dtype=torch.float64)
        self.weight = nn.Parameter(weight)

    def scores(self, a, b):
        return a @ self.weight.to(a.dtype) @ b.T

    def paired(self, a, b):
        return (a @ self.weight.to(a.dtype) * b).sum(dim=1)


HEADS = {"euclidean": EuclideanHead, "cosine": CosineHead, "logit": LogitHead}


@pytest.fixture(scope="session")
def make_head():
    return lambda name: HEADS[name]()


@pytest.fixture(scope="session")
def make_batch():
    def make(seed, n=9, n_classes=3, d=3):
        g = torch.Generator().manual_seed(seed)
        x = torch.randn(n, d, generator=g, dtype=torch.float64)
        return x, torch.randint(n_classes, (n,), generator=g)

    return make


@pytest.fixture(scope="session")
def equals_slow():
    """Return a function that compares a loss and its gradient with slow loops."""

    def check(loss, slow, head, x, labels):
        def scored(x):
            rows = [[head.paired(a[None], b[None])[0] for b in x] for a in x]
            return slow(rows, labels.tolist())

        x = x.clone().requires_grad_()
        weights = list(head.parameters()) if isinstance(head, nn.Module) else []
        value, expected = loss(x, labels, head), scored(x)
        expected = torch.as_tensor(expected, dtype=x.dtype) + 0 * x.sum()
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
        gradients = [
            torch.autograd.grad(v, [x, *weights], allow_unused=True)
            for v in (value, expected)
        ]
        for ours, theirs in zip(*gradients, strict=True):
            ours = torch.zeros(()) if ours is None else ours
            theirs = torch.zeros_like(ours) if theirs is None else theirs
            torch.testing.assert_close(
                ours, theirs, rtol=1e-7, atol=1e-9, check_dtype=False
            )

    return check
