"""What the benchmarks on Omniglot share: data, budgets of time, figures of merit."""

import time

import numpy as np
import torch
from scipy.stats import norm, t
from sklearn.base import clone

from skfsl import PrototypeClassifier
from skfsl.augmentation import rotate_as_classes
from skfsl.datasets import load_omniglot
from skfsl.model_selection import make_episodic_scorer


def load_background(path, *, image_size=28, n_alphabets=None, seed=0):
    """Return images, labels and alphabets to train on; quarter turns are classes.

    With `n_alphabets` only so many of the 30 background alphabets are taken.
    """
    background = load_omniglot(path, image_size=image_size)
    images, labels = background.data, background.target
    alphabets = background.alphabet
    if n_alphabets is not None:
        rng = np.random.RandomState(seed)
        kept = rng.choice(np.unique(alphabets), n_alphabets, replace=False)
        mine = np.isin(alphabets, kept)
        images, labels, alphabets = images[mine], labels[mine], alphabets[mine]
    X, y = rotate_as_classes(images, labels)
    # The turns follow each other: those of an alphabet are a group of their own.
    groups = np.concatenate([alphabets + 100 * turn for turn in range(4)])
    return X, y, groups


def fit_steps(siamese, X, y, groups=None, *, n_steps):
    """Fit a clone for `n_steps` batches; tell the processor time by the threads."""
    n_epochs = max(1, min(20, n_steps // 50))
    fitted = clone(siamese).set_params(
        sampler__n_batches=n_steps // n_epochs, max_epochs=n_epochs
    )
    start = time.process_time()
    fitted.fit(X, y, groups=groups)
    seconds = (time.process_time() - start) / torch.get_num_threads()
    n_steps = n_epochs * (n_steps // n_epochs)
    return fitted, {"minutes": seconds / 60, "steps": n_steps}


def fit_for(siamese, X, y, groups=None, *, minutes):
    """Fit a clone for `minutes` of processor time on all threads; tell its steps.

    Processor time divided by the threads: what is measured does not depend on what
    else the machine does. The learning rate falls to zero at the end of it, so that
    the length of a step has to be known before; two short fits tell it.
    """

    def timed(n_batches):
        _, cost = fit_steps(siamese, X, y, groups, n_steps=n_batches)
        return 60 * cost["minutes"]

    timed(8)
    short, long = timed(16), timed(96)
    n_steps = max(20, int(minutes * 60 / max((long - short) / 80, 1e-6)))
    return fit_steps(siamese, X, y, groups, n_steps=n_steps)


def play(classifier, X, y, *, n_way, n_shot, n_episodes, seed):
    """Return what the episodic scorer tells, in per cent."""
    scorer = make_episodic_scorer(
        n_way, n_shot=n_shot, n_query=15, n_episodes=n_episodes, return_stats=True,
        random_state=seed,
    )  # fmt: skip
    return {name: 100 * value for name, value in scorer(classifier, X, y).items()}


def play_within(X, y, alphabets, *, n_episodes, seed, classifier=None):
    """Return 20-way 1-shot stats of each alphabet with 20 characters or more."""
    names, codes = np.unique(alphabets, return_inverse=True)
    found = {}
    for code, name in enumerate(names.tolist()):
        mine = codes == code
        if len(np.unique(y[mine])) >= 20:
            found[name] = play(
                classifier or PrototypeClassifier(), X[mine], y[mine], n_way=20,
                n_shot=1, n_episodes=max(1, n_episodes // len(names)), seed=seed,
            )  # fmt: skip
    return found


def interval(values):
    """Return the mean and the half width of its 95% interval by Student's t."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:
        return values.mean(), np.nan
    return values.mean(), t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)


def show_within(found):
    """Show the mean over alphabets, as many episodes of each, and its intervals."""
    scores = np.array([stats["score"] for stats in found.values()])
    errors = np.array([stats["standard_error"] for stats in found.values()])
    over_episodes = norm.ppf(0.975) * np.sqrt((errors**2).sum()) / len(scores)
    mean, half = interval(scores)
    worst = min(found, key=lambda name: found[name]["score"])
    return (
        f"{mean:6.2f} ± {over_episodes:.2f}  [{mean - half:.2f}, {mean + half:.2f}]  "
        f"{scores.min():6.2f} ({worst})"
    )
