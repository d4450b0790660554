"""Which loss to take: every loss with the same encoder and budget, on Omniglot.

    python benchmarks/losses.py --data omniglot.npz
    python benchmarks/losses.py --data omniglot.npz --losses triplet arc_face --seeds 5

Conv4 on 28 × 28 learns the 964 background characters, each quarter turn a class, half
of a batch from few alphabets; it is played on the 659 evaluation characters. Each loss
has its default settings and takes as many steps of 300 samples; the encoder takes
nearly all of their time, which is told too. Means over seeds with 95% intervals
(Student's t), which cover the seed of weights and batches, not other characters:
`omniglot.py` tells the latter.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from _omniglot import fit_steps, interval, load_background, play, play_within
from _report import machine

from skfsl import PrototypeClassifier, SiameseTransformer
from skfsl.datasets import load_omniglot

# The estimator's own head where the loss takes it, else the cosine that it asks for;
# what is made for logits is tried with a head that gives them, too.
RUNS = (
    ("prototypical", "euclidean"),
    ("sup_con", "euclidean"),
    ("sup_con", "cosine"),
    ("n_pair", "euclidean"),
    ("nca", "euclidean"),
    ("contrastive", "euclidean"),
    ("triplet", "euclidean"),
    ("binary_cross_entropy", "euclidean"),
    ("binary_cross_entropy", "dense_sigmoid"),
    ("mean_score", "euclidean"),
    ("class_consistency", "euclidean"),
    ("multi_similarity", "cosine"),
    ("normalized_softmax", "cosine"),
    ("cos_face", "cosine"),
    ("arc_face", "cosine"),
    ("proxy_anchor", "cosine"),
)
COLUMNS = ("5-way 1-shot", "20-way 1-shot", "20-way 5-shot", "within an alphabet")


def score(siamese, evaluation, n_episodes):
    """Return the four accuracies, in per cent."""
    E, y = siamese.transform(evaluation.data), evaluation.target
    classifier = PrototypeClassifier(metric=siamese.metric_)
    found = [
        play(
            classifier, E, y, n_way=n_way, n_shot=n_shot, n_episodes=n_episodes, seed=0
        )["score"]
        for n_way, n_shot in ((5, 1), (20, 1), (20, 5))
    ]
    within = play_within(
        E, y, evaluation.alphabet, n_episodes=2 * n_episodes, seed=0,
        classifier=classifier,
    )  # fmt: skip
    return [*found, np.mean([stats["score"] for stats in within.values()])]


def show(rows):
    """Show the mean of each column with its interval over the rows."""
    cells = ("{:.2f} ± {:.2f}".format(*interval(c)) for c in zip(*rows, strict=True))
    return "  ".join(f"{cell:>19s}" for cell in cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="omniglot.npz")
    parser.add_argument("--losses", nargs="+", metavar="LOSS", help="these only")
    parser.add_argument("--steps", type=int, default=400, help="batches of training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n-episodes", type=int, default=500)
    parser.add_argument("--json", type=Path, help="append each result to this file")
    args = parser.parse_args()

    X, y, groups = load_background(args.data)
    evaluation = load_omniglot(args.data, subset="evaluation", image_size=28)
    print(f"{machine()}\n{args.steps} steps, {args.seeds} seeds")
    print(f"{'':37s}{'minutes':>8s}  " + "  ".join(f"{name:>19s}" for name in COLUMNS))
    for loss, head in RUNS:
        if args.losses and loss not in args.losses:
            continue
        rows, minutes = [], []
        for seed in range(args.seeds):
            siamese = SiameseTransformer(
                "conv4", head=head, loss=loss, sampler="class_balanced",
                random_state=seed,
            )  # fmt: skip
            siamese, cost = fit_steps(siamese, X, y, groups, n_steps=args.steps)
            rows.append(score(siamese, evaluation, args.n_episodes))
            minutes.append(cost["minutes"])
            if args.json:
                line = {"loss": loss, "head": head, "seed": seed, **cost}
                line |= dict(zip(COLUMNS, map(float, rows[-1]), strict=True))
                with args.json.open("a") as file:
                    file.write(json.dumps(line) + "\n")
        cells = [
            "{:9.2f} ± {:5.2f}".format(*interval(c)) for c in zip(*rows, strict=True)
        ]
        print(
            f"{loss:22s}{np.mean(minutes):8.2f}  "
            + "  ".join(f"{c:>19s}" for c in cells),
            flush=True,
        )


if __name__ == "__main__":
    main()
