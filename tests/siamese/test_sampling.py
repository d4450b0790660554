"""What a sampler gives the training, and what the training gives a sampler."""

import pickle

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline

from skfsl import FewShotPipeline, PrototypeClassifier, SiameseTransformer
from skfsl.exceptions import TrainingDivergedError
from skfsl.heads import EuclideanHead
from skfsl.losses import ContrastiveLoss, PrototypicalLoss
from skfsl.model_selection import ClassKFold, EpisodicScorer
from skfsl.samplers import (
    SAMPLERS,
    BalancedPairsSampler,
    ClassBalancedSampler,
    EpisodeSampler,
    HardPairsSampler,
)
from skfsl.siamese._data import Staged
from skfsl.siamese._pair_scores import PairScores

RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(8), 6)
X = (RNG.normal(size=(8, 5))[Y] + 0.4 * RNG.normal(size=(48, 5))).astype(np.float32)
GROUPS = np.repeat(["left", "right"], 24)


class SquaredLoss(ContrastiveLoss):
    """A loss that takes given pairs as well."""

    def paired(self, a, b, same, head):
        scores = head.paired(a, b)
        costs = torch.where(same, -scores, (10 + scores).clamp(min=0))
        # Each kind of pairs weighs the same.
        weights = same / same.sum().clamp(min=1) + (~same) / (~same).sum().clamp(min=1)
        return (costs * weights).sum()


class Told(BaseEstimator):
    """A sampler that notes what it is told."""

    def __init__(self, batches=None, wants_scores=False):
        self.batches = batches
        self.wants_scores = wants_scores

    def build(self, y, groups=None):
        self.y, self.groups, self.told = y, groups, []
        return self

    def __len__(self):
        return len(self.batches or [0])

    def epoch(self, rng, **told):
        self.told.append(told)
        yield from self.batches or [np.arange(len(self.y))]

    def __sklearn_clone__(self):
        return self


def siamese(**params):
    params = {"max_epochs": 3, "device": "cpu", "random_state": 0, **params}
    return SiameseTransformer(**params)


def silhouette(embeddings, y):
    distances = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)
    same = y[:, None] == y
    return distances[same].mean() / distances[~same].mean()


class TestTraining:
    @pytest.mark.parametrize("name", SAMPLERS)
    def test_every_sampler_trains_a_metric(self, name):
        fitted = siamese(sampler=name, loss=SquaredLoss(), max_epochs=15).fit(X, Y)
        assert silhouette(fitted.transform(X), Y) < 0.9 * silhouette(X, Y)
        again = siamese(sampler=name, loss=SquaredLoss(), max_epochs=15).fit(X, Y)
        assert fitted.fit_id_ == again.fit_id_
        assert pickle.loads(pickle.dumps(fitted)).fit_id_ == fitted.fit_id_

    @pytest.mark.parametrize("name", SAMPLERS)
    def test_every_sampler_suits_the_default_loss(self, name):
        model = siamese(sampler=name)
        if name.endswith("pairs"):
            model.set_params(sampler__all_pairs=True)
        model.fit(X, Y).partial_fit(X, Y)

    def test_sampler_parameters_are_searched(self):
        search = GridSearchCV(
            siamese(sampler="episode", max_epochs=1, validation_fraction=0),
            {"sampler__n_way": [2, 4], "sampler__n_shot": [1, 2]},
            cv=ClassKFold(2),
            scoring=EpisodicScorer(n_way=3, n_shot=1, n_episodes=20),
        ).fit(X, Y)
        assert set(search.best_params_) == {"sampler__n_way", "sampler__n_shot"}

    def test_a_callback_may_look_at_batches_of_pairs(self):
        fitted = siamese(sampler="balanced_pairs", loss=SquaredLoss()).fit(X, Y)
        batches = fitted.net_.history[-1]["batches"]
        assert all(batch["train_batch_size"] <= 48 for batch in batches)


