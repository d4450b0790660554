"""DistanceMatrixCallback: one watches the classes become blocks."""

from itertools import pairwise

import joblib
import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.metrics import euclidean_distances
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Checkpoint, TensorBoard
from torch import nn

from skfsl import SiameseTransformer
from skfsl.siamese import DistanceMatrixCallback, _distance_callback

mpl.use("Agg")
import matplotlib.pyplot as plt

RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(4), 6)
X = RNG.normal(size=(24, 5)) + 2 * RNG.normal(size=(4, 5))[Y]
LABELS = np.array(["bee", "ant", "bee", "cat", "ant", "bee", "cat", "ant"])
SAMPLE = X[:8]
ORDER = [1, 4, 7, 0, 2, 5, 3, 6]  # of these labels, sorted and stable


def siamese(*callbacks, **params):
    params = {"max_epochs": 3, "device": "cpu", "random_state": 0, **params}
    return SiameseTransformer(callbacks=list(callbacks), **params)


@pytest.mark.parametrize(
    ("every", "epochs"), [(1, [0, 1, 2, 3]), (2, [0, 2, 3]), (3, [0, 3]), (9, [0, 3])]
)
def test_matrices_are_those_of_the_metric_sorted_by_class(every, epochs):
    watch = DistanceMatrixCallback(SAMPLE, LABELS, every=every)
    fitted = siamese(watch).fit(X, Y)
    assert watch.epochs_ == epochs
    assert watch.labels_.tolist() == sorted(LABELS)
    expected = euclidean_distances(fitted.transform(SAMPLE[ORDER]))
    np.testing.assert_allclose(watch.distances_[-1], expected, atol=1e-4)
    assert watch.distances_[-1].dtype == np.float32
    untrained = siamese(max_epochs=0).fit(X, Y)
    before = euclidean_distances(untrained.transform(SAMPLE[ORDER]))
    np.testing.assert_allclose(watch.distances_[0], before, atol=1e-4)
    assert abs(expected - before).max() > 0.1


def test_a_head_without_a_plain_metric_is_asked_for_its_scores():
    watch = DistanceMatrixCallback(SAMPLE, LABELS)
    fitted = siamese(watch, head="mixed_norms", loss="binary_cross_entropy").fit(X, Y)
    assert fitted.metric_ is None
    expected = -fitted.similarity(SAMPLE[ORDER])
    np.testing.assert_allclose(watch.distances_[-1], expected, atol=1e-5)


def test_without_labels_the_order_stays(tmp_path):
    watch = DistanceMatrixCallback(SAMPLE, directory=tmp_path)
    fitted = siamese(watch, max_epochs=1).fit(X, Y)
    expected = euclidean_distances(fitted.transform(SAMPLE))
    np.testing.assert_allclose(watch.distances_[-1], expected, atol=1e-4)
    assert (tmp_path / "fit_1" / "epoch_0001.png").exists()


PHOTOS = RNG.integers(0, 255, size=(24, 12, 12, 3), dtype=np.uint8)


def noise(x):
    return x + torch.randn_like(x)


@pytest.mark.parametrize(
    ("data", "params"),
    [
        (X, {}),
        (PHOTOS, {"augment": "photos", "views": [noise]}),
        (X, {"encoder": nn.Sequential(nn.Linear(5, 9), nn.BatchNorm1d(9),
                                      nn.Dropout(0.3), nn.Linear(9, 4))}),
    ],
    ids=["table", "photos", "dropout and batch norm"],
)  # fmt: skip
def test_the_training_is_the_same_to_the_last_bit(data, params, tmp_path):
    watch = DistanceMatrixCallback(data[:8], LABELS, directory=tmp_path, gif=True)
    plain = siamese(**params).fit(data, Y)
    watched = siamese(watch, **params).fit(data, Y)
    assert watched.fit_id_ == plain.fit_id_
    losses = [row["train_loss"] for row in plain.history_]
    assert [row["train_loss"] for row in watched.history_] == losses


def test_global_generators_are_untouched():
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    siamese(DistanceMatrixCallback(SAMPLE, LABELS)).fit(X, Y)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


def test_pictures_and_the_moving_picture(tmp_path):
    watch = DistanceMatrixCallback(
        SAMPLE, LABELS, every=2, directory=tmp_path / "new", gif=True
    )
    siamese(watch, max_epochs=5).fit(X, Y)
    folder = tmp_path / "new" / "fit_1"
    assert watch.directory_ == folder
    assert sorted(p.name for p in folder.iterdir()) == [
        "distances.gif", "epoch_0000.png", "epoch_0002.png", "epoch_0004.png",
        "epoch_0005.png",
    ]  # fmt: skip
    with Image.open(folder / "distances.gif") as gif:
        assert gif.n_frames == 4
        frames = []
        for i in range(4):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB"), dtype=int))
    assert all(abs(a - b).max() > 10 for a, b in pairwise(frames))
    with Image.open(folder / "epoch_0005.png") as png:
        assert np.asarray(png).std() > 10
    assert not plt.get_fignums()


