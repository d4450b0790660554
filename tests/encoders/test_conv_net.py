import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skfsl.encoders import Conv4, ConvNet


def textbook(module, x):
    """Convolution, normalisation, ReLU, pooling: the order of the papers."""
    for layer in module:
        if isinstance(layer, nn.Conv2d):
            x = F.conv2d(x, layer.weight, padding=1)
            x = F.relu(layer.norm(x))
        elif not isinstance(layer, nn.ReLU):
            x = layer(x)
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


def test_conv4_is_conv_net_of_depth_4():
    built = []
    for part in (Conv4(width=8), ConvNet(4, width=8)):
        torch.manual_seed(0)
        built.append(part.build((1, 16, 16)).eval())
    x = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(built[0](x), built[1](x), rtol=0, atol=0)


@pytest.mark.parametrize("bad", [{"depth": 0}, {"width": 0.5}, {"pooling": "mean"}])
def test_bad_parameters_raise(bad):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter of ConvNet"):
        ConvNet(**bad).build((1, 8, 8))
