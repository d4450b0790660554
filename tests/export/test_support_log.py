import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from skfsl import (
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseClassifier,
    SiameseTransformer,
    SupportLog,
    load,
    make_few_shot_pipeline,
)
from skfsl.encoders import MLP
from skfsl.exceptions import StaleSupportError
from skfsl.export._codec import Encoder
from skfsl.export._container import pack

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype(np.float32)
Y = np.repeat([f"class {c}" for c in "abcdefghij"], 4)


class SQLiteStore:
    """A snapshot and records in a database, behind the protocol of SupportLog."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("CREATE TABLE IF NOT EXISTS kept (snapshot INT, content BLOB)")

    def replay(self):
        rows = self.db.execute("SELECT snapshot, content FROM kept ORDER BY rowid")
        rows = rows.fetchall()
        records = [content for is_snapshot, content in rows if not is_snapshot]
        return next((content for s, content in rows if s), None), records

    def append(self, record):
        self.db.execute("INSERT INTO kept VALUES (0, ?)", (record,))

    def compact(self, snapshot):
        self.db.execute("BEGIN")
        self.db.execute("DELETE FROM kept")
        self.db.execute("INSERT INTO kept VALUES (1, ?)", (snapshot,))
        self.db.execute("COMMIT")

    def close(self):
        self.db.close()


@pytest.fixture(params=["folder", "SQLite"])
def store(request, tmp_path):
    """Return a function that opens the same store again and again."""
    if request.param == "folder":
        return lambda: tmp_path / "log"
    return lambda: SQLiteStore(tmp_path / "log.sqlite")


def fitted(classifier=None):
    return (classifier or PrototypeClassifier()).fit(X, Y)


def siamese():
    return SiameseTransformer(MLP((8,), n_outputs=4), max_epochs=1, random_state=0)


MODELS = {
    "prototypes": PrototypeClassifier(),
    "neighbours": KNeighborsClassifier(3, metric="cosine"),
    "pipeline": make_few_shot_pipeline(siamese(), PrototypeClassifier(store="sums")),
    "siamese classifier": SiameseClassifier(siamese()),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_log_that_is_opened_again_has_all_that_was_acknowledged(name, store):
    model = fitted(MODELS[name])
    with SupportLog(store(), model) as log:
        log.partial_fit(X[:3] + 9, ["new", "class b", "newer"])
        log.forget(["class a", "newer"]).forget({"class c"})
        log.partial_fit(X[5:6] - 7, ["an elephant"])
        assert log.model is model
        classes, expected = model.classes_, model.predict_proba(X)
    with SupportLog(store()) as log:
        assert log.model.classes_.tolist() == classes.tolist()
        np.testing.assert_array_equal(log.model.predict_proba(X), expected)
        log.compact()
    with SupportLog(store()) as log:
        np.testing.assert_array_equal(log.model.predict_proba(X), expected)
        assert type(log.model) is type(model)


def test_its_repr_says_where_it_is_and_what_has_come(store):
    def said(log, n_classes, n_changes):
        text = f"of {n_classes} classes, {n_changes} changes since the snapshot"
        return repr(log).startswith("SupportLog(") and repr(log).endswith(text)

    with SupportLog(store(), fitted(MODELS["pipeline"])) as log:
        assert said(log, 10, 0)
        log.partial_fit(X[:1], ["new"]).forget("class a").partial_fit(X[:1], ["b"])
        assert said(log, 11, 3)
    assert said(log, 11, 3)  # closed
    with SupportLog(store()) as log:
        assert said(log, 11, 3)
        assert "FewShotPipeline" in repr(log)
        assert said(log.compact(), 11, 0)


def test_its_repr_names_the_folder(tmp_path):
    with SupportLog(tmp_path / "log", fitted()) as log:
        assert repr(log).startswith(f"SupportLog({str(tmp_path / 'log')!r}): Prototype")


def test_weights_of_samples_are_kept(store):
    with SupportLog(store(), fitted()) as log:
        log.partial_fit(X[:2], ["new", "new"], sample_weight=[1.0, 3.0])
        expected = log.model.prototypes_
    with SupportLog(store()) as log:
        np.testing.assert_array_equal(log.model.prototypes_, expected)


@pytest.mark.parametrize(
    "column", [list, np.array, tuple, pd.Series, pd.Index, torch.tensor]
)
def test_ids_and_weights_are_columns_of_any_kind(column, tmp_path):
    model = PrototypeClassifier().fit(X, Y, ids=range(len(X)))
    with SupportLog(tmp_path, model) as log:
        log.partial_fit(
            X[:2], ["new", "new"], ids=column([101, 100]), sample_weight=column([1, 3])
        )
        log.partial_fit(X[:2], ["new", "new"], ids=range(200, 202))
        log.forget_samples(column([101, 200]))
    with SupportLog(tmp_path) as log:
        assert log.model.support_.id[-2:].tolist() == [100, 201]
        assert log.model.counts_.tolist()[-1] == 4


def test_the_classifier_in_a_pipeline_stays_the_same_object(tmp_path):
    pipe = fitted(make_few_shot_pipeline(siamese(), PrototypeClassifier()))
    last = pipe[-1]
    with SupportLog(tmp_path / "log", pipe) as log:
        log.partial_fit(X[:1], ["new"])
    assert pipe[-1] is last
    assert "new" in last.classes_


def test_parameters_that_are_set_beside_it_are_those_it_is_read_again_by(store):
    with SupportLog(store(), PrototypeClassifier().fit(X, Y, ids=range(40))) as log:
        log.model.set_params(max_per_class=1)
        log.partial_fit(X[:2], ["new", "new"], ids=[40, 41])
        (kept,) = {40, 41} & set(log.model.support_.id)
        log.partial_fit(X[:1], ["newer"], ids=[81 - kept])  # the other one is free
        expected = log.model.support_
    with SupportLog(store()) as log:
        np.testing.assert_array_equal(log.model.support_.id, expected.id)
        log.model.set_params(max_per_class=2)
        log.compact()
    with SupportLog(store()) as log:
        assert log.model.max_per_class == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: PrototypeClassifier().fit(X, Y),
        lambda: PrototypeClassifier(covariance="shared").fit(X, Y),
        lambda: KNeighborsClassifier(1).fit(X, Y),
        lambda: SiameseClassifier(siamese()).fit(X, Y),
        lambda: make_few_shot_pipeline(siamese(), PrototypeClassifier()).fit(X, Y),
    ],
    ids=["prototypes", "covariance", "neighbors", "siamese", "pipeline"],
)
@pytest.mark.parametrize("again", [False, True], ids=["new", "opened"])
def test_what_is_changed_beside_it_is_kept_by_the_next_change(store, make, again):
    log = SupportLog(store(), make())
    if again:
        log.forget_samples(3).close()
        log = SupportLog(store())
    with log:
        log.model.partial_fit(X[:1], ["beside"])
        log.forget("beside").partial_fit(X[:2], ["new", "newer"])
        log.model.forget("new")
        log.partial_fit(X[2:3], ["new"])
        expected = log.model.support_
    with SupportLog(store()) as log:
        for name, column in expected.items():
            np.testing.assert_array_equal(log.model.support_[name], column)


def test_a_calibration_that_is_dropped_beside_it_does_not_come_back(store):
    clf = PrototypeClassifier(unknown_label="none").fit(X, Y)
    with SupportLog(store(), clf) as log:
        log.calibrate(X + 0.1, Y)
        del log.model.calibration_
        log.partial_fit(X[:1], ["new"])
    with SupportLog(store()) as log:
        assert not hasattr(log.model, "calibration_")


def test_what_the_model_refuses_is_not_in_the_journal(store):
    with SupportLog(store(), fitted()) as log:
        for bad in (X[:1, :3], np.full((1, 6), np.inf)):
            with pytest.raises(ValueError, match=r"features|infinity"):
                log.partial_fit(bad, ["new"])
        with pytest.raises(TypeError, match="of the kind of the support set"):
            log.partial_fit(X[:1], [3])
        with pytest.raises(ValueError, match="Cannot forget classes"):
            log.forget("nobody")
    with SupportLog(store()) as log:
        assert log.model.classes_.tolist() == sorted(set(Y))


def test_paths_are_refused(tmp_path):
    with (
        SupportLog(tmp_path / "log", fitted()) as log,
        pytest.raises(TypeError, match=r"Read image files by skfsl\.images"),
    ):
        log.partial_fit(["a.png"], ["new"])


def test_a_new_log_asks_for_a_model(tmp_path):
    with pytest.raises(ValueError, match=r"log is new.*SupportLog\(folder, model\)"):
        SupportLog(tmp_path / "log")
    with pytest.raises(ValueError, match="not fitted"):
        SupportLog(tmp_path / "log", PrototypeClassifier())
    SupportLog(tmp_path / "log", fitted()).close()  # neither has kept it locked


def test_a_log_goes_on_under_the_metric_that_it_was_begun_with(tmp_path):
    one = fitted(make_few_shot_pipeline(siamese(), PrototypeClassifier()))
    SupportLog(tmp_path / "log", one).partial_fit(X[:1], ["new"]).close()
    with SupportLog(tmp_path / "log", one) as log:
        assert "new" in log.model.classes_
    other = make_few_shot_pipeline(
        siamese().set_params(random_state=1), PrototypeClassifier()
    )
    for given in (fitted(other), fitted()):
        with pytest.raises(StaleSupportError, match="of another kind or metric"):
            SupportLog(tmp_path / "log", given)


def test_one_process_at_a_time(tmp_path):
    with SupportLog(tmp_path / "log", fitted()):
        with pytest.raises(BlockingIOError, match="is open already"):
            SupportLog(tmp_path / "log")
        code = f"import skfsl; skfsl.SupportLog({str(tmp_path / 'log')!r})"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert "is open already" in done.stderr


def journal_of(folder):
    (journal,) = folder.glob("journal-*")
    return journal


def test_a_torn_last_record_is_cut_off(tmp_path):
    with SupportLog(tmp_path, fitted()) as log:
        log.partial_fit(X[:1], ["first"])
        whole = journal_of(tmp_path).stat().st_size
        log.partial_fit(X[:1], ["second"])
    journal = journal_of(tmp_path)
    content = journal.read_bytes()
    torn = [content[:n] for n in range(whole, len(content))]
    torn += [content[:whole] + bytes(500), content[:-9] + bytes(9)]
    for left in torn:
        journal.write_bytes(left)
        cut = len(left) - whole
        told = pytest.warns(UserWarning, match=f"{cut} bytes of no whole record")
        with told if cut else contextlib.nullcontext(), SupportLog(tmp_path) as log:
            assert "first" in log.model.classes_
            assert "second" not in log.model.classes_
        assert journal.stat().st_size == whole
    with SupportLog(tmp_path) as log:
        log.partial_fit(X[:1], ["third"])
    with SupportLog(tmp_path) as log:
        assert {"first", "third"} <= set(log.model.classes_)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["partial_fit"], "not written by skfsl"),
        ({"method": "forget"}, "not written by skfsl"),
        ({"method": "fit", "args": [], "kw": {}}, "a change 'fit' that this version"),
    ],
)
def test_records_of_something_else_are_named(tmp_path, content, message):
    with SupportLog(tmp_path / "log", PrototypeClassifier().fit([[0.0]], [0])) as log:
        encoder = Encoder()
        log._store.append(bytes(pack(encoder.encode(content, "it"), encoder.arrays)))
    with pytest.raises(ValueError, match=message):
        SupportLog(tmp_path / "log")


def test_damage_before_the_last_record_is_told_and_nothing_changed(tmp_path):
    with SupportLog(tmp_path, fitted()) as log:
        for label in ("first", "second"):
            log.partial_fit(X[:1], [label])
    journal = journal_of(tmp_path)
    content = bytearray(journal.read_bytes())
    for at in (2, 7, 14, 100):  # the magic, the length, the checksum, the content
        damaged = content.copy()
        damaged[at] ^= 1
        journal.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged at byte 0, before records"):
            SupportLog(tmp_path)
        assert journal.read_bytes() == damaged


def test_a_failed_write_closes_the_log_and_changes_nothing(tmp_path, monkeypatch):
    log = SupportLog(tmp_path, fitted())
    log.partial_fit(X[:1], ["first"])

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            log.partial_fit(X[:1], ["second"])
    assert "second" not in log.model.classes_
    with pytest.raises(ValueError, match=r"closed, by close\(\) or by a write"):
        log.forget("first")
    with SupportLog(tmp_path) as log:
        assert "first" in log.model.classes_


def test_the_journal_compacts_itself(tmp_path):
    model = KNeighborsClassifier(1).fit(np.zeros((2, 20_000)), ["a", "b"])
    with SupportLog(tmp_path, model) as log:
        for i in range(30):
            log.partial_fit(np.full((1, 20_000), i), [f"new {i}"]).forget(f"new {i}")
        size = sum(p.stat().st_size for p in tmp_path.iterdir())
        assert size < 3 * 2**20  # of 4.8 MB that were written
        log.partial_fit(np.ones((1, 20_000)), ["last"])
    names = sorted(p.name.split("-")[0] for p in tmp_path.iterdir())
    assert names == ["journal", "lock", "model"]
    with SupportLog(tmp_path) as log:
        assert log.model.classes_.tolist() == ["a", "b", "last"]
    (snapshot,) = tmp_path.glob("model-*.skfsl")
    assert {"a", "b"} <= set(load(snapshot).classes_)


def test_a_snapshot_that_cannot_be_made_is_no_reason_to_fail(tmp_path, monkeypatch):
    with SupportLog(tmp_path, fitted()) as log:

        def full(content):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(log._store, "compact", full)
        log._size = log._n_bytes = 2**21
        with pytest.warns(UserWarning, match="goes on growing"):
            log.partial_fit(X[:1], ["new"])
        log.partial_fit(X[:1], ["newer"])
    with SupportLog(tmp_path) as log:
        assert {"new", "newer"} <= set(log.model.classes_)


def test_readers_see_whole_states_while_another_thread_writes(tmp_path):
    with SupportLog(tmp_path, fitted()) as log:
        errors, done = [], threading.Event()

        def read():
            try:
                while not done.is_set():
                    proba = log.model.predict_proba(X)
                    np.testing.assert_allclose(proba.sum(axis=1), 1)
            except Exception as error:
                errors.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        writers = [
            threading.Thread(
                target=lambda name=name: [
                    log.partial_fit(X[i : i + 1], [f"{name} {i}"]) for i in range(15)
                ]
            )
            for name in ("one", "two")
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        done.set()
        reader.join()
        assert not errors
    with SupportLog(tmp_path) as log:
        assert len(log.model.classes_) == 40


def test_steps_of_scikit_learn_stand_before_it(tmp_path):
    pytest.importorskip("skops")
    pipe = fitted(make_few_shot_pipeline(StandardScaler(), PrototypeClassifier()))
    SupportLog(tmp_path, pipe).partial_fit(X[:1], ["new"]).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with SupportLog(tmp_path) as log:
            np.testing.assert_array_equal(log.model.predict(X), pipe.predict(X))


KILL = """
import os, signal, sys, time
import numpy as np, skfsl
folder, n_rounds = sys.argv[1], int(sys.argv[2])
clf = skfsl.PrototypeClassifier().fit([[0.0] * 2000], [0])
skfsl.SupportLog(folder, clf).close()

