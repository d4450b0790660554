"""Broken image files and model files: what reading them does.

    python benchmarks/fuzz.py

Files of every format are mutated: bits are flipped, bytes and lengths replaced, parts
cut out, doubled or swapped, ends cut off. Image files go through
skfsl.images.decode_image, and through the upload route of examples/serving; model files
through skfsl.load, as they are, and once more with their checksum put right, as an
author of bad files would. Each route has a process of its own. It fails if that dies,
or is silent for 20 seconds, takes more than --megabytes above what it began with, or
meets an error other than the one that is promised.
"""

import argparse
import collections
import hashlib
import io
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

import skfsl
from skfsl.images import decode_image

SILENCE = 20.0  # seconds
MAX_PIXELS = 4_000_000
_MARK = rb"{\"sha256\":\""


def image_files(rng):
    """Return image files of all formats and of several kinds, by name."""
    pixels = rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((90, 60), Image.Resampling.BICUBIC)
    rgb, exif = image.convert("RGB"), Image.Exif()
    palette = rgb.convert("P")
    deep = Image.fromarray(np.arange(5400, dtype=np.uint16).reshape(60, 90))
    exif[0x0112], exif[0x010E] = 6, "a description"
    files = {
        "JPEG": (rgb, {"exif": exif}),
        "JPEG progressive": (rgb, {"progressive": True}),
        "JPEG gray": (rgb.convert("L"), {}),
        "PNG": (rgb, {"exif": exif}),
        "PNG transparent": (image, {}),
        "PNG palette": (palette, {"transparency": 3}),
        "PNG 16 bits": (deep, {}),
        "GIF": (palette, {"save_all": True, "append_images": [palette]}),
        "WEBP": (rgb, {"exif": exif}),
        "WEBP lossless": (image, {"lossless": True}),
        "BMP": (rgb, {}),
        "BMP palette": (palette, {}),
    }  # fmt: skip
    encoded = {}
    for name, (picture, options) in files.items():
        file = io.BytesIO()
        picture.save(file, name.split()[0], **options)
        encoded[name] = file.getvalue()
    return encoded


def model_files(folder):
    """Return files of models, by name; small ones, for the header to be hit often."""
    X, y = np.random.default_rng(0).normal(size=(12, 4)), np.repeat(["a", "b", "c"], 4)
    siamese = skfsl.SiameseTransformer("mlp", max_epochs=1, random_state=0)
    models = {
        "prototypes": skfsl.PrototypeClassifier().fit(X, y),
        "neighbours": skfsl.KNeighborsClassifier(2).fit(X, y),
        "pipeline": skfsl.make_few_shot_pipeline(
            siamese, skfsl.PrototypeClassifier()
        ).fit(X.astype(np.float32), y),
    }
    files = {}
    for name, model in models.items():
        skfsl.save(model, folder / name)
        files[name] = (folder / name).read_bytes()
    return files


