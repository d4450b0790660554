"""One-shot among 20 characters of one alphabet: the task of Lake et al. (2015).

    python benchmarks/within_alphabet.py --data omniglot.npz --minutes 10
    python benchmarks/within_alphabet.py --data omniglot.npz --n-alphabets 5
    python benchmarks/within_alphabet.py --data omniglot.npz --recipe koch

Learns on the 30 background alphabets, or on five of them (Lake's minimal setting).
Then, in each of the 20 evaluation alphabets, 20 characters drawn by one person are the
support set, and the same 20 by another person the queries. Lake's own 20 runs are of
ten of these alphabets with drawings that were selected: people err on 4.5 % of them,
Koch's siamese network on 8 % (Lake et al. 2019). Here drawers and characters are drawn
at random.

- resnet: a small residual network, GeM pooling, prototypical loss, three quarters of a
  batch from few alphabets, five views (one-pixel shifts).
- koch: KochNet on 105 × 105, its sigmoid head on |a - b|, cross-entropy on all pairs.
"""

import argparse

import numpy as np
from _omniglot import fit_for, interval, load_background
from _report import machine
from sklearn.base import clone

from skfsl import PrototypeClassifier, SiameseTransformer
from skfsl.augmentation import RandomAffine
from skfsl.datasets import load_omniglot
from skfsl.encoders import KochNet, ResNet
from skfsl.samplers import ClassBalancedSampler

KOCH = SiameseTransformer(
    KochNet(), head="dense_sigmoid", loss="binary_cross_entropy", lr=5e-4,
    sampler=ClassBalancedSampler(32, n_shot=2, group_share=0.5),
    augment=RandomAffine(), precision="float32",
)  # fmt: skip
RECIPES = {
    "resnet": SiameseTransformer(
        ResNet((32, 64, 128), stem=32),
        sampler=ClassBalancedSampler(150, n_shot=2, group_share=0.75),
    ),
    "koch": KOCH,
    "koch_paper": clone(KOCH).set_params(encoder__paper_init=True),
}
IMAGE_SIZE = {"resnet": 28, "koch": 105, "koch_paper": 105}
N_WAY = 20


def play(classifier, E, evaluation, *, n_runs, seed=0):
    """Return the accuracy in each alphabet, in per cent, over `n_runs` runs."""
    rng = np.random.RandomState(seed)
    accuracies = []
    for alphabet in np.unique(evaluation.alphabet):
        mine = np.flatnonzero(evaluation.alphabet == alphabet)
        characters, code = np.unique(evaluation.target[mine], return_inverse=True)
        drawers, drawer = np.unique(evaluation.drawers[mine], return_inverse=True)
        if len(characters) < N_WAY:
            continue
        place = np.empty((len(characters), len(drawers)), dtype=int)
        place[code, drawer] = mine
        right = []
        for _ in range(n_runs):
            chosen = rng.choice(len(characters), N_WAY, replace=False)
            one, other = rng.choice(len(drawers), 2, replace=False)
            classifier.fit(E[place[chosen, one]], np.arange(N_WAY))
            answer = classifier.predict(E[place[chosen, other]])
            right.append((answer == np.arange(N_WAY)).mean())
        accuracies.append(100 * np.mean(right))
    return accuracies


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="omniglot.npz")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="resnet")
    parser.add_argument("--minutes", type=float, default=10, help="of training")
    parser.add_argument("--n-alphabets", type=int, help="of the background's 30")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--n-runs", type=int, default=200, help="in each alphabet")
    args = parser.parse_args()

    size = IMAGE_SIZE[args.recipe]
    evaluation = load_omniglot(args.data, subset="evaluation", image_size=size)
    print(f"{machine()}\n{RECIPES[args.recipe]}")
    print(
        f"{args.n_alphabets or 30} background alphabets, {args.minutes:g} minutes of "
        f"processor time over the threads; [95% interval over the 20 alphabets]"
    )
    found = {}
    for seed in args.seeds:
        X, y, groups = load_background(
            args.data, image_size=size, n_alphabets=args.n_alphabets, seed=seed
        )
        siamese = RECIPES[args.recipe].set_params(random_state=seed)
        siamese, cost = fit_for(siamese, X, y, groups, minutes=args.minutes)
        cells = []
        for views in (None, "shifts") if args.recipe == "resnet" else (None,):
            E = siamese.set_params(views=views).transform(evaluation.data)
            classifier = PrototypeClassifier(metric=siamese.metric_)
            accuracies = play(classifier, E, evaluation, n_runs=args.n_runs)
            mean, half = interval(accuracies)
            found.setdefault(views, []).append(mean)
            low, high = mean - half, mean + half
            cells.append(f"views={views}: {mean:.2f} [{low:.2f}, {high:.2f}]")
        print(
            f"seed {seed}: {cost['minutes']:.1f} min, {cost['steps']} steps, "
            + ", ".join(cells),
            flush=True,
        )
    for views, means in found.items():
        mean, half = interval(means)
        print(f"mean over seeds, views={views}: {mean:.2f} ± {half:.2f} (95%)")


if __name__ == "__main__":
    main()
