import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skfsl.encoders import Conv4, ConvNet


def textbook(module, x):
    """Convolution, normalisation, ReLU, pooling: the order of the papers."""
    layers = list(module)
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.MaxPool2d):
            continue
        x = F.relu(layer(x)) if isinstance(layer, nn.BatchNorm2d) else layer(x)
        if isinstance(following, nn.MaxPool2d):
            x = following(x)
    return x


@pytest.mark.parametrize("size", [28, 33])
def test_pooling_before_relu_is_the_textbook_function(size):
    torch.manual_seed(0)
    module = Conv4(width=8).build((3, size, size))
    x = torch.randn(6, 3, size, size)
    states = []
    for f in (module, lambda x: textbook(module, x)):
        module.zero_grad()
        out = f(x)
        out.square().sum().backward()
        states.append([out, *(p.grad.clone() for p in module.parameters())])
    for ours, theirs in zip(*states, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "width"),
    [((1, 28, 28), 64), ((3, 84, 84), 1600), ((1, 8, 8), 64), ((1, 1, 1), 64),
     ((3, 5, 40), 128)],
)  # fmt: skip
def test_conv4_width_of_embeddings(shape, width):
    assert Conv4().build(shape)(torch.rand(2, *shape)).shape == (2, width)


@pytest.mark.parametrize(
    ("pooling", "reduce"),
    [
        ("flatten", lambda maps: maps.flatten(1)),
        ("average", lambda maps: maps.mean(dim=(2, 3))),
        ("max", lambda maps: maps.flatten(2).max(dim=2).values),
    ],
)
def test_poolings(pooling, reduce):
    module = ConvNet(2, width=4, pooling=pooling).build((1, 12, 12)).eval()
    x = torch.rand(3, 1, 12, 12)
    torch.testing.assert_close(module(x), reduce(module[:-1](x)))


def test_conv4_is_conv_net_of_depth_4():
    built = []
    for part in (Conv4(width=8), ConvNet(4, width=8)):
        torch.manual_seed(0)
        built.append(part.build((1, 16, 16)).eval())
    x = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(built[0](x), built[1](x), rtol=0, atol=0)


def test_weights_and_activations_are_channels_last():
    module = Conv4(width=8).build((3, 16, 16))
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)
    seen = []
    module[1].register_forward_hook(lambda _m, _i, out: seen.append(out))
    module(torch.rand(2, 3, 16, 16))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("part", [Conv4(), ConvNet()])
@pytest.mark.parametrize("shape", [(5,), (28, 28)])
def test_other_than_images_raise(part, shape):
    with pytest.raises(ValueError, match=rf"{type(part).__name__} takes images .*Got"):
        part.build(shape)


@pytest.mark.parametrize("bad", [{"depth": 0}, {"width": 0.5}, {"pooling": "mean"}])
def test_bad_parameters_raise(bad):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter of ConvNet"):
        ConvNet(**bad).build((1, 8, 8))
