"""examples/serving over real HTTP."""

import contextlib
import http.client
import io
import itertools
import re
import signal
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from skfsl import SupportLog

KILLS = 5


def known(folder):
    """Return the ids and labels that a log has, opened without a server."""
    with SupportLog(folder / "log") as log:
        samples = log.model.support_
        return dict(zip(samples.id.tolist(), samples.label.tolist(), strict=True))


def pictures(folder):
    return {path.stem for path in (folder / "images").iterdir()}


def bomb(width=20_000, height=20_000):
    """Return a PNG of some bytes that says it has many pixels."""

    def chunk(name, data):
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_is_answered_with_probability_and_neighbors(client, picture, kind):
    status, answer = client("POST", "/predict", [picture("blue", 99, kind)], token=None)
    assert status == 200
    assert (answer["label"], answer["known"]) == ("blue", True)
    assert answer["classes"][0] == {
        "label": "blue",
        "probability": answer["probability"],
    }
    assert 0.5 < answer["probability"] <= 1
    nearest = answer["neighbors"]
    assert [one["label"] for one in nearest[:4]] == ["blue"] * 4
    distances = [one["distance"] for one in nearest]
    assert distances == sorted(distances)
    assert {one["id"] for one in nearest[:4]} == set(client.classes()["blue"])
    status, png = client("GET", f"/samples/{nearest[0]['id']}.png", token=None)
    with Image.open(io.BytesIO(png)) as image:
        assert (status, image.size, image.format) == (200, (16, 16), "PNG")
        middle = np.asarray(image)[8, 8]
    assert middle[2] > 150 > middle[0]


def test_a_class_comes_gets_corrected_and_goes(client, picture):
    before, gray = client.classes(), picture((128, 128, 128), 0)
    status, added = client("POST", "/classes/gr%C3%A4y%2Fish", [gray, gray])
    assert status == 201
    assert client.classes() == {**before, "gräy/ish": added["ids"]}
    assert client("POST", "/predict", [gray])[1]["neighbors"][0]["label"] == "gräy/ish"
    wrong = added["ids"][0]
    status, moved = client("PUT", f"/samples/{wrong}/label/gray")
    assert status == 200
    assert client.classes()["gray"] == [moved["id"]]
    assert client.classes()["gräy/ish"] == added["ids"][1:]
    old, new = (client("GET", f"/samples/{i}.png") for i in (wrong, moved["id"]))
    assert (old[0], new[0]) == (404, 200)
    # A class whose last sample goes is gone, too.
    assert client("DELETE", f"/samples/{moved['id']}")[0] == 204
    assert client("DELETE", "/classes/gr%C3%A4y%2Fish")[0] == 204
    assert client.classes() == before


