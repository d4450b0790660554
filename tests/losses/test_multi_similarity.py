import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.heads import CosineHead
from skfsl.losses import MultiSimilarityLoss


def slow_loss(s, labels, alpha, beta, base, epsilon):
    """Wang 2019, sample by sample: mining, then weighting."""
    total = torch.zeros((), dtype=torch.float64)
    everyone = range(len(labels))
    for i in everyone:
        mates = [j for j in everyone if j != i and labels[j] == labels[i]]
        strangers = [j for j in everyone if labels[j] != labels[i]]
        if epsilon is not None:
            far = min((s[i][p] for p in mates), default=math.inf)
            near = max((s[i][n] for n in strangers), default=-math.inf)
            mates = [p for p in mates if s[i][p] < near + epsilon]
            strangers = [n for n in strangers if s[i][n] > far - epsilon]
        pull = 1 + sum((-alpha * (s[i][p] - base)).exp() for p in mates)
        push = 1 + sum((beta * (s[i][n] - base)).exp() for n in strangers)
        total = total + torch.as_tensor(pull).log() / alpha
        total = total + torch.as_tensor(push).log() / beta
    return total / len(labels)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, None])
@settings(deadline=None, max_examples=10)
@given(
    seed=st.integers(0, 1000), n=st.integers(1, 8), n_classes=st.integers(1, 4),
    alpha=st.sampled_from([1.0, 3.0]), beta=st.sampled_from([2.0, 50.0]),
    base=st.sampled_from([0.0, 0.5]),
)  # fmt: skip
def test_equals_slow_loops(
    epsilon, make_batch, equals_slow, seed, n, n_classes, alpha, beta, base
):
    loss = MultiSimilarityLoss(alpha, beta=beta, base=base, epsilon=epsilon)
    equals_slow(
        loss.build(3, n_classes),
        lambda s, y: slow_loss(s, y, alpha, beta, base, epsilon),
        CosineHead(),
        *make_batch(seed, n, n_classes),
    )


def test_by_hand():
    # Cosines: 0-1 0, 0-2 0, 1-2 1. Sample 2 has no mate, so that it costs nothing.
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    loss = MultiSimilarityLoss(beta=2.0)(x, torch.tensor([0, 0, 1]), CosineHead())
    high, low = math.log(1 + math.e) / 2, math.log(1 + 1 / math.e) / 2
    assert loss.item() == pytest.approx((high + low + high + high) / 3)


def test_mining_leaves_out_what_is_easy():
    # The mate's cosine is 1, both strangers' are 0.
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    assert MultiSimilarityLoss()(x, labels, CosineHead()) == 0
    assert MultiSimilarityLoss(epsilon=None)(x, labels, CosineHead()) > 0.1
    # A slack of more than their difference mines all.
    loss = MultiSimilarityLoss(epsilon=1.01)(x, labels, CosineHead())
    assert loss == MultiSimilarityLoss(epsilon=None)(x, labels, CosineHead())
