import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.heads import CosineHead, EuclideanHead
from skfsl.losses import PrototypicalLoss

heads = pytest.mark.parametrize(
    "head", [EuclideanHead(), CosineHead()], ids=lambda h: type(h).__name__
)
each_way = pytest.mark.parametrize("folding", [True, False], ids=["folding", "split"])


def mean(rows):
    return torch.stack(rows).mean(dim=0)


def cross_entropy(query, own, prototypes, head, temperature):
    """-log softmax of the own class, from the definition."""
    scores = {
        c: head.paired(query[None], p[None]).item() / temperature
        for c, p in prototypes.items()
    }
    return -scores[own] + math.log(sum(math.exp(s) for s in scores.values()))


def slow_loss(x, labels, head, folding, temperature):
    labels = labels.tolist()
    rows = {c: [i for i, k in enumerate(labels) if k == c] for c in set(labels)}
    costs = []
    if folding:
        for i, own in enumerate(labels):
            if len(rows[own]) == 1:
                continue
            prototypes = {c: mean([x[j] for j in of]) for c, of in rows.items()}
            n, mu = len(rows[own]), prototypes[own]
            prototypes[own] = (n * mu - x[i]) / (n - 1)
            costs.append(cross_entropy(x[i], own, prototypes, head, temperature))
    else:
        half = {c: max(1, len(of) // 2) for c, of in rows.items()}
        prototypes = {c: mean([x[j] for j in of[: half[c]]]) for c, of in rows.items()}
        for own, of in rows.items():
            costs += [
                cross_entropy(x[i], own, prototypes, head, temperature)
                for i in of[half[own] :]
            ]
    return sum(costs) / len(costs)


def batch(seed, n=14, n_classes=4, d=3):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    return x, torch.randint(n_classes, (n,), generator=g)


@heads
@each_way
@pytest.mark.parametrize("temperature", [None, 0.5])
def test_equals_slow_loops(head, folding, temperature):
    x, labels = batch(0)
    labels[0] = 99  # a class of one sample
    loss = PrototypicalLoss(folding=folding, temperature=temperature).build(3, 5)
    used = temperature or (0.02 if isinstance(head, CosineHead) else 1.0)
    slow = slow_loss(x, labels, head, folding, used)
    assert loss(x, labels, head).item() == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize(
    ("width", "expected"), [(2, 1.0), (16, 4.0), (64, 16.0), (256, 16.0)]
)
def test_squared_distances_are_divided_by_a_quarter_of_the_width(width, expected):
    x = torch.randn(12, width, generator=torch.manual_seed(0))
    labels = torch.arange(12) % 4
    by_default = PrototypicalLoss()(x, labels, EuclideanHead())
    assert by_default == PrototypicalLoss(temperature=expected)(
        x, labels, EuclideanHead()
    )


def test_by_hand():
    # Query 0 of class A = {0, 2}: own prototype 2, the other's (4 + 6) / 2 = 5;
    # logits -4 and -25. Queries 2, 4, 6: (-4, -9), (-4, -9), (-4, -25).
    x = torch.tensor([[0.0], [2.0], [4.0], [6.0]])
    loss = PrototypicalLoss()(x, torch.tensor([5, 5, 1, 1]), EuclideanHead())
    by_hand = (2 * math.log(1 + math.exp(-21)) + 2 * math.log(1 + math.exp(-5))) / 4
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)


def test_by_hand_without_folding():
    # Supports 0 and 4, queries 2 and 6: logits (-4, -4) and (-4, -36).
    x = torch.tensor([[0.0], [2.0], [4.0], [6.0]])
    loss = PrototypicalLoss(folding=False)
    value = loss(x, torch.tensor([5, 5, 1, 1]), EuclideanHead())
    assert value.item() == pytest.approx((math.log(2) + math.log1p(math.exp(-32))) / 2)


def test_by_hand_with_a_number_of_shots():
    # Support 0 and 4, queries 2, 1 and 6, the last one of a class that keeps a query.
    x = torch.tensor([[0.0], [2.0], [1.0], [4.0], [6.0]]).double()
    labels = torch.tensor([5, 5, 5, 1, 1])
    head = EuclideanHead()
    one = PrototypicalLoss(folding=False, n_shot=1)(x, labels, head)
    costs = [math.log(2), math.log1p(math.exp(-8)), math.log1p(math.exp(-32))]
    assert one.item() == pytest.approx(sum(costs) / 3)
    # Two support examples of the first class, at 1; the second has none to spare.
    two = PrototypicalLoss(folding=False, n_shot=2)(x, labels, head)
    costs = [math.log1p(math.exp(0 - 9)), math.log1p(math.exp(4 - 25))]
    assert two.item() == pytest.approx(sum(costs) / 2)


@heads
@each_way
def test_gradients_are_right(head, folding):
    x, labels = batch(1, n=8, n_classes=3)
    labels[0] = 99
    loss = PrototypicalLoss(folding=folding)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, head), (x,))


