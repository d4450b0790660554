"""Models that outlive the process: files, journals, other runtimes."""

from skfsl.export._save import load, save

__all__ = ["load", "save"]
