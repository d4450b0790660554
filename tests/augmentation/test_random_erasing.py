import pytest
import torch

from skfsl.augmentation import RandomErasing
from skfsl.augmentation._boxes import draw_boxes


def test_equals_filling_boxes_one_by_one():
    images = torch.rand(30, 2, 12, 17)
    part = RandomErasing(p=0.6, fill=-1)
    torch.manual_seed(4)
    out = part.build()(images)
    torch.manual_seed(4)
    boxes = draw_boxes(
        30, (12, 17), scale=part.scale, ratio=part.ratio, device=images.device
    )
    erased = torch.rand(30) < 0.6
    expected = images.clone()
    for image, *box in zip(expected, *boxes, strict=True):
        top, left, height, width = (int(b) for b in box)
        image[:, top : top + height, left : left + width] = -1
    expected[~erased] = images[~erased]
    assert torch.equal(out, expected)


def test_areas_are_those_of_the_paper_and_p_is_the_share():
    torch.manual_seed(0)
    out = RandomErasing(fill=0).build()(torch.ones(3000, 1, 64, 64))
    area = 1 - out.mean(dim=(1, 2, 3))
    erased = area > 0
    assert erased.float().mean() == pytest.approx(0.5, abs=0.03)
    assert area[erased].min() == pytest.approx(0.02, abs=0.005)
    assert 0.35 < area.max() < 0.41
    assert area[erased].mean() == pytest.approx(0.21, abs=0.01)


def test_noise_is_uniform_and_differs_in_each_number():
    torch.manual_seed(0)
    part = RandomErasing(p=1, scale=(1, 1), ratio=(1, 1))
    noise = part.build()(torch.full((4, 3, 50, 50), 9.0))
    assert 0 <= noise.min() < 0.01
    assert 0.99 < noise.max() < 1
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert len(noise.unique()) > 29_000
