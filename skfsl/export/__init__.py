"""Models that outlive the process: files, journals, other runtimes."""

from typing import Any

from skfsl.export._anatomy import support_inputs
from skfsl.export._onnx import to_onnx
from skfsl.export._save import load, save
from skfsl.export._support_log import SupportLog

__all__ = [
    "SupportLog",
    "load",
    "save",
    "support_inputs",
    "to_exported_program",
    "to_onnx",
]


def __getattr__(name: str) -> Any:
    # torch wakes up for it only; save and load of classifiers do without.
    if name == "to_exported_program":
        from skfsl.export._program import to_exported_program

        return to_exported_program
    raise AttributeError(f"module 'skfsl.export' has no attribute {name!r}")
