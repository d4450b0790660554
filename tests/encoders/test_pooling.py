import math

import pytest
import torch
from torch import nn

from skfsl.encoders import Conv4, ConvNet, Darknet, ResNet
from skfsl.encoders._pooling import (
    POOLINGS,
    CovariancePooling,
    GeneralizedMeanPooling,
    build_pooling,
)


@pytest.fixture
def maps():
    torch.manual_seed(0)
    return torch.randn(3, 4, 2, 5)


def covariance_by_loops(f):
    """Build the whole matrix of one sample, as the paper states it."""
    c, h, w = f.shape
    out = torch.zeros(c, c)
    for i in range(c):
        for j in range(c):
            v = sum(f[i, a, b] * f[j, a, b] for a in range(h) for b in range(w))
            v = v / (h * w)
            out[i, j] = torch.sign(v) * torch.sqrt(torch.abs(v) + 1e-5)
    return out.flatten()


@pytest.mark.parametrize("name", ["average", "flatten", "max"])
def test_plain_poolings_by_loops(name, maps):
    reduce = {"average": torch.mean, "max": torch.amax, "flatten": torch.flatten}
    slow = torch.stack(
        [torch.stack([reduce[name](m) for m in sample]).flatten() for sample in maps]
    )
    torch.testing.assert_close(build_pooling(name, 4)(maps), slow)


def test_covariance_by_hand():
    # Two channels at two positions: (1, -2) and (3, 2).
    f = torch.tensor([[[[1.0, 3.0]], [[-2.0, 2.0]]]])
    # Means of products: 1·1 and 3·3 -> 5; -2·1 and 2·3 -> 2; 4 and 4 -> 4.
    expected = [math.sqrt(5.00001), math.sqrt(2) * math.sqrt(2.00001), 2.0000025]
    assert CovariancePooling(2)(f)[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_distances_are_those_of_the_whole_matrix(maps):
    ours = CovariancePooling(4)(maps)
    whole = torch.stack([covariance_by_loops(f) for f in maps])
    assert ours.shape == (3, 10)
    torch.testing.assert_close(torch.cdist(ours, ours), torch.cdist(whole, whole))
    torch.testing.assert_close(ours @ ours.T, whole @ whole.T)


def test_negative_products_keep_their_sign():
    f = torch.tensor([[[[2.0]], [[-2.0]]]])
    assert CovariancePooling(2)(f)[0, 1] < 0


def test_wide_maps_are_reduced_to_64_channels():
    pooling = build_pooling("covariance", 65)
    assert isinstance(pooling[0], nn.Conv2d)
    assert pooling(torch.rand(2, 65, 3, 3)).shape == (2, 2080)
    assert isinstance(build_pooling("covariance", 64), CovariancePooling)


def test_covariance_is_not_saved_with_the_weights():
    assert not CovariancePooling(4).state_dict()


def test_generalised_mean_by_hand():
    f = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    assert GeneralizedMeanPooling(3)(f).item() == pytest.approx(12 ** (1 / 3))
    assert GeneralizedMeanPooling(2)(f).item() == pytest.approx((14 / 3) ** 0.5)


def test_generalised_mean_goes_from_the_mean_to_the_maximum(maps):
    maps = maps.abs() * 1e6
    mean, largest = maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))
    torch.testing.assert_close(GeneralizedMeanPooling(1)(maps), mean)
    torch.testing.assert_close(
        GeneralizedMeanPooling(1e5)(maps), largest, rtol=1e-4, atol=0
    )
    between = GeneralizedMeanPooling()(maps)
    assert ((between > mean) & (between < largest)).all()


def test_gradient_of_the_generalised_mean_is_that_of_its_definition(maps):
    maps = maps.double().abs().add(0.1)
    pooling = GeneralizedMeanPooling().double()
    grads = []
    for direct in (False, True):
        x = maps.clone().requires_grad_()
        pooling.zero_grad()
        p = pooling.log_p.exp()
        out = x.pow(p).mean(dim=(2, 3)).pow(1 / p) if direct else pooling(x)
        out.square().sum().backward()
        grads.append((x.grad, pooling.log_p.grad.clone()))
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(
            ours, theirs, rtol=1e-4, atol=1e-6, check_dtype=False
        )


def test_generalised_mean_of_nothing_positive_is_finite():
    x = torch.full((2, 3, 4, 4), -1.0, requires_grad=True)
    pooling = GeneralizedMeanPooling()
    pooling(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(pooling.log_p.grad).all()


@pytest.mark.parametrize("name", ["average", "covariance", "gem"])
def test_sums_are_float32_under_autocast(name, maps):
    pooling, low = build_pooling(name, 4), maps.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        out = pooling(low)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, pooling(low.float()))


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize(
    "part",
    [
        Conv4(width=6),
        ConvNet(2, width=6),
        ResNet((4, 6), stem=4),
        Darknet((4, 6), stem=4),
    ],
    ids=lambda part: type(part).__name__,
)
def test_every_pooling_in_every_encoder(part, name):
    torch.manual_seed(0)
    module = type(part)(**{**part.get_params(), "pooling": name}).build((1, 40, 33))
    out = module(torch.rand(3, 1, 40, 33))
    positions = {"Conv4": 4, "ConvNet": 80, "ResNet": 80, "Darknet": 90}
    expected = {"covariance": 21, "flatten": 6 * positions[type(part).__name__]}
    assert out.shape == (3, expected.get(name, 6))
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())
