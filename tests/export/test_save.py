import importlib
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

import skfsl
from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseClassifier,
    SiameseTransformer,
)
from skfsl.encoders import MLP, ConvNet, TorchvisionBackbone
from skfsl.heads import CosineHead, LearnedNormsHead, MixedNormsHead
from skfsl.siamese import Stage
from skfsl.utils._parts import Part

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 6)).astype(np.float32)
Y = np.repeat([f"class {c}" for c in "abcdefghijkl"], 4)
IMAGES = RNG.integers(0, 256, (48, 12, 12), dtype=np.uint8)


def twice(x):
    return 2 * x


def siamese(**params):
    settings = {"encoder": MLP((8,), n_outputs=4), "max_epochs": 1, "random_state": 0}
    return SiameseTransformer(**(settings | params))


def trip(model, path, **kwargs):
    skfsl.save(model, path)
    return skfsl.load(path, **kwargs)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skfsl"


def pipeline(*steps):
    return FewShotPipeline([(f"s{i}", step) for i, step in enumerate(steps)])


CLASSIFIERS = {
    "prototypes": PrototypeClassifier(),
    "prototypes of other settings": PrototypeClassifier(
        "cosine", store="sums", temperature=np.float64(0.5), unknown_label="nobody",
        reject=None,
    ),
    "covariance": PrototypeClassifier("cosine", covariance="shared", shrinkage=0.5),
    "open set": PrototypeClassifier(unknown_label="nobody", reject=0.2),
    "neighbours": KNeighborsClassifier(3, metric="cosine", weights="distance"),
    "neighbours with parameters": KNeighborsClassifier(
        2, metric="minkowski", p=3, metric_params={"w": np.arange(1.0, 7.0)}
    ),
    "siamese classifier": SiameseClassifier(siamese(), aggregation="max"),
    "a head of its own weights": SiameseClassifier(
        siamese(head=MixedNormsHead(hidden=3), loss="binary_cross_entropy")
    ),
    "default metric": SiameseClassifier(siamese(max_epochs=0)),
    "pipeline": pipeline(StandardScaler(), siamese(), PrototypeClassifier()),
    "pipeline in a pipeline": pipeline(
        make_pipeline(PCA(4), Normalizer()), "passthrough", KNeighborsClassifier(1)
    ),
}  # fmt: skip
every_classifier = pytest.mark.parametrize(
    "classifier", CLASSIFIERS.values(), ids=CLASSIFIERS
)


def assert_same_answers(a, b, queries=X):
    np.testing.assert_array_equal(a.predict(queries), b.predict(queries))
    np.testing.assert_array_equal(a.predict_proba(queries), b.predict_proba(queries))
    np.testing.assert_array_equal(a.score_samples(queries), b.score_samples(queries))


@every_classifier
def test_a_loaded_classifier_answers_with_the_same_bits(classifier, path):
    if "siamese" not in str(classifier).lower() and "Pipeline" in str(classifier):
        pytest.importorskip("skops")
    classifier = clone(classifier).fit(X, Y)
    loaded = trip(classifier, path)
    assert repr(loaded) == repr(classifier)
    assert_same_answers(classifier, loaded)


@every_classifier
def test_a_loaded_classifier_goes_on_like_the_one_before(classifier, path):
    classifier = clone(classifier).fit(X, Y)
    loaded = trip(classifier, path)
    for each in (classifier, loaded):
        each.partial_fit(X[:3] + 9, ["an elephant", "class b", "zebra"])
        each.forget(["class a", "zebra"])
    assert_same_answers(classifier, loaded)
    assert_same_answers(classifier, pickle.loads(pickle.dumps(loaded)))


@pytest.mark.parametrize("name", list(CLASSIFIERS)[:-2])  # skops writes the time
def test_saving_what_was_loaded_gives_the_same_file(name, path, tmp_path):
    loaded = trip(clone(CLASSIFIERS[name]).fit(X, Y), path)
    skfsl.save(loaded, tmp_path / "again")
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


@every_classifier
def test_unfitted_ones_are_saved_too(classifier, path):
    assert repr(trip(classifier, path)) == repr(classifier)