def change(log, i):
    if i % 3:
        log.partial_fit(np.full((1, 2000), i), [i])
    else:
        log.forget(log.model.classes_[-1])

def after(classes, i):
    return classes | {i} if i % 3 else classes - {max(classes)}

expected, i, n_acknowledged = {0}, 1, 0
for number in range(n_rounds):
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        with skfsl.SupportLog(folder) as log:
            while True:
                change(log, i)
                os.write(writes, b".")
                i += 1
    os.close(writes)
    os.read(reads, 1)  # the first is through
    acknowledged = 1
    time.sleep(0.002 * (number % 13))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while chunk := os.read(reads, 2**16):
        acknowledged += len(chunk)
    os.close(reads)
    for _ in range(acknowledged):
        expected, i = after(expected, i), i + 1
    with skfsl.SupportLog(folder) as log:
        found = set(log.model.classes_.tolist())
        if found != expected:  # durable, and killed before it was acknowledged
            expected, i = after(expected, i), i + 1
        assert found == expected, (number, found ^ expected)
        assert (log.model.prototypes_[:, 0] == sorted(expected)).all()
    n_acknowledged += acknowledged
print(n_acknowledged, len(expected))
"""


def kill(folder, n_rounds):
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(folder), str(n_rounds)],
        capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[0])


def test_no_acknowledged_sample_is_lost_by_a_kill(tmp_path):
    assert kill(tmp_path / "log", 20) >= 20


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_no_acknowledged_sample_is_lost_by_many_kills(tmp_path):
    assert kill(tmp_path / "log", 200) >= 200
    (snapshot,) = (tmp_path / "log").glob("model-*.skfsl")
    assert snapshot.name != "model-1.skfsl"  # it was compacted on the way
