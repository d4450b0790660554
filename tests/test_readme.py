"""The README and the pages of the guide do what they say."""

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(page.relative_to(ROOT) for page in (ROOT / "docs").rglob("*.rst"))
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split("\n")[0])
def test_python_of_the_readme_runs(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", code],
        capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_readme_has_two_commands():
    run_it, test_it = blocks("sh")
    assert run_it.strip().endswith("python examples/plot_quickstart.py")
    assert (ROOT / "examples" / "plot_quickstart.py").exists()
    assert "pytest" in test_it
    marked = README.partition("<!-- ci: test -->")[2].lstrip()
    assert marked.startswith(f"```sh\n{test_it}")
    for command in (run_it, test_it):
        extra = re.search(r"\.\[(\w+)\]", command)[1]
        assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text("utf-8")


def test_ci_takes_its_command_from_the_readme():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    program = re.search(r"awk '(.*?)'", script, flags=re.DOTALL)[1]
    found = subprocess.run(
        ["awk", program, "README.md"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert found.stdout == blocks("sh")[1]
    assert shlex.split(found.stdout)[:4] == ["python", "-m", "pip", "install"]


def test_extras_are_named_alike_and_there_are_such():
    extras = (ROOT / "pyproject.toml").read_text("utf-8")
    for folder in ("docs", "examples", "skfsl"):
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix not in (".md", ".py", ".rst") or "generated" in path.parts:
                continue
            text = path.read_text("utf-8")
            found = re.finditer(r"pip install[\Wf]*(\W)skfsl\[([a-z,]+)\](\W)", text)
            for before, names, after in (match.groups() for match in found):
                # Without quotes some shells look for files.
                assert before == after, f"{path}: {names}"
                assert before in "\"'", f"{path}: {names}"
                for name in names.split(","):
                    assert f"\n{name} = [" in extras, f"{path}: {name}"


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert "://" in target or (ROOT / target).exists(), target


def test_what_the_readme_names_is_there():
    import skfsl

    for name in re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE):
        assert hasattr(skfsl, name), name


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_examples_of_the_pages(page):
    failed, _ = doctest.testfile(
        str(ROOT / page), module_relative=False, optionflags=FLAGS, encoding="utf-8"
    )
    assert failed == 0
