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
from _report import machine
from scipy.stats import norm, t

from skfsl import PrototypeClassifier, SiameseTransformer
from skfsl.augmentation import rotate_as_classes
from skfsl.datasets import load_omniglot
from skfsl.model_selection import make_episodic_scorer

PUBLISHED = {(5, 1): 98.8, (5, 5): 99.7, (20, 1): 96.0, (20, 5): 98.9}


def play(E, y, *, n_way, n_shot, n_episodes, seed):
    """Return what the scorer tells of embeddings, in per cent."""
    scorer = make_episodic_scorer(
        n_way, n_shot=n_shot, n_query=15, n_episodes=n_episodes, return_stats=True,
        random_state=seed,
    )  # fmt: skip
    stats = scorer(PrototypeClassifier(), E, y)
    return {name: 100 * value for name, value in stats.items()}


def show(stats):
    """Show a mean with its two 95% intervals and the worst tenth of the episodes."""
    half = (stats["episodes_high"] - stats["episodes_low"]) / 2
    return (
        f"{stats['score']:6.2f} ± {half:.2f}  [{stats['classes_low']:.2f}, "
        f"{stats['classes_high']:.2f}]  {stats['worst_decile']:6.2f}"
    )


def play_within(E, y, alphabets, *, n_episodes, seed):
    """Return 20-way 1-shot stats of each alphabet with 20 characters or more."""
    names, codes = np.unique(alphabets, return_inverse=True)
    found = {}
    for code, name in enumerate(names.tolist()):
        mine = codes == code
        if len(np.unique(y[mine])) >= 20:
            found[name] = play(
                E[mine], y[mine], n_way=20, n_shot=1,
                n_episodes=max(1, n_episodes // len(names)), seed=seed,
            )  # fmt: skip
    return found


def show_within(found):
    """Show the mean over alphabets, as many episodes of each, and its intervals."""
    scores = np.array([stats["score"] for stats in found.values()])
    errors = np.array([stats["standard_error"] for stats in found.values()])
    mean, n = scores.mean(), len(scores)
    over_episodes = norm.ppf(0.975) * np.sqrt((errors**2).sum()) / n
    over_alphabets = t.ppf(0.975, n - 1) * scores.std(ddof=1) / np.sqrt(n)
    worst = min(found, key=lambda name: found[name]["score"])
    return (
        f"{mean:6.2f} ± {over_episodes:.2f}  [{mean - over_alphabets:.2f}, "
        f"{mean + over_alphabets:.2f}]  {scores.min():6.2f} ({worst})"
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
            E, labels, n_way=n_way, n_shot=n_shot, n_episodes=args.n_episodes,
            seed=args.seed,
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