def mutated(content, rng):
    """Return a file that is a little different; most changes are near its beginning."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        # A log-uniform position: headers are short.
        at = int(len(content) ** rng.random()) - 1 if len(content) > 1 else 0
        size = int(rng.integers(1, 9))
        kind = rng.integers(7)
        if kind == 0 and content:
            content[at] ^= 1 << rng.integers(8)
        elif kind == 1:
            content[at : at + size] = rng.bytes(size)
        elif kind == 2:
            value = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF]))
            content[at : at + 4] = value.to_bytes(4, rng.choice(["big", "little"]))
        elif kind == 3:
            del content[at : at + int(rng.integers(1, 200))]
        elif kind == 4:
            content[at:at] = content[at : at + int(rng.integers(1, 200))]
        elif kind == 5:
            other = int(rng.integers(len(content) + 1))
            content[at : at + size] = content[other : other + size]
        else:
            del content[int(rng.integers(len(content) + 1)) :]
    return bytes(content)


def sealed(content):
    """Return a model file whose checksum is right."""
    at = content.find(_MARK) + len(_MARK)
    if at < len(_MARK) or at + 64 > len(content):
        return content
    blank = content[:at] + b"0" * 64 + content[at + 64 :]
    digest = hashlib.sha256(blank).hexdigest().encode()
    return content[:at] + digest + content[at + 64 :]


def reader(folder):
    def read(content):
        decode_image(content, image_size=32, max_pixels=MAX_PIXELS)

    return read, image_files(np.random.default_rng(0)), ValueError


def upload(folder):
    sys.path.append(str(Path(__file__).parents[1] / "examples" / "serving"))
    from fastapi.testclient import TestClient
    from server import create_app
    from service import Limits, Service, begin

    files = image_files(np.random.default_rng(0))
    paths = [folder / f"{i}.png" for i in range(4)]
    for path in paths:
        path.write_bytes(files["PNG"])
    metric = skfsl.SiameseTransformer(
        "conv4", image_size=32, max_epochs=0, random_state=0
    ).fit(paths, list("aabb"))
    begin(folder / "state", metric, paths, list("aabb"))
    limits = Limits(max_pixels=MAX_PIXELS, max_samples=100)
    app = create_app(Service(folder / "state", limits=limits), "token")
    client = TestClient(app, raise_server_exceptions=False)

    def read(content):
        response = client.post("/predict", files={"image": content})
        if response.status_code == 422:
            raise ValueError(response.text)
        if response.status_code != 200:
            raise RuntimeError(f"status {response.status_code}")

    return read, files, ValueError


def loader(folder):
    def read(content):
        path.write_bytes(content)
        skfsl.load(path)

    path = folder / "mutated"
    return read, model_files(folder), ValueError


def sealed_loader(folder):
    read, files, _ = loader(folder)
    # Whose author knows the checksum gets any error, and no more than that.
    return lambda content: read(sealed(content)), files, Exception


ROUTES = {
    "images, decode_image": reader,
    "images, upload route": upload,
    "models, skfsl.load": loader,
    "models, checksum put right": sealed_loader,
}


def work(name, n, seed, at, results):
    """Read mutated files one by one, and tell which one is being read."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="skfsl-fuzz-") as folder:
        read, files, promised = ROUTES[name](Path(folder))
        for content in files.values():
            read(content)  # the originals are good
        contents = list(files.values())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcomes, longest = collections.Counter(), 0.0
        for i in range(n):
            at.value = i
            rng = np.random.default_rng([seed, i])
            original = content = contents[i % len(contents)]
            while content == original:
                content = mutated(original, rng)
            start = time.perf_counter()
            try:
                read(content)
                outcomes["read"] += 1
            except promised:
                outcomes["refused"] += 1
            except BaseException as error:
                outcomes[f"{type(error).__name__}: {error} (file {i})"] += 1
            longest = max(longest, time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        results.put((outcomes, longest, (after - before) / 1024))


def watch(name, args):
    """Run a route in a process of its own; return whether all went well."""
    context = multiprocessing.get_context("spawn")
    at, results = context.Value("q", -1), context.Queue()
    process = context.Process(target=work, args=(name, args.n, args.seed, at, results))
    process.start()
    seen, since = -1, time.monotonic()
    while process.is_alive() and results.empty():
        time.sleep(0.05)
        if at.value != seen:
            seen, since = at.value, time.monotonic()
        elif seen >= 0 and time.monotonic() - since > SILENCE:
            process.kill()
            print(f"{name}: HANGS at file {seen}")
            return False
    if results.empty():
        process.join()
        print(f"{name}: DIED at file {at.value}, exit code {process.exitcode}")
        return False
    outcomes, longest, grown = results.get()
    process.join()
    others = {k: v for k, v in outcomes.items() if k not in ("read", "refused")}
    print(
        f"{name}: {args.n} files, {outcomes['read']} read, {outcomes['refused']} "
        f"refused, {sum(others.values())} other errors; longest {longest:.2f} s, peak "
        f"of memory {grown:.0f} MiB higher",
        flush=True,
    )
    for error in list(others)[:5]:
        print(f"  {error[:200]}")
    return not others and grown < args.megabytes


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=10_000, help="files a route")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--routes", nargs="+", choices=[*ROUTES], default=[*ROUTES])
    args = parser.parse_args()
    print(f"Pillow {Image.__version__}, numpy {np.__version__}")
    good = [watch(name, args) for name in args.routes]
    raise SystemExit(not all(good))


if __name__ == "__main__":
    main()
