"""Where and how precisely it computes."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from skfsl import SiameseTransformer
from skfsl.siamese._device import resolve_device, training_dtype

CPU = torch.device("cpu")
CONV, LINEAR = nn.Sequential(nn.Conv2d(1, 1, 1)), nn.Linear(1, 1)
Y = np.repeat(np.arange(4), 8)
X = (np.random.default_rng(0).random((32, 12, 12)) * 255).astype(np.uint8)


def fast(monkeypatch, answer):
    monkeypatch.setattr("skfsl.siamese._device._fast_bfloat16", lambda device: answer)


def test_auto_takes_what_there_is():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type in (expected, "mps")


def test_a_device_may_be_an_object():
    assert resolve_device(CPU) == CPU


@pytest.mark.parametrize(
    ("processor_is_fast", "module", "dtype"),
    [
        (True, CONV, torch.bfloat16),
        (True, LINEAR, torch.float32),
        (False, CONV, torch.float32),
    ],
)
def test_half_precision_where_it_pays(monkeypatch, processor_is_fast, module, dtype):
    fast(monkeypatch, processor_is_fast)
    assert training_dtype("auto", CPU, module) == dtype
    assert training_dtype("float32", CPU, module) == torch.float32
    assert training_dtype("bfloat16", CPU, module) == torch.bfloat16


def test_half_precision_trains_and_embeds_in_float32(monkeypatch):
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x):
            out = self.conv(x)
            seen.append((self.training, out.dtype))
            return out.flatten(1)

    fast(monkeypatch, True)
    params = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
    fitted = SiameseTransformer(Spy, **params).fit(X, Y)
    fitted.transform(X)
    assert {d for training, d in seen if training} == {torch.bfloat16}
    assert {d for training, d in seen if not training} == {torch.float32}
    seen.clear()
    SiameseTransformer(Spy, precision="bfloat16", **params).fit(X, Y).transform(X)
    assert seen[-1] == (False, torch.bfloat16)


def test_what_is_pickled_on_an_accelerator_is_all_copied_to_the_cpu():
    params = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
    fitted = SiameseTransformer("mlp", **params).fit(X.reshape(32, -1), Y)
    trained = {p.data_ptr() for p in fitted.net_.module_.parameters()}
    fitted.device_ = torch.device("cuda", 0)
    net = fitted.__getstate__()["net_"]
    held = [p for group in net.optimizer_.param_groups for p in group["params"]]
    for value in vars(net).values():
        if isinstance(value, nn.Module):
            held += value.parameters()
    assert not trained & {p.data_ptr() for p in held}
    assert {id(p) for p in held} == {id(p) for p in net.module_.parameters()}


@pytest.mark.gpu
class TestGPU:
    def test_the_same_metric_as_on_the_cpu(self):
        gpu = SiameseTransformer(max_epochs=2, random_state=0).fit(X, Y)
        assert gpu.device_.type == "cuda"
        assert next(gpu.net_.module_.parameters()).is_cuda
        twin = pickle.loads(pickle.dumps(gpu))
        np.testing.assert_allclose(
            twin.set_params(device="cpu").transform(X), gpu.transform(X), atol=1e-2
        )

    def test_the_same_seed_gives_the_same_bits(self):
        first, second = (
            SiameseTransformer(max_epochs=2, random_state=0).fit(X, Y).transform(X)
            for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)

    def test_global_generators_are_untouched(self):
        before = torch.cuda.get_rng_state()
        SiameseTransformer(max_epochs=1, random_state=0).fit(X, Y)
        assert torch.equal(torch.cuda.get_rng_state(), before)

    def test_a_pickle_opens_without_a_gpu(self, monkeypatch):
        gpu = SiameseTransformer(max_epochs=1, random_state=0).fit(X, Y)
        state = pickle.dumps(gpu)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        opened = pickle.loads(state)
        assert opened.device_.type == "cpu"
        np.testing.assert_allclose(opened.transform(X), gpu.transform(X), atol=1e-2)

    def test_an_encoder_on_the_gpu_is_taken(self):
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(144, 3)).cuda()
        for device in ("cpu", "cuda"):
            params = {"max_epochs": 1, "random_state": 0, "device": device}
            fitted = SiameseTransformer(encoder, **params).fit(X, Y)
            assert fitted.transform(X).shape == (32, 3)

    def test_tensors_of_the_gpu_are_taken(self):
        Z = torch.from_numpy(X).cuda()
        SiameseTransformer(max_epochs=1, random_state=0).fit(Z, Y).transform(Z)
