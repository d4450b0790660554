import math

import pytest
import torch
from torch.nn import functional as F

from skfsl.encoders import Darknet
from skfsl.encoders._darknet import ResidualUnit


def test_number_of_weights_of_darknet53():
    part = Darknet(
        (64, 128, 256, 512, 1024), n_units=(1, 2, 8, 8, 4), pooling="average"
    )
    module = part.build((3, 64, 64))
    # 41,609,928 with the classifier of 1,000 classes, of 1,025,000.
    assert sum(p.numel() for p in module.parameters()) == 40_584_928
    # 52 convolutions and the classifier are the 53 layers.
    assert sum(p.ndim == 4 for p in module.parameters()) == 52


def test_unit_is_the_textbook_function():
    torch.manual_seed(0)
    unit = ResidualUnit(6).train()
    x = torch.randn(4, 6, 5, 7)
    y = x
    for layer in (unit.squeeze, unit.convolve):
        y = F.conv2d(y, layer.weight, padding=layer.padding)
        y = F.leaky_relu(layer.norm(y), 0.1)
    torch.testing.assert_close(unit(x), x + y)
    assert unit.squeeze.weight.shape == (3, 6, 1, 1)


@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_a_stage_halves_and_rounds_up(size):
    module = Darknet((4, 4), stem=4, pooling="flatten").build((1, size, 8))
    rows = math.ceil(size / 4)
    assert module(torch.rand(2, 1, size, 8)).shape == (2, 4 * rows * 2)


def test_an_int_is_the_number_of_units_of_all_stages():
    for n_units in (2, (2, 2), [2, 2]):
        module = Darknet((4, 6), n_units=n_units, stem=4).build((1, 8, 8))
        assert sum(isinstance(m, ResidualUnit) for m in module) == 4


def test_width_of_one_channel():
    assert Darknet((1,), stem=1).build((1, 4, 4))(torch.rand(2, 1, 4, 4)).shape == (
        2,
        1,
    )


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"widths": ()}, "'widths' parameter of Darknet"),
        ({"widths": (4, 0)}, "'widths' parameter of Darknet"),
        ({"n_units": (1, 0, 1)}, "'n_units' parameter of Darknet"),
        ({"n_units": (1, 1)}, "Got 3 widths and 2 n_units"),
        ({"stem": 0}, "'stem' parameter of Darknet"),
        ({"pooling": "mean"}, "'pooling' parameter of Darknet"),
    ],
)
def test_bad_parameters_raise(bad, match):
    with pytest.raises(ValueError, match=match):
        Darknet(**bad).build((1, 8, 8))
