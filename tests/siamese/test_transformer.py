"""SiameseTransformer: what it takes, what it gives, what it learns."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from skfsl import SiameseTransformer
from skfsl.augmentation import RandomAffine
from skfsl.encoders import MLP, Conv4, KochNet
from skfsl.exceptions import TrainingDivergedError
from skfsl.heads import CosineHead
from skfsl.losses import ContrastiveLoss
from skfsl.model_selection import iter_episodes
from skfsl.samplers import ClassBalancedSampler

RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(4), 8)
TABLE = (RNG.normal(size=(32, 5)) + Y[:, None]).astype(np.float32)
GRAY = (RNG.random((32, 12, 12)) * 50 + 60 * Y[:, None, None]).astype(np.uint8)


def siamese(*args, **params):
    params = {"max_epochs": 2, "device": "cpu", "random_state": 0, **params}
    return SiameseTransformer(*args, **params)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.reshape(-1, 8, 8).astype(np.float32), y


class TestCallersData:
    def test_layers_in_place_do_not_write_into_the_callers_samples(self):
        encoder = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 3))
        fitted = siamese(encoder=encoder).fit(TABLE, Y)
        X, tensor = TABLE.copy(), torch.tensor(TABLE)
        expected = fitted.transform(X)
        np.testing.assert_array_equal(X, TABLE)
        np.testing.assert_array_equal(fitted.transform(tensor), expected)
        np.testing.assert_array_equal(tensor.numpy(), TABLE)

    def test_rows_may_run_backwards(self):
        backwards = np.ascontiguousarray(TABLE[::-1])[::-1]
        assert backwards.strides[0] < 0
        fitted = siamese().fit(backwards, Y)
        assert fitted.fit_id_ == siamese().fit(TABLE, Y).fit_id_


class TestInput:
    @pytest.mark.parametrize(
        "convert",
        [
            lambda X: X,
            lambda X: X[:, None],
            lambda X: X[..., None],
            torch.from_numpy,
            list,
            lambda X: [torch.from_numpy(x) for x in X],
            np.asfortranarray,
            lambda X: X[::-1][::-1],
        ],
        ids=[
            "nhw",
            "nchw",
            "nhwc",
            "torch",
            "list",
            "tensors",
            "F",
            "negative strides",
        ],
    )
    def test_forms_of_the_same_images_are_embedded_alike(self, convert):
        expected = siamese().fit(GRAY, Y).transform(GRAY)
        got = siamese().fit(convert(GRAY), Y).transform(convert(GRAY))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)

    def test_bytes_are_scaled_and_floats_are_taken_as_they_are(self):
        fitted = siamese().fit(GRAY, Y)
        np.testing.assert_allclose(
            fitted.transform(GRAY / 255.0), fitted.transform(GRAY), rtol=1e-3, atol=1e-4
        )

    @pytest.mark.parametrize("bytes_first", [True, False])
    def test_pixels_of_another_range_are_pointed_out(self, bytes_first):
        first, second = (GRAY, GRAY.astype(float))[:: 1 if bytes_first else -1]
        fitted = siamese().fit(first, Y)
        with pytest.warns(UserWarning, match="bytes are scaled by 1/255"):
            fitted.transform(second)

    def test_the_layout_may_be_named(self):
        X = RNG.integers(0, 255, (32, 12, 12, 2), dtype=np.uint8)
        fitted = siamese(input_layout="channels_last").fit(X, Y)
        assert fitted.input_shape_ == (2, 12, 12)

    @pytest.mark.parametrize(
        "dtype", [np.float16, np.float64, np.int64, bool, np.uint8]
    )
    def test_dtypes(self, dtype):
        X = (TABLE > 1 if dtype is bool else TABLE * 10).astype(dtype)
        got = siamese().fit(X, Y).transform(X)
        assert got.dtype == np.float32
        assert got.shape == (32, 64)

    def test_read_only_memory(self):
        X, images = TABLE.copy(), GRAY.copy()
        X.flags.writeable = images.flags.writeable = False
        siamese().fit(X, Y).transform(X)
        siamese().fit(images, Y).transform(images)

    @pytest.mark.parametrize(
        "y", [Y.astype(str), Y.astype(bool), Y.astype(float), Y - 9]
    )
    def test_kinds_of_labels(self, y):
        fitted = siamese().fit(TABLE, y)
        np.testing.assert_array_equal(fitted.classes_, np.unique(y))

    def test_feature_names_and_set_output(self):
        frame = pd.DataFrame(TABLE, columns=list("abcde"))
        fitted = siamese(embedding_dim=3).fit(frame, Y)
        names = [f"siamesetransformer{i}" for i in range(3)]
        assert list(fitted.get_feature_names_out()) == names
        out = fitted.set_output(transform="pandas").transform(frame)
        assert list(out.columns) == names
        out = fitted.set_output(transform="polars").transform(frame)
        assert isinstance(out, pl.DataFrame)
        with pytest.raises(ValueError, match="feature names"):
            fitted.transform(frame.rename(columns={"a": "z"}))

    def test_images_have_no_feature_count(self):
        fitted = siamese().fit(TABLE, Y).fit(GRAY, Y)
        assert not hasattr(fitted, "n_features_in_")
        assert fitted.input_shape_ == (1, 12, 12)


class TestParts:
    @pytest.mark.parametrize(
        "encoder",
        [
            "conv4",
            Conv4(width=8),
            nn.Sequential(nn.Flatten(), nn.Linear(144, 7)),
            lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(7)),
            lambda shape: nn.Sequential(nn.Flatten(), nn.Linear(shape[1] ** 2, 7)),
        ],
    )
    def test_encoders(self, encoder):
        fitted = siamese(encoder).fit(GRAY, Y)
        assert fitted.transform(GRAY).shape == (32, fitted.embedding_dim_)

    def test_koch_net(self):
        X = np.zeros((8, 105, 105), dtype=np.uint8)
        X[4:, 30:60, 30:60] = 255
        sampler = ClassBalancedSampler(2, n_shot=2, n_batches=1)
        fitted = siamese(KochNet(embedding_dim=32), sampler=sampler, max_epochs=1)
        assert fitted.fit(X, [0] * 4 + [1] * 4).transform(X).shape == (8, 32)

    def test_a_module_is_never_changed(self):
        encoder = nn.Linear(5, 7)
        before = copy.deepcopy(encoder.state_dict())
        fitted = siamese(encoder).fit(TABLE, Y)
        assert fitted.encoder is encoder
        for name, value in encoder.state_dict().items():
            assert torch.equal(value, before[name])
        assert not torch.equal(fitted.net_.module_.encoder.weight, before["weight"])

    def test_no_epochs_leave_the_encoder_as_it_is(self):
        encoder = nn.Linear(5, 7)
        fitted = siamese(encoder, max_epochs=0).fit(TABLE, Y)
        with torch.no_grad():
            expected = encoder(torch.from_numpy(TABLE)).numpy()
        np.testing.assert_allclose(fitted.transform(TABLE), expected, atol=1e-6)
        assert fitted.history_ == []

    def test_fit_id_tells_heads_without_weights_apart(self):
        encoder = nn.Linear(5, 7)
        one, other = (
            siamese(encoder, head=head, max_epochs=0).fit(TABLE, Y)
            for head in ("euclidean", "cosine")
        )
        assert one.fit_id_ != other.fit_id_

    def test_weights_may_be_bfloat16(self):
        class Half(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(5, 3).bfloat16()

            def forward(self, x):
                return self.linear(x.bfloat16())

        assert siamese(Half()).fit(TABLE, Y).transform(TABLE).dtype == np.float32

    def test_cosine_is_folded_to_unit_length(self):
        fitted = siamese(head="cosine").fit(TABLE, Y)
        E = fitted.transform(TABLE)
        np.testing.assert_allclose(np.linalg.norm(E, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(fitted.similarity(TABLE), E @ E.T, atol=1e-5)
        assert fitted.metric_ == "euclidean"

    def test_similarity_is_the_metric_of_the_embeddings(self):
        fitted = siamese().fit(TABLE, Y)
        E = fitted.transform(TABLE).astype(np.float64)
        expected = -((E[:10, None] - E[None]) ** 2).sum(-1)
        got = fitted.similarity(TABLE[:10], TABLE)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)

    @pytest.mark.parametrize("head", ["euclidean", "cosine"])
    @pytest.mark.parametrize("loss", ["contrastive", "prototypical"])
    def test_every_loss_learns_with_every_head(self, head, loss, digits):
        X, y = digits
        fitted = siamese(head=head, loss=loss, max_epochs=20).fit(X[:600], y[:600])
        untrained = siamese(head=head, max_epochs=0).fit(X[:600], y[:600])
        one, other = np.triu_indices(400, k=1)
        same = y[600:1000][one] == y[600:1000][other]
        learned, before = (
            roc_auc_score(same, e.similarity(X[600:1000])[one, other])
            for e in (fitted, untrained)
        )
        assert learned > max(0.85, before + 0.02)

    def test_a_head_of_another_library(self):
        class Taxi:
            score_type, metric = "neg_sq_distance", "manhattan"

            def build(self, embedding_dim):
                return self

            def scores(self, a, b):
                return -torch.cdist(a, b, p=1)

            def paired(self, a, b):
                return -(a - b).abs().sum(dim=1)

            def fold(self, embeddings):
                return embeddings

        fitted = siamese(head=Taxi()).fit(TABLE, Y)
        assert fitted.metric_ == "manhattan"
        twin = clone(fitted, safe=False)
        fitted.set_params(head=twin.head).partial_fit(TABLE, Y)

    def test_a_loss_of_another_library(self):
        def pull(embeddings, labels):
            same = labels[:, None] == labels
            distances = torch.cdist(embeddings, embeddings)
            return distances[same].mean() - distances[~same].clamp(max=3).mean()

        siamese(loss=pull).fit(TABLE, Y)

    def test_nested_parameters_reach_a_part_given_by_name(self):
        estimator = siamese(loss="contrastive")
        estimator.set_params(loss__margin=0.5, sampler__n_way=3)
        assert isinstance(estimator.loss, ContrastiveLoss)
        assert (estimator.loss.margin, estimator.sampler.n_way) == (0.5, 3)
        estimator = siamese().set_params(loss__margin=0.25, loss="contrastive")
        assert estimator.loss.margin == 0.25

    def test_clone_keeps_parts_apart(self):
        estimator = siamese(loss=ContrastiveLoss(margin=2), head=CosineHead())
        twin = clone(estimator).set_params(loss__margin=3)
        assert estimator.loss.margin == 2
        assert twin.loss.margin == 3


class TestTraining:
    def test_below_ten_classes_none_is_held_out(self):
        fitted = siamese().fit(TABLE, Y)
        assert len(fitted.validation_classes_) == 0
        assert "valid_accuracy" not in fitted.history_[0]
        assert len(fitted.history_) == 2

    def test_held_out_classes_validate_and_the_best_weights_are_kept(self):
        y = np.repeat(np.arange(20), 6)
        X = RNG.normal(size=(120, 6)) + RNG.normal(size=(20, 6))[y]
        fitted = siamese(max_epochs=6, validation_fraction=0.3).fit(X, y)
        assert len(fitted.validation_classes_) == 6
        assert set(fitted.validation_classes_) <= set(y)
        scores = [row["valid_accuracy"] for row in fitted.history_]
        again = siamese(max_epochs=6, validation_fraction=0.3).fit(X, y)
        assert scores == [row["valid_accuracy"] for row in again.history_]

    def test_early_stopping(self):
        y = np.repeat(np.arange(12), 6)
        X = RNG.normal(size=(72, 3))
        params = {"max_epochs": 60, "validation_fraction": 0.5}
        fitted = siamese(early_stopping=2, **params).fit(X, y)
        assert len(fitted.history_) < 60
        assert len(siamese(**params).fit(X, y).history_) == 60

    def test_partial_fit_goes_on(self):
        fitted = siamese().fit(TABLE[Y < 3], Y[Y < 3])
        before = fitted.transform(TABLE), fitted.fit_id_
        fitted.partial_fit(TABLE, Y)
        assert not np.allclose(before[0], fitted.transform(TABLE))
        assert fitted.fit_id_ != before[1]
        np.testing.assert_array_equal(fitted.classes_, [0, 1, 2, 3])

    def test_partial_fit_unfitted_is_fit(self):
        a, b = siamese().partial_fit(TABLE, Y), siamese().fit(TABLE, Y)
        assert a.fit_id_ == b.fit_id_

    def test_warm_start_goes_on_from_the_weights(self):
        cold = siamese(max_epochs=1).fit(TABLE, Y)
        warm = siamese(max_epochs=1, warm_start=True).fit(TABLE, Y)
        first = warm.fit_id_
        assert first == cold.fit_id_
        assert warm.fit(TABLE, Y).fit_id_ != first
        assert cold.fit(TABLE, Y).fit_id_ == first

    def test_small_classes_are_allowed(self):
        y = np.r_[np.zeros(20, int), [1, 1, 2]]
        siamese().fit(TABLE[:23], y)

    def test_labels_of_two_kinds_are_not_mixed(self):
        fitted = siamese().fit(TABLE, Y)
        before = fitted.fit_id_
        with pytest.raises(TypeError, match=r"number \(such as 0\). Got str"):
            fitted.partial_fit(TABLE, Y.astype(str))
        assert fitted.fit_id_ == before
        assert fitted.classes_.tolist() == [0, 1, 2, 3]

    def test_weights_that_the_last_step_blows_up_are_refused(self):
        sampler = ClassBalancedSampler(4, n_batches=1)
        blown = siamese(optimizer="sgd", lr=1e30, max_epochs=1, sampler=sampler)
        with pytest.raises(TrainingDivergedError, match="Lower lr"):
            blown.fit(TABLE, Y)
        assert not hasattr(blown, "net_")

    def test_no_epochs_train_on_no_class(self):
        y = np.repeat(np.arange(16), 2)
        fitted = siamese(max_epochs=0).fit(TABLE, y)
        np.testing.assert_array_equal(fitted.validation_classes_, np.arange(16))
        fitted.set_params(max_epochs=1, validation_fraction=0.3)
        fitted.partial_fit(TABLE, y)
        assert len(fitted.validation_classes_) == 5
        fitted.set_params(max_epochs=0).partial_fit(TABLE, y)
        assert len(fitted.validation_classes_) == 5

    @pytest.mark.parametrize("changed", [{"head": "cosine"}, {"embedding_dim": 3}])
    def test_training_goes_on_with_the_same_network_only(self, changed):
        fitted = siamese(warm_start=True).fit(TABLE, Y).set_params(**changed)
        name = next(iter(changed))
        for call in (fitted.fit, fitted.partial_fit):
            with pytest.raises(ValueError, match=f"of {name}=.* Got {name}="):
                call(TABLE, Y)

    @pytest.mark.parametrize("go_on", ["partial_fit", "fit"])
    def test_classes_once_trained_on_do_not_validate(self, go_on):
        y = np.repeat(np.arange(12), 4)
        X = RNG.normal(size=(48, 5)) + 3 * y[:, None]
        params = {"max_epochs": 1, "validation_fraction": 0.5}
        fitted = siamese(warm_start=True, **params).fit(X, y)
        held_out = fitted.validation_classes_
        getattr(fitted.set_params(random_state=7), go_on)(X, y)
        np.testing.assert_array_equal(fitted.validation_classes_, held_out)
        getattr(fitted, go_on)(X[y < 11], y[y < 11] + 100)
        assert len(fitted.validation_classes_) >= 5
        assert "valid_accuracy" in fitted.history_[-1]

    def test_history_grows_and_batches_differ_in_each_partial_fit(self):
        fitted = siamese(max_epochs=1).fit(TABLE, Y)
        fitted.partial_fit(TABLE, Y).partial_fit(TABLE, Y)
        losses = [row["train_loss"] for row in fitted.history_]
        assert len(set(losses)) == 3

    def test_what_was_trained_on_once_never_validates(self):
        y = np.repeat(np.arange(24), 6)
        X = RNG.normal(size=(144, 4)) + RNG.normal(size=(24, 4))[y]
        old, new = y < 12, y >= 12
        fitted = siamese(warm_start=True, max_epochs=1, validation_fraction=0.5)
        trained = set()
        for part in (old, new, old, np.ones(144, dtype=bool)):
            fitted.fit(X[part], y[part])
            trained |= set(fitted.classes_) - set(fitted.validation_classes_)
            assert not trained & set(fitted.validation_classes_)

    def test_a_sampler_that_misses_the_held_out_classes_is_told_of_them(self):
        y = np.repeat(np.arange(12), 6)
        sampler = ClassBalancedSampler(n_way=10)
        with pytest.raises(ValueError, match="6 classes more are held out"):
            siamese(sampler=sampler, validation_fraction=0.5).fit(
                RNG.normal(size=(72, 3)), y
            )

    def test_the_users_autocast_does_not_reach_the_training(self):
        for X, precision in ((TABLE, "float32"), (GRAY, "bfloat16")):
            expected = siamese(precision=precision).fit(X, Y)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                inside = siamese(precision=precision).fit(X, Y)
                E = inside.transform(X)
            assert inside.fit_id_ == expected.fit_id_
            np.testing.assert_array_equal(E, expected.transform(X))

    def test_an_adapt_of_the_users_own_is_not_called(self):
        class Adapting(nn.Linear):
            def adapt(self):
                raise RuntimeError("not yours")

        siamese(Adapting(5, 3)).fit(TABLE, Y)

    def test_augment_may_be_a_part_or_a_module(self):
        siamese(augment=RandomAffine()).fit(GRAY, Y)
        siamese(augment=nn.Dropout(0.2)).fit(GRAY, Y)
        with pytest.raises(ValueError, match="'p' parameter"):
            siamese(augment=RandomAffine(p=2)).fit(GRAY, Y)

    def test_early_stopping_takes_numpy_booleans(self):
        y = np.repeat(np.arange(12), 6)
        X = RNG.normal(size=(72, 3))
        params = {"max_epochs": 12, "validation_fraction": 0.5}
        fitted = siamese(early_stopping=np.True_, **params).fit(X, y)
        assert len(fitted.history_) > 9

    def test_augment_gets_batches_on_the_device(self):
        seen = []

        def augment(x):
            seen.append((tuple(x.shape[1:]), x.dtype, float(x.max()) <= 1))
            return x

        # A closure is copied with its list: count through the class instead.
        siamese(augment=augment, max_epochs=1).fit(GRAY, Y)
        assert set(seen) == {((1, 12, 12), torch.float32, True)}

    @pytest.mark.parametrize("optimizer", ["adam", "sgd", torch.optim.NAdam])
    def test_optimizers(self, optimizer):
        siamese(optimizer=optimizer).fit(TABLE, Y)

    def test_verbose_prints_a_line_an_epoch(self, capsys):
        siamese(verbose=1).fit(TABLE, Y)
        lines = capsys.readouterr().out.strip().split("\n")
        assert len(lines) == 2
        assert lines[1].startswith("Epoch 2/2  train_loss ")

    def test_bfloat16_by_name(self):
        fitted = siamese(precision="bfloat16").fit(GRAY, Y)
        assert fitted.transform(GRAY).dtype == np.float32


class TestDefaults:
    """Without being touched it is as good as what users would do otherwise."""

    @pytest.mark.parametrize("load", [load_iris, load_wine])
    def test_small_tables(self, load):
        X, y = load(return_X_y=True)
        plain = make_pipeline(StandardScaler(), KNeighborsClassifier())
        learned = make_pipeline(SiameseTransformer(random_state=0), NearestCentroid())
        assert (
            cross_val_score(learned, X, y).mean()
            >= cross_val_score(plain, X, y).mean() - 0.01
        )

    def test_digits_seen_in_part(self, digits):
        X, y = digits
        seen = y < 6
        siamese = SiameseTransformer(random_state=0).fit(X[seen], y[seen])
        E, raw = siamese.transform(X), X.reshape(len(X), -1)
        new = np.flatnonzero(~seen)
        learned, plain = [], []
        for support, query in iter_episodes(
            None, y[new], n_way=4, n_shot=5, n_episodes=50, random_state=0
        ):
            support, query = new[support], new[query]
            for Z, scores in ((E, learned), (raw, plain)):
                classifier = NearestCentroid().fit(Z[support], y[support])
                scores.append(classifier.score(Z[query], y[query]))
        assert np.mean(learned) > np.mean(plain)


class TestState:
    @pytest.mark.parametrize("X", [TABLE, GRAY], ids=["table", "images"])
    def test_pickles_embed_alike(self, X, tmp_path):
        fitted = siamese().fit(X, Y)
        joblib.dump(fitted, tmp_path / "model.joblib")
        for twin in (
            pickle.loads(pickle.dumps(fitted)),
            joblib.load(tmp_path / "model.joblib"),
            copy.deepcopy(fitted),
        ):
            np.testing.assert_array_equal(twin.transform(X), fitted.transform(X))
            assert twin.fit_id_ == fitted.fit_id_
            assert twin.partial_fit(X, Y).fit_id_ != fitted.fit_id_

    def test_a_pickle_holds_the_weights_and_little_else(self):
        fitted = siamese(max_epochs=5).fit(GRAY, Y)
        weights = sum(p.nbytes for p in fitted.net_.module_.state_dict().values())
        assert len(pickle.dumps(fitted)) < 1.2 * weights + 50_000

    def test_a_pickle_of_another_device_opens_here(self):
        fitted = siamese().fit(TABLE, Y)
        expected = fitted.transform(TABLE)
        fitted.device = "cuda:7"
        with pytest.warns(UserWarning, match="not on this machine"):
            twin = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(twin.transform(TABLE), expected)

    def test_a_row_is_embedded_alike_in_any_company(self):
        fitted = siamese().fit(TABLE, Y)
        together = fitted.transform(TABLE)
        alone = np.concatenate([fitted.transform(row[None]) for row in TABLE])
        np.testing.assert_allclose(alone, together, rtol=1e-7, atol=0)

    def test_threads_may_share_it(self):
        fitted = siamese().fit(GRAY, Y)
        expected = fitted.transform(GRAY)
        results = joblib.Parallel(4, backend="threading")(
            joblib.delayed(fitted.transform)(GRAY) for _ in range(8)
        )
        for got in results:
            np.testing.assert_allclose(got, expected, atol=1e-5)


class TestSklearn:
    @pytest.mark.parametrize(
        "classifier", [KNeighborsClassifier(3), SVC(), LogisticRegression()]
    )
    def test_any_classifier_reads_the_embedding(self, classifier):
        pipe = make_pipeline(siamese(), classifier).fit(TABLE, Y)
        assert pipe.score(TABLE, Y) > 0.5

    def test_frozen(self):
        frozen = FrozenEstimator(siamese().fit(TABLE, Y))
        pipe = make_pipeline(frozen, KNeighborsClassifier(3)).fit(TABLE, Y)
        assert pipe[0].estimator.fit_id_ == frozen.estimator.fit_id_

    def test_search_over_nested_parameters_in_two_processes(self):
        pipe = make_pipeline(
            siamese(max_epochs=1, loss="contrastive"), NearestCentroid()
        )
        name = "siamesetransformer"
        search = GridSearchCV(
            pipe,
            {
                f"{name}__loss__margin": [0.5, 1.0],
                f"{name}__sampler__n_way": [2, 3],
                f"{name}__head": ["euclidean", "cosine"],
                f"{name}__encoder": [MLP((8,)), MLP((16,))],
            },
            cv=2,
            n_jobs=2,
            error_score="raise",
        ).fit(TABLE, Y)
        assert len(search.cv_results_["params"]) == 16
        assert not np.isnan(search.cv_results_["mean_test_score"]).any()

    @pytest.mark.parametrize("X", [GRAY, list(GRAY)], ids=["array", "list"])
    def test_images_go_through_cross_validation(self, X):
        scores = cross_val_score(
            make_pipeline(siamese(), NearestCentroid()), X, Y, cv=2, error_score="raise"
        )
        assert scores.shape == (2,)
