import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skfsl.encoders import ResNet, ResNet12
from skfsl.encoders._res_net import ResidualBlock


def count(module):
    return sum(p.numel() for p in module.parameters())


def textbook(block, x):
    """Convolution, normalisation, leaky ReLU; sum, leaky ReLU, pooling."""

    def normed(layer, x):
        x = F.conv2d(x, layer.weight, padding=layer.padding)
        return layer.norm(x)

    y = x
    for layer in block.convolutions[:-1]:
        y = F.leaky_relu(normed(layer, y), 0.1)
    y = normed(block.convolutions[-1], y) + normed(block.shortcut, x)
    return F.max_pool2d(F.leaky_relu(y, 0.1), block.window)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(5, 8, 9), (5, 1, 6)])
def test_block_is_the_textbook_function(training, shape):
    torch.manual_seed(0)
    block = ResidualBlock(5, 7, 3, (min(2, shape[1]), 2)).train(training)
    x = torch.randn(6, *shape)
    states = []
    for f in (block, lambda x: textbook(block, x)):
        block.zero_grad()
        out = f(x)
        out.square().sum().backward()
        states.append([out, *(p.grad.clone() for p in block.parameters())])
    for ours, theirs in zip(*states, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_number_of_weights_of_res_net12():
    # 4 blocks: 3x3 of c -> w, twice w -> w, 1x1 of c -> w, four norms of 2 w.
    weights, c = 0, 3
    for w in (64, 160, 320, 640):
        weights += 9 * c * w + 18 * w * w + c * w + 8 * w
        c = w
    assert weights == 12_424_320  # the 12.4 million of the papers
    assert count(ResNet12().build((3, 84, 84))) == weights


def test_res_net12_is_a_res_net():
    built = []
    widths = (4, 6, 8, 10)
    for part in (
        ResNet12(widths),
        ResNet(widths, stem=None, n_convolutions=3, pooling="average"),
    ):
        torch.manual_seed(0)
        built.append(part.build((3, 32, 32)).eval())
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(built[0](x), built[1](x), rtol=0, atol=0)


def test_blocks_and_stem_are_the_settings():
    module = ResNet((4, 6), stem=8, n_convolutions=1, drop_rate=0.1).build((1, 9, 9))
    blocks = [m for m in module if isinstance(m, ResidualBlock)]
    assert [len(b.convolutions) for b in blocks] == [1, 1]
    assert (module[0].out_channels, blocks[0].shortcut.in_channels) == (8, 8)
    assert sum(isinstance(m, nn.Dropout) for m in module) == 2


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    module = ResNet((4,), stem=4, drop_rate=0.5).build((1, 8, 8))
    x = torch.rand(3, 1, 8, 8)
    assert not torch.equal(module.train()(x), module(x))
    assert torch.equal(module.eval()(x), module(x))


@pytest.mark.parametrize(
    "bad",
    [{"widths": ()}, {"widths": (4, 0)}, {"widths": (4, "8")}, {"stem": 0},
     {"n_convolutions": 0}, {"drop_rate": 1.0}, {"pooling": "mean"}],
)  # fmt: skip
def test_bad_parameters_raise(bad):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter of ResNet"):
        ResNet(**bad).build((1, 8, 8))
