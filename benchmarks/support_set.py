"""The support set against scikit-learn's classifiers, and how its cost grows.

    python benchmarks/support_set.py

Competitors take turns, and ratios are taken pair by pair. What is shown is the median
with the smallest and the largest value.
"""

import argparse
import itertools
import time
import warnings

import numpy as np
from _report import machine, spread
from sklearn import neighbors

from skfsl import KNeighborsClassifier, PrototypeClassifier

N_FEATURES = 64
CLASSIFIERS = (PrototypeClassifier, KNeighborsClassifier)


def milliseconds(call):
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def support(n_classes, n_samples, rng):
    X = rng.normal(size=(n_samples, N_FEATURES)).astype(np.float32)
    return X, np.arange(n_samples) % n_classes


def compare(title, ours, theirs, repeats):
    """Print the times of both and how many times faster ours is."""
    ours(), theirs()
    a, b = [], []
    for _ in range(repeats):
        a.append(milliseconds(ours))
        b.append(milliseconds(theirs))
    ratio = [y / x for x, y in zip(a, b, strict=True)]
    print(f"{title}\n  skfsl {spread(a)} ms, scikit-learn {spread(b)} ms")
    print(f"  {spread(ratio)} times as fast")


class Growing:
    """A classifier that is given five samples of a new class at each call."""

    def __init__(self, classifier, X, y, rng):
        self.classifier = classifier.fit(X, y)
        self.labels = itertools.count(y.max() + 1)
        self.rng = rng
        # The first addition makes room, which is paid for by those that follow.
        self.first = self.add()

    def add(self):
        """Time partial_fit, in milliseconds."""
        X = self.rng.normal(size=(5, N_FEATURES)).astype(np.float32)
        y = np.full(5, next(self.labels))
        return milliseconds(lambda: self.classifier.partial_fit(X, y))


def against_scikit_learn(rng, repeats):
    X, y = support(1000, 5000, rng)
    queries = rng.normal(size=(10_000, N_FEATURES)).astype(np.float32)
    ours, theirs = PrototypeClassifier(), neighbors.NearestCentroid()
    compare(
        "fit of 1,000 classes x 5, prototypes and NearestCentroid",
        lambda: ours.fit(X, y), lambda: theirs.fit(X, y), repeats,
    )  # fmt: skip
    for method in ("predict", "predict_proba"):
        compare(
            f"{method} of 10,000 queries, the same",
            lambda m=method: getattr(ours, m)(queries),
            lambda m=method: getattr(theirs, m)(queries),
            repeats,
        )
    ours, theirs = CLASSIFIERS[1](), neighbors.KNeighborsClassifier()
    theirs.set_params(algorithm="brute")
    ours.fit(X, y), theirs.fit(X, y)
    for method in ("predict", "predict_proba"):
        compare(
            f"{method} of 10,000 queries, 5 neighbors of 5,000",
            lambda m=method: getattr(ours, m)(queries),
            lambda m=method: getattr(theirs, m)(queries),
            repeats,
        )


def growth_with_samples(rng, repeats):
    print("partial_fit of 5 samples of a new class to 1,000 classes")
    for make in CLASSIFIERS:
        few = Growing(make(), *support(1000, 1000, rng), rng)
        many = Growing(make(), *support(1000, 1_000_000, rng), rng)
        pairs = [(few.add(), many.add()) for _ in range(repeats)]
        a, b = zip(*pairs, strict=True)
        print(f"  {make.__name__}: 1,000 stored {spread(a)} ms, 1,000,000 {spread(b)}")
        print(f"    {spread([y / x for x, y in pairs])} times as long")
        print(f"    (the first, which copies the store: {many.first:.0f} ms)")


def growth_with_classes(rng, repeats):
    print("partial_fit of 5 samples of a new class, 5 samples a class")
    sizes = (100, 1000, 10_000, 100_000)
    for make in CLASSIFIERS:
        sets = [Growing(make(), *support(n, 5 * n, rng), rng) for n in sizes]
        times = [[] for _ in sizes]
        for _ in range(repeats):
            # In any order: each finds the caches as the one before left them.
            for i in rng.permutation(len(sizes)):
                times[i].append(sets[i].add())
        print(f"  {make.__name__}:")
        for n, one in zip(sizes, times, strict=True):
            print(f"    {n:,} classes {spread(one)} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    # NearestCentroid has something to say about features without spread.
    warnings.simplefilter("ignore", UserWarning)
    print(machine())
    rng = np.random.default_rng(0)
    against_scikit_learn(rng, args.repeats)
    growth_with_samples(rng, 10 * args.repeats)
    growth_with_classes(rng, 10 * args.repeats)


if __name__ == "__main__":
    main()
