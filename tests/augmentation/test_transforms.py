"""What all random transforms of batches have in common."""

import pytest
import torch
from sklearn.base import clone

from skfsl.augmentation import (
    AUGMENTATIONS,
    ColorJitter,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomFlip,
)
from skfsl.utils._parts import part_from_name

PARTS = [
    RandomFlip(), RandomFlip(vertical=0.5), RandomCrop(), RandomCrop(padding=2),
    ColorJitter(), ColorJitter(hue=0.2, p=0.5), RandomErasing(), RandomErasing(fill=1),
    RandomAffine(),
]  # fmt: skip
STILL = [
    RandomFlip(0), RandomCrop((1, 1), ratio=(1, 1)), ColorJitter(hue=0.5, p=0),
    ColorJitter(0, contrast=0, saturation=0), RandomErasing(p=0), RandomAffine(p=0),
]  # fmt: skip

every_part = pytest.mark.parametrize("part", PARTS, ids=str)


@every_part
@pytest.mark.parametrize("shape", [(5, 3, 17, 12), (4, 1, 9, 9), (3, 2, 8, 11)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_shape_dtype_and_range_are_kept(part, shape, dtype):
    images = torch.rand(shape).to(dtype)
    before = images.clone()
    out = part.build()(images)
    assert (out.shape, out.dtype, out.device) == (shape, dtype, images.device)
    assert torch.equal(images, before)
    assert -1e-3 < out.min() <= out.max() < 1 + 1e-3


@every_part
def test_the_seed_of_torch_governs_it(part):
    images, transform = torch.rand(32, 3, 12, 12), part.build()
    torch.manual_seed(1)
    first = transform(images)
    torch.manual_seed(1)
    assert torch.equal(transform(images), first)
    assert not torch.equal(transform(images), first)


@every_part
def test_each_image_has_a_draw_of_its_own(part):
    torch.manual_seed(0)
    out = part.build()(torch.rand(1, 3, 32, 32).expand(40, 3, 32, 32))
    different = len(out.flatten(1).unique(dim=0))
    # A flip has few outcomes; a coin keeps others as they are half the time.
    assert different >= (2 if isinstance(part, RandomFlip) else 10)


@pytest.mark.parametrize("part", STILL, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_asked_for_changes_nothing(part, channels):
    images = torch.rand(6, channels, 13, 18)
    torch.testing.assert_close(part.build()(images), images, rtol=0, atol=1e-5)


@every_part
def test_full_precision_under_autocast(part):
    images, transform = torch.rand(4, 3, 12, 12), part.build()
    torch.manual_seed(1)
    expected = transform(images)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(transform(images), expected)


@every_part
def test_the_input_is_checked(part):
    transform, name = part.build(), type(part).__name__
    for images in (torch.rand(3, 8, 8), torch.zeros(1, 1, 8, 8).byte()):
        with pytest.raises(ValueError, match=f"{name} takes floating-point images of"):
            transform(images)
    with pytest.raises(TypeError, match="Got ndarray"):
        transform(torch.rand(2, 1, 4, 4).numpy())


@every_part
def test_part_is_cloned_and_says_what_it_is(part):
    again = clone(part)
    assert repr(again) == repr(part)
    assert again.get_params() == part.get_params()


BAD = [
    (RandomFlip, {"horizontal": 1.5}), (RandomFlip, {"vertical": -1}),
    (RandomCrop, {"scale": (0, 1)}), (RandomCrop, {"scale": (0.5, 1.1)}),
    (RandomCrop, {"scale": 0.5}), (RandomCrop, {"ratio": (2, 1)}),
    (RandomCrop, {"ratio": ("a", "b")}), (RandomCrop, {"padding": -1}),
    (RandomCrop, {"padding": 1.5}), (RandomCrop, {"fill": "black"}),
    (ColorJitter, {"brightness": -0.1}), (ColorJitter, {"contrast": "high"}),
    (ColorJitter, {"saturation": None}), (ColorJitter, {"hue": 0.6}),
    (ColorJitter, {"p": 2}), (RandomErasing, {"p": -1}),
    (RandomErasing, {"scale": (0.4, 0.02)}), (RandomErasing, {"scale": (0.02, 2)}),
    (RandomErasing, {"ratio": (0, 1)}), (RandomErasing, {"fill": "mean"}),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "bad"), BAD, ids=lambda value: str(value))
def test_bad_parameters_raise(cls, bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"'{name}' parameter of {cls.__name__} must"):
        cls(**bad).build()


def test_presets_are_made_anew():
    assert list(AUGMENTATIONS) == sorted(AUGMENTATIONS)
    photos = part_from_name("photos", AUGMENTATIONS, "augment")
    assert [type(part) for part in photos] == [RandomFlip, RandomCrop, ColorJitter]
    photos[0].set_params(horizontal=0)
    again = part_from_name("photos", AUGMENTATIONS, "augment")
    assert again[0].horizontal == 0.5
    characters = part_from_name("characters", AUGMENTATIONS, "augment")
    assert repr(characters) == repr(RandomAffine())


@every_part
def test_large_batches_are_changed_in_blocks(part):
    images = torch.rand(7, 3, 1, 1).expand(7, 3, 400, 400)  # more than one block
    torch.manual_seed(0)
    out = part.build()(images)
    torch.manual_seed(0)
    one_by_one = torch.cat([part.build()(image[None]) for image in images])
    assert out.shape == images.shape
    assert torch.equal(out, one_by_one)
