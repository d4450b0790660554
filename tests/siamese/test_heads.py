"""Heads inside the transformer: trained, folded, saved, asked for their metric."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier as SklearnNeighbors
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from torch import nn

from skfsl import KNeighborsClassifier, SiameseTransformer
from skfsl.encoders import KochNet
from skfsl.exceptions import TrainingDivergedError
from skfsl.heads import (
    CosineHead,
    DenseSigmoidHead,
    LearnedNormsHead,
    MahalanobisHead,
    MixedNormsHead,
)
from skfsl.samplers import ClassBalancedSampler

RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(4), 8)
X = (RNG.normal(size=(32, 5)) + 2 * np.eye(4, 5)[Y]).astype(np.float32)


def squared(a, b):
    return (a - b) ** 2


HEADS = {
    "euclidean": "euclidean",
    "cosine": "cosine",
    "learned scale": CosineHead("learned"),
    "mahalanobis": "mahalanobis",
    "low rank": MahalanobisHead(3),
    "dense_sigmoid": "dense_sigmoid",
    "signed": DenseSigmoidHead(non_negative=False),
    "learned_norms": "learned_norms",
    "squares": LearnedNormsHead(p_min=2, p_max=2),
    "mixed_norms": MixedNormsHead(hidden=4),
    "own norms": MixedNormsHead((squared, "absolute"), hidden=4),
}
PLAIN = ("euclidean", "cosine", "mahalanobis", "low rank")  # of distances and cosines
NEVER_FOLD = ("signed", "learned_norms", "mixed_norms", "own norms")


def siamese(**params):
    encoder = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6))
    return SiameseTransformer(
        **{"encoder": encoder, "max_epochs": 2, "device": "cpu", "random_state": 0}
        | params
    )


@pytest.fixture(scope="module")
def fitted():
    made = {}

    def get(name):
        if name not in made:
            made[name] = siamese(head=HEADS[name]).fit(X, Y)
        return made[name]

    return get


each = pytest.mark.parametrize("name", HEADS)
CASES = [(name, "prototypical") for name in HEADS]
CASES += [(name, "contrastive") for name in PLAIN]


@pytest.mark.parametrize(("name", "loss"), CASES)
def test_every_head_learns_with_every_loss_that_accepts_it(name, loss):
    trained = siamese(head=HEADS[name], loss=loss, max_epochs=15).fit(X, Y)
    same = Y[:, None] == Y
    np.fill_diagonal(same, False)
    scores = trained.similarity(X)
    different = Y[:, None] != Y
    assert scores[same].mean() > scores[different].mean()
    losses = [row["train_loss"] for row in trained.history_]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", sorted(set(HEADS) - set(PLAIN)))
def test_contrastive_loss_refuses_logits(name):
    with pytest.raises(ValueError, match="ContrastiveLoss is not defined"):
        siamese(head=HEADS[name], loss="contrastive").fit(X, Y)


@pytest.mark.parametrize("name", sorted(set(HEADS) - {"euclidean", "cosine"}))
def test_weights_of_heads_are_trained(name, fitted):
    trained = fitted(name)
    assert isinstance(trained.head_, nn.Module)
    once = siamese(head=HEADS[name], max_epochs=1, lr=1e-12).fit(X, Y)
    weights = dict(once.head_.named_parameters())
    for key, value in trained.head_.named_parameters():
        if value.requires_grad and key not in ("bias", "dense.bias", "one.bias"):
            assert not torch.equal(value, weights[key]), key
    assert trained.net_.module_.head is trained.head_


@pytest.mark.parametrize("name", sorted(set(HEADS) - set(NEVER_FOLD)))
def test_the_plain_metric_ranks_as_the_head(name, fitted):
    trained = fitted(name)
    E, scores = trained.transform(X).astype(float), trained.similarity(X)
    metric = {"manhattan": "cityblock"}.get(trained.metric_, trained.metric_)
    distances = cdist(E, E, metric)
    for score, distance in zip(scores, distances, strict=True):
        order = np.argsort(distance)
        assert (np.diff(score[order]) <= 1e-4 * np.abs(score).max()).all()


@pytest.mark.parametrize("name", NEVER_FOLD)
def test_what_does_not_fold_gives_plain_embeddings(name, fitted):
    trained = fitted(name)
    assert trained.metric_ is None
    scores = trained.head_.scores(*[torch.from_numpy(trained.transform(X))] * 2)
    np.testing.assert_allclose(
        scores.detach().numpy(), trained.similarity(X), rtol=1e-5, atol=1e-5
    )


def test_low_rank_makes_small_embeddings(fitted):
    trained = fitted("low rank")
    assert trained.transform(X).shape == (32, 3)
    assert trained.embedding_dim_ == 6
    assert len(trained.get_feature_names_out()) == 3


class TestPairScore:
    @each
    def test_it_is_similarity_of_given_pairs(self, name, fitted):
        trained = fitted(name)
        pairs = np.stack([X[:10], X[10:20]], axis=1)
        expected = trained.similarity(X[:10], X[10:20]).diagonal()
        got = trained.pair_score(pairs)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)

    def test_forms_of_the_same_pairs(self, fitted):
        trained = fitted("euclidean")
        pairs = np.stack([X[:4], X[10:14]], axis=1)
        expected = trained.pair_score(pairs)
        for form in (
            torch.from_numpy(pairs),
            pairs.tolist(),
            list(zip(X[:4], X[10:14], strict=True)),
        ):
            np.testing.assert_array_equal(trained.pair_score(form), expected)

    def test_images(self):
        images = RNG.integers(0, 255, (32, 9, 9), dtype=np.uint8)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(81, 4))
        trained = siamese(encoder=encoder, max_epochs=1).fit(images, Y)
        pairs = images.reshape(16, 2, 9, 9)
        expected = trained.similarity(images[::2], images[1::2]).diagonal()
        np.testing.assert_allclose(trained.pair_score(pairs), expected, rtol=1e-4)

    @pytest.mark.parametrize(
        ("pairs", "match"),
        [
            (X, r"shape \(n, 2, ...\).*\(32, 5\)"),
            (np.zeros(3), r"\(3,\)"),
            ([], "no pair at all"),
            ([[X[0], X[1]], [X[0]]], "Got 1 in pair 1"),
        ],
    )
    def test_what_is_no_pair_is_named(self, pairs, match, fitted):
        with pytest.raises(ValueError, match=match):
            fitted("euclidean").pair_score(pairs)


class TestGetMetric:
    @each
    def test_it_ranks_as_the_head_and_is_never_negative(self, name, fitted):
        trained = fitted(name)
        metric, E = trained.get_metric(), trained.transform(X)
        distances = np.array([metric(E[0], row) for row in E[1:]])
        scores = trained.similarity(X[:1], X[1:])[0]
        assert (distances >= 0).all()
        order = np.argsort(distances)
        assert (np.diff(scores[order]) <= 1e-4 * np.abs(scores).max()).all()

    @each
    def test_it_goes_into_nearest_neighbours(self, name, fitted):
        trained = fitted(name)
        E, metric = trained.transform(X), trained.get_metric()
        nearest = trained.similarity(X[20:], X[:20]).argmax(axis=1)
        for cls in (SklearnNeighbors, KNeighborsClassifier):
            classifier = cls(1, metric=metric, algorithm="brute").fit(E[:20], Y[:20])
            found = clone(classifier).fit(E[:20], Y[:20]).kneighbors(E[20:])[1]
            np.testing.assert_array_equal(found[:, 0], nearest)

    @pytest.mark.parametrize("name", ["euclidean", "mixed_norms"])
    def test_it_is_pickled_without_the_encoder(self, name):
        encoder = nn.Sequential(nn.Linear(5, 20_000), nn.Linear(20_000, 6))
        sampler = siamese(encoder=encoder, head=HEADS[name], max_epochs=1)
        trained = sampler.fit(X, Y)
        metric, E = trained.get_metric(), trained.transform(X)
        dumped = pickle.dumps(metric)
        assert len(dumped) < 20_000
        assert pickle.loads(dumped)(E[0], E[1]) == metric(E[0], E[1])

    def test_it_stays_as_it_is_when_training_goes_on(self):
        trained = siamese(head="learned_norms").fit(X, Y)
        metric, E = trained.get_metric(), trained.transform(X)
        before = metric(E[0], E[9])
        trained.partial_fit(X, Y)
        assert metric(E[0], E[9]) == before

    @pytest.mark.parametrize(
        ("score_type", "metric", "expected"),
        [
            ("neg_sq_distance", None, 5.0),
            ("cosine", None, 26.0),
            ("logit", None, 25.0),
            ("neg_sq_distance", "chebyshev", 4.0),
        ],
    )
    def test_heads_of_other_libraries(self, score_type, metric, expected):
        class Head:
            def build(self, embedding_dim):
                return self

            def scores(self, a, b):
                return -torch.cdist(a, b).square()

            def paired(self, a, b):
                return -(a - b).square().sum(dim=1)

            def fold(self, embeddings):
                return embeddings

        head = Head()
        head.score_type, head.metric = score_type, metric
        trained = siamese(head=head, max_epochs=1).fit(X, Y)
        distance = trained.get_metric()(np.zeros(2), np.array([3.0, 4.0]))
        assert distance == pytest.approx(expected)


class TestState:
    @each
    def test_saved_and_loaded(self, name, fitted, tmp_path):
        trained = fitted(name)
        joblib.dump(trained, tmp_path / "model.joblib")
        again = joblib.load(tmp_path / "model.joblib")
        assert again.fit_id_ == trained.fit_id_
        np.testing.assert_array_equal(again.similarity(X), trained.similarity(X))
        np.testing.assert_array_equal(again.transform(X), trained.transform(X))
        # Functions are known again by name.
        again.partial_fit(X, Y)
        assert again.fit_id_ != trained.fit_id_

    @each
    def test_the_same_seed_gives_the_same_head(self, name, fitted):
        again = clone(fitted(name)).fit(X, Y)
        assert again.fit_id_ == fitted(name).fit_id_

    def test_another_head_is_another_network(self, fitted):
        trained = pickle.loads(pickle.dumps(fitted("own norms")))
        trained.set_params(head__norms=("squared", "absolute"))
        with pytest.raises(ValueError, match=r"test_heads\.squared.*Got head="):
            trained.partial_fit(X, Y)

    def test_fit_id_tells_what_heads_do_with_the_same_weights(self):
        ids = {
            siamese(head=LearnedNormsHead(p_max=p), lr=1e-12, max_epochs=1)
            .fit(X, Y)
            .fit_id_
            for p in (1.5, 2.0)
        }
        assert len(ids) == 2

    def test_nested_parameters_are_searched(self):
        pipe = make_pipeline(siamese(head="mahalanobis"), NearestCentroid())
        name = "siamesetransformer__head"
        search = GridSearchCV(
            pipe, {f"{name}__rank": [1, 3]}, cv=2, error_score="raise"
        ).fit(X, Y)
        assert search.best_estimator_[0].head_.weight.shape[0] in (1, 3)
        assert siamese(head="mahalanobis").set_params(head__rank=3).head.rank == 3


@pytest.mark.parametrize("name", ["signed", "mixed_norms"])
def test_a_random_head_is_not_left_untrained(name):
    with pytest.raises(ValueError, match="start at random, and with max_epochs=0"):
        siamese(head=HEADS[name], max_epochs=0).fit(X, Y)


@pytest.mark.parametrize("name", ["mahalanobis", "dense_sigmoid", "learned_norms"])
def test_other_heads_may_be_left_as_they_start(name):
    siamese(head=HEADS[name], max_epochs=0).fit(X, Y).similarity(X)


def test_weights_of_a_head_that_blow_up_are_refused():
    def blow_up(weight):
        weight.grad.fill_(float("nan"))

    class Fragile(MahalanobisHead):
        def build(self, embedding_dim):
            head = super().build(embedding_dim)
            head.weight.register_post_accumulate_grad_hook(blow_up)
            return head

    # The loss of the only step is finite, and so are the embeddings after it.
    one_step = ClassBalancedSampler(4, n_batches=1)
    with pytest.raises(TrainingDivergedError, match="weights of the head"):
        siamese(head=Fragile(), sampler=one_step, max_epochs=1).fit(X, Y)


def test_cross_entropy_learns_on_a_layer_of_sigmoids():
    # Whose embeddings begin nearly alike: logits that begin alike, too, learn nothing,
    # and an even guess costs log 2 = 0.693.
    data, target = load_digits(return_X_y=True)
    encoder = KochNet(
        embedding_dim=256, channels=(8, 16), kernel_sizes=(3, 2), paper_init=True
    )
    trained = SiameseTransformer(
        encoder, head="dense_sigmoid", loss="binary_cross_entropy", max_epochs=3,
        device="cpu", random_state=0,
    ).fit(data.reshape(-1, 8, 8) / 16, target)  # fmt: skip
    assert trained.history_[-1]["train_loss"] < 0.63
