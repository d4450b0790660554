import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.heads import CosineHead, EuclideanHead
from skfsl.losses import TripletLoss

MININGS = ["semi_hard", "batch_all", "batch_hard"]


def slow_loss(s, labels, margin, mining, cosine):
    everyone = range(len(labels))
    square = [[2 - 2 * v if cosine else -v for v in row] for row in s]
    d = [[v.sqrt() if v > 0 else 0 * v for v in row] for row in square]
    costs = []
    for a in everyone:
        mates = [d[a][p] for p in everyone if p != a and labels[p] == labels[a]]
        strangers = [d[a][n] for n in everyone if labels[n] != labels[a]]
        if mining == "batch_hard" and mates and strangers:  # Hermans 2017, eq. 5
            gap = max(mates) - min(strangers)
            soft = margin == "soft"
            cost = (1 + gap.exp()).log() if soft else (margin + gap).clamp(min=0)
            costs.append(cost)
        for p in mates if mining != "batch_hard" else []:
            for n in strangers:
                semi_hard = 0 < n - p <= margin
                if semi_hard if mining == "semi_hard" else margin + p - n > 0:
                    costs.append(margin + p - n)
    return sum(costs) / len(costs) if costs else torch.zeros(())


@pytest.mark.parametrize(
    ("mining", "margin"),
    [*((m, v) for m in MININGS for v in (0.3, 2.0)), ("batch_hard", "soft")],
)
@pytest.mark.parametrize("cosine", [False, True], ids=["euclidean", "cosine"])
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 1000), n=st.integers(1, 10), n_classes=st.integers(1, 4))
def test_equals_slow_loops(
    mining, margin, cosine, make_batch, equals_slow, seed, n, n_classes
):
    equals_slow(
        TripletLoss(margin, mining=mining).build(3, n_classes),
        lambda s, y: slow_loss(s, y, margin, mining, cosine),
        CosineHead() if cosine else EuclideanHead(),
        *make_batch(seed, n, n_classes),
    )


# Anchors 0, 1: mates at 1; strangers at 3 and 5, at 2 and 4. Anchors 3, 5: mates at
# 2; strangers at 3 and 2, at 5 and 4.
LINE = torch.tensor([[0.0], [1.0], [3.0], [5.0]])
LABELS = torch.tensor([6, 6, 2, 2])


@pytest.mark.parametrize(
    ("mining", "margin", "by_hand"),
    [
        # One triplet of each anchor: differences 2, 1, 1 (not 0) and 2.
        ("semi_hard", 2.5, (0.5 + 1.5 + 1.5 + 0.5) / 4),
        ("semi_hard", 2.0, (0.0 + 1.0 + 1.0 + 0.0) / 4),
        ("semi_hard", 0.5, 0.0),
        ("batch_all", 2.5, (0.5 + 1.5 + 1.5 + 2.5 + 0.5) / 5),
        ("batch_hard", 2.5, (0.5 + 1.5 + 2.5 + 0.5) / 4),
        (
            "batch_hard",
            "soft",
            sum(math.log1p(math.exp(gap)) for gap in (-2, -1, 0, -2)) / 4,
        ),
    ],
)
def test_by_hand(mining, margin, by_hand):
    loss = TripletLoss(margin, mining=mining)(LINE, LABELS, EuclideanHead())
    assert loss.item() == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("mining", ["semi_hard", "batch_all"])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_counts_are_exact_where_distances_tie(mining, scale):
    """On a grid most gaps lie at the margin exactly: each triplet counts once."""
    g = torch.Generator().manual_seed(0)
    x = scale * torch.randint(8, (20, 1), generator=g).float()
    x = torch.cat([x, -x])  # about 0: the head's distances are exact
    labels = torch.randint(5, (40,), generator=g)
    margin = 2 * scale
    rows = -(x - x.T).square()
    slow = slow_loss(list(rows), labels.tolist(), margin, mining, cosine=False)
    loss = TripletLoss(margin, mining=mining)(x, labels, EuclideanHead())
    assert loss.item() == pytest.approx(slow.item(), rel=1e-5)


@pytest.mark.parametrize("mining", MININGS)
def test_default_margin(mining, make_batch):
    for width, head, margin in [
        (16, EuclideanHead(), 0.8), (4, EuclideanHead(), 0.4), (16, CosineHead(), 0.2)
    ]:  # fmt: skip
        x, labels = make_batch(0, d=width)
        by_default = TripletLoss(mining=mining)(x, labels, head)
        named = TripletLoss(margin, mining=mining)(x, labels, head)
        torch.testing.assert_close(by_default, named)


@pytest.mark.parametrize(
    ("mining", "margin", "value"),
    [
        ("batch_hard", 0.7, 0.7), ("batch_all", 0.7, 0.7), ("semi_hard", 0.7, 0.0),
        ("batch_hard", "soft", math.log(2)),
    ],
)  # fmt: skip
def test_embeddings_at_one_point_cost_the_margin(mining, margin, value):
    """There are no semi-hard triplets then."""
    x = torch.ones(6, 3)
    loss = TripletLoss(margin, mining=mining)
    loss = loss(x, torch.arange(6) % 2, EuclideanHead())
    assert loss.item() == pytest.approx(value)


def test_soft_margin_asks_for_the_hardest():
    with pytest.raises(ValueError, match=r"'soft'\) needs mining='batch_hard'. Got"):
        TripletLoss("soft").build(3, 2)
    TripletLoss("soft", mining="batch_hard").build(3, 2)


@pytest.mark.parametrize("mining", MININGS)
def test_collapse_is_told(mining):
    loss, head = TripletLoss(0.5, mining=mining), EuclideanHead()
    told = loss.diagnose([0.9, 0.501, 0.499, 0.5], 8, head)
    assert "stayed at 0.5 for 3 epochs" in told
    assert "collapsed" in told
    assert ("begin with mining='semi_hard'" in told) == (mining == "batch_hard")
    assert loss.diagnose([0.5, 0.5], 8, head) is None
    assert loss.diagnose([0.5, 0.5, 0.4], 8, head) is None


def test_collapse_is_told_by_the_margin_in_use():
    loss = TripletLoss(mining="batch_hard")
    assert "collapsed" in loss.diagnose([0.4] * 3, 4, EuclideanHead())
    assert loss.diagnose([0.4] * 3, 4, CosineHead()) is None
    assert "collapsed" in loss.diagnose([0.2] * 3, 4, CosineHead())
    soft = TripletLoss("soft", mining="batch_hard")
    assert "collapsed" in soft.diagnose([math.log(2)] * 3, 4, EuclideanHead())


@pytest.mark.parametrize("mining", MININGS)
def test_memory_is_quadratic(mining):
    """512 samples: no tensor of (n, n, n), which had 134 million elements."""
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            for o in out if isinstance(out, tuple) else (out,):
                if isinstance(o, torch.Tensor):
                    largest = max(largest, o.numel())
            return out

    x = torch.randn(512, 4, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    with Watch():
        loss = TripletLoss(mining=mining)(x, torch.arange(512) % 8, EuclideanHead())
        loss.backward()
    assert largest <= 512 * 513
