"""Wrong labels in a support set: how many are found, beside cleanlab.

    python benchmarks/mislabelled.py --data ../data

Texts of CLINC150 and BANKING77 as in open_set.py. A share of the labels is changed to
that of another class, and the samples are ranked: the first 5 % are what somebody looks
at. cleanlab gets probabilities by five-fold cross-validation, of logistic regression
and of ten nearest neighbors; "find" is its find_label_issues, the others its
get_label_quality_scores, by self-confidence as is its default.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _report import machine
from open_set import texts
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier as Neighbors

from skfsl import KNeighborsClassifier, PrototypeClassifier

TOP = 0.05


def draw(E, y, shots, share, rng):
    """Return samples, labels of which a share is wrong, and which are."""
    classes, codes = np.unique(y, return_inverse=True)
    rows = [
        rng.permutation(np.flatnonzero(codes == c))[:shots] for c in range(len(classes))
    ]
    rows = np.concatenate(rows)
    given = codes[rows]
    wrong = rng.permutation(len(rows))[: round(share * len(rows))]
    given[wrong] += rng.integers(1, len(classes), len(wrong))
    given %= len(classes)
    return E[rows], given, given != codes[rows]


def rankings(X, y):
    """Yield names, and functions that rank samples, most suspicious first."""
    for name, clf in {
        "prototypes": PrototypeClassifier("cosine"),
        "neighbours": KNeighborsClassifier(1, metric="cosine"),
    }.items():
        yield name, lambda clf=clf: clf.fit(X, y).suspicious_support().id

    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        raise SystemExit("This asks for the package cleanlab.")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)

    def quality(model):
        proba = cross_val_predict(model, X, y, cv=folds, method="predict_proba")
        return proba, np.argsort(get_label_quality_scores(y, proba), kind="stable")

    logistic = LogisticRegression(C=10, max_iter=300)
    yield "cleanlab, logistic", lambda: quality(logistic)[1]
    yield "cleanlab, neighbours", lambda: quality(Neighbors(10, metric="cosine"))[1]

    def find():
        proba, ranked = quality(logistic)
        found = find_label_issues(
            y, proba, return_indices_ranked_by="self_confidence", n_jobs=1
        )
        # Where it finds less than is looked at, the next ones of the ranking.
        return np.append(found, ranked[~np.isin(ranked, found)])

    yield "cleanlab, find", find


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the files")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "skfsl-open-set",
        help="folder where embeddings are kept",
    )  # fmt: skip
    parser.add_argument("--shots", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--share", type=float, nargs="+", default=[0.05, 0.1, 0.2])
    parser.add_argument("--n-draws", type=int, default=5)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(machine())
    print(
        f"of the first {TOP:.0%} how many labels are wrong, in per cent: means over "
        f"{args.n_draws} draws with intervals at 95 %, and seconds a ranking"
    )
    for name in ("clinc150", "banking77"):
        loaded = texts(name, args.data, args.cache)
        if loaded is None:
            print(f"{name}: no file")
            continue
        E, y = loaded[:2]
        known = y != "oos"
        E, y = E[known], y[known]
        for shots in args.shots:
            for share in args.share:
                precision, seconds = {}, {}
                for seed in range(args.n_draws):
                    rng = np.random.default_rng(seed)
                    X, given, wrong = draw(E, y, shots, share, rng)
                    n = round(TOP * len(X))
                    for method, rank in rankings(X, given):
                        start = time.perf_counter()
                        hits = wrong[rank()[:n]].sum() / n
                        passed = time.perf_counter() - start
                        precision.setdefault(method, []).append(100 * hits)
                        seconds.setdefault(method, []).append(passed)
                print(f"\n{name}, {shots} a class, {share:.0%} wrong")
                for method, values in precision.items():
                    half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
                    print(
                        f"{method:22s} {np.mean(values):5.1f} ± {half:3.1f} "
                        f"{np.median(seconds[method]):8.2f} s",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
