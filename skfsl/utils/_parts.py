"""Parts: the small objects that an estimator is put together from."""

import re
from collections.abc import Mapping
from importlib import import_module

from sklearn.base import BaseEstimator

from skfsl.utils._sklearn_private import validate_parameter_constraints

__all__ = ["Part", "part_from_name", "snake_case"]


class Part(BaseEstimator):
    """Base of encoders, heads, losses and samplers that have settings.

    A part is described, not trained: its constructor only assigns, it has
    ``get_params``/``set_params`` and a stable repr, and it never holds weights.
    ``build`` answers what is trained or called: the part itself where it has no
    weights, a fresh ``torch.nn.Module`` where it has.

    Subclasses state their parameters in ``_parameter_constraints`` and call
    ``_validate_params`` on entering ``build``.
    """

    _parameter_constraints: dict = {}
    # scikit-learn's HTML repr links to its own site unless told otherwise.
    _doc_link_module = "skfsl"
    _doc_link_template = (
        "https://skfsl.readthedocs.io/en/stable/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

    def _validate_params(self) -> None:
        validate_parameter_constraints(
            self._parameter_constraints,
            self.get_params(deep=False),
            caller_name=type(self).__name__,
        )


def snake_case(name: str) -> str:
    """Return ``"arc_face"`` for ``"ArcFace"``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def part_from_name(name: str, registry: Mapping[str, str], param: str) -> object:
    """Make the part called `name` with its default settings.

    Parameters
    ----------
    name : str
        A key of `registry`.
    registry : mapping of str to str
        Name -> ``"module:Class"``.
    param : str
        The parameter that the name was given for, named in the error.

    Returns
    -------
    part : Part
        A new instance.

    Raises
    ------
    ValueError
        If `name` is not in `registry`.
    """
    try:
        module, cls = registry[name].split(":")
    except KeyError:
        raise ValueError(
            f"Unknown {param}={name!r}. Expected one of {sorted(registry)}, or an "
            f"instance."
        )
    return getattr(import_module(module), cls)()
