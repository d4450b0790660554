"""A few samples of each class out of many: which ones to keep.

    python benchmarks/bounded_support.py --data ../data

Texts of CLINC150 and BANKING77 as in open_set.py: 50 examples a class come five at a
time, and --most of a class are kept by `max_per_class`. Beside it: k-centre (the
farthest from those chosen, from the one next to the mean on) on the same stream, the
first that came, and all.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
from _report import machine
from open_set import texts

from skfsl import KNeighborsClassifier, PrototypeClassifier

N_SAMPLES, BATCH, N_QUERIES = 50, 5, 30


def k_center(X, n):
    chosen = [np.square(X - X.mean(axis=0)).sum(axis=1).argmin()]
    far = np.full(len(X), np.inf)
    for _ in range(n - 1):
        far = np.minimum(far, np.square(X - X[chosen[-1]]).sum(axis=1))
        chosen.append(far.argmax())
    return np.array(chosen)


def stream(E, rows, most, choose):
    """Return what is kept of rows of each class that come batch by batch."""
    for own in rows:
        kept = own[:0]
        for start in range(0, len(own), BATCH):
            kept = np.append(kept, own[start : start + BATCH])
            if len(kept) > most:
                kept = kept[choose(E[kept], most)]
        yield kept


def judge(E, y, rows, queries, most):
    """Yield names and accuracies of prototypes and of the nearest neighbor."""
    makers = (
        lambda **kw: PrototypeClassifier("cosine", **kw),
        lambda **kw: KNeighborsClassifier(1, metric="cosine", **kw),
    )

    def fitted(chosen):
        at = np.concatenate(list(chosen))
        return [make().fit(E[at], y[at]) for make in makers]

    candidates = {
        "all": fitted(rows),
        "first": fitted(own[:most] for own in rows),
        "k-centre": fitted(stream(E, rows, most, k_center)),
    }
    for keep in ("random", "herding"):
        growing = [make(max_per_class=most, keep=keep) for make in makers]
        for start in range(0, N_SAMPLES, BATCH):
            at = rows[:, start : start + BATCH].ravel()
            growing = [clf.partial_fit(E[at], y[at]) for clf in growing]
        candidates[keep] = growing
    for name, classifiers in candidates.items():
        yield name, [clf.score(E[queries], y[queries]) for clf in classifiers]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the files")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "skfsl-open-set",
        help="folder where embeddings are kept",
    )  # fmt: skip
    parser.add_argument("--most", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--n-draws", type=int, default=5)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(machine())
    print(f"accuracy in per cent, means over {args.n_draws} draws, intervals at 95 %")
    for name in ("clinc150", "banking77"):
        loaded = texts(name, args.data, args.cache)
        if loaded is None:
            print(f"{name}: no file")
            continue
        E, y = loaded[:2]
        for most in args.most:
            found = {}
            for seed in range(args.n_draws):
                rng = np.random.default_rng(seed)
                drawn = [
                    rng.permutation(np.flatnonzero(y == label))
                    for label in np.unique(y[y != "oos"])
                ]
                rows = np.stack([own[:N_SAMPLES] for own in drawn])
                asked = [own[N_SAMPLES : N_SAMPLES + N_QUERIES] for own in drawn]
                for keep, values in judge(E, y, rows, np.concatenate(asked), most):
                    found.setdefault(keep, []).append(values)
            print(f"\n{name}, {most} of {N_SAMPLES}: prototypes, nearest neighbor")
            for keep, values in found.items():
                values = 100 * np.array(values)
                half = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
                cells = zip(values.mean(axis=0), half, strict=True)
                text = "   ".join(f"{m:5.1f} ± {h:3.1f}" for m, h in cells)
                print(f"{keep:10s} {text}", flush=True)


if __name__ == "__main__":
    main()
