"""Every public name stands in docs/api.rst, and the reverse."""

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import skfsl

DOCS = Path(__file__).parents[1] / "docs"
ROOMS = [
    room.name
    for room in pkgutil.iter_modules(skfsl.__path__)
    if room.name not in {"utils"} and not room.name.startswith("_")
]


def public_names():
    """Return room -> public names, as `__all__` says; registries are no names."""
    return {
        room: [
            name
            for name in importlib.import_module(f"skfsl.{room}").__all__
            if not name.isupper() or name == "MLP"
        ]
        for room in ROOMS
    }


def documented_names():
    """Return what the autosummaries of docs/api.rst list, as "room.name"."""
    names, module = [], "skfsl"
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif found := re.match(r"   ([A-Za-z]\w*)$", line):
            names.append(f"{module}.{found[1]}".removeprefix("skfsl."))
    return names


def test_reference_is_complete():
    expected = [f"{room}.{n}" for room, names in public_names().items() for n in names]
    documented = documented_names()
    assert sorted(documented) == sorted(set(documented)), "a name stands there twice"
    assert sorted(documented) == sorted(expected)


def test_names_of_the_package_are_those_of_its_rooms():
    rooms = public_names()
    for name in skfsl.__all__:
        if name != "__version__":
            where = [room for room, names in rooms.items() if name in names]
            assert len(where) == 1, f"{name} is in the rooms {where}"
            room = importlib.import_module(f"skfsl.{where[0]}")
            assert getattr(skfsl, name) is getattr(room, name)


@pytest.mark.parametrize("room", ROOMS)
def test_all_names_are_there_and_sorted(room):
    module = importlib.import_module(f"skfsl.{room}")
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_dir_lists_all_names():
    listed = dir(skfsl)
    assert set(skfsl.__all__) <= set(listed)
    assert set(ROOMS) - {"pipeline", "siamese", "support"} <= set(listed)
    assert listed == sorted(listed)


def test_names_and_rooms_are_opened_on_first_use():
    names = [*skfsl.__all__, *(set(ROOMS) & set(dir(skfsl)))]
    code = f"import skfsl\nfor name in {names}: getattr(skfsl, name)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_unknown_name_is_told_as_usual():
    with pytest.raises(AttributeError, match="'skfsl' has no attribute 'Siamese'"):
        skfsl.Siamese  # noqa: B018


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(dev|a|b|rc)\d+)?", skfsl.__version__)


@pytest.mark.parametrize("name", sorted(set(skfsl.__all__) - {"__version__"}))
def test_html_repr_links_to_a_page_that_is_built(name):
    cls = getattr(skfsl, name)
    if not (isinstance(cls, type) and issubclass(cls, BaseEstimator)):
        pytest.skip("a function")
    estimator = cls([("a", "passthrough")]) if name.endswith("Pipeline") else cls()
    link = estimator._get_doc_link()
    page = re.fullmatch(
        r"https://skfsl\.readthedocs\.io/en/stable/generated/skfsl\.(.+)\.html", link
    )
    assert page is not None
    assert page[1] in documented_names()


def test_every_user_guide_page_is_in_the_guide():
    pages = {page.stem for page in (DOCS / "user_guide").glob("*.rst")} - {"index"}
    index = (DOCS / "user_guide" / "index.rst").read_text(encoding="utf-8")
    assert pages == set(re.findall(r"^   (\w+)$", index, flags=re.MULTILINE))