WRITES = [
    ("POST", "/classes/red"), ("DELETE", "/classes/red"),
    ("PUT", f"/samples/{'0' * 32}/label/red"), ("DELETE", f"/samples/{'0' * 32}"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("token", [None, "a-token-for-test", "wrong"])
def test_writing_asks_for_the_token(client, picture, method, path, token):
    before = client.classes()
    images = [picture("red", 0)] if method == "POST" else None
    status, answer = client(method, path, images, token=token)
    assert status == 401
    assert "Authorization: Bearer" in answer["detail"]
    assert client.classes() == before


def test_bad_requests_are_refused_with_what_is_wrong(client, picture):
    good, absent = picture("red", 1), "0" * 32
    cases = [
        (422, "not an image of one of the formats", ("POST", "/predict", [b"text"])),
        (422, "the file is empty", ("POST", "/predict", [b""])),
        (422, "more than max_pixels", ("POST", "/predict", [bomb(9_000, 9_000)])),
        (422, "truncated|broken", ("POST", "/predict", [good[:-300]])),
        (400, "Too many files", ("POST", "/predict", [good] * 2)),
        (400, "fields called 'image'", ("POST", "/predict", [])),
        (400, "fields called 'image'", ("POST", "/predict")),
        (400, "Too many files", ("POST", "/classes/red", [good] * 6)),
        (422, "not an image", ("POST", "/classes/new", [good, b"text"])),
        (422, "1 to 100 printable", ("POST", "/classes/%20", [good])),
        (422, "1 to 100 printable", ("POST", f"/classes/{'x' * 101}", [good])),
        (422, "answer to strangers", ("POST", "/classes/unknown", [good])),
        (404, "There is no class 'nobody'", ("DELETE", "/classes/nobody")),
        (404, "There is no sample", ("DELETE", f"/samples/{absent}")),
        (404, "There is no sample", ("PUT", f"/samples/{absent}/label/red")),
        (404, "There is no sample", ("GET", f"/samples/{absent}.png")),
        (422, "should match pattern", ("GET", "/samples/..%5Clog.png")),
        (404, "Not Found", ("GET", "/samples/..%2Flog%2Flock")),
    ]
    before = client.classes()
    for expected, said, request in cases:
        status, answer = client(*request)
        assert (status, bool(re.search(said, str(answer)))) == (expected, True), (
            request[:2], status, answer
        )  # fmt: skip
    assert client.classes() == before


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_that_is_too_large_is_not_taken(client, chunked):
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    start = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    body = [start, *[b"x" * 50_000] * 5, b"\r\n--b--\r\n"]
    status, answer = client(
        "POST", "/predict", body=iter(body) if chunked else b"".join(body), **form
    )
    assert status == 413
    assert "may have 200000 bytes" in answer["detail"]


def test_metrics_are_those_of_prometheus(client, picture):
    def figures():
        status, text = client("GET", "/metrics", token=None)
        assert status == 200
        lines = text.decode().splitlines()
        assert all(
            re.fullmatch(r"(# TYPE )?[a-z_]+({.*})? \S+", line) for line in lines
        )
        return dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")

    ok = 'skfsl_requests_total{route="/predict",method="POST",status="200"}'
    client("POST", "/predict", [picture("red", 5)])
    before = figures()
    client("POST", "/predict", [picture("red", 5)])
    client("GET", "/no/such/path")
    after = figures()
    assert int(after[ok]) == int(before[ok]) + 1
    buckets = [int(after[k]) for k in after if k.startswith(
        'skfsl_request_seconds_bucket{route="/predict"'
    )]  # fmt: skip
    assert buckets == sorted(buckets)
    assert buckets[-1] == int(after['skfsl_request_seconds_count{route="/predict"}'])
    assert (after["skfsl_classes"], after["skfsl_writable"]) == ("6", "1")
    assert int(after["skfsl_samples"]) == sum(map(len, client.classes().values()))
    assert "/no/such/path" not in str(after)
    assert client("GET", "/health", token=None)[1] == {"status": "ok", "writable": True}


def test_queries_are_answered_while_classes_come_and_go(client, picture):
    stop, wrong, n_answers = threading.Event(), [], itertools.count()

    def ask():
        while not stop.is_set():
            status, answer = client("POST", "/predict", [picture("red", 3)])
            next(n_answers)
            labels = {one["label"] for one in answer["neighbors"]}
            if status != 200 or not labels <= {*before, "new"}:
                wrong.append((status, answer))

    before = client.classes()
    readers = [threading.Thread(target=ask) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for seed in range(8):
            gray = picture((90, 90, 90), seed)
            assert client("POST", "/classes/new", [gray])[0] == 201
            assert client("DELETE", "/classes/new")[0] == 204
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not wrong
    assert next(n_answers) > 3
    assert client.classes() == before


def test_it_shuts_down_cleanly_and_the_last_class_stays(serving, folder, picture):
    with serving(folder) as client:
        (folder / "images" / "leftover.png").write_bytes(b"of a kill")
        for label in ["red", "green", "blue", "yellow", "cyan"]:
            assert client("DELETE", f"/classes/{label}")[0] == 204
        status, answer = client("DELETE", "/classes/white")
        assert (status, "Cannot forget all" in str(answer)) == (409, True), answer
        ids = client.classes()["white"]
        client.process.send_signal(signal.SIGTERM)
        assert client.process.wait(timeout=30) in (0, -signal.SIGTERM)
    assert known(folder) == dict.fromkeys(ids, "white")
    assert pictures(folder) == set(ids)


def test_a_server_that_starts_again_finds_the_same_nearest_pictures(
    serving, folder, picture
):
    gray = picture((128, 128, 128), 3)
    with serving(folder) as client:
        _, added = client("POST", "/classes/gray", [picture((128, 128, 128), 0), gray])
        _, moved = client("PUT", f"/samples/{added['ids'][0]}/label/grey")
        before = client("POST", "/predict", [gray])
        client.process.send_signal(signal.SIGTERM)
        client.process.wait(timeout=30)
    with serving(folder) as client:
        assert client("POST", "/predict", [gray]) == before
    nearest = before[1]["neighbors"]
    assert (nearest[0]["id"], nearest[0]["label"]) == (added["ids"][1], "gray")
    assert moved["id"] in {one["id"] for one in nearest}
    assert nearest[0]["distance"] < 1e-3 < nearest[1]["distance"]


def write_until_killed(client, draw, turn, acknowledged, begun):
    """Add and correct; return the sample whose correction was not answered."""
    old = None
    with contextlib.suppress(OSError, http.client.HTTPException):
        for n in itertools.count():
            label, images = f"class-{turn}-{n % 5}", [draw() for _ in range(1 + n % 3)]
            _, answer = client("POST", f"/classes/{label}", images)
            acknowledged.update(dict.fromkeys(answer["ids"], label))
            begun.set()
            if n % 3 == 2:
                old = answer["ids"][0]
                del acknowledged[old]
                _, moved = client("PUT", f"/samples/{old}/label/moved")
                acknowledged[moved["id"]], old = "moved", None
    return old


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_was_acknowledged_is_there_after_a_kill(serving, folder, picture):
    rng, acknowledged, moving = np.random.default_rng(0), known(folder), None
    for turn in range(KILLS):
        with serving(folder) as client:
            found = {i: y for y, ids in client.classes().items() for i in ids}
            assert found.items() >= acknowledged.items()
            assert pictures(folder) == set(found)
            if moving and moving not in found:
                # Corrected, and killed before the answer.
                assert "moved" in {found[i] for i in set(found) - set(acknowledged)}
            acknowledged, begun = found, threading.Event()
            with ThreadPoolExecutor(1) as pool:
                writing = pool.submit(
                    write_until_killed, client,
                    lambda: picture(rng.integers(0, 255, 3), 0),
                    turn, acknowledged, begun,
                )  # fmt: skip
                assert begun.wait(60)
                time.sleep(rng.uniform(0, 1))
                client.process.kill()
                moving = writing.result(60)
    assert known(folder).items() >= acknowledged.items()
