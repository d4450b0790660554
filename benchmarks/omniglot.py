"""Few-shot accuracy on Omniglot, beside the published figures.

    python benchmarks/omniglot.py --data omniglot.npz            # or torchvision's root
    python benchmarks/omniglot.py --data omniglot.npz --epochs 24 --seed 1

Learns on the 964 background characters (each quarter turn of one is a class) and
plays episodes on the 659 evaluation characters, of which it has seen nothing. The
published figures (Snell et al. 2017) are of the Vinyals split, with 1,200 training
characters. Means come with both intervals of the scorer: over the episodes drawn, which
covers the sampler, and over the classes, which covers other characters of the kind.
"""

import argparse
import time

import numpy as np
from _omniglot import play, play_within, show_within
from _report import machine

from skfsl import PrototypeClassifier, SiameseTransformer
from skfsl.augmentation import rotate_as_classes
from skfsl.datasets import load_omniglot

PUBLISHED = {(5, 1): 98.8, (5, 5): 99.7, (20, 1): 96.0, (20, 5): 98.9}


def show(stats):
    """Show a mean with its two 95% intervals and the worst tenth of the episodes."""
    half = (stats["episodes_high"] - stats["episodes_low"]) / 2
    return (
        f"{stats['score']:6.2f} ± {half:.2f}  [{stats['classes_low']:.2f}, "
        f"{stats['classes_high']:.2f}]  {stats['worst_decile']:6.2f}"
    )


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
    print(
        f"{args.n_episodes} episodes: mean accuracy ± 95% interval over episodes, "
        f"[95% interval over classes], worst tenth of the episodes"
    )
    for (n_way, n_shot), published in PUBLISHED.items():
        found = play(
            PrototypeClassifier(), E, labels, n_way=n_way, n_shot=n_shot,
            n_episodes=args.n_episodes, seed=args.seed,
        )  # fmt: skip
        print(f"{n_way:2d}-way {n_shot}-shot  {show(found)}   (ProtoNet {published})")
    # A quota of the episodes for each alphabet that has 20 characters.
    within = play_within(
        E, labels, evaluation.alphabet_names[evaluation.alphabet],
        n_episodes=args.n_episodes, seed=args.seed,
    )  # fmt: skip
    print(
        f"20-way 1-shot within one alphabet, mean over {len(within)}: ± over episodes, "
        f"[over alphabets], worst alphabet\n{'':15s}{show_within(within)}"
    )


if __name__ == "__main__":
    main()
