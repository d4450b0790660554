"""Weights from files: wrappers, prefixes, classifiers, and what is wrong with them."""

import pickle
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skfsl import SiameseTransformer
from skfsl.encoders import Conv4, load_weights
from skfsl.encoders._state_dict import read_state_dict

RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(4), 4)
TABLE = RNG.normal(size=(16, 5)).astype(np.float32) + Y[:, None]
GRAY = RNG.integers(0, 255, (16, 12, 12), dtype=np.uint8)


def siamese(encoder, **params):
    params = {"max_epochs": 0, "device": "cpu", "random_state": 0, **params}
    return SiameseTransformer(encoder, **params)


def net():
    """A network of two branches, with a norm that counts its batches."""
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)),
            pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            projector=nn.Linear(4, 3),
        )
    )


@pytest.fixture
def state():
    torch.manual_seed(0)
    return net().state_dict()


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def load(saved, tmp_path, module=None):
    torch.save(saved, tmp_path / "weights.pt")
    module = net() if module is None else module
    load_weights(module, tmp_path / "weights.pt")
    return module


class TestWrappings:
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda s: s,
            lambda s: prefixed(s, "module."),
            lambda s: {"state_dict": prefixed(s, "model.encoder."), "epoch": 3},
            lambda s: {"model": prefixed(s, "module."), "optimizer": {"lr": 0.1}},
            lambda s: {"module": {"state_dict": dict(s)}, "best": 0.5},
            lambda s: {**s, "fc.weight": torch.rand(9, 3), "fc.bias": torch.rand(9)},
            lambda s: {**prefixed(s, "net."), "loss.proxies": torch.rand(9, 3)},
            lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
            lambda s: prefixed(s, "student.backbone."),
        ],
        ids=[
            "plain",
            "DDP",
            "Lightning",
            "with an optimizer",
            "wrapped twice",
            "with a classifier",
            "with a loss",
            "of an old version",
            "any prefix",
        ],
    )
    def test_are_taken_off(self, wrap, state, tmp_path):
        module = load(wrap(state), tmp_path)
        assert module.pretrained
        for name, value in module.state_dict().items():
            if "num_batches" not in name:
                torch.testing.assert_close(value, state[name], rtol=0, atol=0)

    def test_of_two_copies_the_plain_one_is_taken(self, state, tmp_path):
        other = prefixed({k: v + 1 for k, v in state.items()}, "head.ema.")
        module = load({**other, **state}, tmp_path)
        weight = module.get_parameter("projector.weight")
        torch.testing.assert_close(weight, state["projector.weight"], rtol=0, atol=0)

    def test_safetensors(self, state, tmp_path):
        files = pytest.importorskip("safetensors.torch")
        path = tmp_path / "weights.safetensors"
        files.save_file(prefixed(state, "module."), path)
        module = net()
        load_weights(module, path)
        weight = module.get_parameter("projector.weight")
        torch.testing.assert_close(weight, state["projector.weight"], rtol=0, atol=0)

    def test_without_safetensors_the_package_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "safetensors.torch", None)
        (tmp_path / "weights.safetensors").touch()
        with pytest.raises(ImportError, match="pip install safetensors"):
            read_state_dict(tmp_path / "weights.safetensors")


