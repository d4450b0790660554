"""The support set: fit, predict and partial_fit against scikit-learn, and its growth.

    python benchmarks/support_set.py

Two competitors take turns, and the ratio is taken pair by pair. Times are medians with
the smallest and the largest.
"""

import argparse
import time
import warnings

import numpy as np
from _report import machine, spread
from sklearn import neighbors

from skfsl import KNeighborsClassifier, PrototypeClassifier

N_FEATURES = 64


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def support(n_classes, n_samples, rng):
    y = np.arange(n_samples) % n_classes
    X = rng.normal(size=(n_samples, N_FEATURES)).astype(np.float32)
    return X, y


def compare(title, ours, theirs, repeats):
    """Print the times of both and how many times faster ours is."""
    ours(), theirs()
    a, b = [], []
    for _ in range(repeats):
        a.append(1e3 * seconds(ours))
        b.append(1e3 * seconds(theirs))
    ratio = [y / x for x, y in zip(a, b, strict=True)]
    print(f"{title:44s} ours {spread(a)} ms, scikit-learn {spread(b)} ms")
    print(f"{'':44s} {spread(ratio)} times faster")


def adding(classifier, X, y, rng, repeats):
    """Time partial_fit of five samples of a new class, in milliseconds."""
    classifier.fit(X, y)
    times = []
    for i in range(repeats + 20):
        new = rng.normal(size=(5, N_FEATURES)).astype(np.float32)
        label = np.full(5, y.max() + 1 + i)
        start = time.perf_counter()
        classifier.partial_fit(new, label)
        times.append(1e3 * (time.perf_counter() - start))
    # The first ones grow the buffer, which is paid for by all the later ones.
    return times[20:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    rng = np.random.default_rng(0)
    X, y = support(1000, 5000, rng)
    queries = rng.normal(size=(10_000, N_FEATURES)).astype(np.float32)

    theirs, ours = neighbors.NearestCentroid(), PrototypeClassifier()
    compare(
        "fit, 1,000 classes x 5",
        lambda: ours.fit(X, y), lambda: theirs.fit(X, y), args.repeats,
    )  # fmt: skip
    compare(
        "predict of 10,000, 1,000 prototypes",
        lambda: ours.predict(queries), lambda: theirs.predict(queries), args.repeats,
    )  # fmt: skip
    knn = KNeighborsClassifier(algorithm="brute").fit(X, y)
    their_knn = neighbors.KNeighborsClassifier(algorithm="brute").fit(X, y)
    compare(
        "KNN predict of 10,000, 5,000 stored",
        lambda: knn.predict(queries), lambda: their_knn.predict(queries),
        max(3, args.repeats // 3),
    )  # fmt: skip

    print("\npartial_fit of 5 samples of a new class, 1,000 classes stored")
    small, large = support(1000, 1000, rng), support(1000, 1_000_000, rng)
    for make in (PrototypeClassifier, KNeighborsClassifier):
        few = adding(make(), *small, rng, 100)
        many = adding(make(), *large, rng, 100)
        ratio = np.median(many) / np.median(few)
        print(
            f"  {make.__name__:20s} 1,000 samples {spread(few)} ms, 1,000,000 "
            f"{spread(many)} ms: {ratio:.2f} times"
        )
    print("\npartial_fit of 5 samples of a new class, by the number of classes")
    for n_classes in (100, 1000, 10_000):
        data = support(n_classes, 5 * n_classes, rng)
        for make in (PrototypeClassifier, KNeighborsClassifier):
            times = adding(make(), *data, rng, 100)
            print(f"  {make.__name__:20s} {n_classes:6,d} classes {spread(times)} ms")


if __name__ == "__main__":
    main()