TRANSFORMERS = {
    "a loss with proxies": siamese(head="cosine", loss="arc_face"),
    "a projection": siamese(embedding_dim=3, head="mahalanobis"),
    "stages": siamese(schedule=[Stage(1, trainable=0.0), Stage(1, plateau=1)]),
    "other settings": siamese(
        head=CosineHead("learned"), loss="n_pair", sampler="episode", optimizer="sgd",
        early_stopping=2, validation_fraction=0.2, precision="bfloat16",
        random_state=np.random.RandomState(3), cache=None, verbose=0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("transformer", TRANSFORMERS.values(), ids=TRANSFORMERS)
def test_a_loaded_transformer_embeds_and_trains_on_alike(transformer, path):
    transformer = clone(transformer).fit(X, Y)
    loaded = trip(transformer, path)
    np.testing.assert_array_equal(transformer.transform(X), loaded.transform(X))
    np.testing.assert_array_equal(transformer.similarity(X), loaded.similarity(X))
    assert loaded._trained_on(X).tolist() == transformer._trained_on(X).tolist()
    assert loaded.history_ == transformer.history_
    more = np.repeat(["class a", "one more"], 24)
    for each in (transformer, loaded):
        each.partial_fit(X, more)
    np.testing.assert_array_equal(transformer.transform(X), loaded.transform(X))
    assert loaded.fit_id_ == transformer.fit_id_


@pytest.mark.parametrize(
    "head",
    ["euclidean", "cosine", "dense_sigmoid", "mahalanobis", "mixed_norms",
     LearnedNormsHead(p_max=1.5)],
)  # fmt: skip
def test_every_head_is_saved(head, path):
    metric = head in ("euclidean", "cosine", "mahalanobis")
    loss = "contrastive" if metric else "binary_cross_entropy"
    transformer = siamese(head=head, loss=loss)
    loaded = trip(transformer.fit(X, Y), path)
    np.testing.assert_array_equal(transformer.similarity(X), loaded.similarity(X))
    assert loaded.metric_ == transformer.metric_


@pytest.mark.parametrize(
    # Covariance pooling has buffers that no state_dict shows.
    "encoder",
    ["auto", "conv4", ConvNet(2, pooling="covariance"), "res_net"],
)
def test_encoders_by_name_are_saved(encoder, path):
    images = np.repeat(np.repeat(IMAGES, 2, axis=1), 2, axis=2)
    transformer = SiameseTransformer(
        encoder, max_epochs=1, random_state=0, views="flips"
    )
    transformer.fit(images, Y)
    loaded = trip(transformer, path)
    np.testing.assert_array_equal(
        transformer.transform(images), loaded.transform(images)
    )


def test_a_trained_network_of_torchvision_needs_its_weights_no_more(path, tmp_path):
    models = pytest.importorskip("torchvision.models")
    with torch.random.fork_rng():
        net = models.get_model("mobilenet_v3_small", weights=None)
    weights = tmp_path / "weights.pth"
    torch.save(net.state_dict(), weights)
    images = np.repeat(IMAGES[:8, np.newaxis], 3, axis=1).repeat(3, 2).repeat(3, 3)
    transformer = SiameseTransformer(
        TorchvisionBackbone("mobilenet_v3_small", weights=str(weights)),
        max_epochs=0, random_state=0,
    ).fit(images, Y[:8])  # fmt: skip
    skfsl.save(transformer, path)
    weights.unlink()
    loaded = skfsl.load(path)
    np.testing.assert_array_equal(
        transformer.transform(images), loaded.transform(images)
    )
    assert loaded.net_.module_.encoder.pretrained


# What a fitted estimator holds is saved, whatever it is; these are made anew.
MADE_ANEW = {"net_", "head_", "device_"}


@pytest.mark.parametrize(
    "model",
    [*CLASSIFIERS.values(), *TRANSFORMERS.values()],
    ids=[*CLASSIFIERS, *TRANSFORMERS],
)
def test_no_attribute_is_lost(model, path):
    model = clone(model).fit(X, Y)
    loaded = trip(model, path)
    assert vars(loaded).keys() == vars(model).keys()
    if isinstance(model, SiameseTransformer):
        a, b = model.net_.module_, loaded.net_.module_
        assert vars(a).keys() == vars(b).keys()
        assert vars(a.encoder).keys() == vars(b.encoder).keys()
        assert a.trained_labels == b.trained_labels
        assert a.description == b.description
        np.testing.assert_array_equal(a.trained_hashes, b.trained_hashes)
        assert a.n_epochs == b.n_epochs > 0
        assert MADE_ANEW <= vars(loaded).keys()


def public_classes():
    for room in ("augmentation", "encoders", "heads", "losses", "samplers", "siamese",
                 "support", "pipeline"):  # fmt: skip
        module = importlib.import_module(f"skfsl.{room}")
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, BaseEstimator):
                yield value


@pytest.mark.parametrize("cls", list(public_classes()))
def test_every_estimator_and_part_can_be_in_a_file(cls, path):
    needed = {"FewShotPipeline": [("a", None)], "Stage": 3}
    part = cls(needed[cls.__name__]) if cls.__name__ in needed else cls()
    model = PrototypeClassifier(unknown_label=part)  # checked in fit only
    loaded = trip(model, path).unknown_label
    assert type(loaded) is cls
    assert repr(loaded) == repr(part)
    assert isinstance(loaded, Part) or hasattr(loaded, "fit")


@pytest.mark.parametrize(
    "y",
    [
        np.arange(48) // 4,
        np.repeat([True, False], 24),
        Y.astype("S"),
        np.repeat(np.arange("2024-01", "2025-01", dtype="M8[M]"), 4),
        np.array([f"é{c}" for c in Y], dtype=object),
        (np.arange(48) // 4).astype(">i2"),
        (np.arange(48) // 4).astype(np.uint8),
    ],
    ids=["int", "bool", "bytes", "dates", "objects", "big endian", "uint8"],
)
def test_labels_of_all_kinds(y, path):
    model = PrototypeClassifier().fit(X, y)
    loaded = trip(model, path)
    assert loaded.classes_.dtype == model.classes_.dtype
    assert_same_answers(model, loaded)


def test_names_of_features_and_output_settings_are_kept(path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("uvwxyz"))
    model = siamese(max_epochs=0).set_output(transform="pandas").fit(frame, Y)
    loaded = trip(model, path)
    pd.testing.assert_frame_equal(model.transform(frame), loaded.transform(frame))
    with pytest.raises(ValueError, match="feature names"):
        loaded.transform(frame[list("zyxwvu")])


def test_columns_in_memory_order_are_kept(path):
    model = KNeighborsClassifier(1, algorithm="brute").fit(np.asfortranarray(X), Y)
    loaded = trip(model, path)
    assert loaded._fit_X.flags.f_contiguous == model._fit_X.flags.f_contiguous
    assert_same_answers(model, loaded)


def test_arrays_of_foreign_bytes_in_memory_order_are_kept(path):
    array = np.asfortranarray(np.arange(6, dtype=">f8").reshape(2, 3))
    loaded = trip(PrototypeClassifier(unknown_label=array), path).unknown_label
    np.testing.assert_array_equal(loaded, array)
    assert loaded.flags.f_contiguous


def test_one_metric_stays_one_object(path):
    metric = siamese().fit(X, Y)
    model = SiameseClassifier(FrozenEstimator(metric)).fit(X, Y)
    loaded = trip(model, path)
    assert loaded.siamese.estimator is loaded.siamese_.estimator
    assert_same_answers(model, loaded)


def test_an_encoder_of_ones_own_is_asked_for(path):
    with torch.random.fork_rng():
        module = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5))
    model = pipeline(siamese(encoder=module), PrototypeClassifier()).fit(X, Y)
    skfsl.save(model, path)
    with pytest.raises(ValueError, match=r"own, Sequential.*load\(path, encoder="):
        skfsl.load(path)
    before = module[0].weight.clone()
    loaded = skfsl.load(path, encoder=module)
    assert_same_answers(model, loaded)
    assert torch.equal(module[0].weight, before)
    with pytest.raises(ValueError, match="trained weights are not those of encoder="):
        skfsl.load(path, encoder=torch.nn.Linear(6, 5))
    module[0].bias = None
    with pytest.raises(ValueError, match="1 differ in name, shape or dtype"):
        skfsl.load(path, encoder=module)


def linear_encoder(shape):
    return torch.nn.Linear(shape[0], 3)


def test_a_function_that_makes_the_encoder_is_asked_for(path):
    model = siamese(encoder=linear_encoder).fit(X, Y)
    skfsl.save(model, path)
    with pytest.raises(ValueError, match="own, linear_encoder"):
        skfsl.load(path)
    loaded = skfsl.load(path, encoder=linear_encoder)
    np.testing.assert_array_equal(model.transform(X), loaded.transform(X))


def test_an_encoder_of_ones_own_may_read_its_numbers(path):
    def encoder(shape):
        net = torch.nn.Linear(shape[0], 3)
        assert net.weight.abs().max().item() < 1
        return net

    model = siamese(encoder=encoder).fit(X, Y)
    skfsl.save(model, path)
    loaded = skfsl.load(path, encoder=encoder)
    np.testing.assert_array_equal(model.transform(X), loaded.transform(X))


@pytest.mark.parametrize(
    ("model", "where"),
    [
        (PrototypeClassifier(max), "PrototypeClassifier.metric, the builtins.max"),
        (KNeighborsClassifier(weights=np.exp), "KNeighborsClassifier.weights"),
        (siamese(augment=torch.nn.Identity()), "SiameseTransformer.augment"),
        (siamese(callbacks=[object()]), r"callbacks\[0\], a builtins.object"),
        (siamese(head=MixedNormsHead((torch.add,))), r"head.norms\[0\]"),
        (siamese(loss=torch.nn.MSELoss()), "SiameseTransformer.loss"),
        (siamese(views=[torch.abs]), r"views\[0\]"),
        (siamese(optimizer=torch.optim.Adam), "optimizer, the torch.optim"),
        (pipeline(FunctionTransformer(twice), PrototypeClassifier()), "FunctionTr"),
        (KNeighborsClassifier(algorithm="kd_tree").fit(X, Y), "_tree"),
    ],
)
def test_what_needs_code_is_refused_by_name(model, where, path):
    path.write_bytes(b"the old one")
    with pytest.raises(ValueError, match=where) as error:
        skfsl.save(model, path)
    assert "joblib.dump(model, path)" in str(error.value)
    assert path.read_bytes() == b"the old one"
    assert list(path.parent.iterdir()) == [path]


def test_estimators_of_others_are_refused(path):
    with pytest.raises(ValueError, match=r"takes an estimator of skfsl.*StandardSca"):
        skfsl.save(StandardScaler(), path)


class Mine(PrototypeClassifier):
    pass


def test_classes_derived_from_ours_are_refused(path):
    with pytest.raises(ValueError, match="Got Mine"):
        skfsl.save(Mine(), path)


def test_parameters_changed_since_fit_are_told_before_anything_is_written(path):
    model = siamese().fit(X, Y).set_params(head="dense_sigmoid")
    with pytest.raises(
        ValueError, match=r"was trained with head=Euclid.*Got head=Dense"
    ):
        skfsl.save(model, path)
    model = siamese(head="cosine", loss="arc_face").fit(X, Y).set_params(loss="n_pair")
    with pytest.raises(ValueError, match="not those of loss='n_pair'"):
        skfsl.save(model, path)
    assert not path.exists()


def test_steps_of_scikit_learn_need_skops(path, monkeypatch):
    model = pipeline(StandardScaler(), PrototypeClassifier()).fit(X, Y)
    monkeypatch.setitem(sys.modules, "skops", None)
    with pytest.raises(ImportError, match=r"steps\[0\]\[1\], a StandardScaler.*\[save"):
        skfsl.save(model, path)
    assert not path.exists()


def test_loading_draws_from_no_global_generator(path):
    skfsl.save(siamese().fit(X, Y), path)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    skfsl.load(path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_a_device_that_is_not_there_is_the_cpu(path):
    model = siamese().fit(X, Y)
    model.device = "cuda:77"
    with pytest.warns(UserWarning, match="not on this machine"):
        loaded = trip(model, path)
    np.testing.assert_array_equal(model.transform(X), loaded.transform(X))


@pytest.mark.gpu
def test_what_was_trained_on_a_gpu_opens_without_one(path, monkeypatch):
    model = pipeline(siamese(device="auto"), PrototypeClassifier()).fit(X, Y)
    assert model[0].device_.type == "cuda"
    expected = model.predict(X)
    skfsl.save(model, path)
    np.testing.assert_array_equal(skfsl.load(path).predict(X), expected)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = skfsl.load(path)
    assert loaded[0].device_.type == "cpu"
    np.testing.assert_array_equal(loaded.predict(X), expected)
    assert model[0].net_.module_.encoder.linear.weight.is_cuda


def test_classifiers_are_loaded_without_torch(path):
    skfsl.save(PrototypeClassifier().fit(X, Y), path)
    code = f"""
import sys, skfsl
clf = skfsl.load({str(path)!r})
skfsl.save(clf.partial_fit([[0.0] * 6], ["x"]), {str(path)!r})
assert not {{"torch", "skops"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_warnings_do_not_come_from_loading(path):
    model = pipeline(StandardScaler(), siamese(), PrototypeClassifier()).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trip(model, path).predict(X)
