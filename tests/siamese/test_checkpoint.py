"""A training that was killed goes on, and ends with the same bits."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import EarlyStopping, LRScheduler
from torch import nn

from skfsl import SiameseTransformer
from skfsl.samplers import ClassBalancedSampler, HardPairsSampler
from skfsl.siamese import Stage

RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(50), 4)
X = (RNG.normal(size=(200, 5)) + RNG.normal(size=(50, 5))[Y]).astype(np.float32)


class Noise:
    """Draws from every generator there is, and fails when it is told to."""

    n_left = np.inf
    error = RuntimeError
    n_calls = 0

    def __call__(self, x):
        Noise.n_left -= 1
        Noise.n_calls += 1
        if Noise.n_left < 0:
            raise Noise.error("stopped")
        return x + 0.05 * torch.randn_like(x) * np.random.rand()


def fit(directory, X=X, y=Y, stop=np.inf, error=RuntimeError, **params):
    Noise.n_left, Noise.error, Noise.n_calls = stop, error, 0
    params = {"random_state": 0, "device": "cpu", "max_epochs": 3, **params}
    params = {"sampler": ClassBalancedSampler(10, n_shot=3, n_batches=4), **params}
    model = SiameseTransformer(augment=Noise(), checkpoint=directory, **params)
    return model.fit(X, y)


SETTINGS = {
    "cosine": {},
    "no validation": {"validation_fraction": 0.0, "optimizer": "sgd"},
    "proxies": {"loss": "arc_face", "head": "cosine"},
    "learned head": {"head": "mahalanobis"},
    "scaled head": {"head": "dense_sigmoid", "loss": "binary_cross_entropy"},
    "hard pairs": {
        "loss": "contrastive",
        "sampler": HardPairsSampler(refresh=3, warm_up=1),
        "max_epochs": 4,
    },
    "stages": {
        "schedule": [
            Stage(1, trainable=0.0),
            Stage(2, lr=1e-2, trainable=0.5, plateau=1),
            Stage(1, layer_decay=0.5),
        ]
    },
}


@pytest.mark.filterwarnings("ignore::skfsl.exceptions.FineTuningWarning")
@pytest.mark.parametrize("params", SETTINGS.values(), ids=list(SETTINGS))
def test_it_goes_on_with_the_same_bits(params, tmp_path):
    expected = fit(None, **params)
    n_batches = Noise.n_calls // len([r for r in expected.history_ if r["epoch"]])
    # In the midst of the second epoch; of stages, then in that of the third one. Pairs
    # that are drawn ahead are there in the third one only.
    stops = {"sampler": [2.5], "schedule": [1.5, 1.25]}
    for stop in next((stops[key] for key in stops if key in params), [1.5]):
        with pytest.raises(RuntimeError, match="stopped"):
            fit(tmp_path, stop=int(stop * n_batches), **params)
    got = fit(tmp_path, **params)
    assert Noise.n_calls < expected.net_.history[-1]["epoch"] * n_batches
    np.testing.assert_array_equal(got.transform(X), expected.transform(X))
    assert got.fit_id_ == expected.fit_id_
    keys = ("epoch", "stage", "train_loss", "valid_accuracy", "lr", "kept")
    histories = [
        [[row.get(key) for key in keys] for row in model.history_]
        for model in (got, expected)
    ]
    assert histories[0] == histories[1]


def test_cached_embeddings_are_made_again(tmp_path):
    from skorch.callbacks import Callback

    class Stopper(Callback):
        def on_batch_begin(self, net, **kwargs):
            if len(net.history) == self.epoch:
                raise RuntimeError("stopped")

    stopper = Stopper()
    params = {
        "schedule": [Stage(2, lr=1e-3, trainable=0.0), Stage(1, lr=1e-3)],
        "validation_fraction": 0.0,
        "sampler": ClassBalancedSampler(10, n_shot=3, n_batches=4),
        "random_state": 0,
        "device": "cpu",
    }
    expected = SiameseTransformer(**params).fit(X, Y)
    model = SiameseTransformer(callbacks=[stopper], checkpoint=tmp_path, **params)
    for stopper.epoch in (2, 3):
        with pytest.raises(RuntimeError, match="stopped"):
            model.fit(X, Y)
    stopper.epoch = None
    assert model.fit(X, Y).fit_id_ == expected.fit_id_


KILLED = """
import os, signal, sys
import numpy as np, torch
from skfsl import SiameseTransformer
from skfsl.samplers import ClassBalancedSampler

left = [int(sys.argv[2])]

def augment(x):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return x + 0.1 * torch.randn_like(x)

class Augment:
    def __call__(self, x):
        return augment(x)

