"""When the learning rate falls, which classes validate, which weights are kept."""

import copy
import math

import numpy as np
import torch
from torch import nn

from skfsl.model_selection import iter_episodes
from skfsl.siamese._data import embed
from skfsl.siamese._module import SiameseModule

__all__ = ["ClassValidation", "cosine_factor", "split_classes"]

# Fewer classes than this are all trained on: too few to hold any out.
MIN_CLASSES_TO_VALIDATE = 10
# Fewer than this say too little to be worth their loss: of 25 faces three held out cost
# nine points of accuracy on new ones.
MIN_VALIDATION_CLASSES = 5
# More validation classes and samples than these tell little more and cost much.
MAX_VALIDATION_CLASSES = 64
MAX_SAMPLES_A_CLASS = 16
N_EPISODES = 200


def cosine_factor(step: int, n_steps: int, *, warmup: float = 0.02) -> float:
    """Return the share of the learning rate at a step.

    A linear rise over the first `warmup` of all steps, then half a cosine down to
    zero (Loshchilov and Hutter, SGDR, ICLR 2017, without restarts).
    """
    rise = max(1, round(warmup * n_steps))
    if step < rise:
        return (step + 1) / (rise + 1)
    done = (step - rise) / max(1, n_steps - rise)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def split_classes(
    codes: np.ndarray,
    fraction: float,
    rng: np.random.RandomState,
    seen: np.ndarray | tuple = (),
) -> np.ndarray:
    """Choose the classes that validate: the metric never sees them.

    Parameters
    ----------
    codes : ndarray of int64, shape (n,)
        Class codes.
    fraction : float
        Share of the classes, in [0, 1).
    rng : RandomState
        Draws them.
    seen : array-like of int64
        Codes of the classes that the metric was trained on before.

    Returns
    -------
    held_out : ndarray of int64
        Sorted; empty below 10 classes, and where fewer than five would be chosen. Only
        unseen classes of two and more samples are chosen, and at most 64.
    """
    classes, counts = np.unique(codes, return_counts=True)
    pairs = classes[counts >= 2]
    eligible = np.setdiff1d(pairs, seen)
    wanted = min(math.ceil(fraction * len(classes)), MAX_VALIDATION_CLASSES)
    # What is left must still be two classes, and a pair in one of them.
    wanted = min(wanted, len(eligible), len(classes) - 2, len(pairs) - 1)
    if len(classes) < MIN_CLASSES_TO_VALIDATE or wanted < MIN_VALIDATION_CLASSES:
        return np.empty(0, dtype=np.int64)
    return np.sort(rng.choice(eligible, wanted, replace=False))


class ClassValidation:
    """Score a metric by one-shot episodes on classes that it never saw.

    Parameters
    ----------
    X : ndarray
        Samples of the validation classes.
    codes : ndarray of int64, shape (n,)
        Their class codes.
    patience : int or None
        Epochs without a better score after which training stops; None never stops.
    seed : int
        Fixes samples and episodes: the same ones at every epoch.
    """

    def __init__(
        self, X: np.ndarray, codes: np.ndarray, *, patience: int | None, seed: int
    ):
        rng = np.random.RandomState(seed)
        order = rng.permutation(len(codes))
        rank = np.empty(len(codes), dtype=np.int64)
        for code in np.unique(codes):
            mine = order[codes[order] == code]
            rank[mine] = np.arange(len(mine))
        keep = rank < MAX_SAMPLES_A_CLASS
        self.X, codes = X[keep], codes[keep]
        n_way = min(20, len(np.unique(codes)))
        self.episodes = []
        for support, query in iter_episodes(
            self.X, codes, n_way=n_way, n_shot=1, n_episodes=N_EPISODES,
            random_state=seed,
        ):  # fmt: skip
            own = codes[query][:, None] == codes[support]
            self.episodes.append((support, query, own.argmax(axis=1)))
        self.patience = patience
        self.best_score = -math.inf
        self.best_epoch = -1
        self.stage_began = -1
        self.best_state: dict | None = None

    def score(
        self,
        module: SiameseModule,
        device: torch.device,
        dtype: torch.dtype,
        X: torch.Tensor | None = None,
    ) -> float:
        """Return the mean accuracy over the episodes, a float in [0, 1].

        `X` is what goes into the module in place of the samples.
        """
        shown = self.X if X is None else X
        embeddings = embed(module, shown, device, dtype).to(device)
        n_right, n = torch.zeros((), device=device), 0
        with torch.inference_mode():
            for support, query, own in self.episodes:
                scores = module.head.scores(embeddings[query], embeddings[support])
                right = scores.argmax(dim=1) == torch.from_numpy(own).to(device)
                n_right += right.sum()
                n += len(own)
        return n_right.item() / n

    def update(self, score: float, epoch: int, module: nn.Module) -> bool:
        """Keep the weights of the best epoch; answer whether to stop.

        Of equal scores the later one is kept: the learning rate has fallen since. But
        what a fine-tuning starts from, epoch 0, is to be beaten.
        """
        better = score > self.best_score
        if better or (score == self.best_score and self.best_epoch > 0):
            self.best_score = score
            self.best_state = copy.deepcopy(module.state_dict())
            if better:
                self.best_epoch = epoch
        since = max(self.best_epoch, self.stage_began)
        return self.patience is not None and epoch - since >= self.patience

    def begin_stage(self, module: nn.Module, epoch: int) -> None:
        """Go on from the best weights, with new patience."""
        self.stage_began = epoch
        if self.best_state is not None:
            module.load_state_dict(self.best_state)

    def restore(self, module: nn.Module) -> None:
        """Put the best weights back."""
        if self.best_state is not None:
            module.load_state_dict(self.best_state)
            self.best_state = None
