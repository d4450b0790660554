"""Few-shot accuracy on Omniglot, beside the published figures.

    python benchmarks/omniglot.py --data omniglot.npz            # or torchvision's root
    python benchmarks/omniglot.py --data omniglot.npz --epochs 24 --seed 1

Learns on the 964 background characters (each quarter turn of one is a class) and
plays episodes on the 659 evaluation characters, of which it has seen nothing. The
published figures (Snell et al. 2017) are of the Vinyals split, with 1,200 training
characters.
"""

import argparse
import time

import numpy as np
from _report import machine

from skfsl import PrototypeClassifier, SiameseTransformer
from skfsl.augmentation import rotate_as_classes
from skfsl.datasets import load_omniglot
from skfsl.model_selection import iter_episodes

PUBLISHED = {(5, 1): 98.8, (5, 5): 99.7, (20, 1): 96.0, (20, 5): 98.9}


def play(E, y, *, n_way, n_shot, n_episodes, seed):
    """Return the accuracy of each episode, in per cent."""
    accuracies = []
    for support, query in iter_episodes(
        E, y, n_way=n_way, n_shot=n_shot, n_query=15, n_episodes=n_episodes,
        random_state=seed,
    ):  # fmt: skip
        classifier = PrototypeClassifier().fit(E[support], y[support])
        accuracies.append(100 * (classifier.predict(E[query]) == y[query]).mean())
    return np.array(accuracies)


def interval(accuracies):
    """Show a mean with the half width of its 95% interval over episodes."""
    half = 1.96 * accuracies.std(ddof=1) / np.sqrt(len(accuracies))
    return f"{accuracies.mean():6.2f} ± {half:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", "--root", required=True,
        help="omniglot.npz, or the root folder of torchvision's Omniglot",
    )  # fmt: skip
    parser.add_argument("--epochs", type=int, help="default: the estimator's own")
    parser.add_argument("--n-episodes", type=int, default=1000)
    parser.add_argument("--image-size", type=int, default=28)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", type=int, default=1)
    args = parser.parse_args()

    background = load_omniglot(args.data, image_size=args.image_size)
    evaluation = load_omniglot(
        args.data, subset="evaluation", image_size=args.image_size
    )
    print(machine(), flush=True)
    X, y = rotate_as_classes(background.data, background.target)
    siamese = SiameseTransformer(random_state=args.seed, verbose=args.verbose)
    if args.epochs is not None:
        siamese.set_params(max_epochs=args.epochs)
    start = time.perf_counter()
    siamese.fit(X, y)
    minutes = (time.perf_counter() - start) / 60
    batch = siamese.net_.history[-1]
    print(
        f"{siamese}\ntrained on {len(X)} images of {len(np.unique(y))} classes in "
        f"{minutes:.1f} min, {len(siamese.history_)} epochs, last loss "
        f"{batch['train_loss']:.4f}"
    )
    E, labels = siamese.transform(evaluation.data), evaluation.target
    print(f"{args.n_episodes} episodes, mean accuracy ± 95% interval over episodes")
    for (n_way, n_shot), published in PUBLISHED.items():
        found = play(
            E, labels, n_way=n_way, n_shot=n_shot, n_episodes=args.n_episodes,
            seed=args.seed,
        )  # fmt: skip
        print(
            f"{n_way:2d}-way {n_shot}-shot  {interval(found)}   (ProtoNet {published})"
        )
    # A quota of the episodes for each alphabet that has 20 characters.
    alphabets = np.unique(evaluation.alphabet)
    within = []
    for alphabet in alphabets:
        mine = np.flatnonzero(evaluation.alphabet == alphabet)
        if len(np.unique(labels[mine])) < 20:
            continue
        found = play(
            E[mine], labels[mine], n_way=20, n_shot=1,
            n_episodes=max(1, args.n_episodes // len(alphabets)), seed=args.seed,
        )  # fmt: skip
        within.append(found)
    within = np.concatenate(within)
    print(f"20-way 1-shot within one alphabet  {interval(within)}")


if __name__ == "__main__":
    main()
