"""A door that knows some people: how many strangers it lets in.

    python benchmarks/stranger.py --data orl_faces.npz

Some people are enrolled from a few photos each. The other photos of them are shown, and
photos of people who were never enrolled, the strangers. False accepts are the strangers
that are taken for somebody, false rejects the enrolled who are taken for nobody, and
wrong names those who are let in as somebody else. Means over draws of who is who and of
which photos are enrolled, with intervals at 95 % (Student's t) over draws; these do not
cover other people than those of the data.

`frozen`: EfficientNet-Lite0 as it comes, from ImageNet. `learned`: some of the people
are neither enrolled nor strangers, and a metric is learned on all of their photos: the
same network, whitened, and with its map trained. Fewer are left to be enrolled then;
the frozen network is shown with these as well.
"""

import argparse
import time
import warnings

import numpy as np
from _photos import EfficientNetLite0, add_photo_arguments, folder_of, write_photos
from _report import machine
from scipy import stats
from sklearn.metrics import roc_auc_score

from skfsl import PrototypeClassifier, SiameseTransformer

STRANGER = "stranger"
COLUMNS = ("false accepts", "false rejects", "wrong names")


def draw(y, sizes, shots, rng):
    """Return rows to learn the metric on, to enrol, of known and of strange queries."""
    people = rng.permutation(np.unique(y))
    learned, enrolled, strangers, _ = np.split(people, np.cumsum(sizes))
    support = np.concatenate(
        [rng.permutation(np.flatnonzero(y == who))[:shots] for who in enrolled]
    )
    known = np.setdiff1d(np.flatnonzero(np.isin(y, enrolled)), support)
    base, strange = (np.flatnonzero(np.isin(y, who)) for who in (learned, strangers))
    return base, support, known, strange


def judge(E, y, metric, rejects, support, known, strange):
    """Yield figures in per cent for each way to set the threshold, and the AUROC."""
    clf = PrototypeClassifier(metric, unknown_label=STRANGER).fit(
        E[support], y[support]
    )
    for reject in rejects:
        clf.set_params(reject=reject)
        answers, intruders = clf.predict(E[known]), clf.predict(E[strange])
        yield (
            f"reject={reject!r}",
            [
                np.mean(intruders != STRANGER),
                np.mean(answers == STRANGER),
                np.mean((answers != STRANGER) & (answers != y[known])),
            ],
        )
    rows = np.concatenate([known, strange])
    scores = clf.score_samples(E[rows])
    yield "AUROC", [roc_auc_score(np.isin(rows, known), scores)]


def report(title, judged):
    print(f"\n{title}\n{'':16s}" + "".join(f"{c:>16s}" for c in COLUMNS))
    for name in judged[0]:
        values = 100 * np.array([one[name] for one in judged])
        half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
        cells = zip(values.mean(axis=0), half, strict=True)
        shown = "".join(f"{f'{m:.1f} ± {h:.1f}':>16s}" for m, h in cells)
        print(f"{name:16s}{shown}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_photo_arguments(parser)
    parser.add_argument("--shots", type=int, default=5, help="photos enrolled a person")
    parser.add_argument("--strangers", type=int, default=10, help="how many people")
    parser.add_argument(
        "--learned",
        type=int,
        default=15,
        help="people that a metric is learned on; 0: none",
    )
    parser.add_argument("--rejects", nargs="+", default=["auto", "0.05", "0.01"])
    parser.add_argument("--n-draws", type=int, default=10)
    args = parser.parse_args()
    rejects = [r if r == "auto" else float(r) for r in args.rejects]
    warnings.filterwarnings("ignore", "Nothing is refused")
    start = time.perf_counter()
    print(machine())
    with folder_of(args.files) as folder:
        paths, y, _ = write_photos(args.data, folder)

        def embedded(base, encoder, **settings):
            siamese = SiameseTransformer(encoder, cache=folder / "cache", **settings)
            return siamese.fit(paths[base], y[base]).transform(paths)

        def learned(base, seed):
            net = EfficientNetLite0()
            return embedded(base, net, max_epochs=3, random_state=seed)

        frozen = embedded(np.arange(len(y)), EfficientNetLite0(), max_epochs=0)
        n_people = len(np.unique(y))

        def play(title, n_learned, embeddings):
            n_enrolled = n_people - n_learned - args.strangers
            judged = []
            for seed in range(args.n_draws):
                rng = np.random.default_rng(seed)
                sizes = [n_learned, n_enrolled, args.strangers]
                base, *rows = draw(y, sizes, args.shots, rng)
                E, metric = embeddings(base, seed)
                judged.append(dict(judge(E, y, metric, rejects, *rows)))
            known = f"{n_enrolled} enrolled from {args.shots} photos"
            report(f"{title}; {known}, {args.strangers} strangers", judged)

        play("frozen EfficientNet-Lite0", 0, lambda base, seed: (frozen, "cosine"))
        if args.learned:
            play(
                "frozen EfficientNet-Lite0", args.learned,
                lambda base, seed: (frozen, "cosine"),
            )  # fmt: skip
            play(
                f"EfficientNet-Lite0, learned on {args.learned} others", args.learned,
                lambda base, seed: (learned(base, seed), "euclidean"),
            )  # fmt: skip
    print(f"\n({(time.perf_counter() - start) / 60:.1f} min)")


if __name__ == "__main__":
    main()
