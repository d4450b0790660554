"""Networks of torchvision as encoders: by name, without classifier, with weights."""

import pickle
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from skfsl import PrototypeClassifier, SiameseTransformer, make_few_shot_pipeline
from skfsl.encoders import ENCODERS, TorchvisionBackbone

torchvision = pytest.importorskip("torchvision")
models = torchvision.models
NAMES = models.list_models(module=models)
# One of each family that is quickly made.
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
]
RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(4), 4)
PHOTOS = RNG.integers(0, 60, (16, 32, 32, 3), dtype=np.uint8)
PHOTOS += (40 * Y[:, None, None, None]).astype(np.uint8)


def frozen(encoder, **params):
    params = {"max_epochs": 0, "device": "cpu", "random_state": 0, **params}
    return SiameseTransformer(encoder, **params)


def whole(name):
    """Build torchvision's own network, with its classifier and lively norms."""
    torch.manual_seed(0)
    settings = {"init_weights": False} if name == "googlenet" else {}
    net = models.get_model(name, weights=None, **settings)
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
    return net.eval()


def features(net, x):
    """Return what the last layer of a network of torchvision gets."""
    got = []
    last = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    hook = last.register_forward_hook(lambda module, args, out: got.append(args[0]))
    with torch.no_grad():
        net(x)
    hook.remove()
    return got[0]


@pytest.fixture(scope="module")
def resnet():
    return whole("resnet18")