class TestGivenPairs:
    def test_only_given_pairs_count_and_samples_are_embedded_once(self):
        seen = []

        class Loss(SquaredLoss):
            def paired(self, a, b, same, head):
                seen.append((a.detach(), b.detach(), same))
                return super().paired(a, b, same, head)

        pairs = np.array([[0, 0, 7, 30], [1, 7, 8, 0]])
        embedded = []

        def encoder():
            layer = torch.nn.Linear(5, 3)
            layer.register_forward_hook(lambda m, args, out: embedded.append(args[0]))
            return layer

        model = siamese(
            encoder=encoder, sampler=Told([pairs]), loss=Loss(), max_epochs=1
        ).fit(X, Y)
        ((a, b, same),) = seen
        assert same.tolist() == [True, False, True, False]
        assert a.shape == b.shape == (4, 3)
        torch.testing.assert_close(a[0], a[1], rtol=0, atol=0)
        torch.testing.assert_close(a[0], b[3], rtol=0, atol=0)
        assert any(x.equal(torch.from_numpy(X[[0, 1, 7, 8, 30]])) for x in embedded)
        assert model.history_[0]["train_loss"] == pytest.approx(
            Loss().paired(a, b, same, EuclideanHead()).item()
        )

    @pytest.mark.parametrize(
        ("loss", "name"),
        [
            ("prototypical", "PrototypicalLoss"),
            (lambda e, y: e.sum(), "function"),
        ],
    )
    def test_a_loss_that_takes_none_says_so(self, loss, name):
        model = siamese(sampler="balanced_pairs", loss=loss)
        with pytest.raises(
            ValueError, match=f"{name} does not take given pairs.*Set all_pairs=True"
        ):
            model.fit(X, Y)

    @pytest.mark.parametrize("shape", [(3, 4), (2, 2, 2)])
    def test_batches_of_other_shapes_raise(self, shape):
        with pytest.raises(ValueError, match=r"of shape \(2, n_pairs\)\. Got shape"):
            siamese(sampler=Told([np.zeros(shape, int)])).fit(X, Y)


class TestScores:
    def test_a_sampler_that_asks_is_told_progress_and_scores(self):
        sampler = Told(wants_scores=True)
        siamese(sampler=sampler, max_epochs=4).fit(X, Y)
        assert [told["progress"] for told in sampler.told] == [0, 0.25, 0.5, 0.75]

    def test_others_are_not_told(self):
        sampler = Told()
        siamese(sampler=sampler).fit(X, Y)
        assert sampler.told == [{}] * 3

    def test_scores_are_those_of_the_network_as_it_is(self):
        fitted = siamese().fit(X, Y)
        staged = Staged(X, Y, torch.device("cpu"))
        scores = PairScores(fitted.net_.module_, staged)
        a, b = np.array([3, 40, 3]), np.array([0, 9])
        found = scores(a, b)
        assert found.dtype == np.float32
        expected = fitted.similarity(X[a], X[b])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    def test_samples_are_embedded_once_an_epoch_and_only_if_asked(self):
        calls = []

        class Counting(Told):
            def epoch(self, rng, *, scores, progress):
                if progress > 0.3:
                    for _ in range(2):
                        scores(np.arange(3), np.arange(4))
                calls.append(scores.embeddings is not None)
                yield np.arange(len(self.y))

        siamese(sampler=Counting(wants_scores=True)).fit(X, Y)
        assert calls == [False, True, True]

    def test_training_goes_on_in_training_mode(self):
        modes = []

        def encoder():
            net = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3))
            net.register_forward_hook(lambda m, args, out: modes.append(m.training))
            return net

        sampler = HardPairsSampler(refresh=1, warm_up=0)
        siamese(encoder=encoder, sampler=sampler, loss=SquaredLoss(), max_epochs=2).fit(
            X, Y
        )
        # The width and the watch come first; then scores and a batch, twice over.
        assert modes[2:6] == [False, True, False, True]

    def test_scores_that_diverged_raise(self):
        module = siamese().fit(X, Y).net_.module_
        with torch.no_grad():
            next(module.parameters()).fill_(torch.nan)
        scores = PairScores(module, Staged(X, Y, torch.device("cpu")))
        with pytest.raises(TrainingDivergedError, match="scores of training samples"):
            scores(np.arange(3), np.arange(3))

    def test_hard_pairs_are_those_that_the_network_confuses(self):
        # Classes on a line: neighbours are hard to tell apart.
        y = np.repeat(np.arange(30), 4)
        x = (y[:, None] + 0.1 * RNG.normal(size=(120, 1))).astype(np.float32)
        gaps = []

        class Loss(SquaredLoss):
            def paired(self, a, b, same, head):
                gaps.append((a - b).detach()[~same].norm(dim=1).mean().item())
                return super().paired(a, b, same, head)

        siamese(
            encoder=torch.nn.Linear(1, 1),
            sampler=HardPairsSampler(
                1000, refresh=1, warm_up=2, annealing=0.3, noise=0.2, final_noise=0.1
            ),
            loss=Loss(),
            max_epochs=6,
            lr=1e-6,
            validation_fraction=0,
        ).fit(x, y)
        assert max(gaps[2:]) < 0.5 * min(gaps[:2])


