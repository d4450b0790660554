"""One choice at a time, all else equal: what it is worth on Omniglot.

    python benchmarks/ablations.py --data omniglot.npz
    python benchmarks/ablations.py --data omniglot.npz --only pooling --seeds 5

Learns on background characters, plays on evaluation characters, as `losses.py`. Of each
ablation the first row is the reference; the others come with the difference from it,
paired by seed, and its 95% interval (Student's t over seeds).

- groups: which share of a batch's classes comes from one alphabet.
- folding: every sample a query against the others, or half of each class the support.
- pooling: average against covariance of the last maps, of three blocks (3 × 3 maps).
- hard pairs: by linear assignment against random balanced ones, with mixed norms and
  binary cross-entropy, on four drawings of each character; as many steps for both.
"""

import argparse
import time

import numpy as np
from _omniglot import fit_steps, interval, load_background, play, play_within
from _report import machine
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skfsl import SiameseClassifier, SiameseTransformer
from skfsl.datasets import load_omniglot
from skfsl.encoders import ConvNet
from skfsl.losses import PrototypicalLoss
from skfsl.samplers import ClassBalancedSampler

COLUMNS = ("5-way 1-shot", "20-way 1-shot", "within an alphabet")


def variants(name):
    """Return label -> SiameseTransformer, the reference first."""
    base = SiameseTransformer("conv4", sampler="class_balanced")
    if name == "groups":
        return {
            f"group_share={share}": clone(base).set_params(sampler__group_share=share)
            for share in (0.0, 0.5, 1.0)
        }
    if name == "folding":
        return {
            f"folding={folding}, {way} x {shot}": clone(base).set_params(
                sampler=ClassBalancedSampler(way, n_shot=shot),
                loss=PrototypicalLoss(folding=folding),
            )
            for way, shot in ((150, 2), (60, 5))
            for folding in (False, True)
        }
    if name == "pooling":
        return {
            pooling: clone(base).set_params(encoder=ConvNet(3, pooling=pooling))
            for pooling in ("average", "covariance")
        }
    pairs = clone(base).set_params(head="mixed_norms", loss="binary_cross_entropy")
    return {
        sampler: clone(pairs).set_params(sampler=sampler)
        for sampler in ("balanced_pairs", "hard_pairs")
    }


def score(siamese, evaluation, n_episodes):
    """Return the accuracies in per cent, by the head itself, whatever it is."""
    classifier = SiameseClassifier(FrozenEstimator(siamese))
    classifier.fit(evaluation.data[:40], evaluation.target[:40])
    X, y = evaluation.data, evaluation.target
    found = [
        play(classifier, X, y, n_way=n_way, n_shot=1, n_episodes=n_episodes, seed=0)[
            "score"
        ]
        for n_way in (5, 20)
    ]
    within = play_within(
        X, y, evaluation.alphabet, n_episodes=2 * n_episodes, seed=0,
        classifier=classifier,
    )  # fmt: skip
    return [*found, np.mean([stats["score"] for stats in within.values()])]


def fit_epochs(siamese, X, y, n_epochs):
    """Fit a clone for so many epochs; tell the processor time."""
    start = time.process_time()
    fitted = clone(siamese).set_params(max_epochs=n_epochs).fit(X, y)
    return fitted, {"minutes": (time.process_time() - start) / 60}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="omniglot.npz")
    names = ("groups", "folding", "pooling", "hard_pairs")
    parser.add_argument("--only", choices=names, nargs="+", default=names)
    parser.add_argument("--steps", type=int, default=400, help="batches of training")
    parser.add_argument("--pair-epochs", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n-episodes", type=int, default=500)
    args = parser.parse_args()

    X, y, groups = load_background(args.data)
    background = load_omniglot(args.data, image_size=28)
    few = background.drawers <= 4
    evaluation = load_omniglot(args.data, subset="evaluation", image_size=28)
    print(
        f"{machine()}\n{args.seeds} seeds, {args.steps} steps; minutes of "
        f"processor time"
    )
    for name in args.only:
        print(f"\n{name}\n{'':24s}{'minutes':>8s}  " + "  ".join(COLUMNS), flush=True)
        reference = None
        for label, siamese in variants(name).items():
            rows, minutes = [], []
            for seed in range(args.seeds):
                siamese.set_params(random_state=seed)
                if name == "hard_pairs":
                    fitted, cost = fit_epochs(
                        siamese, background.data[few], background.target[few],
                        args.pair_epochs,
                    )  # fmt: skip
                else:
                    used = groups if name == "groups" else None
                    fitted, cost = fit_steps(siamese, X, y, used, n_steps=args.steps)
                rows.append(score(fitted, evaluation, args.n_episodes))
                minutes.append(cost["minutes"])
            rows = np.array(rows)
            reference = rows if reference is None else reference
            show(label, minutes, rows, rows - reference)


def show(label, minutes, rows, differences):
    """Print the means of a variant, and what it is worth."""
    cells = ("{:6.2f} ± {:4.2f}".format(*interval(column)) for column in rows.T)
    print(f"{label:24s}{np.mean(minutes):8.2f}  " + "  ".join(cells), flush=True)
    if differences.any():
        cells = ("{:+6.2f} ± {:4.2f}".format(*interval(c)) for c in differences.T)
        print(f"{'':34s}" + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
