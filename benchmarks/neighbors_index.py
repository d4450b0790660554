"""Neighbors by an index against exact search: time, and how many are found.

    OMP_NUM_THREADS=1 python benchmarks/neighbors_index.py --data path/to/folder

Texts are CLINC150 and BANKING77 together, as in open_set.py, if they are in the folder;
the rest is drawn: a million samples of 64 features, in 20,000 clusters. Exact search
and FAISS's IndexFlatL2 take turns, and their ratio is taken pair by pair. A neighbor is
found if what is answered is no farther than what should be.
"""

import argparse
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
from _report import machine, spread
from open_set import texts

from skfsl import KNeighborsClassifier

N_NEIGHBORS = 5


def milliseconds(call, *args):
    start = time.perf_counter()
    call(*args)
    return 1e3 * (time.perf_counter() - start)


def sentences(folder, cache, rng):
    """Return embeddings of two sets of texts in one, and their intents."""
    both = [texts(name, folder, cache) for name in ("clinc150", "banking77")]
    if None in both:
        return None
    X = np.concatenate([E for E, *_ in both]).astype(np.float32)
    y = [f"{i} {label}" for i, (_, labels, _) in enumerate(both) for label in labels]
    order = rng.permutation(len(X))
    return X[order], np.array(y)[order]


def mixture(n_samples, rng):
    """Return samples around centres, and which."""
    n_classes = n_samples // 50
    centres = rng.normal(size=(n_classes, 64)).astype(np.float32)
    y = rng.integers(0, n_classes, n_samples)
    X = centres[y]
    X += 0.5 * rng.normal(size=X.shape).astype(np.float32)
    return X, y


def recall(clf, queries, farthest):
    """Return the share of neighbors no farther than the farthest that is right."""
    distances = clf.kneighbors(queries)[0]
    return (distances <= farthest[:, np.newaxis] * (1 + 1e-5) + 1e-6).mean()


def against_flat(exact, flat, queries, repeats):
    pairs = [
        (
            milliseconds(exact.kneighbors, queries),
            milliseconds(flat.search, queries, N_NEIGHBORS),
        )
        for _ in range(repeats)
    ]
    ours, theirs = zip(*pairs, strict=True)
    print(f"  {len(queries)} queries: exact {spread(ours)} ms")
    print(f"    flat {spread(theirs)} ms, ratio {spread([a / b for a, b in pairs])}")


def by_index(kind, X, y, queries, exact, repeats):
    clf = KNeighborsClassifier(N_NEIGHBORS, index=kind)
    print(f"  index={kind!r}: fit {milliseconds(clf.fit, X, y) / 1e3:.1f} s")
    single = [
        milliseconds(clf.kneighbors, query[np.newaxis]) for query in queries[:200]
    ]
    many = [milliseconds(clf.kneighbors, queries) for _ in range(repeats)]
    print(f"    1 query {spread(single)} ms")
    print(f"    {len(queries)} queries {spread(many)} ms")
    found = recall(clf, queries, exact.kneighbors(queries)[0][:, -1])
    same = np.mean(clf.predict(queries) == exact.predict(queries))
    print(f"    recall@{N_NEIGHBORS} {found:.4f}, same class as exact {same:.4f}")
    added = []
    for i in range(10 * repeats):
        label = f"new {i}" if y.dtype.kind == "U" else int(y.max()) + 1 + i
        new = X[5 * i : 5 * i + 5] + np.float32(0.01)
        added.append(milliseconds(clf.partial_fit, new, [label] * 5))
    # The first addition makes room in the store, for those that follow.
    print(f"    a class of 5 added {spread(added[1:])} ms, the first {added[0]:.0f} ms")
    gone = milliseconds(clf.forget, clf.classes_[:10])
    print(f"    10 classes forgotten {gone:.0f} ms", flush=True)


def compare(title, X, y, args):
    queries, X, y = X[: args.queries], X[args.queries :], y[args.queries :]
    print(f"{title}: {X.shape[0]:,} x {X.shape[1]}, {N_NEIGHBORS} neighbors")
    exact = KNeighborsClassifier(N_NEIGHBORS).fit(X, y)
    flat = faiss.IndexFlatL2(X.shape[1])
    flat.add(X)
    against_flat(exact, flat, queries[:1], 5 * args.repeats)
    against_flat(exact, flat, queries, args.repeats)
    for kind in args.kinds:
        by_index(kind, X, y, queries, exact, args.repeats)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=None, help="folder of the texts")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "skfsl-open-set",
        help="folder where embeddings are kept",
    )  # fmt: skip
    parser.add_argument("--samples", type=int, default=1_000_000, help="drawn ones")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", default=["torch", "faiss", "hnsw"])
    args = parser.parse_args()
    print(machine())
    rng = np.random.default_rng(0)
    both = sentences(args.data or args.cache, args.cache, rng)
    if both is not None:
        compare("texts", *both, args)
    if args.samples:
        compare("clusters", *mixture(args.samples + args.queries, rng), args)


if __name__ == "__main__":
    main()
