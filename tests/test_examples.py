"""The examples run, and each shows a figure and says what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, tmp_path):
    show = "import matplotlib.pyplot as p; p.show = lambda: p.savefig('figure.png')\n"
    run = f"exec(compile(open({str(example)!r}).read(), {str(example)!r}, 'exec'))"
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", show + run],
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure.png").exists()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_asks_and_concludes(example):
    text = example.read_text(encoding="utf-8")
    question = text.split("\n")[1]
    assert question.endswith("?")
    assert "\n# Conclusion: " in text.rpartition("# %%")[2]
