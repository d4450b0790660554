"""Losses on class proxies: normalised softmax, CosFace, ArcFace, proxy-anchor."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import losses as theirs

from skfsl import SiameseTransformer
from skfsl.heads import CosineHead
from skfsl.losses import (
    ArcFaceLoss,
    CosFaceLoss,
    NormalizedSoftmaxLoss,
    ProxyAnchorLoss,
)

EVERY = [NormalizedSoftmaxLoss, CosFaceLoss, ArcFaceLoss, ProxyAnchorLoss]
every_loss = pytest.mark.parametrize("cls", EVERY, ids=lambda c: c.__name__)
HEAD = CosineHead()


def built(part, proxies):
    """Build a loss with given proxies, (n_classes, d) or (n_classes, n_centers, d)."""
    if proxies.ndim == 2:
        proxies = proxies[:, None]
    loss = part.build(proxies.shape[2], len(proxies)).to(proxies.dtype)
    loss.load_state_dict({"proxies": proxies})
    return loss


def cosine(a, b):
    return (a @ b) / (a.norm() * b.norm())


def mean_cross_entropy(x, labels, proxies, own, scale):
    """A softmax with `own` of the cosine in the place of the right class."""
    costs = []
    for a, y in zip(x, labels, strict=True):
        cosines = [max(cosine(a, p) for p in centers) for centers in proxies]
        logits = [
            scale * (own(s) if c == y else s) for c, s in enumerate(map(float, cosines))
        ]
        costs.append(-math.log(math.exp(logits[y]) / sum(map(math.exp, logits))))
    return sum(costs) / len(costs)


def slow_normalized_softmax(x, labels, proxies, temperature):
    """Zhai and Wu 2019, equation 3."""
    return mean_cross_entropy(x, labels, proxies, lambda s: s, 1 / temperature)


def slow_cos_face(x, labels, proxies, margin, scale):
    """Wang 2018, equation 4."""
    return mean_cross_entropy(x, labels, proxies, lambda s: s - margin, scale)


def slow_arc_face(x, labels, proxies, margin, scale, n_centers=1):
    """Deng 2019, equation 3."""

    def own(s):
        angle = math.acos(s) + margin
        return math.cos(angle) if angle <= math.pi else s - margin * math.sin(margin)

    return mean_cross_entropy(x, labels, proxies, own, scale)


def slow_proxy_anchor(x, labels, proxies, margin, scale):
    """Kim 2020, equation 4."""
    pull, push, present = 0.0, 0.0, set(labels)
    for c, (p,) in enumerate(proxies):
        s = [float(cosine(a, p)) for a in x]
        own = [v for v, y in zip(s, labels, strict=True) if y == c]
        others = [v for v, y in zip(s, labels, strict=True) if y != c]
        if c in present:
            pull += math.log(1 + sum(math.exp(-scale * (v - margin)) for v in own))
        push += math.log(1 + sum(math.exp(scale * (v + margin)) for v in others))
    return pull / len(present) + push / len(proxies)


SLOW = {
    "normalized_softmax": (
        NormalizedSoftmaxLoss, slow_normalized_softmax, {"temperature": 0.3}
    ),
    "cos_face": (CosFaceLoss, slow_cos_face, {"margin": 0.2, "scale": 3.0}),
    "arc_face": (ArcFaceLoss, slow_arc_face, {"margin": 0.9, "scale": 3.0}),
    "sub-center": (
        ArcFaceLoss, slow_arc_face, {"margin": 0.5, "scale": 3.0, "n_centers": 3}
    ),
    "proxy_anchor": (ProxyAnchorLoss, slow_proxy_anchor, {"margin": 0.2, "scale": 4.0}),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 1000), n=st.integers(1, 8), n_classes=st.integers(1, 5))
def test_equals_slow_loops(name, make_batch, seed, n, n_classes):
    cls, slow, params = SLOW[name]
    x, labels = make_batch(seed, n, n_classes)
    proxies, _ = make_batch(seed + 1, n_classes * params.get("n_centers", 1))
    proxies = proxies.reshape(n_classes, -1, 3)
    value = built(cls(**params), proxies)(x, labels, HEAD)
    expected = slow(x, labels.tolist(), proxies, **params)
    assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", SLOW)
def test_gradients(name, make_batch):
    cls, _, params = SLOW[name]
    x, labels = make_batch(0, 6, 4)
    proxies, _ = make_batch(1, 4 * params.get("n_centers", 1))
    loss = built(cls(**params), proxies.reshape(4, -1, 3))

    def of(x, proxies):
        return torch.func.functional_call(loss, {"proxies": proxies}, (x, labels, HEAD))

    inputs = (x.requires_grad_(), loss.proxies.detach().clone().requires_grad_())
    assert torch.autograd.gradcheck(of, inputs)


# Cosines 1 with the own proxy and 0 with the other.
X, LABELS = torch.tensor([[2.0, 0.0], [0.0, 0.5]]), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (NormalizedSoftmaxLoss(0.5), math.log(1 + math.exp(-2))),
        (CosFaceLoss(0.25, scale=2), math.log(1 + math.exp(-1.5))),
        (ArcFaceLoss(math.pi / 3, scale=2), math.log(1 + math.exp(-1))),
        (
            ProxyAnchorLoss(0.5, scale=2),
            math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1)),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_by_hand(loss, by_hand):
    value = built(loss, 3 * torch.eye(2))(X, LABELS, HEAD)
    assert value.item() == pytest.approx(by_hand)


THEIRS = {
    "normalized_softmax": (
        NormalizedSoftmaxLoss(0.2), theirs.NormalizedSoftmaxLoss, {"temperature": 0.2}
    ),
    "cos_face": (
        CosFaceLoss(0.3, scale=8), theirs.CosFaceLoss, {"margin": 0.3, "scale": 8}
    ),
    "arc_face": (
        ArcFaceLoss(math.radians(40), scale=8), theirs.ArcFaceLoss,
        {"margin": 40, "scale": 8},
    ),
    "sub-center": (
        ArcFaceLoss(math.radians(40), scale=8, n_centers=3),
        theirs.SubCenterArcFaceLoss, {"margin": 40, "scale": 8, "sub_centers": 3},
    ),
    "proxy_anchor": (
        ProxyAnchorLoss(0.2, scale=8), theirs.ProxyAnchorLoss,
        {"margin": 0.2, "alpha": 8},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", THEIRS)
def test_equals_that_of_pytorch_metric_learning(name, make_batch):
    ours, cls, params = THEIRS[name]
    x, labels = make_batch(0, 24, 5, 4)
    loss = ours.build(4, 5).double()
    their = cls(num_classes=5, embedding_size=4, **params).double()
    with torch.no_grad():
        ((_, weights),) = their.named_parameters()
        flat = loss.proxies.flatten(0, 1)
        weights.copy_(flat if name == "proxy_anchor" else flat.T)
    x.requires_grad_()
    values = [loss(x, labels, HEAD), their(x, labels)]
    torch.testing.assert_close(*values)
    gradients = [torch.autograd.grad(value, x)[0] for value in values]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.2, math.pi / 2])
def test_a_smaller_angle_always_costs_less_in_arc_face(margin):
    angles = torch.linspace(0, math.pi, 400, dtype=torch.float64)
    widened = ArcFaceLoss(margin)._widened(angles.cos())
    assert (widened.diff() < 0).all()


@pytest.mark.parametrize("cls", [ArcFaceLoss, CosFaceLoss])
def test_without_margin_it_is_the_normalised_softmax(cls, make_batch):
    x, labels = make_batch(0, 9, 4)
    proxies, _ = make_batch(1, 4)
    values = [
        built(part, proxies)(x, labels, HEAD)
        for part in (cls(0.0, scale=4.0), NormalizedSoftmaxLoss(0.25))
    ]
    torch.testing.assert_close(*values)


@every_loss
def test_only_directions_count(cls, make_batch):
    x, labels = make_batch(0, 9, 4)
    proxies, _ = make_batch(1, 4)
    value = built(cls(), proxies)(x, labels, HEAD)
    torch.testing.assert_close(built(cls(), 7 * proxies)(5 * x, labels, HEAD), value)


@every_loss
@pytest.mark.parametrize("at", [1.0, -1.0], ids=["at the proxy", "opposite"])
def test_gradients_are_finite_at_the_ends_of_the_cosine(cls, at):
    loss = built(cls(), torch.eye(4))  # along an axis a cosine is 1 to the last digit
    x = (at * torch.eye(4)).requires_grad_()
    loss(x, torch.arange(4), HEAD).backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(loss.proxies.grad).all()


@every_loss
def test_half_precision_is_computed_in_float32(cls):
    loss = cls().build(8, 5)
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.arange(6) % 5
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(x, labels, HEAD)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(x.float(), labels, HEAD))


def test_the_nearest_center_alone_is_moved():
    loss = built(
        ArcFaceLoss(scale=1, n_centers=2),
        torch.tensor([[[1.0, 0.0], [-1.0, 0.1]], [[0.0, 1.0], [0.1, -1.0]]]),
    )
    loss(torch.tensor([[1.0, 0.2]]), torch.tensor([0]), HEAD).backward()
    moved = loss.proxies.grad.abs().sum(dim=2) > 0
    assert moved.tolist() == [[True, False], [True, False]]


@every_loss
def test_other_scores_than_cosines_are_refused(cls):
    X = torch.randn(8, 3)
    siamese = SiameseTransformer(loss=cls(), head="euclidean", max_epochs=1)
    with pytest.raises(ValueError, match=rf"{cls.__name__} is not defined on the"):
        siamese.fit(X, [0, 0, 1, 1, 2, 2, 3, 3])


@every_loss
def test_proxies_have_length_one_and_follow_the_generator(cls):
    torch.manual_seed(3)
    first = cls().build(6, 4).proxies
    assert first.shape == (4, 1, 6)
    torch.testing.assert_close(first.norm(dim=2), torch.ones(4, 1))
    torch.manual_seed(3)
    assert torch.equal(cls().build(6, 4).proxies, first)
