"""How long one answer of examples/serving takes: image bytes to label.

    python benchmarks/serving.py
    python benchmarks/serving.py --data orl_faces.npz --encoder efficientnet_lite0

Thirty classes of five photos are enrolled, those of --data or else pictures of noise,
of which the time does not depend. One picture after another is asked for, as a JPEG of
640 x 480 pixels: in this process, from bytes to the answer with its neighbours, and
over HTTP, by a connection that is kept. Then by several connections at once, for the
throughput. Writing is a sample that is added and on the disk. On a processor that does
other work too, the processor time is what can be compared.
"""

import argparse
import contextlib
import http.client
import io
import socket
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import uvicorn
from _photos import EfficientNetLite0, write_photos
from _report import machine
from PIL import Image

from skfsl import SiameseTransformer

sys.path.append(str(Path(__file__).parents[1] / "examples" / "serving"))

from server import create_app
from service import Service, begin

ENCODERS = {
    "conv4": lambda: ("conv4", None),
    "efficientnet_lite0": lambda: (EfficientNetLite0(), EfficientNetLite0()),
}
TOKEN, WARM_UP = "token", 5


def noise(rng):
    """Return smooth noise of 640 x 480 as a JPEG, of the size of a photo."""
    small = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(
        file, "JPEG", quality=90
    )
    return file.getvalue()


def photos(args, folder, rng):
    """Return paths and labels of 30 classes of 5, and JPEG files to ask for."""
    if args.data is None:
        labels = np.repeat([f"class {i}" for i in range(30)], 5)
        paths = []
        for i in range(len(labels)):
            paths.append(str(folder / f"{i}.jpg"))
            Path(paths[-1]).write_bytes(noise(rng))
        return paths, labels, [noise(rng) for _ in range(20)]
    paths, y, _ = write_photos(args.data, folder)
    known = np.unique(y)[:30]
    rows = np.concatenate([np.flatnonzero(y == label) for label in known])
    support = np.concatenate([np.flatnonzero(y == label)[:5] for label in known])
    queries = []
    for path in rng.permutation(paths[np.setdiff1d(rows, support)])[:20]:
        file = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").resize((640, 480)).save(file, "JPEG", quality=90)
        queries.append(file.getvalue())
    return paths[support], y[support], queries


def percentiles(name, seconds):
    p50, p99 = 1000 * np.percentile(seconds, [50, 99])
    print(f"  {name:34s} p50 {p50:7.1f} ms   p99 {p99:7.1f} ms", flush=True)


def timed(function, n):
    for _ in range(WARM_UP):
        function(0)
    seconds = []
    for i in range(n):
        start = time.perf_counter()
        function(i)
        seconds.append(time.perf_counter() - start)
    return seconds


def request(connection, path, content):
    start = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    connection.request(
        "POST", path, start + content + b"\r\n--b--\r\n",
        {
            "Content-Type": "multipart/form-data; boundary=b",
            "Authorization": f"Bearer {TOKEN}",
        },
    )  # fmt: skip
    response = connection.getresponse()
    content = response.read()
    if response.status >= 300:
        raise SystemExit(content.decode())


@contextlib.contextmanager
def serving(service):
    """Serve by a thread; give a function that opens connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_app(service, TOKEN)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    server.should_exit = True
    thread.join()


def measure(name, args, folder):
    rng = np.random.default_rng(0)
    paths, labels, queries = photos(args, folder, rng)
    encoder, module = ENCODERS[name]()
    # Untrained weights take the same time.
    metric = SiameseTransformer(encoder, max_epochs=0, random_state=0)
    metric.fit(paths, labels)
    begin(folder / "state", metric, paths, labels)
    service = Service(folder / "state", encoder=module)
    size = " x ".join(map(str, metric.input_shape_[1:]))
    print(f"\n{name} at {size} px, 30 classes of 5")

    def ask(i):
        return queries[i % len(queries)]

    start = time.process_time()
    seconds = timed(lambda i: service.predict(ask(i)), args.n)
    each = 1000 * (time.process_time() - start) / (args.n + WARM_UP)
    percentiles("in this process", seconds)
    print(f"  {'processor time of each':34s}     {each:7.1f} ms")
    with serving(service) as connect:
        kept = connect()
        percentiles(
            "over HTTP", timed(lambda i: request(kept, "/predict", ask(i)), args.n)
        )
        kept.close()
        connections = [connect() for _ in range(args.n_clients)]

        def client(connection):
            for i in range(args.n // args.n_clients):
                request(connection, "/predict", ask(i))
            connection.close()

        start = time.perf_counter()
        with ThreadPoolExecutor(args.n_clients) as pool:
            list(pool.map(client, connections))
        seconds = time.perf_counter() - start
        print(
            f"  {args.n_clients} connections at once"
            f"{args.n // args.n_clients * args.n_clients / seconds:25.1f} answers/s"
        )
        kept = connect()  # the server has closed the other one, which was idle
        add = timed(lambda i: request(kept, "/classes/new", ask(i)), args.n // 4)
        percentiles("over HTTP, one sample added", add)
        kept.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="npz file of photos, see _photos.py")
    parser.add_argument("--encoder", choices=[*ENCODERS], nargs="+", default=["conv4"])
    parser.add_argument("--n", type=int, default=400, help="answers that are timed")
    parser.add_argument("--n-clients", type=int, default=4)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "Nothing is refused")
    print(machine())
    for name in args.encoder:
        with tempfile.TemporaryDirectory(prefix="skfsl-serving-") as folder:
            measure(name, args, Path(folder))


if __name__ == "__main__":
    main()
