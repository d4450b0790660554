import colorsys

import pytest
import torch

from skfsl.augmentation import ColorJitter
from skfsl.augmentation._color_jitter import _turn_hue


def gray(image):
    """Return the luminance (1, h, w) of one image."""
    if len(image) != 3:
        return image.mean(dim=0, keepdim=True)
    return (0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2])[None]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_equals_steps_taken_one_by_one(channels):
    images = torch.rand(20, channels, 6, 5)
    strengths = {"brightness": 0.5, "contrast": 1.5, "saturation": 0.8}
    torch.manual_seed(2)
    out = ColorJitter(**strengths).build()(images)
    torch.manual_seed(2)
    draws = 2 * torch.rand(4, 20) - 1
    for i, image in enumerate(images):
        bright, contrast, saturation = (
            max(0.0, 1 + s * draws[k, i].item())
            for k, s in enumerate(strengths.values())
        )
        image = (image * bright).clamp(0, 1)
        mean = gray(image).mean()
        image = (mean + contrast * (image - mean)).clamp(0, 1)
        if channels == 3:
            image = (gray(image) + saturation * (image - gray(image))).clamp(0, 1)
        torch.testing.assert_close(out[i], image, rtol=0, atol=1e-5)


def test_hue_turns_as_colorsys_says():
    images = torch.rand(4, 3, 5, 5)
    images[0, :, 0, 0] = 0.4  # gray
    images[0, :, 0, 1] = 0  # black
    images[0, :2, 0, 2] = 0.9  # two largest channels
    turns = torch.tensor([0.0, 0.3, -0.45, 0.5])
    out = _turn_hue(images, turns.view(4, 1, 1, 1))
    for image, turned, turn in zip(images, out, turns.tolist(), strict=True):
        pixels, shown = image.flatten(1).T.tolist(), turned.flatten(1).T.tolist()
        for pixel, got in zip(pixels, shown, strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            assert got == pytest.approx(expected, abs=1e-5)


def test_hue_alone_keeps_value_and_does_nothing_to_gray_images():
    torch.manual_seed(0)
    images = torch.rand(8, 3, 4, 4)
    part = ColorJitter(0, contrast=0, saturation=0, hue=0.5).build()
    out = part(images)
    torch.testing.assert_close(out.amax(1), images.amax(1))
    assert (out - images).abs().amax(dim=(1, 2, 3)).min() > 0.01
    plain = torch.rand(8, 1, 4, 4)
    assert torch.equal(part(plain), plain)


def test_p_is_the_share_that_changes():
    torch.manual_seed(0)
    images = torch.rand(2000, 1, 3, 3)
    out = ColorJitter(p=0.3).build()(images)
    changed = (out - images).abs().amax(dim=(1, 2, 3)) > 1e-6
    assert changed.float().mean() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize(
    "images", [255 * torch.rand(2, 3, 4, 4), torch.randn(2, 1, 9, 9)]
)
def test_other_ranges_are_refused(images):
    with pytest.raises(ValueError, match=r"takes pixels in \[0, 1\]. Got some from"):
        ColorJitter().build()(images)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="Got some from nan"):
        ColorJitter().build()(torch.full((1, 1, 2, 2), torch.nan))
