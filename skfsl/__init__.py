"""Few-shot learning as scikit-learn estimators.

Learn a metric once; after that a class is added from one to ten examples, at
once, by ``partial_fit``, with nothing retrained.
"""

from importlib import import_module

__version__ = "0.1.0.dev0"

# name -> the room that has it; opened on first use, so that `import skfsl` is
# light and torch is imported only by what needs it (PEP 562).
_ROOMS = {
    "FewShotPipeline": "skfsl.pipeline",
    "KNeighborsClassifier": "skfsl.support",
    "PrototypeClassifier": "skfsl.support",
    "SiameseClassifier": "skfsl.pipeline",
    "SiameseTransformer": "skfsl.siamese",
    "SupportLog": "skfsl.export",
    "load": "skfsl.export",
    "make_few_shot_pipeline": "skfsl.pipeline",
    "save": "skfsl.export",
}

_SUBMODULES = (
    "augmentation",
    "datasets",
    "encoders",
    "exceptions",
    "export",
    "heads",
    "images",
    "losses",
    "metrics",
    "model_selection",
    "samplers",
)

__all__ = ["__version__", *_ROOMS]


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        value = getattr(import_module(_ROOMS[name]), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return import_module(f"skfsl.{name}")
    raise AttributeError(f"module 'skfsl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS, *_SUBMODULES])
