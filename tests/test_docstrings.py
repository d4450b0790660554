"""Docstrings of all public objects are whole, by numpydoc's own checks."""

import importlib
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

import skfsl

ROOMS = [
    room.name
    for room in pkgutil.iter_modules(skfsl.__path__)
    if room.name != "utils" and not room.name.startswith("_")
]

# numpydoc's codes that are not asked for, each with its reason.
NOT_ASKED = {
    "ES01": "an extended summary is written where there is something to say",
    "EX01": "examples stand in the docstring of the class",
    "GL01": "the summary stands on the line of the quotes, as pydocstyle wants it",
    "PR08": "a description may open with a dtype or a symbol: float32, n samples",
    "RT02": "returned values have names, as in scikit-learn",
    "RT04": "as PR08, of what is returned",
    "SA01": "See Also is written where there is something to see",
    "YD01": "generators say what they yield; numpydoc asks it of context managers too",
}
# Asked for by all classes and functions, and not by methods.
ASKED_OF_OBJECTS = {"EX01"}


def public_objects():
    for room in ROOMS:
        module = importlib.import_module(f"skfsl.{room}")
        for name in module.__all__:
            value = getattr(module, name)
            if not callable(value):
                continue
            yield f"skfsl.{room}.{name}"
            if not inspect.isclass(value) or issubclass(value, BaseException | Warning):
                continue
            for method, _ in inspect.getmembers(value, callable):
                if not method.startswith("_") and _is_ours(value, method):
                    yield f"skfsl.{room}.{name}.{method}"


def _is_ours(cls, method):
    for base in cls.__mro__:
        if method in vars(base):
            written = vars(base)[method]
            # set_fit_request and its kin are written by scikit-learn.
            return base.__module__.startswith("skfsl") and not hasattr(written, "keys")
    return False


OBJECTS = list(public_objects())


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring(name):
    is_method = (
        not name.split(".")[-1][0].isupper() and name.split(".")[-2][0].isupper()
    )
    is_error = name.startswith("skfsl.exceptions.")
    not_asked = set(NOT_ASKED)
    if not is_method and not is_error:
        not_asked -= ASKED_OF_OBJECTS
    errors = [
        f"{code}: {message}"
        for code, message in validate(name)["errors"]
        if code not in not_asked
    ]
    assert not errors, f"{name}:\n" + "\n".join(errors)


def test_all_rooms_are_looked_at():
    assert {name.split(".")[1] for name in OBJECTS} == set(ROOMS)
