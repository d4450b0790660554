"""What the server knows and does, without HTTP: one folder, one process.

    folder/log/              model and support set, durable: a SupportLog
    folder/images/<id>.png   the samples, as the model sees them

A sample is acknowledged when its picture and its record in the log are on the disk. The
log decides: pictures that it does not know are leftovers of a kill, and are removed.
"""

import contextlib
import copy
import os
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.metrics import pairwise_distances
from sklearn.pipeline import Pipeline

from skfsl import FewShotPipeline, PrototypeClassifier, SupportLog
from skfsl.images import decode_image, read_images

UNKNOWN = "unknown"


class Refused(Exception):
    """What was asked for cannot be done; with the status of HTTP that says so."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """What is taken of strangers, and how much of it."""

    max_bytes: int = 12_000_000  # of a request
    max_pixels: int = 50_000_000  # of a picture
    max_files: int = 20  # of a request
    max_samples: int = 10_000  # that are stored


@dataclass(frozen=True)
class State:
    """One state of the support set: an answer is out of one, whoever writes."""

    classifier: PrototypeClassifier
    ids: np.ndarray
    labels: np.ndarray
    embeddings: np.ndarray

    def answer(self, embedding, n_neighbors=6):
        """Return what is known of an embedding, for JSON."""
        query, clf = embedding[np.newaxis], self.classifier
        label, proba = clf.predict(query)[0], clf.predict_proba(query)[0]
        distance = pairwise_distances(query, self.embeddings, metric=clf.metric)[0]
        return {
            "label": str(label),
            "known": bool(label != clf.unknown_label),
            "probability": float(proba.max()),
            "familiarity": float(clf.score_samples(query)[0]),
            # JSON knows no infinity: nothing is refused then.
            "threshold": _finite(clf.rejection_threshold()),
            "classes": [
                {"label": str(clf.classes_[c]), "probability": float(proba[c])}
                for c in np.argsort(-proba, kind="stable")[:3]
            ],
            "neighbors": [
                {
                    "id": str(self.ids[i]),
                    "label": str(self.labels[i]),
                    "distance": float(distance[i]),
                }
                for i in np.argsort(distance, kind="stable")[:n_neighbors]
            ],
        }


class Service:
    """Answer queries and change the support set, from any thread.

    Parameters
    ----------
    folder : path-like
        Made by `begin`, or by ``make_model.py``.
    encoder : torch.nn.Module, default=None
        Where the metric has a module of yours: see ``skfsl.load``.
    limits : Limits
        Of uploads.
    """

    def __init__(self, folder, *, encoder=None, limits=None):
        self.limits = limits or Limits()
        self._folder, self._encoder = Path(folder), encoder
        self._lock = threading.Lock()
        if not (self._folder / "log").is_dir():
            raise FileNotFoundError(
                f"There is no model in {self._folder}: make one by make_model.py."
            )
        self._open()

    def _open(self):
        self._log = SupportLog(self._folder / "log", encoder=self._encoder)
        *steps, (self._name, _) = self._log.model.steps
        self._transform = Pipeline(steps).transform
        self._size = steps[0][1].input_shape_[1:]
        self._resize = steps[0][1].resize
        self.writable = True
        self._publish()

    def close(self):
        """Wait for the change that is being made, and let go of the folder."""
        with self._lock:
            self._log.close()

    def picture(self, name):
        """Return the path of the picture of a sample."""
        return _picture(self._folder, name)

    def read(self, content):
        """Return an upload as the model takes it, uint8 of shape (3, h, w)."""
        try:
            return decode_image(
                content, image_size=self._size, resize=self._resize,
                max_pixels=self.limits.max_pixels,
            )  # fmt: skip
        except ValueError as error:
            raise Refused(422, str(error))

    def predict(self, content):
        """Answer one image file, of bytes."""
        embedding = self._transform(self.read(content)[np.newaxis])[0]
        return self._state.answer(embedding)

    def classes(self):
        """Return labels with the ids of their samples."""
        state = self._state
        return {
            str(label): [str(i) for i in state.ids[state.labels == label]]
            for label in state.classifier.classes_
        }

    def add(self, label, contents):
        """Add image files to a class, known or new; return the ids of the samples."""
        images = np.stack([self.read(content) for content in contents])
        with self._changing():
            return self._add(_checked(label), images)

    def correct(self, name, label):
        """Put a sample under another label; return its new id."""
        label = _checked(label)
        with self._changing():
            if name not in self._state.ids:
                raise Refused(404, f"There is no sample {name!r} with a picture.")
            image = self.read(self.picture(name).read_bytes())[np.newaxis]
            # Added first: a kill in between leaves it twice, and never not at all.
            new = self._add(label, image)[0]
            self._log.forget_samples([name])
        return new

    def remove(self, name):
        """Forget a sample; a class without samples is gone, too."""
        with self._changing():
            if name not in self._log.model.support_.id:
                raise Refused(404, f"There is no sample {name!r}.")
            self._log.forget_samples([name])

    def remove_class(self, label):
        """Forget a class with all of its samples."""
        with self._changing():
            if label not in self._state.classifier.classes_:
                raise Refused(404, f"There is no class {label!r}.")
            self._log.forget(label)

    def _add(self, label, images):
        if len(self._state.ids) + len(images) > self.limits.max_samples:
            raise Refused(
                409,
                f"There would be more than {self.limits.max_samples} samples. Delete "
                f"some, or start the server with a higher limit.",
            )
        ids = keep_pictures(self._folder, images)
        self._log.partial_fit(images, [label] * len(ids), **{f"{self._name}__ids": ids})
        return ids

    @contextlib.contextmanager
    def _changing(self):
        """One change at a time; it is published when it is durable."""
        with self._lock:
            try:
                if not self.writable:
                    self._open()
                yield
            except ValueError as error:  # of the model, which is as it was
                raise Refused(409, str(error))
            except OSError as error:
                # The log is closed then. Queries are answered on; the next change
                # tries to open it again.
                self._log.close()
                self.writable = False
                raise Refused(507, f"Nothing can be stored: {error}")
            finally:
                if self.writable:
                    self._publish()

    def _publish(self):
        """Put the state of the log in the place of the one that answers."""
        classifier = copy.copy(self._log.model.steps[-1][1])
        samples = classifier.support_
        known = set(samples.id)
        there = set()
        for path in (self._folder / "images").iterdir():
            if path.stem in known and path.suffix == ".png":
                there.add(path.stem)
            else:
                path.unlink()
        # Without its picture a sample counts as before, and is shown nowhere.
        shown = np.array([name in there for name in samples.id], dtype=bool)
        self._state = State(
            classifier,
            samples.id[shown],
            samples.label[shown],
            classifier.support_vectors_[shown],
        )


def begin(folder, metric, photos, labels, *, reject="auto"):
    """Begin a folder: a fitted metric, and photos of the classes it starts with.

    Parameters
    ----------
    folder : path-like
        Without a model so far.
    metric : SiameseTransformer
        Fitted on images or image files, on other classes than these.
    photos : list of path-like
        Image files.
    labels : list of str
        Their classes.
    reject : "auto" or float
        As of PrototypeClassifier: a larger share lets fewer strangers in.
    """
    folder = Path(folder)
    if (folder / "log").exists():
        raise FileExistsError(f"{folder} has a model. Take another folder.")
    images = read_images(
        photos, image_size=metric.input_shape_[1:], resize=metric.resize
    )
    classifier = PrototypeClassifier(
        metric.metric_, temperature="auto", unknown_label=UNKNOWN, reject=reject
    )
    pipe = FewShotPipeline([("metric", metric), ("classifier", classifier)])
    (folder / "images").mkdir(parents=True, exist_ok=True)
    ids = keep_pictures(folder, images)
    pipe.partial_fit(images, [_checked(y) for y in labels], classifier__ids=ids)
    SupportLog(folder / "log", pipe).close()


def keep_pictures(folder, images):
    """Put samples on the disk as pictures; return the ids made for them."""
    ids = [uuid.uuid4().hex for _ in images]
    for name, image in zip(ids, images, strict=True):
        path = _picture(folder, name)
        aside = path.with_suffix(".tmp")
        with aside.open("xb") as file:
            Image.fromarray(image.transpose(1, 2, 0)).save(file, "PNG")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    descriptor = os.open(Path(folder) / "images", os.O_RDONLY)
    try:
        os.fsync(descriptor)  # their names, too
    finally:
        os.close(descriptor)
    return ids


def _picture(folder, name):
    return Path(folder) / "images" / f"{name}.png"


def _checked(label):
    label = " ".join(label.split())
    if not 0 < len(label) <= 100 or not label.isprintable() or not label.strip("."):
        raise Refused(422, "A label has 1 to 100 printable characters.")
    if label == UNKNOWN:
        raise Refused(422, f"{UNKNOWN!r} is the answer to strangers, and no class.")
    return label


def _finite(value):
    return float(value) if np.isfinite(value) else None
