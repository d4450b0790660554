"""Stages: what is frozen, at which rate the rest learns, and what is kept."""

import copy
import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from skfsl import SiameseTransformer
from skfsl.exceptions import FineTuningWarning
from skfsl.samplers import ClassBalancedSampler
from skfsl.siamese import Stage, _net
from skfsl.siamese._data import Staged
from skfsl.siamese._module import SiameseModule
from skfsl.siamese._schedule import cosine_factor
from skfsl.siamese._stages import freeze, parameter_groups, resolve_schedule
from skfsl.siamese._whitening import whiten

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(12), 6)
X = (RNG.normal(size=(72, 5)) + RNG.normal(size=(12, 5))[Y]).astype(np.float32)
# Enough classes that some are held out.
MANY = np.repeat(np.arange(50), 4)
X_MANY = (RNG.normal(size=(200, 5)) + RNG.normal(size=(50, 5))[MANY]).astype("f4")


def encoder(pretrained=True):
    torch.manual_seed(0)
    layers = [nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2)]
    net = nn.Sequential(*layers, nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Tanh())
    net.pretrained = pretrained
    return net


def fit(schedule, X=X, y=Y, **params):
    params = {"random_state": 0, "device": "cpu", **params}
    params = {"sampler": ClassBalancedSampler(8, n_shot=3, n_batches=4), **params}
    return SiameseTransformer(
        params.pop("encoder", None) or encoder(), schedule=schedule, **params
    ).fit(X, y)


def weights_of(model):
    return model.net_.module_.encoder.state_dict()


class TestFreeze:
    @pytest.mark.parametrize(
        ("share", "n_free"), [(0, 0), (0.2, 1), (0.25, 1), (0.5, 2), (0.51, 3), (1, 4)]
    )
    def test_the_last_layers_are_free(self, share, n_free):
        net = encoder()
        freeze(net, share, net.parameters())
        layers = [net[0], net[1], net[4], net[5]]
        free = [all(p.requires_grad for p in layer.parameters()) for layer in layers]
        assert free == [False] * (4 - n_free) + [True] * n_free

    def test_what_has_no_weights_goes_with_what_is_before_it(self):
        net = encoder()
        assert freeze(net, 0.5, net.parameters()) == [net[0], net[1], net[2], net[3]]
        assert freeze(net, 1.0, net.parameters()) == []
        # Before the first weights, a dropout of the input is not frozen.
        net = nn.Sequential(nn.Dropout(), nn.Linear(2, 2))
        assert freeze(net, 1.0, net.parameters()) == []
        assert net in freeze(net, 0.0, net.parameters())

    def test_what_the_user_froze_stays_frozen(self):
        net = encoder()
        own = [*net[4].parameters()]
        assert freeze(net, 1.0, own) == [net[0], net[1], net[2], net[3], net[5]]
        assert [p for p in net.parameters() if p.requires_grad] == own


class TestStage:
    def test_a_plateau_divides_by_ten(self):
        stage = Stage(9, plateau=2)
        losses = [3, 2, 2, 2.5, 1, 1, 1]
        rows = [{"train_loss": loss} for loss in losses]
        factors = [stage.lr_factor(0, 1, rows[:n]) for n in range(8)]
        assert factors == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01])

    def test_validation_decides_where_there_is_one(self):
        rows = [{"train_loss": 3 - n, "valid_accuracy": 0.5} for n in range(2)]
        assert Stage(9, plateau=1).lr_factor(0, 1, rows) == pytest.approx(0.1)
        rows[1]["valid_accuracy"] = 0.6
        assert Stage(9, plateau=1).lr_factor(0, 1, rows) == 1

    def test_without_a_plateau_it_is_a_cosine(self):
        assert Stage(9).lr_factor(7, 90, []) == cosine_factor(7, 90)

    def test_layers_decay_in_geometric_progression(self):
        net = encoder()
        module = SiameseModule(net, nn.Linear(16, 8), None)
        groups = parameter_groups(
            module, nn.Module(), Stage(1, layer_decay=0.125), 0.5, None
        )
        found = {p: g.get("lr_factor", 1) for g in groups for p in g["params"]}
        factors = [found[layer.weight] for layer in (net[0], net[1], net[4], net[5])]
        assert factors == pytest.approx([0.125, 0.25, 0.5, 1])
        assert found[module.projection.weight] == 1
        assert all(g["lr"] == 0.5 * g["lr_factor"] for g in groups if "lr" in g)
        assert len(found) == len(list(module.parameters()))

    @pytest.mark.parametrize(
        "params", [{"max_epochs": 0}, {"lr": 0.0}, {"trainable": 1.1}, {"plateau": 0}]
    )
    def test_settings_are_checked(self, params):
        with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter"):
            fit([Stage(**{"max_epochs": 1, **params})])

    def test_only_stages_may_be_in_a_list(self):
        with pytest.raises(TypeError, match=r"list of Stage\. Got 3"):
            fit([3])

    def test_a_list_without_stages_is_refused(self):
        with pytest.raises(ValueError, match="at least one Stage"):
            fit([])