rng = np.random.default_rng(0)
y = np.repeat(np.arange(50), 4)
X = (rng.normal(size=(200, 5)) + rng.normal(size=(50, 5))[y]).astype("float32")
model = SiameseTransformer(
    augment=Augment(), checkpoint=sys.argv[1], max_epochs=4, random_state=0,
    device="cpu", sampler=ClassBalancedSampler(10, n_shot=3, n_batches=10),
).fit(X, y)
print(model.fit_id_, -left[0])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_it_survives_a_kill_in_the_midst_of_an_epoch(tmp_path):
    def run(directory, n_batches):
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", KILLED, directory, str(n_batches)],
            capture_output=True, text=True, timeout=300, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    whole = run(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    fit_id, n_calls = whole.stdout.split()
    killed = run(tmp_path / "killed", int(int(n_calls) * 0.6))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((tmp_path / "killed").glob("*.pt"))) == 1
    resumed = run(tmp_path / "killed", 0)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.split()[0] == fit_id
    # Two of four epochs were complete.
    assert int(resumed.stdout.split()[1]) == int(n_calls) // 2


def test_a_finished_training_is_not_done_again(tmp_path):
    first = fit(tmp_path, early_stopping=1, lr=1e-6)
    assert len(first.history_) == 2
    again = fit(tmp_path, early_stopping=1, lr=1e-6)
    assert Noise.n_calls == 0
    assert again.fit_id_ == first.fit_id_
    assert again.history_ == first.history_


def test_other_trainings_have_files_of_their_own(tmp_path):
    params = {"max_epochs": 1}
    fit(tmp_path, **params)
    for other in ({"lr": 1e-3}, {"random_state": 1}, {"loss": "triplet"}):
        fit(tmp_path, **params | other)
        assert Noise.n_calls > 0
    fit(tmp_path, X + 1e-3, **params)
    fit(tmp_path, X, Y[::-1].copy(), **params)
    fit(tmp_path, encoder=nn.Linear(5, 4), **params)
    assert len(list(tmp_path.iterdir())) == 7
    fit(tmp_path, verbose=1, **params)
    assert len(list(tmp_path.iterdir())) == 7


def test_a_search_may_share_a_folder(tmp_path):
    search = GridSearchCV(
        SiameseTransformer(
            max_epochs=1, random_state=0, device="cpu", checkpoint=str(tmp_path)
        ),
        {"embedding_dim": [2, 3]},
        scoring=lambda model, X, y: float(model.embedding_dim_),
        cv=2,
        n_jobs=2,
        error_score="raise",
    ).fit(X, Y)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], [2, 3])
    assert len(list(tmp_path.glob("*.pt"))) == 5


def test_training_goes_on_from_weights_in_a_file_of_its_own(tmp_path):
    model = fit(tmp_path, max_epochs=1)
    first = model.fit_id_
    second = model.partial_fit(X, Y).fit_id_
    assert second != first
    assert len(list(tmp_path.iterdir())) == 2
    assert fit(tmp_path, max_epochs=1).partial_fit(X, Y).fit_id_ == second
    assert Noise.n_calls == 0


def test_files_are_read_without_running_code(tmp_path):
    first = fit(tmp_path, max_epochs=1)
    (file,) = tmp_path.iterdir()
    assert set(torch.load(file, weights_only=True)) > {"module", "history"}
    torch.save({"history": [], "module": Noise()}, file)
    with pytest.warns(UserWarning, match="cannot be read"):
        again = fit(tmp_path, max_epochs=1)
    assert again.fit_id_ == first.fit_id_


def test_a_write_that_fails_leaves_the_file_before(tmp_path, monkeypatch):
    expected = fit(None)
    with pytest.raises(RuntimeError):
        fit(tmp_path, stop=6)
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()

    def full(descriptor):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            fit(tmp_path)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
    assert fit(tmp_path).fit_id_ == expected.fit_id_


def test_a_folder_that_cannot_be_used_is_told_before_the_training(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(OSError, match=r"Cannot use checkpoint=.*taken"):
        fit(taken)


def test_ctrl_c_goes_through_and_says_how_to_go_on(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(tmp_path, stop=6, error=KeyboardInterrupt)
    (file,) = tmp_path.iterdir()
    (note,) = caught.value.__notes__
    assert note.startswith(f"1 complete epochs are in {file}")
    fit(tmp_path, verbose=1)
    assert capsys.readouterr().out.startswith("Going on after epoch 1, from ")


def test_without_a_random_state_nothing_could_go_on(tmp_path):
    with pytest.raises(ValueError, match="checkpoint needs a random_state"):
        fit(tmp_path, random_state=None)


@pytest.mark.parametrize(
    "callback", [EarlyStopping(), ("lr", LRScheduler("StepLR", step_size=1))]
)
def test_callbacks_whose_state_is_lost_are_refused(callback, tmp_path):
    with pytest.raises(ValueError, match="does not store the state of"):
        fit(tmp_path, callbacks=[callback])
