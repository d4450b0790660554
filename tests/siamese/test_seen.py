"""A metric knows the samples that it was trained on, by a hash each."""

import copy
import pickle
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skfsl import SiameseTransformer
from skfsl.exceptions import TrainingDivergedError

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(24, 5)).astype(np.float32)
BYTES = RNG.integers(0, 256, size=(24, 3, 8, 10), dtype=np.uint8)
FLOATS = RNG.random((24, 3, 8, 10)).astype(np.float32)
Y = np.repeat([0, 1, 2, 3], 6)
OLD, NEW = slice(0, 12), slice(12, 24)

SAMPLES = {"table": TABLE, "bytes": BYTES, "floats": FLOATS}
each = pytest.mark.parametrize("X", SAMPLES.values(), ids=list(SAMPLES))


def siamese(**params):
    params = {"max_epochs": 1, "device": "cpu", "random_state": 0, **params}
    return SiameseTransformer(**params)


@pytest.fixture(scope="module")
def on_half():
    """Metrics trained on the first half of each."""
    return {name: siamese().fit(X[OLD], Y[OLD]) for name, X in SAMPLES.items()}


def is_old():
    return np.arange(24) < 12


@pytest.mark.parametrize("name", SAMPLES)
def test_training_samples_are_known_again(on_half, name):
    X, fitted = SAMPLES[name], on_half[name]
    known = fitted._trained_on(X)
    assert known.dtype == bool
    np.testing.assert_array_equal(known, is_old())
    np.testing.assert_array_equal(fitted._trained_on(X[::-1]), is_old()[::-1])
    np.testing.assert_array_equal(fitted._trained_on(X[5:6]), [True])


@pytest.mark.parametrize("name", SAMPLES)
def test_one_number_changed_is_another_sample(on_half, name):
    X = SAMPLES[name][OLD].copy()
    changed = X.reshape(12, -1)
    changed[3, 0] += 1
    changed[5, -1] = changed[5, -1] / 2
    expected = np.ones(12, dtype=bool)
    expected[[3, 5]] = False
    np.testing.assert_array_equal(on_half[name]._trained_on(X), expected)


def test_tables_in_any_form(on_half):
    for same in (
        TABLE.astype(np.float64), TABLE.tolist(), torch.from_numpy(TABLE),
        pd.DataFrame(TABLE), np.asfortranarray(TABLE), TABLE.astype(">f4"),
        np.repeat(TABLE, 2, axis=0)[::2],
    ):  # fmt: skip
        np.testing.assert_array_equal(on_half["table"]._trained_on(same), is_old())


@pytest.mark.parametrize("name", ["bytes", "floats"])
def test_images_in_any_form(on_half, name):
    X, fitted = SAMPLES[name], on_half[name]
    channels_last = X.transpose(0, 2, 3, 1)
    for same in (
        channels_last, np.ascontiguousarray(channels_last), list(channels_last),
        torch.from_numpy(X), np.asfortranarray(X),
    ):  # fmt: skip
        np.testing.assert_array_equal(fitted._trained_on(same), is_old())


def test_the_fit_may_have_had_the_other_layout():
    fitted = siamese().fit(BYTES[OLD].transpose(0, 2, 3, 1), Y[OLD])
    np.testing.assert_array_equal(fitted._trained_on(BYTES), is_old())
    grey = siamese().fit(BYTES[OLD, 0], Y[OLD])
    np.testing.assert_array_equal(grey._trained_on(BYTES[:, :1]), is_old())


def test_labels_prove_nothing(on_half):
    again = TABLE[OLD] + 1e-3
    assert not on_half["table"]._trained_on(again).any()


def test_samples_count_once():
    X = np.concatenate([TABLE[OLD], TABLE[OLD], TABLE[:1]])
    fitted = siamese().fit(X, np.concatenate([Y[OLD], Y[OLD], Y[:1]]))
    kept = fitted.net_.module_.trained_hashes
    assert kept.dtype == np.uint64
    assert len(kept) == 12
    np.testing.assert_array_equal(kept, np.unique(kept))
    assert fitted._trained_on(np.repeat(TABLE[:1], 3, axis=0)).all()


def test_zeros_of_both_signs_are_the_same():
    X = TABLE.copy()
    X[:, 0] = 0.0
    assert siamese().fit(X, Y)._trained_on(np.where(X == 0, -0.0, X)).all()


@each
def test_partial_fit_adds(X):
    fitted = siamese().fit(X[OLD], Y[OLD])
    before = fitted.net_.module_.trained_hashes
    kept = before.copy()
    assert fitted.partial_fit(X[NEW], Y[NEW])._trained_on(X).all()
    np.testing.assert_array_equal(before, kept)  # others may hold it
    assert siamese().partial_fit(X[OLD], Y[OLD])._trained_on(X)[OLD].all()