class TestErrors:
    @pytest.mark.parametrize(
        ("spoil", "match"),
        [
            (lambda s: s.pop("features.0.weight"), "missing: features.0.weight"),
            (lambda s: s.clear(), r"missing: features\.0\.weight.* and \d more"),
            (
                lambda s: s.update({"features.2.weight": torch.rand(2)}),
                r"left over: features\.2\.weight",
            ),
            (
                lambda s: s.update({"projector.weight": torch.rand(2, 4)}),
                r"another shape: size mismatch for projector\.weight",
            ),
            (
                lambda s: s["projector.bias"].fill_(torch.nan),
                r"NaN: projector\.bias",
            ),
        ],
        ids=["missing", "empty", "left over", "shape", "NaN"],
    )
    def test_weights_of_another_network(self, spoil, match, state, tmp_path):
        spoil(state)
        with pytest.raises(ValueError, match=match):
            load(state, tmp_path)

    def test_a_pickled_module_is_not_executed(self, tmp_path):
        with pytest.raises(
            ValueError, match="must hold a state_dict and no other"
        ) as e:
            load(net(), tmp_path)
        assert "weights_only" not in str(e.value)  # no advice to execute it

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"no weights",
            b"hello",
            b"version https://",
            b"<html>",
            pickle.dumps([1]),
        ],
    )
    @pytest.mark.parametrize("suffix", ["pt", "safetensors"])
    def test_other_files(self, content, suffix, tmp_path):
        if suffix == "safetensors":
            pytest.importorskip("safetensors")
        path = tmp_path / f"weights.{suffix}"
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"state_dict.*weights\.{suffix}|weights\.{suffix}"
        ):
            read_state_dict(path)

    def test_an_unknown_wrapper_is_named(self, state, tmp_path):
        with pytest.raises(ValueError, match=r"Got a dict of \['teacher', 'student'\]"):
            load({"teacher": state, "student": state}, tmp_path)


class TestInTheTransformer:
    def test_an_encoder_of_our_own_by_name(self, tmp_path):
        trained = siamese("conv4", max_epochs=1).fit(GRAY, Y)
        path = tmp_path / "conv4.pt"
        torch.save(trained.net_.module_.encoder.state_dict(), path)
        for encoder in ("conv4", Conv4()):
            other = clone(siamese(encoder, weights=path)).fit(GRAY, Y)
            np.testing.assert_array_equal(
                other.transform(GRAY), trained.transform(GRAY)
            )
            assert other.net_.module_.encoder.pretrained
        assert not getattr(trained.net_.module_.encoder, "pretrained", False)

    def test_a_net_for_tables_keeps_the_means_it_was_trained_with(self, tmp_path):
        trained = siamese("mlp", max_epochs=1).fit(TABLE, Y)
        path = tmp_path / "mlp.pt"
        torch.save(trained.net_.module_.state_dict(), path)  # the prefix is "encoder."
        other = siamese("mlp", weights=path).fit(TABLE * 3 + 1, Y)
        np.testing.assert_array_equal(other.transform(TABLE), trained.transform(TABLE))

    def test_a_module_of_the_users(self, state, tmp_path):
        torch.save(state, tmp_path / "weights.pt")
        encoder = net()
        before = encoder.state_dict()["projector.weight"].clone()
        fitted = siamese(encoder, weights=tmp_path / "weights.pt").fit(GRAY, Y)
        inside = fitted.net_.module_.encoder
        assert inside.pretrained
        weight = inside.state_dict()["projector.weight"]
        torch.testing.assert_close(weight, state["projector.weight"])
        # What was passed is as it was.
        torch.testing.assert_close(encoder.state_dict()["projector.weight"], before)
        assert not hasattr(encoder, "pretrained")

    def test_a_module_that_says_so_is_pretrained(self):
        encoder = net()
        encoder.pretrained = True
        assert siamese(encoder).fit(GRAY, Y).net_.module_.encoder.pretrained

    def test_names_of_weights_are_for_torchvision(self):
        with pytest.raises(FileNotFoundError, match="'DEFAULT' must be the path"):
            siamese("conv4", weights="DEFAULT").fit(GRAY, Y)

    def test_training_goes_on_with_the_weights_there_are(self, tmp_path):
        trained = siamese("conv4", max_epochs=1).fit(GRAY, Y)
        torch.save(trained.net_.module_.encoder.state_dict(), tmp_path / "a.pt")
        trained.set_params(weights=tmp_path / "a.pt", warm_start=True)
        with pytest.raises(ValueError, match=r"of weights=auto\. Got weights=.*a\.pt"):
            trained.fit(GRAY, Y)