def test_trainings_do_not_write_over_one_another(tmp_path):
    model = siamese(DistanceMatrixCallback(SAMPLE, LABELS, directory=tmp_path))
    model.fit(X, Y).partial_fit(X, Y)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fit_1", "fit_2"]
    watch = model.callbacks[0]
    assert watch.epochs_ == [0, 1, 2, 3]
    assert watch.directory_.name == "fit_2"


def test_searches_in_processes_write_beside_one_another(tmp_path):
    watch = DistanceMatrixCallback(SAMPLE, LABELS, directory=tmp_path, gif=True)
    pipe = make_pipeline(siamese(watch, max_epochs=1), NearestCentroid())
    grid = {"siamesetransformer__lr": [1e-3, 2e-3]}
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=2, error_score="raise").fit(X, Y)
    folders = sorted(tmp_path.iterdir())
    assert [p.name for p in folders] == [f"fit_{i}" for i in range(1, 6)]
    for folder in folders:
        assert len(list(folder.iterdir())) == 3
    best = search.best_estimator_[0].callbacks[0]
    assert best.epochs_ == [0, 1]


def test_what_is_kept_is_bounded_and_evenly_spaced(monkeypatch):
    monkeypatch.setattr(_distance_callback, "_FRAMES", 4)
    watch = DistanceMatrixCallback(SAMPLE, LABELS)
    siamese(watch, max_epochs=11).fit(X, Y)
    assert watch.epochs_ == [0, 4, 8]
    assert len(watch.distances_) == 3
    monkeypatch.setattr(_distance_callback, "_BYTES", 2 * 8 * 8 * 4)
    siamese(watch, max_epochs=11).fit(X, Y)
    assert watch.epochs_ == [0, 8]


def test_pickles_and_clones(tmp_path):
    writer = Writer()
    watch = DistanceMatrixCallback(SAMPLE, LABELS, writer=writer)
    fitted = siamese(watch).fit(X, Y)
    joblib.dump(fitted, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(
        again.callbacks[0].distances_[-1], watch.distances_[-1]
    )
    assert again.callbacks[0].writer is None
    again.partial_fit(X, Y)
    copied = clone(fitted).callbacks[0]
    assert copied is not watch
    assert copied.X is SAMPLE
    assert copied.writer is writer
    assert not hasattr(copied, "distances_")


class Writer:
    """Stands for a SummaryWriter; cannot be pickled either."""

    def __init__(self):
        self.steps, self.flushed = [], False

    def add_figure(self, tag, figure, global_step):
        assert figure.axes[0].get_title() == f"epoch {global_step}"
        self.steps.append((tag, global_step))

    def flush(self):
        self.flushed = True

    def __reduce__(self):
        raise TypeError("a writer has threads")


def test_a_writer_gets_figures():
    writer = Writer()
    siamese(DistanceMatrixCallback(SAMPLE, LABELS, writer=writer)).fit(X, Y)
    assert writer.steps == [("distance_matrix", step) for step in range(4)]
    assert writer.flushed


def test_a_checkpoint_may_pickle_the_net_in_training(tmp_path):
    watch = DistanceMatrixCallback(SAMPLE, LABELS, writer=Writer())
    checkpoint = Checkpoint(monitor=None, f_pickle="net.pkl", dirname=tmp_path)
    siamese(watch, checkpoint).fit(X, Y)
    assert (tmp_path / "net.pkl").exists()


def test_tensorboard_has_scalars_and_figures(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        watch = DistanceMatrixCallback(SAMPLE, LABELS, every=2, writer=writer)
        board = TensorBoard(writer, close_after_train=False)
        fitted = siamese(watch, board).fit(X, Y)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [e.step for e in events.Images("distance_matrix")] == [0, 2, 3]
    logged = [e.value for e in events.Scalars("Loss/train_loss")]
    assert logged == pytest.approx([row["train_loss"] for row in fitted.history_])
    image = events.Images("distance_matrix")[-1]
    assert min(image.width, image.height) > 200


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"every": 0}, "'every' parameter of DistanceMatrixCallback must be an int"),
        ({"directory": 3}, "'directory' parameter of DistanceMatrixCallback"),
        ({"writer": "runs"}, "'writer' parameter of DistanceMatrixCallback"),
        ({"gif": True}, "needs a directory to write it into"),
        ({"y": [0, 1]}, "inconsistent numbers of samples"),
        ({"X": X[:8, :3]}, "expecting 5 features as input"),
    ],
)
def test_bad_settings_raise_before_the_training(params, message):
    watch = DistanceMatrixCallback(**{"X": SAMPLE, "y": LABELS, **params})
    model = siamese(watch)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert not hasattr(model, "net_")