class TestSchedule:
    def test_auto_follows_the_encoder(self):
        assert resolve_schedule("auto", encoder(False), 7)[1] is False
        (stage,), fine_tunes = resolve_schedule("auto", encoder(), 25)
        assert fine_tunes
        assert stage.trainable == 0

    def test_staged_frees_the_last_layers_of_any_encoder(self):
        for pretrained in (True, False):
            stages, fine_tunes = resolve_schedule("staged", encoder(pretrained), 25)
            assert fine_tunes
            assert stages[0].trainable == 0 < stages[1].trainable < 1

    @pytest.mark.parametrize("schedule", ["auto", "staged"])
    @pytest.mark.parametrize("max_epochs", [0, 1, 3, 4, 1000])
    def test_max_epochs_is_the_most_of_all_stages(self, schedule, max_epochs):
        stages, _ = resolve_schedule(schedule, encoder(), max_epochs)
        assert sum(stage.max_epochs for stage in stages) <= max_epochs
        assert bool(stages) == bool(max_epochs)

    def test_no_epochs_leave_the_encoder_as_it_is(self):
        net = encoder().eval()
        for schedule in ("auto", [Stage(1)]):
            model = fit(schedule, encoder=net, max_epochs=0)
            with torch.no_grad():
                expected = net(torch.from_numpy(X)).numpy()
            np.testing.assert_allclose(model.transform(X), expected, atol=1e-6)

    def test_the_cosine_is_what_a_loop_by_hand_does(self):
        """Batches are recorded while it trains, and trained on again."""
        from skorch.callbacks import Callback

        class Recorder(Callback):
            def on_train_begin(self, net, **kwargs):
                recorded["net"] = copy.deepcopy([net.module_, net.criterion_])

            def on_batch_begin(self, net, batch=None, **kwargs):
                recorded.setdefault("batches", []).append(batch)

        recorded = {}
        net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8))
        model = fit("cosine", encoder=net, max_epochs=2, callbacks=[Recorder()])
        module, criterion = recorded["net"]
        parameters = list(module.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=2e-3, weight_decay=1e-4)
        n_steps = len(recorded["batches"])
        for step, (x, labels) in enumerate(recorded["batches"]):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * cosine_factor(step, n_steps)
            optimizer.zero_grad()
            criterion(module(x), labels, module.head).backward()
            optimizer.step()
        for name, value in model.net_.module_.state_dict().items():
            assert torch.equal(value, module.state_dict()[name])


