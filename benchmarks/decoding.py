"""Reading photos: skfsl against torchvision's ImageFolder and DataLoader.

    python benchmarks/decoding.py --data grocery.npz
    python benchmarks/decoding.py --data grocery.npz --n-images 100000   # memory, too

Both make batches of floats in [0, 1], (64, 3, size, size), of all photos in random
order; both squash them to the size. An epoch is all of them. skfsl reads the files
once, by threads, and takes batches out of memory as its training does; its first epoch
includes the reading. "from the cache" is the first epoch of a later run, which finds
decoded photos in the cache folder. The system has all files in memory, for both.
Competitors take turns, and ratios are taken pair by pair.

With --n-images so many small JPEG files are written (about 3 kB each, thumbnails of
the photos again and again), and SiameseTransformer is fitted on them with a budget for
decoded images that is much smaller than they are. The encoder is next to nothing, for
its memory is not asked. What is told is how far the process grew, at its peak, over
what it had after a fit on a few of the files; and the same of a twentieth of them,
since batches and libraries take memory that no budget is about.
"""

import argparse
import io
import itertools
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _photos import add_photo_arguments, folder_of, write_photos
from _report import machine, spread
from torch import nn

from skfsl import SiameseTransformer
from skfsl.images import read_images
from skfsl.siamese._data import Staged

BATCH = 64
MIB = 2**20


def count(batches):
    """Take all batches, and return how many photos there were."""
    return sum(len(x) for x in batches)


def ours(images, rng):
    """Yield the batches of one epoch."""
    staged = Staged(images, np.zeros(len(images), np.int64), torch.device("cpu"))
    order = rng.permutation(len(images))
    for start in range(0, len(order), BATCH):
        yield staged.take(order[start : start + BATCH])[0]


def speeds_of_ours(paths, size, rng):
    """Return photos a second, by epoch."""
    found = {}

    def timed(name, epoch):
        start = time.perf_counter()
        result = epoch()
        found[name] = len(paths) / (time.perf_counter() - start)
        return result

    def first(cache):
        images = read_images(paths, image_size=size, resize="squash", cache=cache)
        count(ours(images, rng))
        return images

    with tempfile.TemporaryDirectory(prefix="skfsl-cache-") as cache:
        images = timed("first", lambda: first(None))
        timed("second", lambda: count(ours(images, rng)))
        timed("first, filling a cache", lambda: first(cache))
        timed("first, from the cache", lambda: first(cache))
    return found


def speeds_of_theirs(root, size, n_workers):
    """Return photos a second, by epoch."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.Resize((size, size)),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    loader = DataLoader(
        ImageFolder(root, transform), batch_size=BATCH, shuffle=True,
        num_workers=n_workers, persistent_workers=n_workers > 0,
    )  # fmt: skip
    found = {}
    for name in ("first", "second"):
        start = time.perf_counter()
        n = count(x for x, _ in loader)
        found[name] = n / (time.perf_counter() - start)
    return found


def throughput(args, paths, folder):
    rng = np.random.default_rng(0)
    for path in paths:
        Path(path).read_bytes()
    mine, theirs = [], []
    for _ in range(args.repeats):
        theirs.append(
            speeds_of_theirs(folder / args.data.stem, args.size, args.workers)
        )
        mine.append(speeds_of_ours(paths, args.size, rng))
    print(
        f"\n{args.data.stem}: {len(paths)} photos to {args.size} x {args.size}, photos "
        f"a second, {args.repeats} turns: median [least, most]"
    )
    for name in theirs[0]:
        print(f"torchvision, {name:23s} {spread([one[name] for one in theirs])}")
    for name in mine[0]:
        beside = "second" if name == "second" else "first"
        ratios = [a[name] / b[beside] for a, b in zip(mine, theirs, strict=True)]
        print(
            f"skfsl, {name:29s} {spread([one[name] for one in mine])}, "
            f"{spread(ratios)} times their {beside}"
        )


class Thumbnail(nn.Module):
    """Next to no encoder: 4 x 4 means of a picture, mapped."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 16)
        )

    def forward(self, x):
        """Embed images (n, 3, h, w)."""
        return self.layers(x)


def memory(name):
    """Return a figure of this process in bytes, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith(f"{name}:"))
    return 1024 * int(found.split()[1])


def fit_and_measure(paths, y, size, budget):
    """Return bytes before and at the peak, and the seconds of the fit."""
    with tempfile.TemporaryDirectory(prefix="skfsl-cache-") as cache:
        siamese = SiameseTransformer(
            Thumbnail(), max_epochs=1, image_size=size, random_state=0, cache=cache,
            memory_budget=budget,
        )  # fmt: skip
        siamese.fit(paths[:200], y[:200])
        before, start = memory("VmRSS"), time.perf_counter()
        siamese.fit(paths, y)
        return before, memory("VmHWM"), time.perf_counter() - start


def peak_memory(args, paths, folder):
    from PIL import Image

    if not Path("/proc/self/status").exists():
        raise SystemExit("--n-images asks Linux for the peak of a process.")
    thumbnails = []
    for path in paths[:500]:
        buffer = io.BytesIO()
        with Image.open(path) as image:
            small = image.convert("RGB").resize((args.small, args.small))
        small.save(buffer, "JPEG")
        thumbnails.append(buffer.getvalue())
    small_paths = []
    (folder / "small").mkdir(exist_ok=True)
    for i, content in zip(
        range(args.n_images), itertools.cycle(thumbnails), strict=False
    ):
        path = folder / "small" / f"{i:07d}.jpg"
        if not path.exists():
            path.write_bytes(content)
        small_paths.append(str(path))
    y = np.arange(args.n_images) // 20
    print(f"\nfits for one epoch, {args.budget} MiB for decoded images")
    for n in (args.n_images // 20, args.n_images):
        # In a process of its own, whose peak is that of nothing else.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            before, peak, seconds = pool.apply(
                fit_and_measure, (small_paths[:n], y[:n], args.small, args.budget * MIB)
            )
        decoded = 3 * args.small**2 * n
        print(
            f"{n} files of {args.small} x {args.small}, {decoded / MIB:.0f} MiB when "
            f"decoded, {seconds:.0f} s: {before / MIB:.0f} MiB before, "
            f"{peak / MIB:.0f} MiB at the peak, {(peak - before) / MIB:.0f} MiB more",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_photo_arguments(parser)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--n-images", type=int, help="small files for the peak memory")
    parser.add_argument("--small", type=int, default=84, help="side of these")
    parser.add_argument("--budget", type=int, default=256, help="of memory, in MiB")
    args = parser.parse_args()
    print(machine())
    with folder_of(args.files) as folder:
        paths, *_ = write_photos(args.data, folder)
        if args.repeats:
            throughput(args, paths, folder)
        if args.n_images:
            peak_memory(args, paths, folder)


if __name__ == "__main__":
    main()
