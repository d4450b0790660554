import pytest
import torch
from torch import nn

from skfsl.encoders import KochNet

SMALL = KochNet(embedding_dim=16, channels=(4, 6, 8), kernel_sizes=(5, 3, 3))


@pytest.fixture(scope="module")
def paper():
    torch.manual_seed(0)
    return KochNet(paper_init=True).build((1, 105, 105))


def test_layers_are_those_of_the_paper(paper):
    convolutions = [m for m in paper if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, *m.kernel_size) for m in convolutions] == [
        (64, 10, 10), (128, 7, 7), (128, 4, 4), (256, 4, 4)
    ]  # fmt: skip
    assert sum(isinstance(m, nn.MaxPool2d) for m in paper) == 3
    assert sum(isinstance(m, nn.ReLU) for m in paper) == 4
    linear = paper[-2]
    assert (linear.in_features, linear.out_features) == (256 * 6 * 6, 4096)
    assert isinstance(paper[-1], nn.Sigmoid)


def test_shapes_are_those_of_the_paper(paper):
    seen = []
    hooks = [
        m.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
        for m in paper
        if isinstance(m, nn.Conv2d)
    ]
    with torch.inference_mode():
        out = paper(torch.rand(1, 1, 105, 105))
    for hook in hooks:
        hook.remove()
    assert seen == [(64, 96, 96), (128, 42, 42), (128, 18, 18), (256, 6, 6)]
    assert out.shape == (1, 4096)
    assert ((out >= 0) & (out <= 1)).all()


def test_initial_weights_are_those_of_the_paper(paper):
    for layer in paper:
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        spread = 0.01 if isinstance(layer, nn.Conv2d) else 0.2
        n = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(spread, rel=4 / n**0.5)
        assert layer.weight.mean().item() == pytest.approx(0, abs=5 * spread / n**0.5)
        assert layer.bias.mean().item() == pytest.approx(0.5, abs=0.006)
        assert layer.bias.std().item() == pytest.approx(0.01, rel=0.35)


def test_by_default_layers_start_as_those_of_torch():
    for layer in SMALL.build((1, 28, 28)):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5
            assert 0.9 * bound < layer.weight.abs().max().item() <= bound
            assert layer.bias.abs().max().item() <= bound


def test_smallest_image_is_taken_and_a_smaller_one_raises():
    # 3 <- pool 6 <- conv 8 <- pool 16 <- conv 20
    assert SMALL.build((1, 20, 23))(torch.rand(2, 1, 20, 23)).shape == (2, 16)
    with pytest.raises(ValueError, match=r"at least 20 x 20 pixels. Got 19 x 23"):
        SMALL.build((1, 19, 23))


def test_smallest_image_of_the_default():
    with pytest.raises(ValueError, match=r"at least 65 x 65 pixels. Got 64 x 64"):
        KochNet().build((1, 64, 64))


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"channels": (4, 0), "kernel_sizes": (3, 3)}, "'channels' parameter"),
        ({"channels": (), "kernel_sizes": ()}, "'channels' parameter"),
        ({"kernel_sizes": (3, 3, 2.5, 3)}, "'kernel_sizes' parameter"),
        ({"channels": (4, 4)}, "Got 2 channels and 4 kernel_sizes"),
        ({"embedding_dim": 0}, "'embedding_dim' parameter"),
    ],
)
def test_bad_parameters_raise(bad, match):
    with pytest.raises(ValueError, match=match):
        KochNet(**bad).build((1, 105, 105))


def test_table_raises():
    with pytest.raises(ValueError, match=r"KochNet takes images .*shape \(9,\)"):
        KochNet().build((9,))
