import pytest
import torch
from torch.nn import functional as F

from skfsl.augmentation import RandomCrop
from skfsl.augmentation._boxes import draw_boxes

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(40, 3, 20, 20), (40, 1, 13, 30)])
@pytest.mark.parametrize(
    "params",
    [{}, {"scale": (0.05, 0.3), "ratio": (0.3, 3)}, {"padding": 5, "fill": 0.7},
     {"scale": (1, 1), "ratio": (1, 1), "padding": 4, "fill": 0.2}],
    ids=str,
)  # fmt: skip
def test_equals_cutting_and_resizing_one_by_one(shape, params):
    images, part = torch.rand(shape), RandomCrop(**params)
    n, _, h, w = shape
    torch.manual_seed(3)
    out = part.build()(images)
    torch.manual_seed(3)
    boxes = draw_boxes(
        n, (h, w), scale=part.scale, ratio=part.ratio, padding=part.padding, device=CPU
    )
    pad = part.padding
    for image, shown, *box in zip(images, out, *boxes, strict=True):
        top, left, height, width = (int(b) for b in box)
        padded = F.pad(image, (pad,) * 4, value=part.fill)
        cut = padded[:, top + pad :, left + pad :][:, :height, :width]
        assert cut.shape[1:] == (height, width)
        expected = F.interpolate(
            cut[None], size=(h, w), mode="bilinear", align_corners=False
        )[0]
        torch.testing.assert_close(shown, expected, rtol=0, atol=2e-5)


def test_boxes_have_the_areas_and_ratios_asked_for():
    torch.manual_seed(0)
    top, left, height, width = draw_boxes(
        5000, (100, 200), scale=(0.2, 0.6), ratio=(0.5, 2), device=CPU
    )
    area, ratio = height * width / 20_000, (width / 200) / (height / 100)
    assert 0.19 < area.min() < 0.21
    assert 0.58 < area.max() < 0.61
    assert area.mean() == pytest.approx(0.4, abs=0.01)
    assert 0.48 < ratio.min() < 0.52
    assert 1.9 < ratio.max() < 2.1
    assert ratio.log().mean() == pytest.approx(0, abs=0.02)
    assert (top >= 0).all()
    assert (top + height <= 100).all()
    assert (left >= 0).all()
    assert (left + width <= 200).all()
    assert (top + height == 100).any()
    assert (left == 0).any()


def test_a_padded_crop_shifts_by_whole_pixels_evenly():
    torch.manual_seed(0)
    part = RandomCrop((1, 1), ratio=(1, 1), padding=2, fill=-1)
    image = torch.arange(30.0).view(1, 1, 5, 6)
    out = part.build()(image.expand(4000, 1, 5, 6))
    padded = F.pad(image, (2,) * 4, value=-1)
    expected = [
        padded[..., y : y + 5, x : x + 6].flatten() for y in range(5) for x in range(5)
    ]
    distances = torch.cdist(out.flatten(1), torch.stack(expected))
    nearest, which = distances.min(dim=1)
    assert nearest.max() < 1e-2
    assert 100 < which.bincount(minlength=25).min()
    assert which.bincount().max() < 220


def test_no_box_is_empty_on_small_images():
    images = torch.rand(50, 1, 2, 3)
    out = RandomCrop((1e-6, 1e-3), ratio=(0.01, 100)).build()(images)
    assert out.isfinite().all()
