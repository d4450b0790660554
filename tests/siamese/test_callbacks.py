"""Callbacks: scikit-learn's, where there are any, and skorch's."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
)
from torch import nn

from skfsl import SiameseTransformer

RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(4), 6)
X = RNG.normal(size=(24, 5)) + RNG.normal(size=(4, 5))[Y]


def siamese(**params):
    params = {"max_epochs": 3, "device": "cpu", "random_state": 0, **params}
    return SiameseTransformer(**params)


class Counting(Callback):
    """Counts what skorch tells."""

    def __init__(self):
        self.epochs = self.batches = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1

    def on_batch_end(self, net, training=True, **kwargs):
        self.batches += training


def test_skorch_callbacks_are_called():
    counting = Counting()
    fitted = siamese(callbacks=[counting]).fit(X, Y)
    assert counting.epochs == 3
    assert counting.batches == 3 * 8
    assert len(fitted.history_) == 3


def test_a_callback_that_embeds_between_steps_changes_nothing():
    class Look(Callback):
        def on_batch_end(self, net, **kwargs):
            net.as_estimator().similarity(9 * X[:8])

    encoder = nn.Sequential(nn.Linear(X.shape[1], 6), nn.BatchNorm1d(6))
    plain, watched = (
        siamese(encoder=encoder, callbacks=callbacks).fit(X, Y)
        for callbacks in (None, [Look()])
    )
    assert watched.fit_id_ == plain.fit_id_


def test_early_stopping_of_skorch_stops_in_good_order():
    stop = EarlyStopping(monitor="train_loss", patience=1, threshold=1e9)
    fitted = siamese(max_epochs=9, callbacks=[("stop", stop)]).fit(X, Y)
    assert len(fitted.history_) < 9
    fitted.transform(X)


def test_a_scheduler_of_skorch_takes_the_place_of_the_cosine():
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.5)
    fitted = siamese(callbacks=[scheduler], lr=0.004).fit(X, Y)
    lrs = [row["lr"] for row in fitted.history_]
    assert lrs == pytest.approx([0.004, 0.002, 0.001]) or lrs == pytest.approx(
        [0.002, 0.001, 0.0005]
    )


def half(net, X, y=None):
    return 0.5


@pytest.mark.parametrize("monitor", ["train_loss_best", "valid_accuracy_best"])
def test_checkpoints_and_scores_of_skorch_work(monitor, tmp_path):
    y = np.repeat(np.arange(12), 4)
    data = RNG.normal(size=(48, 5)) + 3 * y[:, None]
    fitted = siamese(
        callbacks=[
            BatchScoring(half, name="batch", on_train=True),
            EpochScoring(half, name="epoch_half", on_train=True),
            Checkpoint(monitor=monitor, dirname=tmp_path),
        ],
        validation_fraction=0.5,
    ).fit(data, y)
    assert (tmp_path / "params.pt").exists()
    assert fitted.history_[-1]["batch"] == fitted.history_[-1]["epoch_half"] == 0.5
    assert monitor not in fitted.history_[-1]


def test_an_augmentation_may_answer_in_float64():
    siamese(augment=lambda x: x.double() * 1.01).fit(X, Y)


def test_an_optimizer_may_be_made_by_a_function():
    def rprop(params, lr, weight_decay):
        return torch.optim.Rprop(params, lr)

    assert len(siamese(optimizer=rprop).fit(X, Y).history_) == 3


@pytest.mark.parametrize("stops", ["validation", "callback"])
def test_all_callbacks_are_told_of_the_last_epoch(stops):
    y = np.repeat(np.arange(12), 6)
    data = RNG.normal(size=(72, 5))
    counting = Counting()
    first, patience = [], 1
    if stops == "callback":
        first, patience = [EarlyStopping("train_loss", 1, threshold=1e9)], False
    params = {
        "max_epochs": 20,
        "early_stopping": patience,
        "validation_fraction": 0.5,
    }
    fitted = siamese(callbacks=[*first, counting], **params).fit(data, y)
    assert counting.epochs == len(fitted.history_) < 20


def test_a_checkpoint_may_pickle_the_net(tmp_path):
    checkpoint = Checkpoint(monitor=None, f_pickle="net.pkl", dirname=tmp_path)
    siamese(callbacks=[checkpoint]).fit(X, Y)
    net = pickle.loads((tmp_path / "net.pkl").read_bytes())
    assert len(net.epochs()) == 3


class Interrupt(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_ctrl_c_goes_through():
    with pytest.raises(KeyboardInterrupt):
        siamese(callbacks=[Interrupt()]).fit(X, Y)


class TestScikitLearn:
    @pytest.fixture(autouse=True)
    def _callbacks(self):
        self.callback = pytest.importorskip("sklearn.callback", reason="needs 1.9")

    def recorder(self):
        class Recorder:
            def __init__(self):
                self.calls = []

            def setup(self, estimator, context):
                self.calls.append("setup")

            def teardown(self, estimator, context):
                self.calls.append("teardown")

            def on_fit_task_begin(self, estimator, context):
                self.calls.append(f"begin {context.task_name}")

            def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
                E = fitted_estimator.transform(X)
                self.calls.append(f"end {context.task_name} {E.shape}")
                return self.stop

            stop = False

        return Recorder()

    def test_epochs_are_subtasks_with_a_usable_estimator(self):
        recorder = self.recorder()
        siamese(max_epochs=2).set_callbacks(recorder).fit(X, Y)
        epoch = ["begin epoch", "end epoch (24, 64)"]
        assert recorder.calls == [
            "setup", "begin fit", *epoch, *epoch, "end fit (24, 64)", "teardown",
        ]  # fmt: skip

    def test_a_callback_may_stop_the_training(self):
        recorder = self.recorder()
        recorder.stop = True
        fitted = siamese().set_callbacks(recorder).fit(X, Y)
        assert len(fitted.history_) == 1

    def test_teardown_comes_after_an_error_too(self):
        recorder = self.recorder()
        with pytest.raises(ValueError, match="1 class"):
            siamese().set_callbacks(recorder).fit(X, np.zeros(24))
        with pytest.raises(KeyboardInterrupt):
            siamese(callbacks=[Interrupt()]).set_callbacks(recorder).fit(X, Y)
        assert recorder.calls[-1] == "teardown"

    def test_scoring_monitor(self):
        def fold_variance(estimator, X, y):
            return float(estimator.transform(X).var())

        monitor = self.callback.ScoringMonitor(scoring={"variance": fold_variance})
        siamese().set_callbacks(monitor).fit(X, Y)
        log = monitor.get_logs()
        assert log

    @pytest.mark.parametrize("in_search", [False, True])
    def test_progress_bar_in_a_pipeline_and_a_search(self, in_search, capsys):
        pytest.importorskip("rich")
        model = make_pipeline(siamese(), NearestCentroid())
        if in_search:
            model = GridSearchCV(model, {"siamesetransformer__lr": [1e-3, 2e-3]}, cv=2)
        model.set_callbacks(self.callback.ProgressBar())
        model.fit(X, Y).predict(X)
