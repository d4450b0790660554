"""Episodes a second: skfsl's scorer against easyfsl's evaluation loop.

    python benchmarks/episodes.py                                # made-up embeddings
    python benchmarks/episodes.py --data omniglot.npz            # learned ones
    OMP_NUM_THREADS=1 python benchmarks/episodes.py --data omniglot.npz

Both are given the same embeddings of 659 classes x 20 and as many episodes, which they
draw themselves; both classify by the nearest prototype. easyfsl runs as its
documentation has it for extracted features: FeaturesDataset, TaskSampler, DataLoader,
PrototypicalNetworks, evaluate; without the progress bar, and with as many loader
workers as serve it best. Competitors take turns, and ratios are taken pair by pair.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from _report import machine, spread
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from torch.utils.data import DataLoader

from skfsl import PrototypeClassifier, SiameseTransformer
from skfsl.datasets import load_omniglot
from skfsl.model_selection import iter_episodes, make_episodic_scorer

TASKS = ((5, 1), (5, 5), (20, 1))
N_QUERY = 15
# A turn goes on until then; a single call of the fast ones would be all noise.
TURN_SECONDS = 0.3


def embeddings(data, epochs):
    """Return 64-dimensional embeddings of 659 classes x 20, and labels."""
    if data is None:
        rng = np.random.default_rng(0)
        y = np.repeat(np.arange(659), 20)
        centers = rng.normal(size=(659, 64))
        return (0.7 * centers[y] + rng.normal(size=(len(y), 64))).astype(np.float32), y
    X, y = load_omniglot(data, image_size=28, return_X_y=True)
    siamese = SiameseTransformer(max_epochs=epochs, random_state=0).fit(X, y)
    X, y = load_omniglot(data, subset="evaluation", image_size=28, return_X_y=True)
    return siamese.transform(X), y


def ours(E, y, n_way, n_shot, n_episodes, seed):
    """Return the mean accuracy by the scorer."""
    scorer = make_episodic_scorer(
        n_way, n_shot=n_shot, n_query=N_QUERY, n_episodes=n_episodes, random_state=seed
    )
    return scorer(PrototypeClassifier(), E, y)


def ours_with_intervals(E, y, n_way, n_shot, n_episodes, seed):
    """Return the mean accuracy by the scorer, which also makes its intervals."""
    scorer = make_episodic_scorer(
        n_way, n_shot=n_shot, n_query=N_QUERY, n_episodes=n_episodes, random_state=seed,
        return_stats=True,
    )  # fmt: skip
    return scorer(PrototypeClassifier(), E, y)["score"]


def logistic(E, y, n_way, n_shot, n_episodes, seed):
    """Return the mean accuracy of scikit-learn's classifier by the scorer."""
    scorer = make_episodic_scorer(
        n_way, n_shot=n_shot, n_query=N_QUERY, n_episodes=n_episodes, random_state=seed
    )
    return scorer(make_pipeline("passthrough", LogisticRegression()), E, y)


def plain_loop(E, y, n_way, n_shot, n_episodes, seed):
    """Return the mean accuracy of NearestCentroid, fitted episode by episode."""
    episodes = iter_episodes(
        E, y, n_way=n_way, n_shot=n_shot, n_query=N_QUERY, n_episodes=n_episodes,
        random_state=seed,
    )  # fmt: skip
    accuracies = [
        NearestCentroid().fit(E[s], y[s]).score(E[q], y[q]) for s, q in episodes
    ]
    return np.mean(accuracies)