@heads
@each_way
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_gradients_are_finite_where_samples_coincide(head, folding, value):
    x = torch.full((5, 3), value, requires_grad=True)
    loss = PrototypicalLoss(folding=folding)(x, torch.tensor([0, 0, 1, 1, 2]), head)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(3))
    assert torch.isfinite(x.grad).all()


def test_offset_does_not_change_the_loss():
    x, labels = batch(3)
    x = x.float()
    loss, head = PrototypicalLoss(), EuclideanHead()
    moved = loss(x + 100, labels, head)
    torch.testing.assert_close(moved, loss(x, labels, head), rtol=1e-4, atol=1e-4)


def test_keeps_full_precision_under_autocast():
    x, labels = batch(3)
    x, loss, head = x.float() + 10, PrototypicalLoss(), EuclideanHead()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(x, labels, head)
    torch.testing.assert_close(value, loss(x, labels, head), rtol=0, atol=0)


@each_way
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(folding, dtype):
    x, labels = batch(3)
    x, loss, head = x.to(dtype), PrototypicalLoss(folding=folding), EuclideanHead()
    x.requires_grad_()
    value = loss(x, labels, head)
    value.backward()
    assert value.dtype == torch.float32
    assert x.grad.dtype == dtype
    torch.testing.assert_close(value, loss(x.float(), labels, head), rtol=0, atol=0)


@each_way
def test_no_class_with_two_samples_raises(folding):
    loss = PrototypicalLoss(folding=folding)
    with pytest.raises(ValueError, match=r"at least 2 samples.*Got 3 .* of 3 class"):
        loss(torch.ones(3, 2), torch.tensor([4, 5, 6]), EuclideanHead())


@heads
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000))
def test_order_and_names_of_classes_do_not_matter(head, seed):
    x, labels = batch(seed)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    renamed = torch.tensor([40, -3, 8, 1000])[labels]
    loss = PrototypicalLoss()
    torch.testing.assert_close(
        loss(x[order], renamed[order], head), loss(x, labels, head)
    )


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000))
def test_names_of_classes_do_not_matter_without_folding(seed):
    x, labels = batch(seed)
    loss, head = PrototypicalLoss(folding=False), EuclideanHead()
    renamed = torch.tensor([40, -3, 8, 1000])[labels]
    torch.testing.assert_close(loss(x, renamed, head), loss(x, labels, head))


def test_scores_are_asked_for_once():
    calls = []

    class Counting(EuclideanHead):
        def scores(self, a, b):
            calls.append((len(a), len(b)))
            return super().scores(a, b)

    x, labels = batch(0)
    PrototypicalLoss()(x, labels, Counting())
    assert calls == [(14, 4)]


@pytest.mark.parametrize("bad", [{"temperature": 0}, {"folding": "yes"}])
def test_bad_parameters_raise(bad):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter of Prototyp"):
        PrototypicalLoss(**bad).build(2, 2)
