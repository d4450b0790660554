"""Label sets: is the true class in them as often as promised, and how large are they.

And what probabilities are worth before and after `temperature="auto"` and `calibrate`.

    python benchmarks/label_sets.py --data ../data

Data, files and --cache as of benchmarks/open_set.py. Support sets are drawn again and
again; shots of 0 are one to ten, drawn for each class. Coverage is that of the test
queries and, for texts, of what the training split has left ("same"): a test split that
was collected otherwise is no fair sample of what the support set was drawn from. Where
classes differ in shots, it is averaged over classes. `calibrate` is given half of the
test queries, and errors are those on the other half.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _report import machine
from open_set import draw, problems
from sklearn.base import clone

from skfsl import PrototypeClassifier
from skfsl.metrics import expected_calibration_error

ALPHAS = (0.05, 0.1, 0.2)


def coverage(clf, X, y):
    """Return coverage, mean set size and share of empty sets, for each alpha."""
    columns = np.searchsorted(clf.classes_, y)
    found = []
    for alpha in ALPHAS:
        sets = clf.predict_set(X, alpha)
        held = sets[np.arange(len(y)), columns]
        by_class = np.bincount(columns, held) / np.bincount(columns)
        sizes = sets.sum(axis=1)
        found.append((np.nanmean(by_class), sizes.mean(), (sizes == 0).mean()))
    return np.array(found)


def errors(clf, X, y, rng):
    """Return calibration errors: temperature 1, "auto", and after `calibrate`."""
    half = rng.random(len(y)) < 0.5
    found = []
    for temperature in (1.0, "auto", "calibrate"):
        plain = temperature == "calibrate"
        one = clone(clf).set_params(temperature=1.0 if plain else temperature)
        one.fit(clf._support.samples.columns[0], clf.classes_[clf._support.positions])
        if plain:
            one.calibrate(X[half], y[half])
        proba = one.predict_proba(X[~half])
        found.append(expected_calibration_error(y[~half], proba, labels=one.classes_))
    return 100 * np.array(found)


def show(name, values):
    """Print means over draws and half-widths of intervals at 95 %."""
    values = np.array(values)
    half = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    cells = []
    for (c, s, e), (h, *_) in zip(values.mean(axis=0), half, strict=True):
        cells.append(f"{100 * c:5.1f} ± {100 * h:3.1f} ({s:5.2f}, {100 * e:4.1f})")
    print(f"{name:28s} " + "  ".join(cells), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the files")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "skfsl-open-set",
        help="folder where embeddings are kept",
    )  # fmt: skip
    names = ("clinc", "banking", "omniglot", "nyala", "grocery")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, help="which data sets"
    )
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 5, 10, 0])
    parser.add_argument("--n-draws", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "alpha=")
    warnings.filterwarnings("ignore", "temperature='auto'")
    print(machine())
    print(
        f"coverage in per cent (mean size, empty sets in per cent) at alpha = "
        f"{ALPHAS}; {args.n_draws} draws, intervals at 95 % over draws"
    )
    start = time.perf_counter()
    calibration = []
    for name, metric, E, y, split in problems(args):
        for shots in args.shots:
            rng = np.random.default_rng(args.seed)
            found, same, wrong = [], [], []
            for _ in range(args.n_draws):
                state = rng.bit_generator.state
                classes, may_support, may_ask, _ = split(rng)
                rng.bit_generator.state = state
                support, queries, _ = draw(y, split, len(classes), shots, rng)
                clf = PrototypeClassifier(metric).fit(E[support], y[support])
                found.append(coverage(clf, E[queries], y[queries]))
                if not (may_support & may_ask).any():
                    rest = np.flatnonzero(may_support & np.isin(y, clf.classes_))
                    rest = np.setdiff1d(rest, support)
                    same.append(coverage(clf, E[rest], y[rest]))
                wrong.append(errors(clf, E[queries], y[queries], rng))
            title = f"{name}, {shots or '1 to 10'} shots"
            show(title, found)
            if same:
                show(f"{'':10s} same", same)
            mean, spread = np.mean(wrong, axis=0), np.std(wrong, axis=0, ddof=1)
            half = 1.96 * spread / np.sqrt(len(wrong))
            cells = (f"{m:5.1f} ± {h:3.1f}" for m, h in zip(mean, half, strict=True))
            calibration.append(f"{title:28s} " + "  ".join(cells))
    print("\ncalibration error in per cent: temperature 1, 'auto', after calibrate")
    print("\n".join(calibration))
    print(f"\n({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
