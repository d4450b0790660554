"""What fine-tuning is worth on photos, against the frozen ImageNet network.

    python benchmarks/photos.py --data nyala.npz
    python benchmarks/photos.py --data grocery.npz --protocol enrol

The photos are written out as files, and go in as paths. All rows but the pixels have
the same EfficientNet-Lite0; the last one is SiameseTransformer by its defaults. With
--staged there is one more, of schedule="staged": its last layers are trained, too.

`episodes`: the metric learns one half of the classes and is played on the other, then
the reverse, so that each class is played once by a metric that never saw it. All rows
play the same episodes. Intervals at 95% are over classes; where the halves were drawn
several times (--seeds) they are averaged, for the classes remain the same.

`enrol`, as in production: k photos a class of the split "train" are enrolled, all of
the split "test" are predicted, among all classes; balanced accuracy. The metric is
trained on the split "train", once on all of its classes, the enrolled ones: that is
what production does, but the metric has then seen more photos of them than the k that
the other rows are given. And once on either half of the classes, where each class is
judged by the metric that never saw it, with all others still among the answers.
Intervals at 95% (Student's t) are over draws of what is enrolled, not over classes.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from _photos import EfficientNetLite0, add_photo_arguments, folder_of, write_photos
from _report import machine
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, normalize
from sklearn.svm import SVC

from skfsl import PrototypeClassifier, SiameseTransformer
from skfsl.images import read_images
from skfsl.model_selection import RepeatedClassKFold, compare_few_shot

TUNED, STAGED = "fine-tuned by default", "last layers too (staged)"
# The others do not depend on what the metric was trained on.
BY_BASE = ("frozen, SimpleShot", "frozen, SVC", TUNED, STAGED)
PIXELS = 32


class Photos:
    """Files and labels, and embeddings of them."""

    def __init__(self, args, folder):
        self.args, self.cache = args, folder / "cache"
        self.paths, self.y, self.split = write_photos(args.data, folder)
        if args.n_classes:
            rng = np.random.default_rng(0)
            some = rng.permutation(np.unique(self.y))[: args.n_classes]
            keep = np.isin(self.y, some)
            self.paths, self.y, self.split = (
                values[keep] for values in (self.paths, self.y, self.split)
            )

    def embed(self):
        """Make what is known of the photos without training."""
        start, args = time.perf_counter(), self.args
        pixels = read_images(self.paths, image_size=PIXELS, resize=args.resize)
        self.pixels = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
        self.frozen = self.siamese(max_epochs=0).fit_transform(self.paths, self.y)
        self.unit = normalize(self.frozen)
        print(
            f"{args.data.stem}: {len(self.y)} photos of {len(np.unique(self.y))} "
            f"classes, embedded in {(time.perf_counter() - start) / 60:.1f} min",
            flush=True,
        )

    def siamese(self, **settings):
        """Return the transformer, by its defaults but for `settings`."""
        return SiameseTransformer(
            EfficientNetLite0(), image_size=self.args.image_size, cache=self.cache,
            resize=self.args.resize, device=self.args.device, **settings,
        )  # fmt: skip

    def tuned(self, base, seed, **settings):
        """Return embeddings of all photos by a metric that is trained on some."""
        some = {"max_epochs": self.args.epochs} if self.args.epochs else {}
        some |= settings
        siamese, start = self.siamese(random_state=seed, **some), time.perf_counter()
        siamese.fit(self.paths[base], self.y[base])
        kept = siamese.history_[0].get("kept")
        print(
            f"  trained on {len(base)} photos of {len(np.unique(self.y[base]))} "
            f"classes, seed {seed}: {len(siamese.history_)} epochs in "
            f"{(time.perf_counter() - start) / 60:.1f} min"
            f"{', and the frozen encoder was kept' if kept else ''}",
            flush=True,
        )
        return siamese.transform(self.paths)

    def rows(self, base, seed):
        """Return embeddings and a classifier of each row, by name.

        Scikit-learn's classifiers get the embeddings on which they did best.
        """
        centred = normalize(self.unit - self.unit[base].mean(axis=0))
        rows = {
            "pixels": (self.pixels, PrototypeClassifier()),
            "frozen, prototypes": (self.unit, PrototypeClassifier()),
            "frozen, SimpleShot": (centred, PrototypeClassifier()),
            "frozen, LogisticRegression": (
                self.frozen, LogisticRegression(max_iter=1000)
            ),
            "frozen, SVC": (centred, SVC()),
        }  # fmt: skip
        if self.args.staged:
            staged = self.tuned(base, seed, schedule="staged")
            rows[STAGED] = (staged, PrototypeClassifier())
        rows[TUNED] = (self.tuned(base, seed), PrototypeClassifier())
        return rows


def half_width(found, of):
    """Return the half of an interval over classes."""
    return (found[f"{of}_high"] - found[f"{of}_low"]) / 2


def show(title, found, cells):
    """Print a row for each name, with the difference from the last one."""
    print(f"\n{title}\n{'':28s}{'':>14s}{TUNED + ' is better by':>36s}")
    for name in found:
        (mean, half), difference = cells(name)
        line = f"{name:28s}{100 * mean:6.1f} ± {100 * half:4.1f} "
        if name != TUNED:
            line += "{:+27.1f} ± {:.1f}".format(*(100 * x for x in difference))
        print(line, flush=True)


def write(args, **line):
    """Append a result to the file of results."""
    if args.json:
        with args.json.open("a") as file:
            file.write(json.dumps({"data": args.data.stem, **line}) + "\n")


def play(rows, test, y, n_way, n_shot, n_episodes):
    """Return score and difference of each row, each with half its interval."""
    estimators = {
        name: make_pipeline(FunctionTransformer(E.__getitem__), classifier)
        for name, (E, classifier) in rows.items()
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Episodes need")
        found = compare_few_shot(
            estimators, test, y[test], n_way=n_way, n_shot=n_shot, baseline=TUNED,
            n_episodes=n_episodes, small_classes="drop", output="dict",
        )  # fmt: skip
    own = {
        name: (scored["score"], half_width(scored, "classes"))
        for name, scored in found["estimators"].items()
    }
    less = {
        pair["first"]: (-pair["difference"], half_width(pair, "classes"))
        for pair in found["pairs"]
    }
    return found["n_classes"], own, {TUNED: (0.0, 0.0), **less}


def over_halves(values):
    """Join (mean, half width) of both halves of the classes, draw by draw."""
    mean, half = np.reshape(values, (-1, 2, 2)).transpose(2, 0, 1)
    return mean.mean(), np.mean(np.sqrt((half**2).sum(axis=1)) / 2)


def episodes(photos, args):
    photos.embed()
    splitter = RepeatedClassKFold(n_splits=2, n_repeats=args.seeds, random_state=0)
    tasks = [(n_way, n_shot) for n_way in (5, None) for n_shot in (1, 5)]
    played = {task: [] for task in tasks}
    for i, (base, test) in enumerate(splitter.split(photos.paths, photos.y)):
        rows = photos.rows(base, seed=i // 2)
        for n_way, n_shot in tasks:
            n_episodes = args.n_episodes if n_way else max(10, args.n_episodes // 20)
            found = play(rows, test, photos.y, n_way, n_shot, n_episodes)
            played[n_way, n_shot].append(found)
            n_classes, own, less = found
            for name in own:
                write(
                    args, protocol="episodes", fold=i, n_way=n_way or n_classes,
                    n_shot=n_shot, row=name, score=own[name], tuned_less_row=less[name],
                )  # fmt: skip
    for (n_way, n_shot), found in played.items():
        n_classes, owns, differences = zip(*found, strict=True)
        show(
            f"{n_way or 'all'}-way {n_shot}-shot, {np.mean(n_classes):.0f} classes in "
            f"each half", owns[0],
            lambda name, owns=owns, differences=differences: (
                over_halves([own[name] for own in owns]),
                over_halves([less[name] for less in differences]),
            ),
        )  # fmt: skip


def draw(photos, k, rng):
    """Return k rows of each class of the split "train", or as many as there are."""
    train = photos.split == "train"
    return np.concatenate([
        rng.permutation(np.flatnonzero(train & (photos.y == label)))[:k]
        for label in np.unique(photos.y)
    ])  # fmt: skip


def recalls(row, support, test, y):
    """Return the recall of each class, in the order of their labels."""
    E, classifier = row
    predicted = classifier.fit(E[support], y[support]).predict(E[test])
    return recall_score(y[test], predicted, average=None)


def over_draws(values):
    """Return mean and half width of the interval at 95%."""
    error = stats.sem(values) if len(values) > 1 else np.nan
    return np.mean(values), stats.t.ppf(0.975, len(values) - 1) * error


def enrol(photos, args):
    y, labels = photos.y, np.unique(photos.y)
    train, test = (np.flatnonzero(photos.split == name) for name in ("train", "test"))
    if not np.array_equal(labels, np.unique(y[train])) or not np.array_equal(
        labels, np.unique(y[test])
    ):
        raise SystemExit(
            f"--protocol enrol needs splits 'train' and 'test' with all classes in "
            f"both. {args.data} has {len(labels)} classes, of them "
            f"{len(np.unique(y[train]))} in 'train' and {len(np.unique(y[test]))} in "
            f"'test'. Use --protocol episodes."
        )
    photos.embed()
    trained_on = ("all classes", "other classes")
    found = {}
    for seed in range(args.seeds):
        everything = photos.rows(train, seed)
        halves = []
        splitter = RepeatedClassKFold(n_splits=2, n_repeats=1, random_state=seed)
        for base, _ in splitter.split(train, y[train]):
            rows = photos.rows(train[base], seed)
            halves.append((rows, ~np.isin(labels, y[train[base]])))
        rng = np.random.default_rng(seed)
        for k in args.shots:
            for _ in range(args.n_draws):
                support = draw(photos, k, rng)
                for name, row in everything.items():
                    one = other = recalls(row, support, test, y)
                    if name in BY_BASE:
                        other = np.empty(len(labels))
                        for rows, unseen in halves:
                            each = recalls(rows[name], support, test, y)
                            other[unseen] = each[unseen]
                    for case, each in zip(trained_on, (one, other), strict=True):
                        found.setdefault((case, k), {}).setdefault(name, []).append(
                            each.mean()
                        )
    for (case, k), scores in found.items():
        for name, values in scores.items():
            write(
                args, protocol="enrol", trained_on=case, k=k, row=name, scores=values
            )  # fmt: skip
        show(
            f"{k} enrolled a class, {len(labels)}-way, {len(test)} photos predicted; "
            f"metric trained on {case}", scores,
            lambda name, scores=scores: (
                over_draws(scores[name]),
                over_draws(np.subtract(scores[TUNED], scores[name])),
            ),
        )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_photo_arguments(parser)
    parser.add_argument("--protocol", choices=["episodes", "enrol"], default="episodes")
    parser.add_argument(
        "--seeds", type=int, default=1, help="two trainings each, or three"
    )
    parser.add_argument(
        "--staged", action="store_true", help="with a row of schedule='staged'"
    )
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--resize", choices=["pad", "crop", "squash"], default="pad")
    parser.add_argument(
        "--n-episodes", type=int, default=600, help="all-way: 1/20 of it"
    )
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5, 10])
    parser.add_argument("--n-draws", type=int, default=10, help="of what is enrolled")
    parser.add_argument("--n-classes", type=int, help="10 or more, to try it")
    parser.add_argument("--epochs", type=int, help="at most, to try it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="append each result to this file")
    args = parser.parse_args()
    print(machine())
    warnings.filterwarnings("ignore", "The number of unique classes is greater")
    start = time.perf_counter()
    with folder_of(args.files) as folder:
        {"episodes": episodes, "enrol": enrol}[args.protocol](
            Photos(args, folder), args
        )
    print(f"\n({(time.perf_counter() - start) / 60:.1f} min)")


if __name__ == "__main__":
    main()
