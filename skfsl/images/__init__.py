"""Image files in: which X are files, reading them fast, keeping what was read."""

from skfsl.images._decode import Progress as Progress
from skfsl.images._decode import decode as decode
from skfsl.images._decode import raise_or_warn as raise_or_warn
from skfsl.images._decode_image import decode_image
from skfsl.images._files import as_files as as_files
from skfsl.images._files import is_files as is_files
from skfsl.images._read import RESIZES as RESIZES
from skfsl.images._read import find_fault as find_fault
from skfsl.images._read_images import check_image_size as check_image_size
from skfsl.images._read_images import read_images
from skfsl.images._rows import ImageRows as ImageRows
from skfsl.images._rows import part_of as part_of

__all__ = ["decode_image", "read_images"]