class TestTraining:
    @pytest.mark.parametrize("augment", [None, nn.Dropout(0.1)])
    def test_frozen_layers_and_their_statistics_stay(self, augment):
        net = encoder()
        before = copy.deepcopy(net.state_dict())
        schedule = [Stage(1, trainable=0.0), Stage(1, trainable=0.5)]
        after = weights_of(fit(schedule, encoder=net, augment=augment))
        for name, value in before.items():
            assert torch.equal(after[name], value) == (name[0] in "01"), name
        assert all(map(torch.equal, before.values(), net.state_dict().values()))

    def test_weights_may_be_trained_again_after_it(self):
        net = encoder()
        net[0].weight.requires_grad_(False)
        model = fit([Stage(1, trainable=0.2)], encoder=net)
        mine = model.net_.module_.encoder
        frozen = [n for n, p in mine.named_parameters() if not p.requires_grad]
        assert frozen == ["0.weight"]

    def test_a_frozen_encoder_embeds_each_sample_once(self):
        seen = []

        class Counting(nn.Linear):
            def forward(self, x):
                seen.append(len(x))
                return super().forward(x)

        params = {"validation_fraction": 0.0, "encoder": Counting(5, 8)}
        schedule = [Stage(2, trainable=0.0), Stage(2, trainable=0.0)]
        fit(schedule, X_MANY, MANY, **params)
        # Two to see how wide it is, and 128 twice to see what became of them.
        assert sum(seen) == 2 + 128 + 200 + 128
        seen.clear()
        fit(schedule, X_MANY, MANY, **params, augment=nn.Identity())
        assert sum(seen) > 2 + 128 + 200 + 128

    def test_cached_embeddings_teach_the_same(self):
        schedule = [Stage(2, lr=1e-2, trainable=0.0)]
        params = {"X": X_MANY, "y": MANY, "validation_fraction": 0.0}
        cached = fit(schedule, **params)
        live = fit(schedule, **params, augment=nn.Identity())
        first, second = (m.net_.module_.projection.weight for m in (cached, live))
        torch.testing.assert_close(first, second, atol=1e-3, rtol=1e-3)
        start = fit([Stage(1, lr=1e-12, trainable=0.0)], **params)
        assert (first - start.net_.module_.projection.weight).abs().max() > 0.02

    def test_the_rate_of_each_stage_is_its_own(self):
        schedule = [Stage(2, lr=0.5, plateau=9), Stage(1, plateau=9), Stage(1, lr=0.1)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = fit(schedule, lr=0.25).history_
        assert [row["lr"] for row in rows[:3]] == [0.5, 0.5, 0.25]
        assert [row["stage"] for row in rows] == [1, 1, 2, 3]
        assert "valid_accuracy" not in rows[0]

    def test_a_stage_without_anything_to_train_is_left_out(self):
        model = fit("cosine", encoder=encoder(False), max_epochs=1)
        model.set_params(schedule=[Stage(2, trainable=0.0), Stage(1)])
        rows = model.partial_fit(X, Y).history_
        assert [row.get("stage") for row in rows] == [None, 2]
        model.set_params(schedule=[Stage(2, trainable=0.0)])
        with pytest.raises(ValueError, match="No stage of the schedule has anything"):
            model.partial_fit(X, Y)

    def test_early_stopping_ends_a_stage_and_no_more(self):
        schedule = [Stage(50, lr=1e-8, trainable=0.0), Stage(2, lr=1e-8)]
        with pytest.warns(FineTuningWarning):
            rows = fit(schedule, X_MANY, MANY, early_stopping=2).history_
        assert [row.get("stage") for row in rows] == [None, 1, 1, 2, 2]

    def test_parts_are_cloned_and_searched_over(self):
        model = SiameseTransformer(encoder(), schedule=[Stage(1)], random_state=0)
        assert clone(model).get_params()["schedule"][0].max_epochs == 1
        search = GridSearchCV(
            SiameseTransformer(encoder(), device="cpu", random_state=0),
            {"schedule": ["cosine", [Stage(1, trainable=0.5)]], "max_epochs": [1]},
            scoring=lambda model, X, y: float(len(model.history_)),
            cv=2,
            error_score="raise",
        ).fit(X, Y)
        assert len(search.cv_results_["params"]) == 2

    def test_progress_names_the_stage(self, capsys):
        fit([Stage(1, trainable=0.0), Stage(1)], verbose=1)
        lines = capsys.readouterr().out.splitlines()
        assert [line.split("  ")[1] for line in lines] == ["stage 1/2", "stage 2/2"]

    def test_the_time_left_is_told_of_what_can_be_known(self, capsys, monkeypatch):
        clock = itertools.count(step=10)
        stopped = SimpleNamespace(perf_counter=lambda: float(next(clock)))
        monkeypatch.setattr(_net, "time", stopped)
        schedule = [Stage(9, lr=1e-8, trainable=0.0), Stage(2, lr=1e-8)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FineTuningWarning)
            fit(schedule, X_MANY, MANY, early_stopping=2, verbose=1)
        lines = capsys.readouterr().out.splitlines()
        # The first stage ends early; the second has not its epochs to go.
        assert [line.rpartition("  ")[2] for line in lines] == [
            "10.0 s, 80 s left in this stage",
            "10.0 s, 70 s left in this stage",
            "10.0 s, 10 s left",
            "10.0 s, 0 s left",
        ]


class TestStart:
    def test_it_is_kept_where_training_is_worse(self):
        # It changes weights, and no answer: what is as good has not beaten it.
        schedule = [Stage(1, lr=1e-6)]
        net = encoder()
        with pytest.warns(FineTuningWarning, match="did not beat the pretrained"):
            model = fit(schedule, X_MANY, MANY, encoder=net)
        start, *trained = model.history_
        assert start["epoch"] == 0
        assert start["kept"]
        assert start["valid_accuracy"] >= trained[0]["valid_accuracy"]
        assert all(
            map(torch.equal, weights_of(model).values(), net.state_dict().values())
        )
        # ... to the embeddings: as whitened before training.
        held_out = np.isin(MANY, model.validation_classes_)
        module = SiameseModule(copy.deepcopy(net), nn.Identity(), None)
        module.embedding_dim = 16
        whiten(module, Staged(X_MANY[~held_out], MANY[~held_out], CPU))
        with torch.no_grad():
            expected = module(torch.from_numpy(X_MANY)).numpy()
        np.testing.assert_allclose(model.transform(X_MANY), expected, atol=1e-4)

    def test_a_head_that_goes_back_to_it_is_scaled_in_each_stage(self):
        logits = []

        class Look(Callback):
            def on_batch_end(self, net, y_pred, **kwargs):
                e = y_pred.detach()
                logits.append(net.module_.head.scores(e, e).mean().item())

        with pytest.warns(FineTuningWarning, match="did not beat the pretrained"):
            fit(
                [Stage(1, lr=1e-8, trainable=0.0), Stage(1, lr=1e-8, trainable=0.0)],
                X_MANY, MANY, encoder=encoder(), head="dense_sigmoid",
                callbacks=[Look()],
            )  # fmt: skip
        np.testing.assert_allclose(logits, 0, atol=1)

    def test_it_is_given_up_for_something_better(self):
        rng = np.random.default_rng(3)
        # Two directions of twenty tell the classes apart, the others are louder.
        X = rng.normal(size=(300, 20)) * 4
        y = np.repeat(np.arange(60), 5)
        X[:, :2] = rng.normal(size=(60, 2))[y] * 3 + rng.normal(size=(300, 2)) * 0.1
        net = nn.Linear(20, 20)
        nn.init.eye_(net.weight)
        nn.init.zeros_(net.bias)
        with warnings.catch_warnings():
            warnings.simplefilter("error", FineTuningWarning)
            model = fit([Stage(8, lr=1e-2)], X, y, encoder=net)
        start, *trained = model.history_
        assert not start["kept"]
        assert max(row["valid_accuracy"] for row in trained) > start["valid_accuracy"]

    def test_by_default_it_is_told_of_by_verbose_only(self, capsys):
        # Whitened, they are told apart without an error: there is nothing to beat.
        centres = np.repeat(np.eye(50), 4, axis=0)
        X = centres + 1e-3 * RNG.normal(size=centres.shape)
        params = {"X": X, "y": MANY, "encoder": nn.Identity()}
        params["encoder"].pretrained = True
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = fit("auto", **params, verbose=1)
            last = capsys.readouterr().out.splitlines()[-1]
            fit("auto", **params)
        assert model.history_[0]["kept"]
        assert last.startswith("Fine-tuning did not beat the pretrained encoder")
        assert last.endswith("(validation accuracy 1.000): it is kept as it was.")
        assert not capsys.readouterr().out
        with pytest.warns(FineTuningWarning, match="Choose other stages"):
            fit("staged", **params)

    def test_of_going_on_it_is_what_there_was_before(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FineTuningWarning)
            model = fit([Stage(1, lr=1e-8, trainable=0.0)], X_MANY, MANY)
        with pytest.warns(FineTuningWarning, match="did not beat what there was"):
            model.partial_fit(X_MANY, MANY + 50)

    def test_without_classes_held_out_there_is_none(self):
        assert fit([Stage(1)]).history_[0]["epoch"] == 1


class TestWhitening:
    def whiten(self, X, y, width):
        module = SiameseModule(nn.Identity(), nn.Identity(), None)
        module.embedding_dim = width
        whiten(module, Staged(X, y, CPU))
        with torch.no_grad():
            return module(torch.from_numpy(X)).double().numpy()

    def test_it_is_its_definition(self):
        def unit(a):
            return a / np.linalg.norm(a, axis=1, keepdims=True)

        x = unit(X.astype(float))
        x = unit(x - x.mean(axis=0))
        covariance = np.zeros((5, 5))
        for label in range(12):
            for row in x[label == Y]:
                off = row - x[label == Y].mean(axis=0)
                covariance += np.outer(off, off) / (72 - 12)
        covariance *= 5 / np.trace(covariance)
        values, vectors = np.linalg.eigh(0.7 * covariance + 0.3 * np.eye(5))
        expected = 8 * unit(x @ (vectors / np.sqrt(values)) @ vectors.T)
        got = self.whiten(X, Y, 5)
        # Up to a rotation: no distance knows of it.
        np.testing.assert_allclose(got @ got.T, expected @ expected.T, atol=1e-3)

    @pytest.mark.parametrize("width", [2, 5, 9])
    def test_its_width_is_asked_for(self, width):
        got = self.whiten(X, Y, width)
        assert got.shape == (72, width)
        np.testing.assert_allclose(np.linalg.norm(got, axis=1), 8, rtol=1e-5)
        if width == 9:
            whole = self.whiten(X, Y, 5)
            assert not got[:, 5:].any()
            assert np.corrcoef((got @ got.T).ravel(), (whole @ whole.T).ravel())[0, 1]

    def test_copies_of_one_sample_a_class_have_no_covariance(self):
        X = np.repeat(np.eye(4, dtype=np.float32), 2, axis=0)
        assert np.isfinite(self.whiten(X, np.repeat(np.arange(4), 2), 4)).all()
