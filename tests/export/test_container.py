import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

import skfsl
from skfsl import PrototypeClassifier
from skfsl.export._container import pack, unpack

MODEL = PrototypeClassifier().fit([[0.0, 1.0], [2.0, 3.0]], ["a", "b"])


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "model.skfsl"
    skfsl.save(MODEL, path)
    return path.read_bytes()


def opened(content, tmp_path):
    path = tmp_path / "some.skfsl"
    path.write_bytes(content)
    return skfsl.load(path)


def test_every_truncated_file_is_refused(content, tmp_path):
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"some.skfsl is (no file|cut off)"):
            opened(content[:length], tmp_path)
    with pytest.raises(ValueError, match="cut off or was altered"):
        opened(content + b"\0", tmp_path)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_altered_byte_is_noticed(content, data):
    at = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    altered = content[:at] + bytes([other]) + content[at + 1 :]
    with pytest.raises(ValueError, match=r"it (is|was)|altered|no file of|Update"):
        unpack(altered, "it")


def test_a_newer_format_is_refused(content, tmp_path):
    newer = content.replace(rb"\"format\":1", rb"\"format\":9")
    with pytest.raises(ValueError, match="of format 9, written by a newer version"):
        opened(newer, tmp_path)


@pytest.mark.parametrize(
    "other", [b"", b"PK\3\4", save({"a": np.ones(3)}), save({}, {"skfsl": "[" * 10**5})]
)
def test_other_files_are_refused(other, tmp_path):
    with pytest.raises(ValueError, match="is no file of skfsl"):
        opened(other, tmp_path)


def test_others_can_look_into_it(content):
    arrays = {name.split(" ")[1]: array for name, array in load(content).items()}
    stored = arrays["PrototypeClassifier._support[2][0]"]
    np.testing.assert_array_equal(stored, [[0.0, 1.0], [2.0, 3.0]])


@pytest.mark.parametrize(
    "node",
    [
        {"class": "os.system", "arguments": ["touch RAN"]},
        {"class": "Popen", "arguments": ["touch RAN"]},
        {"class": "__import__('os')", "state": {}},
        {"call": "eval"},
        {},
    ],
)
def test_a_file_cannot_name_code(node, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"names a class|a value of an unknown kind"):
        opened(bytes(pack(node, {})), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["some.skfsl"]


@pytest.mark.parametrize("value", [-1, "x", None, [], {"array": 9}, "deep"])
@pytest.mark.parametrize(
    "where",
    [
        ["state", "_support", "arguments"],
        ["state", "_support", "arguments", 0, "arguments", 0],
        ["state", "_support", "arguments", 1, "arguments"],
    ],
)
def test_what_another_hand_has_written_is_refused(where, value, content, tmp_path):
    model, arrays = unpack(content, "it")
    inner = model
    for key in where[:-1]:
        inner = inner[key]
    if value == "deep":
        value = {}
        for _ in range(400):
            value = {"tuple": [value]}
    inner[where[-1]] = value
    with pytest.raises(ValueError, match=r"no model can be made of it|unknown kind"):
        opened(bytes(pack(model, arrays)), tmp_path)


def test_arrays_of_objects_cannot_be_smuggled_in(tmp_path):
    node = {"array": "a", "dtype": "|O", "shape": [1]}
    with pytest.raises((TypeError, ValueError), match=r"object|references"):
        opened(bytes(pack(node, {"a": np.zeros(8, np.uint8)})), tmp_path)


def test_the_model_may_hold_what_looks_like_the_checksum(tmp_path):
    text = json.dumps({"sha256": "0" * 64}) + '"{\\"sha256\\":\\"'
    path = tmp_path / "x"
    skfsl.save(PrototypeClassifier(unknown_label=text), path)
    assert skfsl.load(path).unknown_label == text


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.skfsl"
    skfsl.save(MODEL, path)
    old = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        skfsl.save(PrototypeClassifier("cosine"), path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_read_a_file_and_links_to_it_stay(tmp_path):
    path, link = tmp_path / "model.skfsl", tmp_path / "link"
    skfsl.save(MODEL, path)
    path.chmod(0o640)
    link.symlink_to(path)
    skfsl.save(PrototypeClassifier("cosine"), link)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert skfsl.load(path).metric == "cosine"


KILL = """
import os, signal, sys, time
import numpy as np, skfsl
path, n_rounds = sys.argv[1], int(sys.argv[2])
X = np.arange(100_000.0).reshape(-1, 100)
models = [skfsl.PrototypeClassifier(metric).fit(X, np.arange(1000))
          for metric in ("euclidean", "cosine")]
skfsl.save(models[0], path)
for number in range(n_rounds):
    child = os.fork()
    if child == 0:
        while True:
            for model in models:
                skfsl.save(model, path)
    time.sleep(0.003 + 0.0037 * (number % 20))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(skfsl.load(path).classes_) == 1000
"""


def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path):
    command = [sys.executable, "-c", KILL, str(tmp_path / "model.skfsl"), "40"]
    subprocess.run(command, check=True, timeout=200)
    torn = [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]
    assert torn, "no kill came in the middle of a write"
