import json
import sys

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler

from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseClassifier,
    SiameseTransformer,
    make_few_shot_pipeline,
)
from skfsl.encoders import MLP
from skfsl.export import support_inputs, to_exported_program, to_onnx

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 6)).astype(np.float32)
Y = np.repeat([f"class {c}" for c in "abcdefghijkl"], 4)
GRAY = RNG.integers(0, 256, (48, 12, 12), dtype=np.uint8)
COLOUR = RNG.random((48, 12, 12, 3)).astype(np.float32)


def siamese(**params):
    settings = {"encoder": MLP((8,), n_outputs=4), "max_epochs": 1, "random_state": 0}
    return SiameseTransformer(**(settings | params))


def run(path, **inputs):
    """Return the outputs by name, and what the JSON file says."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers = dict(zip(names, session.run(None, inputs), strict=True))
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert [i["name"] for i in about["inputs"]] == list(inputs)
    assert [o["name"] for o in about["outputs"]] == names
    return answers, about


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def assert_answers_alike(model, scores, path, queries, **inputs):
    for n_queries in (1, len(queries)):
        some = queries[:n_queries]
        answers, about = run(path, X=some, **inputs)
        expected = getattr(model, scores)(some)
        np.testing.assert_allclose(answers["scores"], expected, rtol=1e-4, atol=1e-4)
        labels = np.append(about["classes"], about["unknown_label"])[answers["label"]]
        assert labels.tolist() == model.predict(some).tolist()


MODELS = {
    "euclidean": make_few_shot_pipeline(siamese(), PrototypeClassifier()),
    "cosine": PrototypeClassifier("cosine", store="sums"),
    "covariance": make_few_shot_pipeline(
        siamese(), PrototypeClassifier(covariance="shared")
    ),
    "covariance of directions": PrototypeClassifier(
        "cosine",
        covariance="shared",
        shrinkage=0.3,
        unknown_label="nobody",
        familiarity="similarity",
        reject=0.3,
    ),
    "manhattan": make_few_shot_pipeline(
        siamese(head="dense_sigmoid", loss="binary_cross_entropy"),
        PrototypeClassifier("manhattan"),
    ),
    "mean of a learned head": SiameseClassifier(
        siamese(head="mixed_norms", loss="binary_cross_entropy"), aggregation="mean"
    ),
    "highest of a learned head": SiameseClassifier(
        siamese(head="mahalanobis"), aggregation="max"
    ),
    "neighbours": make_few_shot_pipeline(siamese(), KNeighborsClassifier(3)),
    "neighbours by cosine": KNeighborsClassifier(2, metric="cosine"),
}


@pytest.mark.parametrize("name", MODELS)
def test_onnx_answers_as_the_model_does(name, path):
    model = MODELS[name].fit(X, Y)
    scores = "predict_proba" if "neigh" in name else "decision_function"
    to_onnx(model, path)
    assert_answers_alike(model, scores, path, X)


@pytest.mark.parametrize("name", ["euclidean", "highest of a learned head",
                                  "mean of a learned head", "neighbours"])  # fmt: skip
def test_with_the_support_set_as_input_classes_come_and_go(name, path):
    model = MODELS[name].fit(X, Y)
    scores = "predict_proba" if "neigh" in name else "decision_function"
    to_onnx(model, path, support="input")
    assert_answers_alike(model, scores, path, X, **support_inputs(model))
    # By ONNX alone: embed two examples of a new class, and put them in.
    inputs = support_inputs(model)
    embeddings = run(path, X=X[:2] + 4, **inputs)[0]["embeddings"]
    support = np.concatenate([inputs["support"], embeddings])
    membership = np.pad(inputs["membership"], ((0, 2), (0, 1)))
    membership[-2:, -1] = 1
    answers, _ = run(path, X=X, support=support, membership=membership)
    model.partial_fit(X[:2] + 4, ["zebra", "zebra"])
    expected = getattr(model, scores)(X)
    np.testing.assert_allclose(answers["scores"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "layout", "dtype"),
    [(GRAY, "no_channels", "uint8"), (COLOUR, "channels_last", "float32")],
)
def test_images_come_as_they_are(images, layout, dtype, path):
    encoder = SiameseTransformer(max_epochs=1, random_state=0, views="shifts")
    model = make_few_shot_pipeline(encoder, PrototypeClassifier()).fit(images, Y)
    to_onnx(model, path, input_layout=layout)
    assert_answers_alike(model, "decision_function", path, images)
    (described,) = run(path, X=images)[1]["inputs"]
    assert described["dtype"] == dtype
    assert described["shape"] == ["n", *images.shape[1:]]


def test_a_transformer_alone_embeds(path):
    model = siamese(head="cosine").fit(X, Y)
    to_onnx(FrozenEstimator(model), path)
    answers, about = run(path, X=X)
    assert list(answers) == ["embeddings"]
    np.testing.assert_allclose(answers["embeddings"], model.transform(X), atol=1e-5)
    assert "classes" not in about


@pytest.mark.parametrize(
    "model",
    [
        PrototypeClassifier("cosine", unknown_label=-7, familiarity="similarity",
                            reject=0.3),
        KNeighborsClassifier(1, unknown_label=-7, reject=0.3),
        KNeighborsClassifier(1, metric="cosine", unknown_label=-7, threshold=-0.1),
    ],
)  # fmt: skip
def test_strangers_are_refused_alike(model, path):
    model.fit(X, np.arange(48) // 4)
    # Others than the stored ones: a threshold is the score of one of these.
    queries = X + np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    assert 5 < (model.predict(queries) == -7).sum() < 43
    to_onnx(model, path)
    answers, about = run(path, X=queries)
    labels = np.append(about["classes"], about["unknown_label"])[answers["label"]]
    assert labels.tolist() == model.predict(queries).tolist()


def test_two_classes_have_two_scores(path):
    model = PrototypeClassifier().fit([[0.0], [4.0]], [True, False])
    to_onnx(model, path)
    answers, about = run(path, X=np.array([[1.0]], np.float32))
    assert about["classes"] == [False, True]
    np.testing.assert_allclose(answers["scores"], [[-9, -1]])


def test_a_program_of_torch_answers_alike():
    model = MODELS["euclidean"].fit(X, Y)
    label, scores, embeddings = to_exported_program(model).module()(torch.tensor(X))
    assert model.classes_[label].tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(scores, model.decision_function(X), atol=1e-4)
    np.testing.assert_allclose(embeddings, model[0].transform(X), atol=1e-5)


def test_exporting_leaves_the_model_alone(path):
    model = MODELS["euclidean"].fit(X, Y)
    before, state = model.predict_proba(X), torch.get_rng_state()
    to_exported_program(model)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (FewShotPipeline([("a", StandardScaler()), ("b", PrototypeClassifier())]),
         "Cannot export a StandardScaler"),
        (StandardScaler(), "Cannot export a StandardScaler"),
        (PrototypeClassifier(lambda a, b: 1.0), "a function as metric"),
        (KNeighborsClassifier(metric="chebyshev"), "metric='chebyshev': choose"),
        (KNeighborsClassifier(algorithm="kd_tree"), "algorithm='kd_tree' and weights"),
        (KNeighborsClassifier(weights="distance"), "weights='distance'"),
        (PrototypeClassifier(unknown_label="x", familiarity="likelihood_ratio"),
         "Set familiarity='similarity'"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_named(model, match, path):
    with pytest.raises(ValueError, match=match):
        to_onnx(model.fit(X, Y), path)
    assert not list(path.parent.iterdir())


def test_settings_that_make_no_sense(path):
    model = siamese(max_epochs=0).fit(X, Y)
    with pytest.raises(ValueError, match="must be 'constant' or 'input'"):
        to_onnx(model, path, support="inputs")
    alone = "A SiameseTransformer alone has no support"
    with pytest.raises(ValueError, match=alone):
        to_onnx(model, path, support="input")
    with pytest.raises(ValueError, match=alone):
        support_inputs(model)
    with pytest.raises(ValueError, match=r"'auto' or one of \('channels_first'"):
        to_onnx(model, path, input_layout="nchw")
    images = SiameseTransformer(max_epochs=0).fit(COLOUR, Y)
    with pytest.raises(
        ValueError, match=r"one channel. Got a model for images of shap"
    ):
        to_onnx(images, path, input_layout="no_channels")
    days = np.repeat(np.arange("2024-01", "2025-01", dtype="M8[M]"), 4)
    dated = PrototypeClassifier().fit(X, days)
    with pytest.raises(ValueError, match="no labels of dtype datetime64"):
        to_onnx(dated, path)


def test_onnx_is_asked_for(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"install 'skfsl\[onnx\]'"):
        to_onnx(PrototypeClassifier().fit(X, Y), path)
