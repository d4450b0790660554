import math

import pytest
import torch

from skfsl.augmentation import RandomAffine

STILL = {"degrees": 0, "shear": 0, "scale": (1, 1), "translate": 0, "p": 1}


def blob(h=31, w=31, y=15, x=15):
    """Return an image with one bright spot of 3 x 3 pixels."""
    image = torch.zeros(1, 1, h, w)
    image[..., y - 1 : y + 2, x - 1 : x + 2] = 1
    return image


def centre(image):
    """Centre of mass, (y, x), in pixels from the middle of the image."""
    h, w = image.shape[-2:]
    weight = image[0, 0] / image.sum()
    ys, xs = torch.arange(h) - (h - 1) / 2, torch.arange(w) - (w - 1) / 2
    return (weight.sum(1) @ ys).item(), (weight.sum(0) @ xs).item()


def test_nothing_asked_for_changes_nothing():
    images = torch.rand(3, 2, 9, 12)
    torch.testing.assert_close(RandomAffine(**STILL).build()(images), images)


def test_probability_zero_changes_nothing():
    images = torch.rand(3, 2, 9, 12)
    torch.testing.assert_close(RandomAffine(p=0).build()(images), images)


@pytest.mark.parametrize(("h", "w"), [(31, 31), (25, 51)])
def test_shift_is_in_pixels(h, w):
    torch.manual_seed(0)
    image = blob(h, w, h // 2, w // 2).expand(200, 1, h, w)
    moved = RandomAffine(**{**STILL, "translate": 4}).build()(image)
    shifts = torch.tensor([centre(m[None]) for m in moved])
    assert shifts.abs().max() < 4.01
    assert shifts.abs().amax(dim=0).min() > 3.5
    # Each image has a draw of its own.
    assert len(shifts.round(decimals=3).unique(dim=0)) > 190


@pytest.mark.parametrize(("h", "w"), [(61, 61), (51, 81)])
def test_rotation_keeps_the_radius_on_any_shape(h, w):
    torch.manual_seed(0)
    image = blob(h, w, h // 2, w // 2 + 20).expand(100, 1, h, w)
    turned = RandomAffine(**{**STILL, "degrees": 45}).build()(image)
    at = torch.tensor([centre(m[None]) for m in turned])
    torch.testing.assert_close(
        at.norm(dim=1), torch.full((100,), 20.0), atol=0.2, rtol=0
    )
    angles = torch.atan2(at[:, 0], at[:, 1]).rad2deg()
    assert 40 < angles.abs().max() < 46
    assert abs(angles.mean()) < 10


def test_scale_above_1_is_larger():
    image = blob(61, 61, 30, 40)
    at = centre(RandomAffine(**{**STILL, "scale": (1.5, 1.5)}).build()(image))
    assert at == pytest.approx((0, 15), abs=0.1)


def test_shear_moves_in_proportion_to_the_other_axis():
    torch.manual_seed(0)
    image = blob(61, 61, 30, 40).expand(200, 1, 61, 61)
    sheared = RandomAffine(**{**STILL, "shear": 0.3}).build()(image)
    at = torch.tensor([centre(m[None]) for m in sheared])
    assert at[:, 0].abs().max() == pytest.approx(3, abs=0.2)
    torch.testing.assert_close(at[:, 1], torch.full((200,), 10.0), atol=0.2, rtol=0)


def test_maps_are_inverses_of_rotation_shear_scale():
    torch.manual_seed(3)
    part = RandomAffine(degrees=40, shear=0.4, scale=(0.7, 1.4), translate=3, p=1)
    maps = part._draw(50, 10, 10, torch.device("cpu"))
    forward = torch.linalg.inv(maps[:, :, :2].double())
    # rotation @ shear @ scale: the columns' scales times the shear's lengths.
    determinant = torch.linalg.det(forward)
    assert (determinant > 0.7**2 * (1 - 0.16)).all()
    assert (determinant < 1.4**2 * (1 + 0.16)).all()
    assert math.isfinite(maps.sum())


def test_each_component_is_left_out_half_of_the_time():
    torch.manual_seed(0)
    image = blob().expand(2000, 1, 31, 31)
    part = RandomAffine(**{**STILL, "translate": 3, "p": 0.5})
    shifts = torch.tensor([centre(m[None]) for m in part.build()(image)])
    still = (shifts.abs() < 1e-3).float().mean(dim=0)
    torch.testing.assert_close(still, torch.full((2,), 0.5), atol=0.05, rtol=0)


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_background_is_filled(fill):
    torch.manual_seed(0)
    images = torch.full((20, 1, 15, 15), fill)
    torch.testing.assert_close(
        RandomAffine(fill=fill, translate=9).build()(images), images
    )


def test_randomness_is_the_global_generator():
    images, part = torch.rand(4, 1, 9, 9), RandomAffine().build()
    torch.manual_seed(1)
    first = part(images)
    torch.manual_seed(1)
    torch.testing.assert_close(part(images), first, rtol=0, atol=0)
    assert not torch.equal(part(images), first)


def test_input_is_left_alone():
    images = torch.rand(4, 1, 9, 9)
    before = images.clone()
    RandomAffine(fill=1).build()(images)
    assert torch.equal(images, before)


def test_keeps_full_precision_under_autocast():
    images = torch.rand(2, 1, 28, 28)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = RandomAffine(**STILL).build()(images)
    torch.testing.assert_close(out, images)


@pytest.mark.parametrize(
    "images", [torch.rand(3, 8, 8), torch.zeros(1, 1, 8, 8).byte()]
)
def test_other_than_float_images_raise(images):
    with pytest.raises(ValueError, match="floating-point images of shape"):
        RandomAffine().build()(images)


@pytest.mark.parametrize(
    "bad",
    [{"degrees": -1}, {"shear": 1}, {"scale": (1.2, 0.8)}, {"scale": (0, 1)},
     {"scale": 2}, {"translate": -2}, {"p": 1.5}, {"fill": "black"}],
)  # fmt: skip
def test_bad_parameters_raise(bad):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter of RandomAff"):
        RandomAffine(**bad).build()


@pytest.mark.parametrize("scale", [("a", "b"), (1, math.inf), (math.nan, 1), (1,), ()])
def test_scales_are_two_finite_numbers(scale):
    with pytest.raises(ValueError, match="'scale' parameter"):
        RandomAffine(scale=scale).build()


@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (2, 0, 4, 4), (2, 1, 0, 4)])
def test_nothing_to_distort_is_named(shape):
    with pytest.raises(ValueError, match="one or more"):
        RandomAffine().build()(torch.zeros(shape))


def test_arrays_are_refused_by_name():
    with pytest.raises(TypeError, match="Got ndarray"):
        RandomAffine().build()(torch.zeros(2, 1, 4, 4).numpy())
