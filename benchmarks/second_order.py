"""What a shared covariance is worth on frozen embeddings, and what it costs.

    python benchmarks/second_order.py --data ../data --photos grocery.npz nyala.npz
    python benchmarks/second_order.py --cost

k examples a class, or 1 to k with --uneven, are enrolled, drawn again and again, and
the others are predicted, among all classes; balanced accuracy. Where there is a split,
those of "train" are enrolled and those of "test" predicted; elsewhere (nyala) classes
of more than k photos are in it. All rows get embeddings of length one. Intervals at
95 % (Student's t) are over draws; the second number is the difference from cosine
prototypes, draw by draw.

Texts are those of open_set.py, out of --data. Photos are embedded by the frozen
EfficientNet-Lite0 of _photos.py. Embeddings are made once and kept in --cache.

--cost times the addition of a class to 100,000 samples of 384 features, and the next
prediction, on random numbers.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _report import machine, spread
from open_set import texts
from scipy import stats
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import recall_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize
from sklearn.svm import SVC

from skfsl import PrototypeClassifier

BASELINE = "cosine prototypes"


def rows():
    """Return the classifiers by name."""
    return {
        BASELINE: PrototypeClassifier("cosine"),
        "shared covariance": PrototypeClassifier("cosine", covariance="shared"),
        "LogisticRegression": LogisticRegression(max_iter=1000),
        "SVC": SVC(),
        "1-NN": KNeighborsClassifier(1),
        "RidgeClassifier": RidgeClassifier(),
    }


def photos(data, cache):
    """Return embeddings of photos of unit length, labels, and the split of each."""
    stored = cache / f"{data.stem}.npz"
    if not stored.exists():
        from _photos import EfficientNetLite0, write_photos

        from skfsl import SiameseTransformer

        with tempfile.TemporaryDirectory(prefix="skfsl-photos-") as folder:
            paths, y, split = write_photos(data, Path(folder))
            frozen = SiameseTransformer(
                EfficientNetLite0(), image_size=224, max_epochs=0
            )
            E = frozen.fit_transform(paths, y)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(stored, E=E, y=y.astype(str), split=split.astype(str))
    with np.load(stored) as loaded:
        return normalize(loaded["E"]), loaded["y"], loaded["split"]


def problems(args):
    """Yield name, embeddings, labels, and which may be enrolled and predicted."""
    for name in ("clinc150", "banking77") if args.data else ():
        found = texts(name, args.data, args.cache)
        if found is None:
            print(f"no text_{name}.json.gz: it is left out")
            continue
        E, y, split = found
        yield name, E, y, split == "train", split == "test"
    for data in args.photos:
        E, y, split = photos(data, args.cache)
        train, test = split == "train", split == "test"
        if not np.array_equal(np.unique(y[train]), np.unique(y[test])):
            train = test = np.ones(len(y), dtype=bool)
        yield data.stem, E, y, train, test


def draw(y, train, test, k, rng, uneven):
    """Return k rows of each class that may be enrolled, and rows of queries.

    If uneven, any number from 1 to k.
    """
    support = []
    for label in np.unique(y[train]):
        found = np.flatnonzero((y == label) & train)
        # One is left to be asked where what is enrolled would be asked, too.
        if len(found) >= k + test[found].any():
            n = rng.integers(1, k + 1) if uneven else k
            support.append(rng.permutation(found)[:n])
    support = np.concatenate(support)
    asked = np.flatnonzero(test & np.isin(y, y[support]))
    return support, np.setdiff1d(asked, support)


def interval(values):
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return 100 * np.mean(values), 100 * half


def accuracy(args):
    for name, E, y, train, test in problems(args):
        for k in args.shots:
            rng = np.random.default_rng(args.seed)
            drawn = [
                draw(y, train, test, k, rng, args.uneven) for _ in range(args.n_draws)
            ]
            scores = {}
            for row, classifier in rows().items():
                scores[row] = np.array([
                    recall_score(
                        y[asked],
                        classifier.fit(E[support], y[support]).predict(E[asked]),
                        average="macro",
                    )
                    for support, asked in drawn
                ])  # fmt: skip
            n_classes = len(np.unique(y[drawn[0][0]]))
            shots = f"1 to {k}" if args.uneven else k
            print(f"\n{name}, {n_classes} classes, {shots} a class")
            for row, values in scores.items():
                mean, half = interval(values)
                line = f"{row:24s}{mean:6.1f} ± {half:3.1f}"
                if row != BASELINE:
                    more, about = interval(values - scores[BASELINE])
                    line += f"{more:+8.1f} ± {about:3.1f}"
                print(line, flush=True)


def cost(args):
    rng = np.random.default_rng(0)
    n_classes, shots, d = 1000, 100, 384
    X = rng.normal(size=(n_classes * shots, d)).astype(np.float32)
    y = np.repeat(np.arange(n_classes), shots)
    query = X[:1]
    for name, clf in list(rows().items())[:2]:
        times = {"first predict": [], "add a class of 5": [], "next predict": [],
                 "forget it": [], "predict again": []}  # fmt: skip
        for _ in range(args.n_draws):
            clf.fit(X, y)
            actions = (
                lambda clf=clf: clf.predict(query),
                lambda clf=clf: clf.partial_fit(X[:5] + 1, [n_classes] * 5),
                lambda clf=clf: clf.predict(query),
                lambda clf=clf: clf.forget(n_classes),
                lambda clf=clf: clf.predict(query),
            )
            # What finds the store full copies it, once in a while: not here.
            clf.partial_fit(X[:1], y[:1])
            for action, found in zip(actions, times.values(), strict=True):
                start = time.perf_counter()
                action()
                found.append(1e3 * (time.perf_counter() - start))
        print(f"\n{name}, {len(X)} samples of {d} features, in milliseconds")
        for action, found in times.items():
            print(f"{action:24s}{spread(found)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the texts")
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="npz files")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "skfsl-open-set",
        help="folder where embeddings are kept",
    )  # fmt: skip
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 5, 10])
    parser.add_argument("--uneven", action="store_true", help="1 to so many a class")
    parser.add_argument("--n-draws", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cost", action="store_true", help="time additions instead")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "The number of unique classes is greater")
    print(machine())
    (cost if args.cost else accuracy)(args)


if __name__ == "__main__":
    main()