def make_easyfsl(n_workers):
    """Return easyfsl's evaluation as a function like those above."""
    from easyfsl.datasets import FeaturesDataset
    from easyfsl.methods import PrototypicalNetworks
    from easyfsl.samplers import TaskSampler
    from easyfsl.utils import evaluate

    class Swallow:
        """Takes the argument that samplers of newer torch no longer take."""

        def __init__(self, data_source=None):
            pass

    class Tasks(TaskSampler, Swallow):
        """The sampler as it is, constructed under any torch."""

    def run(E, y, n_way, n_shot, n_episodes, seed):
        # It draws from the generator of Python's random.
        import random

        random.seed(seed)
        dataset = FeaturesDataset(
            y.tolist(), torch.from_numpy(E), [str(label) for label in np.unique(y)]
        )
        tasks = Tasks(dataset, n_way, n_shot, N_QUERY, n_episodes)
        loader = DataLoader(
            dataset, batch_sampler=tasks, num_workers=n_workers,
            collate_fn=tasks.episodic_collate_fn,
        )  # fmt: skip
        model = PrototypicalNetworks()
        return evaluate(model, loader, device="cpu", use_tqdm=False)

    return run


def competitors():
    found = {}
    try:
        for n_workers in (0, 2):
            found[f"easyfsl, {n_workers} workers"] = make_easyfsl(n_workers)
    except ImportError as error:
        print(f"easyfsl is left out: {error}. Install it with `pip install easyfsl`.")
    return found


def take_turns(runs, E, y, n_way, n_shot, n_episodes, repeats):
    """Return episodes a second and mean accuracies of each, by turn."""
    speeds = {name: [] for name in runs}
    accuracies = {name: [] for name in runs}
    for run, _ in runs.values():
        run(E, y, n_way, n_shot, 10, 0)
    for seed in range(repeats):
        for name, (run, share) in runs.items():
            n = max(10, int(n_episodes * share))
            found, start = [], time.perf_counter()
            while time.perf_counter() < start + TURN_SECONDS:
                found.append(run(E, y, n_way, n_shot, n, seed))
            speeds[name].append(len(found) * n / (time.perf_counter() - start))
            accuracies[name].append(found[0])
    return speeds, accuracies


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", help="omniglot.npz, or torchvision's root folder; default: made up"
    )
    parser.add_argument("--epochs", type=int, default=2, help="of training")
    parser.add_argument("--n-episodes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    # NearestCentroid has something to say about features without spread.
    warnings.simplefilter("ignore", UserWarning)
    warnings.simplefilter("ignore", RuntimeWarning)
    print(machine())
    theirs = competitors()
    E, y = embeddings(args.data, args.epochs)
    made = "learned" if args.data else "made up"
    print(
        f"embeddings {made}, {E.shape}; {args.n_episodes} episodes a call, "
        f"{N_QUERY} queries of each class; episodes a second, the draw included"
    )
    # The share of the episodes that is enough to time those that are slow.
    runs = {"skfsl": (ours, 1), "skfsl, intervals too": (ours_with_intervals, 1)}
    runs |= {name: (run, 1) for name, run in theirs.items()}
    runs["NearestCentroid in a loop"] = (plain_loop, 0.2)
    runs["skfsl, LogisticRegression"] = (logistic, 0.1)
    for n_way, n_shot in TASKS:
        speeds, accuracies = take_turns(
            runs, E, y, n_way, n_shot, args.n_episodes, args.repeats
        )
        print(f"\n{n_way}-way {n_shot}-shot")
        for name, own in speeds.items():
            ratio = [a / b for a, b in zip(speeds["skfsl"], own, strict=True)]
            times = "" if name == "skfsl" else f", skfsl {spread(ratio)} times as fast"
            low, mid, high = np.percentile(own, [0, 50, 100])
            print(f"  {name:25s} {mid:,.0f} [{low:,.0f}, {high:,.0f}]{times}")
        known = make_episodic_scorer(
            n_way, n_shot=n_shot, n_query=N_QUERY, n_episodes=args.n_episodes,
            return_stats=True,
        )(PrototypeClassifier(), E, y)  # fmt: skip
        for name in theirs:
            both = [100 * np.mean(accuracies[key]) for key in ("skfsl", name)]
            error = 100 * known["standard_error"] * np.sqrt(2 / args.repeats)
            print(
                f"  mean accuracy: skfsl {both[0]:.2f}, {name} {both[1]:.2f}, apart by "
                f"{abs(both[0] - both[1]) / error:.1f} standard errors"
            )


if __name__ == "__main__":
    main()
