import pytest
import torch

from skfsl.augmentation import RandomFlip


@pytest.mark.parametrize(("horizontal", "vertical"), [(1, 0), (0, 1), (1, 1)])
def test_what_is_sure_is_exact(horizontal, vertical):
    images = torch.rand(3, 2, 5, 4)
    axes = [axis for axis, p in ((3, horizontal), (2, vertical)) if p]
    out = RandomFlip(horizontal, vertical=vertical).build()(images)
    assert torch.equal(out, images.flip(axes))


def test_probabilities_are_kept_and_axes_are_independent():
    torch.manual_seed(0)
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    out = RandomFlip(0.25, vertical=0.5).build()(image.expand(4000, 1, 2, 2))
    first = out[:, 0, 0, 0]  # 1 as it was, 2 mirrored, 3 upside down, 4 both
    shares = [(first == value).float().mean().item() for value in (1, 2, 3, 4)]
    assert shares == pytest.approx([0.375, 0.125, 0.375, 0.125], abs=0.03)