def test_a_warm_start_adds_and_a_cold_one_forgets():
    warm = siamese(warm_start=True).fit(TABLE[OLD], Y[OLD]).fit(TABLE[NEW], Y[NEW])
    assert warm._trained_on(TABLE).all()
    cold = siamese().fit(TABLE[OLD], Y[OLD]).fit(TABLE[NEW], Y[NEW])
    np.testing.assert_array_equal(cold._trained_on(TABLE), ~is_old())


def test_a_clone_forgets():
    fitted = siamese().fit(TABLE[OLD], Y[OLD])
    with pytest.raises(NotFittedError):
        clone(fitted)._trained_on(TABLE)
    again = clone(fitted).fit(TABLE[NEW], Y[NEW])
    np.testing.assert_array_equal(again._trained_on(TABLE), ~is_old())


def by_joblib(fitted, folder):
    joblib.dump(fitted, folder / "siamese.joblib")
    return joblib.load(folder / "siamese.joblib")


@pytest.mark.parametrize(
    "copied",
    [lambda f, _: pickle.loads(pickle.dumps(f)), by_joblib,
     lambda f, _: copy.deepcopy(f), lambda f, _: copy.copy(f)],
    ids=["pickle", "joblib", "deepcopy", "copy"],
)  # fmt: skip
def test_copies_keep_it_and_grow_apart(copied, tmp_path):
    fitted = siamese().fit(TABLE[OLD], Y[OLD])
    again = copied(fitted, tmp_path)
    np.testing.assert_array_equal(again._trained_on(TABLE), is_old())
    assert again.partial_fit(TABLE[NEW], Y[NEW])._trained_on(TABLE).all()
    np.testing.assert_array_equal(fitted._trained_on(TABLE), is_old())


def test_it_costs_eight_bytes_a_sample():
    X, y = RNG.normal(size=(2012, 5)).astype(np.float32), np.arange(2012) % 2
    sizes = [
        len(pickle.dumps(siamese(max_epochs=1).fit(X[:n], y[:n]))) for n in (12, 2012)
    ]
    assert 16_000 <= sizes[1] - sizes[0] < 18_000


def test_pickles_of_before_know_none():
    fitted = siamese().fit(TABLE, Y)
    del fitted.net_.module_.trained_hashes
    old = pickle.loads(pickle.dumps(fitted))
    assert not old._trained_on(TABLE).any()
    np.testing.assert_array_equal(
        old.partial_fit(TABLE[NEW], Y[NEW])._trained_on(TABLE), ~is_old()
    )


def test_no_epochs_no_memory():
    assert not siamese(max_epochs=0).fit(TABLE, Y)._trained_on(TABLE).any()
    trained = siamese().fit(TABLE[OLD], Y[OLD]).set_params(max_epochs=0)
    trained.partial_fit(TABLE[NEW], Y[NEW])
    np.testing.assert_array_equal(trained._trained_on(TABLE), is_old())


def test_validation_classes_are_not_among_them():
    y = np.repeat(np.arange(20), 3)
    X = RNG.normal(size=(60, 5)).astype(np.float32)
    fitted = siamese(validation_fraction=0.3).fit(X, y)
    held_out = np.isin(y, fitted.validation_classes_)
    assert held_out.sum() == 18
    np.testing.assert_array_equal(fitted._trained_on(X), ~held_out)


def test_another_seed_makes_the_same_hashes():
    kept = [
        siamese(random_state=seed).fit(TABLE, Y).net_.module_.trained_hashes
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(*kept)


def test_augmentation_is_not_hashed():
    def shake(x):
        return x + torch.randn_like(x)

    assert siamese(augment=shake).fit(TABLE, Y)._trained_on(TABLE).all()


def test_a_failed_training_changes_nothing():
    def nan_loss(embeddings, labels):
        return embeddings.sum() * float("nan")

    fitted = siamese(warm_start=True).fit(TABLE[OLD], Y[OLD])
    module = fitted.net_.module_
    fitted.set_params(loss=nan_loss)
    for learn in (fitted.fit, fitted.partial_fit):
        with pytest.raises(TrainingDivergedError):
            learn(TABLE[NEW], Y[NEW])
        assert fitted.net_.module_ is module
        np.testing.assert_array_equal(fitted._trained_on(TABLE), is_old())


def test_answers_are_of_one_state_while_it_learns():
    fitted = siamese(warm_start=True).fit(TABLE[OLD], Y[OLD])
    answers, done = [], threading.Event()

    def ask():
        while not done.wait(1e-3):
            answers.append(fitted._trained_on(TABLE))

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(3):
        fitted.partial_fit(TABLE[NEW], Y[NEW])
    done.set()
    thread.join()
    states = {a.tobytes() for a in answers}
    assert states <= {is_old().tobytes(), np.ones(24, dtype=bool).tobytes()}


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (TABLE[:, :3], "3 features"),
        (BYTES, "was fitted on a table"),
        (np.full((2, 5), np.nan), "contains NaN"),
        (TABLE[:0], "0 sample"),
    ],
)
def test_other_samples_are_refused(on_half, X, match):
    with pytest.raises(ValueError, match=match):
        on_half["table"]._trained_on(X)