@pytest.fixture
def saved(resnet, tmp_path):
    path = tmp_path / "resnet18.pt"
    torch.save(resnet.state_dict(), path)
    return path


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty folder of torch.hub, and no network."""

    def fail(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def embed(name, weights, x):
    module = TorchvisionBackbone(name, weights=weights).build(tuple(x.shape[1:]))
    with torch.no_grad():
        return module.eval()(x)


def normalised(x, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


class TestNetworks:
    @pytest.mark.parametrize("name", FAMILIES)
    def test_the_classifier_is_taken_off(self, name):
        out = embed(name, None, torch.rand(2, 3, 64, 64))
        assert out.ndim == 2
        assert len(out) == 2
        assert out.shape[1] != 1000

    @pytest.mark.slow
    @pytest.mark.parametrize("name", NAMES)
    def test_every_network_gives_what_its_classifier_gets(self, name, monkeypatch):
        # Without memory for weights; regnets compute their widths with tensors.
        block_params = models.regnet.BlockParams

        def on_cpu(*args, make=block_params.from_init_params, **kwargs):
            with torch.device("cpu"):
                return make(*args, **kwargs)

        monkeypatch.setattr(block_params, "from_init_params", on_cpu)
        with torch.device("meta"), torch.no_grad():
            named = name in ("googlenet", "inception_v3")
            settings = {"init_weights": False, "aux_logits": False} if named else {}
            net = models.get_model(name, weights=None, **settings)
            last = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
            module = TorchvisionBackbone(name, weights=None).build((3, 40, 40)).eval()
            out = module(torch.rand(2, 3, 40, 40))
        weight = last[-1].weight
        assert out.shape == (2, weight.shape[1])
        assert weight.shape[0] == 1000
        assert 1000 not in {len(parameter) for parameter in module.parameters()}

    def test_aux_classifiers_are_off_in_training(self):
        module = TorchvisionBackbone("googlenet", weights=None).build((3, 64, 64))
        assert isinstance(module.train()(torch.rand(2, 3, 64, 64)), torch.Tensor)

    @pytest.mark.parametrize(
        ("name", "side", "resized"),
        [
            ("resnet18", 40, False),
            ("inception_v3", 40, True),
            ("swin_t", 256, True),
            ("vit_b_32", 40, True),
        ],
    )
    def test_what_does_not_fit_is_resized(self, name, side, resized):
        with torch.device("meta"), torch.no_grad():
            module = TorchvisionBackbone(name, weights=None).build((3, side, side))
            seen = []
            module.net.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
            module.eval()(torch.rand(2, 3, side, side))
        expected = module.image_size if resized else side
        assert seen[0].shape == (2, 3, expected, expected)

    def test_all_are_resized_where_it_is_asked_for(self, saved):
        part = TorchvisionBackbone("resnet18", weights=saved, resize=True)
        x = torch.rand(2, 3, 56, 56)
        large = nn.functional.interpolate(x, 224, mode="bilinear", antialias=True)
        with torch.no_grad():
            out = part.build((3, 56, 56)).eval()(x)
        torch.testing.assert_close(out, embed("resnet18", saved, large))

    def test_the_size_is_that_of_the_weights(self):
        sizes = {
            ("resnet50", "DEFAULT"): 224,
            ("efficientnet_v2_s", None): 384,
            ("vit_b_16", "IMAGENET1K_V1"): 224,
            ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"): 384,
        }
        for (name, weights), size in sizes.items():
            assert TorchvisionBackbone(name, weights=weights).image_size == size

    def test_a_part_with_a_member_of_an_enum_is_cloned_and_pickled(self):
        member = models.ResNet50_Weights.IMAGENET1K_V1
        part = TorchvisionBackbone("resnet50", weights=member)
        for other in (clone(part), pickle.loads(pickle.dumps(part))):
            assert other.weights == member
            assert other.get_params() == part.get_params()


class TestNormalisation:
    def test_is_imagenets_and_inside(self, resnet, saved):
        x = torch.rand(3, 3, 64, 64)
        torch.testing.assert_close(
            embed("resnet18", saved, x), features(resnet, normalised(x))
        )

    @pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
    def test_is_as_torchvision_does_it_for_the_weights(self, name, tmp_path):
        torch.manual_seed(0)
        settings = {"transform_input": True, "init_weights": False}
        net = models.get_model(name, weights=None, **settings).eval()
        torch.save(net.state_dict(), tmp_path / "weights.pt")
        x = torch.rand(2, 3, 96, 96)
        torch.testing.assert_close(
            embed(name, tmp_path / "weights.pt", x), features(net, normalised(x)),
            rtol=1e-3, atol=1e-5,
        )  # fmt: skip

    def test_is_that_of_the_weights(self):
        part = TorchvisionBackbone("efficientnet_v2_l", weights=None)
        module = part.build((3, 32, 32))
        assert module.mean.unique().tolist() == module.std.unique().tolist() == [0.5]

    def test_pixels_up_to_255_are_refused(self, saved):
        with pytest.raises(ValueError, match=r"as floats in \[0, 1\].*to 2\d\d"):
            frozen("resnet18", weights=saved).fit(PHOTOS.astype(float) + 40, Y)


class TestChannels:
    def test_one_channel_is_the_gray_picture_in_colour(self, saved):
        x = torch.rand(3, 1, 64, 64)
        torch.testing.assert_close(
            embed("resnet18", saved, x),
            embed("resnet18", saved, x.expand(-1, 3, -1, -1)),
            rtol=0,
            atol=0,
        )

    @pytest.mark.parametrize("name", ["resnet18", "densenet121"])
    @pytest.mark.parametrize("n", [2, 4, 7])
    def test_other_counts_take_the_filters_in_turn(self, name, n, tmp_path):
        net = whole(name)
        torch.save(net.state_dict(), tmp_path / "weights.pt")
        x = torch.rand(2, n, 64, 64)
        out = embed(name, tmp_path / "weights.pt", x)
        # The same by hand: channels that share a filter are summed before it.
        z = torch.zeros(2, 3, 64, 64)
        for i in range(n):
            gray = normalised(x[:, [i]].expand(-1, 3, -1, -1))
            z[:, i % 3] += gray[:, i % 3] * 3 / n
        torch.testing.assert_close(out, features(net, z), rtol=1e-3, atol=1e-4)

    def test_weights_that_were_trained_with_as_many_channels_are_kept(self, tmp_path):
        torch.manual_seed(0)
        part = TorchvisionBackbone("resnet18", weights=None)
        trained = part.build((4, 32, 32)).eval()
        torch.save(trained.state_dict(), tmp_path / "weights.pt")
        x = torch.rand(2, 4, 32, 32)
        out = embed("resnet18", tmp_path / "weights.pt", x)
        torch.testing.assert_close(out, trained(x), rtol=0, atol=0)


class TestWeights:
    @pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1", "member"])
    def test_are_taken_from_the_folder_of_the_hub(self, weights, hub, resnet):
        member = models.ResNet18_Weights.IMAGENET1K_V1
        torch.save(resnet.state_dict(), hub / Path(member.url).name)
        x = torch.rand(2, 3, 40, 40)
        weights = member if weights == "member" else weights
        torch.testing.assert_close(
            embed("resnet18", weights, x), features(resnet, normalised(x))
        )

    def test_without_network_it_is_said_where_the_file_goes(self, hub):
        with pytest.raises(OSError, match="no network") as raised:
            frozen("resnet18").fit(PHOTOS, Y)
        message = str(raised.value)
        for part in (
            "https://download.pytorch.org/models/resnet18-f37072fd.pth",
            str(hub),
            "as resnet18-f37072fd.pth",
            "pass its path as weights=",
        ):
            assert part in message

    def test_a_download_that_is_damaged_is_not_taken(self, hub, monkeypatch):
        def damaged(url, path, hash_prefix, progress):
            assert hash_prefix == "f37072fd"
            raise RuntimeError('invalid hash value (expected "f37072fd", got "0")')

        monkeypatch.setattr(torch.hub, "download_url_to_file", damaged)
        with pytest.raises(OSError, match="invalid hash value"):
            embed("resnet18", "DEFAULT", torch.rand(1, 3, 32, 32))

    def test_a_file_that_is_none_is_not_run(self, hub):
        (hub / "resnet18-f37072fd.pth").write_bytes(pickle.dumps(print))
        with pytest.raises(OSError, match="Cannot load the weights") as error:
            embed("resnet18", "DEFAULT", torch.rand(1, 3, 32, 32))
        assert "weights_only" not in str(error.value)  # no advice to run it
        (hub / "resnet18-f37072fd.pth").write_text("hello, <html>")
        with pytest.raises(OSError, match="Cannot load the weights"):
            embed("resnet18", "DEFAULT", torch.rand(1, 3, 32, 32))

    def test_a_downloaded_file_is_known_by_its_name(self, tmp_path):
        path = tmp_path / "vit_b_16_swag-9ac1b537.pth"
        path.touch()
        assert TorchvisionBackbone("vit_b_16", weights=path).image_size == 384

    @pytest.mark.parametrize("name", ["densenet121", "googlenet", "mnasnet0_5"])
    def test_files_of_old_versions(self, name, tmp_path):
        net = whole(name)
        state = net.state_dict()
        renamed = {
            key.replace("norm1", "norm.1").replace("conv2", "conv.2"): value
            for key, value in state.items()
            if not key.endswith("num_batches_tracked")
        }
        if name != "densenet121":
            renamed = state
        torch.save(renamed, tmp_path / "weights.pt")
        x = torch.rand(2, 3, 48, 48)
        mean = ((0.5,) * 3, (0.5,) * 3) if name == "googlenet" else ()
        torch.testing.assert_close(
            embed(name, tmp_path / "weights.pt", x), features(net, normalised(x, *mean))
        )

    def test_unknown_ones_are_told(self):
        with pytest.raises(ValueError, match=r"'IMAGENET1K_V2', 'DEFAULT'"):
            embed("resnet50", "IMAGENET21K", torch.rand(1, 3, 32, 32))
        other = models.ResNet18_Weights.DEFAULT
        with pytest.raises(ValueError, match=r"weights='ResNet18_Weights\..* resnet50"):
            embed("resnet50", other, torch.rand(1, 3, 32, 32))


class TestNames:
    def test_near_ones_are_named(self):
        with pytest.raises(ValueError, match=r"Unknown encoder='resnt50'.*'resnet50'"):
            frozen("resnt50").fit(PHOTOS, Y)
        with pytest.raises(ValueError, match=r"Did you mean .*'conv4'"):
            frozen("conv5").fit(PHOTOS, Y)

    def test_none_of_our_own_is_one_of_torchvisions(self):
        assert not set(ENCODERS) & set(NAMES)

    def test_tables_are_refused(self):
        X = RNG.normal(size=(16, 5))
        with pytest.raises(ValueError, match="takes images of shape"):
            frozen("resnet18", weights=None).fit(X, Y)

    def test_without_torchvision_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torchvision", None)
        with pytest.raises(ImportError, match=r"conv4.*pip install 'skfsl\[images\]'"):
            frozen("resnet18").fit(PHOTOS, Y)


class TestInTheTransformer:
    def test_a_frozen_one_is_the_network_itself(self, resnet, saved):
        fitted = frozen("resnet18", weights=str(saved)).fit(PHOTOS, Y)
        x = torch.from_numpy(PHOTOS).permute(0, 3, 1, 2) / 255
        expected = features(resnet, normalised(x)).numpy()
        np.testing.assert_allclose(
            fitted.transform(PHOTOS), expected, rtol=1e-3, atol=1e-4
        )
        assert fitted.net_.module_.encoder.pretrained
        assert fitted.embedding_dim_ == 512

    def test_none_draws_weights_and_tells(self):
        fitted = frozen("resnet18", weights=None).fit(PHOTOS, Y)
        assert not fitted.net_.module_.encoder.pretrained

    def test_cloned_pickled_and_enrolled(self, saved):
        steps = frozen("resnet18", weights=saved), PrototypeClassifier()
        pipe = clone(make_few_shot_pipeline(*steps)).fit(PHOTOS, Y)
        pipe.partial_fit(255 - PHOTOS[:2], [9, 9])
        other = pickle.loads(pickle.dumps(pipe))
        np.testing.assert_array_equal(other.predict(PHOTOS), pipe.predict(PHOTOS))
        assert 9 in other.predict(255 - PHOTOS)

    @pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
    def test_is_searched_by_name_and_by_weights(self, saved, n_jobs):
        pipe = make_few_shot_pipeline(
            frozen("resnet18", weights=None), PrototypeClassifier()
        )
        grids = [
            {"siamesetransformer__encoder": ["mobilenet_v3_small", "conv4"]},
            {"siamesetransformer__weights": [saved]},
        ]
        search = GridSearchCV(pipe, grids, cv=2, n_jobs=n_jobs, error_score="raise")
        search.fit(PHOTOS, Y)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()

    def test_files_are_decoded_to_the_size_of_the_weights(self, saved, tmp_path):
        image = pytest.importorskip("PIL.Image")
        paths = [str(tmp_path / f"{i}.png") for i in range(8)]
        for path, photo in zip(paths, PHOTOS[::2], strict=True):
            image.fromarray(photo).save(path)
        fitted = frozen("resnet18", weights=saved).fit(paths, Y[::2])
        assert fitted.input_shape_ == (3, 224, 224)
        assert fitted.transform(paths[:3]).shape == (3, 512)

    def test_nested_settings(self):
        siamese = SiameseTransformer("resnet18")
        assert siamese.set_params(encoder__weights=None).encoder.weights is None
        assert siamese.encoder.name == "resnet18"

    def test_weights_leave_the_other_settings(self, saved):
        siamese = frozen(TorchvisionBackbone("resnet18", resize=True), weights=saved)
        module = siamese.fit(PHOTOS[::2], Y[::2]).net_.module_.encoder
        assert module.least_size == module.image_size
        assert siamese.encoder.weights == "DEFAULT"

    def test_is_fine_tuned_and_goes_on(self, saved):
        before = frozen("resnet18", weights=saved).fit(PHOTOS, Y)
        siamese = frozen("resnet18", weights=saved, max_epochs=1, lr=1e-4)
        siamese.fit(PHOTOS, Y)
        assert siamese.fit_id_ != before.fit_id_
        first = siamese.fit_id_
        assert siamese.partial_fit(PHOTOS, Y).fit_id_ != first
        siamese.set_params(weights=None)
        with pytest.raises(ValueError, match=r"weights=None"):
            siamese.partial_fit(PHOTOS, Y)
