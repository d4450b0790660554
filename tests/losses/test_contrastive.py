import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.heads import CosineHead, EuclideanHead
from skfsl.losses import ContrastiveLoss

heads = pytest.mark.parametrize(
    "head", [EuclideanHead(), CosineHead()], ids=lambda h: type(h).__name__
)


def slow_loss(x, labels, margin, cosine):
    """Hadsell 2006, equation 4, pair by pair; a mean for each kind."""
    costs = {True: [], False: []}
    for i in range(len(x)):
        for j in range(len(x)):
            if i == j:
                continue
            a, b = x[i], x[j]
            if cosine:
                a, b = a / math.hypot(*a), b / math.hypot(*b)
            d = math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))
            same = bool(labels[i] == labels[j])
            costs[same].append(d**2 if same else max(0.0, margin - d) ** 2)
    means = [sum(c) / len(c) if c else 0.0 for c in costs.values()]
    return float(sum(means)) / 2


def batch(seed, n=12, n_classes=4, d=3):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    return x, torch.randint(n_classes, (n,), generator=g)


@heads
@pytest.mark.parametrize("margin", [0.3, 1.0, 3.0])
def test_equals_slow_loops(head, margin):
    x, labels = batch(0)
    loss = ContrastiveLoss(margin).build(3, 4)(x, labels, head)
    slow = slow_loss(x.numpy(), labels, margin, isinstance(head, CosineHead))
    assert loss.item() == pytest.approx(slow, rel=1e-9)


def test_by_hand():
    # Same: 1² = 1. Different: (2 - 1.5)² = 1/4 and (2 - 0.5)² = 9/4, their mean 5/4.
    x = torch.tensor([[0.0], [1.0], [1.5]])
    loss = ContrastiveLoss(margin=2.0)(x, torch.tensor([7, 7, 3]), EuclideanHead())
    assert loss.item() == pytest.approx((1 + 5 / 4) / 2)


def test_by_hand_on_cosines():
    # A right angle is a chord of length sqrt(2).
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    same = ContrastiveLoss()(x, torch.tensor([0, 0]), CosineHead())
    different = ContrastiveLoss(2.0)(x, torch.tensor([0, 1]), CosineHead())
    assert same.item() == pytest.approx(1.0)
    assert different.item() == pytest.approx((2 - math.sqrt(2)) ** 2 / 2)


@heads
def test_gradients_are_right(head):
    x, labels = batch(1, n=6)
    loss = ContrastiveLoss(margin=1.5)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, head), (x,))


@heads
def test_gradients_are_finite_where_samples_coincide(head):
    x = torch.ones(4, 3, requires_grad=True)
    loss = ContrastiveLoss(1.0)(x, torch.tensor([0, 0, 1, 1]), head)
    loss.backward()
    # A cosine of 1 - 1e-7 is a chord of 4e-4.
    assert loss.item() == pytest.approx(0.5, abs=1e-3)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]], ids=["same", "different"])
def test_a_batch_of_one_kind_of_pairs_works(labels):
    x, _ = batch(2, n=3)
    loss = ContrastiveLoss(1.0)(x, torch.tensor(labels), EuclideanHead())
    slow = slow_loss(x.numpy(), labels, 1.0, cosine=False)
    assert loss.item() == pytest.approx(slow)


def test_a_single_sample_costs_nothing():
    assert ContrastiveLoss()(torch.ones(1, 2), torch.tensor([0]), EuclideanHead()) == 0


@heads
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000))
def test_order_and_names_of_classes_do_not_matter(head, seed):
    x, labels = batch(seed)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    renamed = torch.tensor([40, -3, 8, 1000])[labels]
    loss = ContrastiveLoss()
    torch.testing.assert_close(
        loss(x[order], renamed[order], head), loss(x, labels, head)
    )


def test_the_default_margin_is_one_in_each_component():
    g = torch.Generator().manual_seed(0)
    x = 4 * torch.randn(8, 16, generator=g)
    labels = torch.arange(8) % 3
    by_default = ContrastiveLoss()(x, labels, EuclideanHead())
    assert by_default == ContrastiveLoss(4.0)(x, labels, EuclideanHead())
    by_default = ContrastiveLoss()(x, labels, CosineHead())
    assert by_default == ContrastiveLoss(1.0)(x, labels, CosineHead())


@pytest.mark.parametrize("margin", [0, -1.0, "1"])
def test_bad_margin_raises(margin):
    with pytest.raises(ValueError, match=r"'margin' parameter of ContrastiveLoss must"):
        ContrastiveLoss(margin=margin).build(2, 2)
