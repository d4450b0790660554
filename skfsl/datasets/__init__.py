"""Readers of few-shot data that is on this machine already. Nothing downloads."""

from skfsl.datasets._bad_files import drop_bad_files
from skfsl.datasets._image_folder import load_image_folder
from skfsl.datasets._image_table import load_image_table
from skfsl.datasets._omniglot import load_omniglot

__all__ = [
    "drop_bad_files",
    "load_image_folder",
    "load_image_table",
    "load_omniglot",
]
