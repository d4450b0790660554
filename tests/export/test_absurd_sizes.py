"""Files with a right checksum that name sizes which no memory has."""

import io
import zipfile

import numpy as np
import pytest

import skfsl
from skfsl import KNeighborsClassifier, PrototypeClassifier, SiameseTransformer
from skfsl.encoders import (
    MLP,
    Conv4,
    ConvNet,
    Darknet,
    KochNet,
    ResNet,
    TorchvisionBackbone,
)
from skfsl.export._codec import Encoder
from skfsl.export._container import pack, unpack
from skfsl.heads import DenseSigmoidHead, MixedNormsHead
from skfsl.losses import ArcFaceLoss
from skfsl.siamese import _saved

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 6)).astype(np.float32)
IMAGES = RNG.integers(0, 256, (12, 3, 12, 12), dtype=np.uint8)
Y = np.repeat(list("abcd"), 3)
HUGE = 10**13  # numbers: beyond what a process can address
REFUSED = "weights are not those of|far more layers than"


def metric(X, encoder, **params):
    return SiameseTransformer(encoder, max_epochs=1, random_state=0, **params).fit(X, Y)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Return the bytes of models by name."""
    path = tmp_path_factory.mktemp("models") / "model.skfsl"
    models = {
        "table": metric(X, MLP((8,), n_outputs=4)),
        "images": metric(IMAGES, "conv4"),
        "proxies": metric(X, MLP((8,)), head="cosine", loss="arc_face"),
        "own": metric(X, linear),
        "neighbors": KNeighborsClassifier(1).fit(X, Y),
        "prototypes": PrototypeClassifier().fit(X, Y),
    }

    def saved(model):
        skfsl.save(model, path)
        return path.read_bytes()

    return {name: saved(model) for name, model in models.items()}


def linear(shape):
    import torch

    return torch.nn.Linear(shape[0], 3)


def load_changed(content, tmp_path, change, **params):
    """Load a model after a change of its JSON and arrays, with a right checksum."""
    model, arrays = unpack(content, "it")
    change(model["state"], arrays)
    path = tmp_path / "changed.skfsl"
    path.write_bytes(pack(model, arrays))
    return skfsl.load(path, **params)


SIZES = {
    "layer": ("table", "encoder", MLP((HUGE,), n_outputs=4)),
    "outputs": ("table", "encoder", MLP((8,), n_outputs=HUGE)),
    "layers": ("table", "encoder", MLP((1,) * 100_000)),
    "channels": ("images", "encoder", Conv4(width=10**7)),
    "depth": ("images", "encoder", ConvNet(10**12, width=1)),
    "convolutions": ("images", "encoder", ResNet(n_convolutions=10**12)),
    "units": ("images", "encoder", Darknet(n_units=10**12)),
    "koch": (
        "images",
        "encoder",
        KochNet(embedding_dim=HUGE, channels=(1,), kernel_sizes=(3,)),
    ),
    "hidden": ("table", "head", MixedNormsHead(hidden=HUGE)),
    "centers": ("proxies", "loss", ArcFaceLoss(n_centers=HUGE)),
}


@pytest.mark.parametrize(("name", "param", "part"), SIZES.values(), ids=SIZES)
def test_parts_of_absurd_sizes_are_refused(name, param, part, content, tmp_path):
    def change(state, arrays):
        state[param] = Encoder().encode(part, param)

    with pytest.raises(ValueError, match=REFUSED):
        load_changed(content[name], tmp_path, change)


def test_weights_of_another_dtype_are_refused(content, tmp_path):
    def change(state, arrays):
        name = next(name for name in arrays if "hidden.0.weight" in name)
        arrays[name] = arrays[name].astype(np.float64)

    with pytest.raises(ValueError, match="1 differ in name, shape or dtype"):
        load_changed(content["table"], tmp_path, change)


@pytest.mark.parametrize("encoder", ["mlp", "conv4", "koch_net", "regnet_y_400mf"])
def test_samples_of_absurd_shapes_are_refused(encoder, content, tmp_path):
    if encoder.startswith("regnet"):
        pytest.importorskip("torchvision")

    def change(state, arrays):
        state["encoder"] = encoder
        shape = [HUGE] if encoder == "mlp" else [HUGE, 12, 12]
        state["input_shape_"] = {"tuple": shape}

    with pytest.raises(ValueError, match=f"The samples have {HUGE} channels or col"):
        load_changed(content["images"], tmp_path, change)


def test_a_large_network_of_torchvision_is_made_without_memory_only(
    content, tmp_path, monkeypatch
):
    pytest.importorskip("torchvision")
    made = []

    def change(state, arrays):
        part = TorchvisionBackbone("vgg11", weights=None)  # 0.5 GB
        state["encoder"] = Encoder().encode(part, "encoder")

    def build(transformer):
        made.append(real(transformer))
        return made[-1]

    real = _saved._encoder_without_weights
    monkeypatch.setattr(_saved, "_encoder_without_weights", build)
    with pytest.raises(ValueError, match=REFUSED):
        load_changed(content["images"], tmp_path, change)
    assert {w.device.type for net in made for w in net.parameters()} == {"meta"}


def test_an_encoder_of_ones_own_gets_no_absurd_shape(content, tmp_path):
    def change(state, arrays):
        state["input_shape_"] = {"tuple": [HUGE]}

    with pytest.raises(ValueError, match="weights are not those of encoder"):
        load_changed(content["own"], tmp_path, change, encoder=linear)


@pytest.mark.parametrize(
    ("head", "width"),
    [(DenseSigmoidHead(non_negative=False), HUGE), ("mahalanobis", 10**7)],
)
def test_absurd_widths_of_embeddings_are_refused(head, width, content, tmp_path):
    def change(state, arrays):
        state["head"] = Encoder().encode(head, "head")
        module = dict(state["net_"]["dict"])["module"]["dict"]
        next(pair for pair in module if pair[0] == "embedding_dim")[1] = width

    with pytest.raises(ValueError, match=r"weights are not those of .*Head"):
        load_changed(content["table"], tmp_path, change)


@pytest.mark.parametrize("name", ["neighbors", "prototypes"])
def test_samples_without_features_are_not_numbered(name, content, tmp_path):
    def change(state, arrays):
        arguments = state["_support"]["arguments"]
        at = 1 if name == "neighbors" else 2
        node = arguments[at]["arguments"][0]
        node["shape"] = [HUGE, 0]
        node.pop("transposed", None)
        arrays[node["array"]] = np.empty((HUGE, 0), arrays[node["array"]].dtype)
        arguments[-1] = None  # the ids, which are numbers then

    with pytest.raises(ValueError, match=r"an array of shape \(1.*, 0\), without one"):
        load_changed(content[name], tmp_path, change)


def test_an_array_is_read_once(content, tmp_path):
    def change(state, arrays):
        state["_support"] = [state["_support"]] * 1_000

    with pytest.raises(ValueError, match="no model can be made"):
        load_changed(content["neighbors"], tmp_path, change)


def test_compressed_steps_of_scikit_learn_are_refused(tmp_path):
    pytest.importorskip("skops")
    from skfsl.export._skops import from_skops

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 10**6)
    with pytest.raises(ValueError, match="larger than it"):
        from_skops(file.getvalue())
