"""What all convolutional encoders have in common."""

import pickle

import pytest
import torch
from torch import nn

from skfsl.encoders import Conv4, ConvNet, Darknet, ResNet, ResNet12
from skfsl.encoders._layers import ConvNorm

PARTS = [
    Conv4(width=6),
    ConvNet(3, width=6, pooling="average"),
    Darknet((4, 6), stem=4),
    ResNet((4, 6), stem=4),
    ResNet12((4, 4, 6, 6)),
]
SHAPES = [(1, 8, 8), (3, 28, 28), (4, 33, 21), (1, 105, 105), (3, 1, 1), (3, 5, 40)]

every_part = pytest.mark.parametrize("part", PARTS, ids=lambda p: type(p).__name__)


def build(part, shape=(3, 20, 20)):
    """Build a module whose normalisation has seen data."""
    torch.manual_seed(0)
    module = part.build(shape)
    with torch.no_grad():
        for _ in range(3):
            module(torch.rand(16, *shape))
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 2)
                norm.bias.normal_()
    return module


@every_part
@pytest.mark.parametrize("shape", SHAPES)
def test_takes_images_of_any_size(part, shape):
    module = part.build(shape).eval()
    for n in (1, 3):
        out = module(torch.rand(n, *shape))
        assert out.shape == (n, out.shape[1])
        assert out.dtype == torch.float32
        if type(part).__name__ != "Conv4":
            assert out.shape[1] == 6


@every_part
def test_gradients_reach_all_weights(part):
    module = build(part)
    module(torch.rand(8, 3, 20, 20)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


@every_part
def test_normalisation_in_the_weights_is_the_same_function(part, monkeypatch):
    module = build(part).eval()
    x = torch.rand(40, 3, 20, 20)
    folded = module(x)
    monkeypatch.setattr(
        ConvNorm, "forward", lambda self, x: self.norm(nn.Conv2d.forward(self, x))
    )
    torch.testing.assert_close(folded, module(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [1, 4])
def test_gradients_go_through_the_normalisation_in_the_weights(side):
    torch.manual_seed(0)
    layer = ConvNorm(3, 5, 3).eval()
    nn.init.normal_(layer.norm.bias)
    x = torch.rand(20, 3, side, side)
    grads = []
    for f in (layer, lambda x: layer.norm(nn.Conv2d.forward(layer, x))):
        layer.zero_grad()
        f(x).square().sum().backward()
        grads.append([p.grad.clone() for p in layer.parameters()])
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


@every_part
def test_evaluation_is_repeatable_and_changes_nothing(part):
    module = build(part).eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    x = torch.rand(5, 3, 20, 20)
    kept = x.clone()
    assert torch.equal(module(x), module(x))
    assert torch.equal(x, kept)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


@every_part
def test_memory_format_does_not_matter(part):
    module = build(part).eval()
    x = torch.rand(5, 3, 20, 20)
    plain = build(part).eval().to(memory_format=torch.contiguous_format)
    for layout in (torch.contiguous_format, torch.channels_last):
        out = module(x.contiguous(memory_format=layout))
        # Without ChannelsLast: layer by layer.
        y = x.contiguous()
        for layer in plain:
            y = layer(y)
        torch.testing.assert_close(out, y, rtol=1e-4, atol=1e-4)


@every_part
def test_convolutions_are_channels_last(part):
    module = build(part)
    seen = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.is_contiguous(memory_format=torch.channels_last)
            layer.register_forward_hook(lambda _m, _i, out: seen.append(out))
    module(torch.rand(2, 3, 20, 20))
    assert seen
    assert all(out.is_contiguous(memory_format=torch.channels_last) for out in seen)


@every_part
def test_trains_and_embeds_in_bfloat16(part):
    module = build(part)
    x = torch.rand(16, 3, 20, 20)
    with torch.autocast("cpu", torch.bfloat16):
        module(x).float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())
    module.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        low = module(x).float()
    exact = module(x)
    assert (low - exact).norm() < 0.05 * exact.norm()


@every_part
def test_pickles(part):
    module = build(part).eval()
    x = torch.rand(2, 3, 20, 20)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), module(x))


@every_part
@pytest.mark.parametrize("shape", [(5,), (28, 28)])
def test_other_than_images_raise(part, shape):
    with pytest.raises(ValueError, match=rf"{type(part).__name__} takes images .*Got"):
        part.build(shape)
