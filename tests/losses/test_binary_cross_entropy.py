import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.heads import CosineHead, EuclideanHead
from skfsl.losses import BinaryCrossEntropyLoss

REDUCTIONS = ["mean", "clipped", "top", "focal"]


def slow_reduce(probabilities, reduction, clip, top, gamma):
    """One number for the probabilities given to the truth."""
    costs = [-p.log() for p in probabilities]
    if reduction == "clipped":
        costs = [c - clip for c in costs if c > clip]
    if reduction == "top":
        costs = sorted(costs, reverse=True)[
            : max(1, math.ceil(top * len(costs) - 1e-3))
        ]
    if reduction == "focal":  # Lin 2017, equation 4
        costs = [(1 - p) ** gamma * -p.log() for p in probabilities]
    return sum(costs) / len(costs) if costs else torch.zeros(())


def slow_loss(s, labels, temperature, bias, balanced, reduction, **settings):
    same, different = [], []
    for i in range(len(labels)):
        for j in range(len(labels)):
            if i != j:
                p = 1 / (1 + (-(s[i][j] / temperature + bias)).exp())
                if labels[i] == labels[j]:
                    same.append(p)
                else:
                    different.append(1 - p)
    kinds = [same, different] if balanced else [same + different]
    parts = [slow_reduce(kind, reduction, **settings) for kind in kinds]
    return sum(parts) / len(parts)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("balanced", [True, False], ids=["balanced", "all"])
@settings(deadline=None, max_examples=8)
@given(
    seed=st.integers(0, 1000), n=st.integers(1, 8), n_classes=st.integers(1, 4),
    name=st.sampled_from(["euclidean", "cosine", "logit"]), clip=st.floats(0, 1),
    top=st.sampled_from([1e-9, 0.1, 0.5, 1.0]), gamma=st.sampled_from([0.0, 0.5, 2.0]),
)  # fmt: skip
def test_equals_slow_loops(
    reduction, balanced, make_head, make_batch, equals_slow,
    seed, n, n_classes, name, clip, top, gamma,
):  # fmt: skip
    settings = {"clip": clip, "top": top, "gamma": gamma}
    loss = BinaryCrossEntropyLoss(
        reduction, balanced=balanced, temperature=2.0, bias=0.5, **settings
    )
    equals_slow(
        loss.build(3, n_classes),
        lambda s, y: slow_loss(s, y, 2.0, 0.5, balanced, reduction, **settings),
        make_head(name),
        *make_batch(seed, n, n_classes),
    )


# Logits 1 - d²: 0 for the mates, -3 and 0 for the strangers, in both orders.
LINE = torch.tensor([[0.0], [1.0], [2.0]])
LABELS = torch.tensor([0, 0, 1])
EASY = math.log(1 + math.exp(-3))
EVEN = math.log(2)


@pytest.mark.parametrize(
    ("settings", "by_hand"),
    [
        ({}, (EVEN + (EASY + EVEN) / 2) / 2),
        ({"balanced": False}, (2 * EVEN + 2 * EASY + 2 * EVEN) / 6),
        ({"reduction": "clipped"}, EVEN - 0.1),
        ({"reduction": "top", "top": 0.5}, EVEN),
        (
            {"reduction": "focal"},
            (EVEN / 4 + (EASY * (1 / (1 + math.exp(3))) ** 2 + EVEN / 4) / 2) / 2,
        ),
    ],
)
def test_by_hand(settings, by_hand):
    loss = BinaryCrossEntropyLoss(temperature=1.0, bias=1.0, **settings)
    assert loss(LINE, LABELS, EuclideanHead()).item() == pytest.approx(by_hand)


def test_logits_of_a_head_are_taken_as_they_are(make_batch, make_head):
    x, labels = make_batch(0)
    plain = BinaryCrossEntropyLoss(temperature=1.0, bias=0.0)
    head = make_head("logit")
    assert BinaryCrossEntropyLoss()(x, labels, head) == plain(x, labels, head)


@pytest.mark.parametrize(
    ("head", "width", "temperature", "bias"),
    [
        (EuclideanHead(), 3, 1.0, 4.0), (EuclideanHead(), 16, 4.0, 4.0),
        (EuclideanHead(), 128, 16.0, 4.0), (CosineHead(), 3, 0.1, -5.0),
    ],
)  # fmt: skip
def test_default_logits_of_other_scores(make_batch, head, width, temperature, bias):
    x, labels = make_batch(0, d=width)
    named = BinaryCrossEntropyLoss(temperature=temperature, bias=bias)
    assert BinaryCrossEntropyLoss()(x, labels, head) == named(x, labels, head)


def test_focal_of_gamma_0_and_the_whole_top_are_the_mean(make_batch):
    x, labels = make_batch(0)
    mean = BinaryCrossEntropyLoss()(x, labels, EuclideanHead())
    for other in [
        BinaryCrossEntropyLoss("focal", gamma=0.0),
        BinaryCrossEntropyLoss("top", top=1.0),
        BinaryCrossEntropyLoss("clipped", clip=0.0),
    ]:
        torch.testing.assert_close(other(x, labels, EuclideanHead()), mean)


def test_a_share_is_not_rounded_up_for_its_last_digit():
    # In float32, 0.6 of 25 is a little more than 15.
    a = torch.cat([torch.arange(25.0), torch.zeros(25)])[:, None]
    loss = BinaryCrossEntropyLoss("top", top=0.6, temperature=1.0, bias=0.0)
    loss = loss.paired(a, 0 * a, torch.arange(50) < 25, EuclideanHead())
    pull = sum(d**2 for d in range(10, 25)) / 15
    assert loss.item() == pytest.approx((pull + math.log(2)) / 2)


def test_balanced_kinds_weigh_the_same_however_many_they_are():
    # 2 pairs of one class and 18 of two, counted in both orders.
    x = torch.tensor([[0.0], [1.0], [5.0], [6.0], [7.0]])
    labels = torch.tensor([0, 0, 1, 2, 3])
    loss = BinaryCrossEntropyLoss(temperature=1.0, bias=0.0)(x, labels, EuclideanHead())
    # All strangers but those at 1 and 2 cost next to nothing.
    far = [(i - j) ** 2 for i, j in [(0, 5), (0, 6), (0, 7), (1, 5), (1, 6), (1, 7)]]
    far += [1, 1, 4]
    push = sum(math.log1p(math.exp(-d)) for d in far) / 9
    assert loss.item() == pytest.approx((math.log(1 + math.e) + push) / 2)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_extreme_logits_have_finite_gradients(reduction, scale):
    x = (scale * torch.tensor([[0.0], [0.0], [1.0], [-1.0]])).requires_grad_()
    loss = BinaryCrossEntropyLoss(reduction, gamma=0.5, temperature=1.0)
    loss = loss(x, torch.tensor([0, 0, 1, 1]), EuclideanHead())
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