class TestGroups:
    def test_they_reach_the_sampler_without_those_held_out(self):
        y = np.repeat(np.arange(60), 3)
        x = RNG.normal(size=(180, 4)).astype(np.float32)
        sampler = Told()
        model = siamese(sampler=sampler).fit(x, y, groups=y % 7)
        trained = ~np.isin(y, model.validation_classes_)
        assert 0 < trained.sum() < 180
        np.testing.assert_array_equal(sampler.groups, y[trained] % 7)

    def test_they_decide_which_classes_meet(self):
        sampler = ClassBalancedSampler(4, group_share=1, class_weight="uniform")
        seen = []

        def loss(embeddings, labels):
            seen.append({GROUPS[Y == label][0] for label in labels.tolist()})
            return embeddings.square().mean()

        siamese(sampler=sampler, loss=loss).fit(X, Y, groups=GROUPS)
        assert all(len(groups) == 1 for groups in seen)
        assert {*seen[0]} | {*seen[1]} | {*seen[2]} | {*seen[3]} == {"left", "right"}

    def test_partial_fit_takes_them_too(self):
        model = siamese(sampler=ClassBalancedSampler(4, group_share=0.5))
        model.partial_fit(X, Y, groups=GROUPS).partial_fit(X, Y, groups=list(GROUPS))
        with pytest.raises(ValueError, match=r"group_share=0\.5 needs groups"):
            model.partial_fit(X, Y)

    @pytest.mark.parametrize("cls", [Pipeline, FewShotPipeline])
    def test_a_pipeline_passes_them_by_name(self, cls):
        pipe = cls(
            [
                ("siamese", siamese(sampler=ClassBalancedSampler(group_share=0.75))),
                ("clf", PrototypeClassifier()),
            ]
        )
        pipe.fit(X, Y, siamese__groups=GROUPS)
        with pytest.raises(ValueError, match=r"group_share=0\.75 needs groups"):
            pipe.fit(X, Y)

    @pytest.mark.parametrize("cls", [Pipeline, FewShotPipeline])
    def test_a_pipeline_routes_them(self, cls):
        sampler = ClassBalancedSampler(group_share=0.75)
        with sklearn.config_context(enable_metadata_routing=True):
            asks = siamese(sampler=sampler).set_fit_request(groups=True)
            pipe = cls([("siamese", asks), ("clf", PrototypeClassifier())])
            pipe.fit(X, Y, groups=GROUPS)

    def test_groups_of_splitters_are_not_routed_to_it_unasked(self):
        burst = np.arange(48) % 3  # classes are in several
        with sklearn.config_context(enable_metadata_routing=True):
            scores = cross_validate(
                siamese(max_epochs=1),
                X,
                Y,
                cv=ClassKFold(2),
                scoring=EpisodicScorer(n_way=3).set_score_request(groups=True),
                params={"groups": burst},
            )
        assert len(scores["test_score"]) == 2

    def test_a_search_routes_them(self):
        sampler = ClassBalancedSampler(n_way=3)
        scorer = EpisodicScorer(n_way=3, n_shot=1, n_episodes=20)
        with sklearn.config_context(enable_metadata_routing=True):
            asks = siamese(sampler=sampler, max_epochs=1).set_fit_request(groups=True)
            scorer.set_score_request(groups=False)
            search = GridSearchCV(
                asks,
                {"sampler__group_share": [0.5, 1.0]},
                cv=ClassKFold(2).set_split_request(groups=False),
                scoring=scorer,
            ).fit(X, Y, groups=GROUPS)
        assert search.best_params_["sampler__group_share"] in (0.5, 1.0)

    def test_an_error_names_the_class_by_its_label(self):
        names = np.array(list("abcdefgh"))[Y]
        groups = GROUPS.copy()
        groups[0] = "right"
        with pytest.raises(ValueError, match=r"Class 'a' is in groups '(left|right)'"):
            siamese().fit(X, names, groups=groups)

    def test_a_sampler_without_use_for_them_says_so(self):
        model = siamese(sampler=BalancedPairsSampler(), loss=SquaredLoss())
        with pytest.warns(
            UserWarning, match="groups are without effect: BalancedPairs"
        ):
            model.fit(X, Y, groups=GROUPS)

    def test_an_error_leaves_the_model_as_it_was(self):
        model = siamese().fit(X, Y)
        before = model.fit_id_
        with pytest.raises(ValueError, match="Got 3 groups for 48 samples"):
            model.fit(X, Y, groups=GROUPS[:3])
        assert model.fit_id_ == before


class TestEpisodes:
    def test_support_of_the_sampler_is_the_support_of_the_loss(self):
        loss = PrototypicalLoss(folding=False)
        siamese(sampler=EpisodeSampler(n_shot=2), loss=loss).fit(X, Y)

    def test_a_split_that_differs_raises(self):
        sampler = EpisodeSampler(n_shot=1, n_query=3)
        model = siamese(sampler=sampler, loss=PrototypicalLoss(folding=False))
        with pytest.raises(ValueError, match=r"takes other samples as support than"):
            model.fit(X, Y)

    def test_both_may_be_given_the_same_number_of_shots(self):
        loss = PrototypicalLoss(folding=False, n_shot=1)
        siamese(sampler=EpisodeSampler(n_shot=1, n_query=3), loss=loss).fit(X, Y)

    def test_batch_folding_takes_any_episodes(self):
        siamese(sampler=EpisodeSampler(n_shot=1, n_query=3)).fit(X, Y)
