"""Files of all formats there ever were open, and answer as they did."""

import json
from pathlib import Path

import numpy as np
import pytest

import skfsl

FILES = sorted((Path(__file__).parent / "formats").glob("*.skfsl"))
X = (np.arange(240).reshape(40, 6) ** 2 % 17).astype(np.float32)


def test_there_are_files_of_format_1():
    assert len([f for f in FILES if f.name.startswith("1_")]) == 4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_old_files_open_answer_and_go_on(path):
    model = skfsl.load(path)
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert model.classes_.tolist() == expected["classes"]
    assert model.predict(X).tolist() == expected["labels"]
    np.testing.assert_allclose(model.predict_proba(X), expected["proba"], atol=1e-4)
    known = expected["classes"][0]
    new = 99 if isinstance(known, int) else "a new one"
    assert new in model.partial_fit(X[:2] + 50, [new, known]).classes_
    assert known not in model.forget([known]).classes_
