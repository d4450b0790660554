"""What SiameseTransformer takes for augment=, and what it makes of it."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skfsl import SiameseTransformer
from skfsl.augmentation import ColorJitter, RandomAffine, RandomCrop, RandomFlip
from skfsl.siamese._augment import build_augment

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(4), 6)
PHOTOS = RNG.integers(0, 255, size=(24, 3, 12, 12), dtype=np.uint8)


def siamese(**params):
    params = {"max_epochs": 1, "device": "cpu", "random_state": 0, **params}
    return SiameseTransformer(**params)


class Add(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(value)))

    def forward(self, x):
        return x + self.value


def double(x):
    return 2 * x


def test_a_list_is_applied_in_order():
    x = torch.rand(2, 1, 3, 3)
    chain = [RandomFlip(1), Add(1), [double]]
    expected = 2 * (x.flip(3) + 1)
    torch.testing.assert_close(build_augment(chain, CPU)(x), expected)
    torch.testing.assert_close(build_augment(tuple(chain[::-1]), CPU)(x),
                               (2 * x + 1).flip(3))  # fmt: skip
    assert torch.equal(build_augment([], CPU)(x), x)


def test_nothing_stays_nothing():
    assert build_augment(None, CPU) is None


def test_modules_in_a_list_are_copied():
    module = Add(1)
    chain = build_augment([module], CPU)
    with torch.no_grad():
        module.value += 5
    assert chain(torch.zeros(1)).item() == 1


@pytest.mark.parametrize(
    "augment",
    ["photos", "characters", [], [RandomFlip(), nn.Dropout(0.1)], (ColorJitter(),)],
    ids=str,
)
def test_training_takes_it_and_pickles(augment):
    fitted = siamese(augment=augment).fit(PHOTOS, Y)
    expected = fitted.transform(PHOTOS)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(PHOTOS), expected)
    refitted = clone(fitted).fit(PHOTOS, Y)
    np.testing.assert_array_equal(refitted.transform(PHOTOS), expected)


def test_presets_are_what_they_say():
    def weights(augment):
        return siamese(augment=augment).fit(PHOTOS, Y).fit_id_

    photos = [
        RandomFlip(), RandomCrop(scale=(0.5, 1)),
        ColorJitter(0.2, contrast=0.2, saturation=0.2),
    ]  # fmt: skip
    assert weights("photos") == weights(photos)
    assert weights("characters") == weights(RandomAffine()) != weights(None)


def test_parameters_of_a_part_and_of_a_name_can_be_set():
    model = siamese(augment=RandomAffine()).set_params(augment__degrees=30)
    assert model.augment.degrees == 30
    named = siamese(augment="characters").set_params(augment__fill=1)
    assert repr(named.augment) == repr(RandomAffine(fill=1))
    switched = siamese().set_params(augment=RandomCrop(), augment__padding=3)
    assert switched.augment.padding == 3


@pytest.mark.parametrize("augment", ["photos", [RandomFlip()]], ids=str)
def test_parameters_of_a_list_cannot_be_set(augment):
    with pytest.raises(ValueError, match=r"a list of parts. Set the whole of it"):
        siamese(augment=augment).set_params(augment__p=1)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match=r"a list of these\. Got 3"):
        siamese(augment=[RandomFlip(), 3]).fit(PHOTOS, Y)
    with pytest.raises(TypeError, match=r"write RandomFlip\(\)"):
        siamese(augment=[RandomFlip]).fit(PHOTOS, Y)
    with pytest.raises(ValueError, match="Unknown augment='photo'"):
        siamese(augment=["photo"]).fit(PHOTOS, Y)
    with pytest.raises(ValueError, match="'augment' parameter of SiameseTr"):
        siamese(augment="photo").fit(PHOTOS, Y)
    with pytest.raises(ValueError, match="'padding' parameter of RandomCrop"):
        siamese(augment=[RandomCrop(padding=-1)]).fit(PHOTOS, Y)


class TestTorchvision:
    @pytest.fixture(autouse=True)
    def _torchvision(self):
        pytest.importorskip("torchvision")
        from torchvision import transforms
        from torchvision.transforms import v2

        self.v1, self.v2 = transforms, v2

    def n_different(self, augment, channels=3):
        torch.manual_seed(0)
        images = torch.rand(1, channels, 16, 16).expand(32, channels, 16, 16)
        out = build_augment(augment, CPU)(images)
        assert out.shape == images.shape
        return len(out.flatten(1).unique(dim=0))

    def test_each_image_has_a_draw_of_its_own(self):
        v1, v2 = self.v1, self.v2
        crop = v2.RandomResizedCrop(16, scale=(0.2, 1), antialias=True)
        # By itself it draws once for all images: should that change, we need not loop.
        torch.manual_seed(0)
        same = crop(torch.rand(1, 3, 16, 16).expand(32, 3, 16, 16))
        assert len(same.flatten(1).unique(dim=0)) == 1
        assert self.n_different(crop) > 25
        assert self.n_different(v2.Compose([v2.Identity(), crop])) > 25
        assert self.n_different(nn.Sequential(nn.Identity(), crop)) > 25
        assert self.n_different(v1.RandomResizedCrop(16, antialias=True)) > 25
        assert self.n_different(v1.Compose([v1.ColorJitter(0.5)])) > 25
        assert self.n_different([RandomFlip(1), v2.RandomHorizontalFlip(0.5)]) == 2

    def test_training_takes_it_and_pickles(self):
        augment = self.v2.Compose(
            [self.v2.RandomHorizontalFlip(), self.v2.ColorJitter(0.2)]
        )
        fitted = siamese(augment=augment).fit(PHOTOS, Y)
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(again.transform(PHOTOS), fitted.transform(PHOTOS))
