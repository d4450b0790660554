"""Threads that predict while others add and forget: is any answer torn, and how fast.

    python benchmarks/support_threads.py --seconds 60

Each writer has classes of its own. It adds two of them in one partial_fit and forgets
both in one forget, again and again, and notes when a call began and when it returned.
Readers ask for the same queries, one beside each class that may be there, so that an
answer tells which classes were. It has to be that of a state that was committed: torn
is one with half of a pair, untimely one with a pair that was not there at any moment
between the question and the answer. The seconds are shared out among the classifiers.
"""

import argparse
import itertools
import threading
import time
import warnings

import numpy as np
from _report import machine
from sklearn.preprocessing import StandardScaler

from skfsl import FewShotPipeline, KNeighborsClassifier, PrototypeClassifier

N_PAIRS, N_FEATURES, N_SHOTS = 8, 64, 5


def classifiers():
    yield "prototypes", PrototypeClassifier()
    yield (
        "prototypes, with unknown_label",
        PrototypeClassifier(unknown_label=-1, familiarity="similarity"),
    )
    yield "prototypes, covariance", PrototypeClassifier(covariance="shared")
    yield "neighbours", KNeighborsClassifier(1)
    yield (
        "pipeline",
        FewShotPipeline([("scale", StandardScaler()), ("clf", PrototypeClassifier())]),
    )


class Writer:
    """Adds and forgets pairs of classes, and keeps a journal."""

    def __init__(self, clf, centers, labels, rng):
        self.clf, self.centers, self.labels, self.rng = clf, centers, labels, rng
        # For each pair: (began, returned, whether it is there from then on).
        self.journal = [[(-np.inf, -np.inf, False)] for _ in range(N_PAIRS)]
        self.n_writes = 0

    def run(self, stop):
        """Write until told to stop."""
        there = np.zeros(N_PAIRS, dtype=bool)
        while not stop.is_set():
            pair = int(self.rng.integers(N_PAIRS))
            at = [2 * pair, 2 * pair + 1]
            began = time.perf_counter()
            if there[pair]:
                self.clf.forget(self.labels[at])
            else:
                noise = self.rng.normal(size=(2 * N_SHOTS, N_FEATURES))
                X = np.repeat(self.centers[at], N_SHOTS, axis=0) + 0.01 * noise
                self.clf.partial_fit(X, np.repeat(self.labels[at], N_SHOTS))
            returned = time.perf_counter()
            there[pair] = not there[pair]
            self.journal[pair].append((began, returned, bool(there[pair])))
            self.n_writes += 1


def read(clf, queries, answers, stop):
    while not stop.is_set():
        began = time.perf_counter()
        predicted = clf.predict(queries)
        answers.append((began, time.perf_counter(), predicted))


def possible(journal, began, returned):
    """Return what may have been seen of a pair between two moments."""
    seen = set()
    for (start, _, there), (_, end, _) in itertools.pairwise(
        [*journal, (np.inf, np.inf, None)]
    ):
        # It may hold from when its call began until the call after it returned.
        if start <= returned and end >= began:
            seen.add(there)
    return seen


def judge(writers, answers):
    torn = untimely = 0
    for began, returned, predicted in answers:
        seen = np.split(predicted, len(writers))
        for writer, labels in zip(writers, seen, strict=True):
            right = (labels == writer.labels).reshape(N_PAIRS, 2)
            torn += int((right[:, 0] != right[:, 1]).any())
            untimely += any(
                bool(right[pair, 0]) not in possible(journal, began, returned)
                for pair, journal in enumerate(writer.journal)
            )
    return torn, untimely


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="in all")
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--stored", type=int, default=2000, help="samples that stay")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "Nothing is refused")
    print(machine())
    print(f"{args.readers} threads predict, {args.writers} write")
    print(f"{'':32s}{'answers/s':>10s}{'writes/s':>10s}{'torn':>6s}{'untimely':>10s}")
    competitors = list(classifiers())
    for name, clf in competitors:
        rng = np.random.default_rng(0)
        n = 2 * N_PAIRS * args.writers
        # Beside each class that comes and goes is one that stays, a little farther.
        centers = 10 * rng.normal(size=(n, N_FEATURES))
        stay = centers + rng.normal(size=centers.shape) / 8
        own = rng.integers(n, size=args.stored)
        own[:n] = np.arange(n)
        noise = 0.01 * rng.normal(size=(args.stored, N_FEATURES))
        clf.fit(stay[own] + noise, own)
        labels = np.arange(n) + n
        writers = [
            Writer(clf, *parts, np.random.default_rng(i))
            for i, parts in enumerate(
                zip(
                    np.split(centers, args.writers),
                    np.split(labels, args.writers),
                    strict=True,
                )
            )
        ]
        answers = [[] for _ in range(args.readers)]
        stop, failed = threading.Event(), []

        def guarded(call, *given, stop=stop, failed=failed):
            try:
                call(*given, stop)
            except Exception as error:  # whatever it is, it is what is looked for
                failed.append(error)
                stop.set()

        threads = [
            threading.Thread(target=guarded, args=(writer.run,)) for writer in writers
        ] + [
            threading.Thread(target=guarded, args=(read, clf, centers, own_answers))
            for own_answers in answers
        ]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        stop.wait(args.seconds / len(competitors))
        stop.set()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - start
        if failed:
            raise failed[0]
        everything = list(itertools.chain(*answers))
        torn, untimely = judge(writers, everything)
        n_writes = sum(writer.n_writes for writer in writers)
        print(
            f"{name:32s}{len(everything) / seconds:10.0f}{n_writes / seconds:10.0f}"
            f"{torn:6d}{untimely:10d}",
            flush=True,
        )


if __name__ == "__main__":
    main()
