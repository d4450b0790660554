"""A folder for examples/serving, made once, and servers over copies of it."""

import contextlib
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SERVING = Path(__file__).parents[2] / "examples" / "serving"
TOKEN = "a-token-for-tests"
_COLORS = {
    "red": (220, 30, 30), "green": (30, 190, 40), "blue": (30, 40, 210),
    "yellow": (225, 215, 30), "cyan": (20, 205, 205), "white": (240, 240, 240),
}  # fmt: skip


def _picture(color, seed, kind="PNG"):
    """Return an image file: one color, by name or values, with a little noise."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    color = np.array(_COLORS[color] if isinstance(color, str) else color)
    pixels = np.clip(color + rng.normal(0, 12, (40, 30, 3)), 0, 255)
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, kind)
    return file.getvalue()


class Client:
    """The HTTP of one server."""

    def __init__(self, port, process):
        self.port, self.process = port, process

    def __call__(self, method, path, images=None, *, token=TOKEN, body=None, **headers):
        """Return the status and the body, read as JSON where it is."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if images is not None:
            parts = [
                b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n'
                b"\r\n" + image + b"\r\n"
                for image in images
            ]
            body = b"".join(parts) + b"--b--\r\n"
            headers["Content-Type"] = "multipart/form-data; boundary=b"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        if content and response.headers.get_content_type() == "application/json":
            content = json.loads(content)
        return response.status, content

    def classes(self):
        """Return labels with the ids of their samples."""
        status, classes = self("GET", "/classes", token=None)
        assert status == 200
        return {known["label"]: known["samples"] for known in classes}


@pytest.fixture(scope="session")
def picture():
    """Return a function that makes an image file."""
    return _picture


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return a folder of make_model.py: six colors, a metric of others."""
    for module in ("fastapi", "uvicorn", "python_multipart", "PIL"):
        pytest.importorskip(module, reason="pip install 'skfsl[serving]'")
    root = tmp_path_factory.mktemp("serving")
    rng = np.random.default_rng(0)
    others = {f"other {i}": rng.integers(20, 230, 3) for i in range(12)}
    for name, colors, n in (("learn", others, 6), ("enrol", _COLORS, 4)):
        for label, color in colors.items():
            folder = root / name / label
            folder.mkdir(parents=True)
            for i in range(n):
                (folder / f"{i}.png").write_bytes(_picture(color, i))
    command = [
        sys.executable, SERVING / "make_model.py", root / "made",
        "--enrol", root / "enrol", "--learn", root / "learn",
        "--image-size", "16", "--max-epochs", "8",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    return root / "made"


@pytest.fixture
def serving():
    """Return a context: a server of its own over a folder."""
    return _serving


@contextlib.contextmanager
def _serving(folder, *options):
    """Run server.py over a folder, and kill it in the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, SERVING / "server.py", folder, "--port", str(port)]
    process = subprocess.Popen(
        [*command, *options], env={**os.environ, "SKFSL_TOKEN": TOKEN}
    )
    client = Client(port, process)
    try:
        for _ in range(2_000):
            assert process.poll() is None, "the server has ended"
            with contextlib.suppress(ConnectionRefusedError):
                client("GET", "/health")
                break
            time.sleep(0.1)
        yield client
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def folder(made, tmp_path):
    """Return a copy of the folder, to be changed."""
    return shutil.copytree(made, tmp_path / "state")


@pytest.fixture(scope="session")
def client(made, tmp_path_factory):
    """Return a client of a server that tests share: they leave it as it was."""
    folder = tmp_path_factory.mktemp("shared") / "state"
    with _serving(
        shutil.copytree(made, folder), "--max-bytes", "200000", "--max-files", "5"
    ) as client:
        yield client
