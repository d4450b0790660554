"""What a loss learns of single classes, kept from fit to fit."""

import bisect
import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from skfsl.siamese._data import Staged, embed
from skfsl.siamese._module import build_loss

__all__ = ["codes_of", "continue_loss", "imprint"]


def continue_loss(
    loss: Any, before: Any, head: Any, embedding_dim: int, labels: Sequence
) -> tuple[Any, list, int]:
    """Make the loss for some classes, with what is known of classes met before.

    A loss of our own has ``proxies``, whose row c is of the class of code c; one of
    another library has whatever weights it has. Codes are given to labels in the order
    that they are met in, so that a row keeps its meaning while others are added.

    Parameters
    ----------
    loss : str, Part or callable
        As given to the estimator.
    before : SiameseNet or None
        The net that training goes on from; it is left alone.
    head : object
        The built head.
    embedding_dim : int
        Width of the embeddings.
    labels : sequence
        Those that are trained on now.

    Returns
    -------
    loss : callable
        ``loss(embeddings, labels, head) -> scalar``.
    labels : list
        The label that each code stands for.
    n_known : int
        How many of them the loss knows from before.

    Raises
    ------
    ValueError
        If a loss of another library has no room for as many classes.
    """
    old = None if before is None else before.loss
    known = list(before.loss_labels) if _has_weights(old) else []
    if known:
        met = set(known)
        every = [*known, *(label for label in labels if label not in met)]
        built = build_loss(loss, head, embedding_dim, len(every))
        if _take_over(built, old):
            _check_room(built, embedding_dim, len(every), len(known))
            return built, every, len(known)
    built = build_loss(loss, head, embedding_dim, max(1, len(labels)))
    _check_room(built, embedding_dim, len(labels), 0)
    return built, list(labels), 0


def codes_of(classes: np.ndarray, labels: Sequence) -> np.ndarray:
    """Return the place of each class in `labels`, -1 where it is not in there."""
    places = {label: code for code, label in enumerate(labels)}
    return np.array([places.get(c, -1) for c in classes.tolist()], dtype=np.int64)


def imprint(loss: Any, n_known: int, module: nn.Module, staged: Staged) -> None:
    """Begin the proxies of new classes at the mean directions of their samples.

    Each of several centers is the mean of every n-th sample. After H. Qi, M.
    Brown and D. G. Lowe, Low-Shot Learning with Imprinted Weights, CVPR, 2018.

    Parameters
    ----------
    loss : callable
        Its first `n_known` proxies are left alone; without any known, all are, since
        the embeddings of an untrained network say little.
    n_known : int
        Number of classes known from before.
    module : SiameseModule
        Trained before.
    staged : Staged
        The samples, with codes.
    """
    new = np.flatnonzero(staged.codes >= n_known)
    if not n_known or not len(new) or not hasattr(loss, "proxies"):
        return
    n_centers, width = loss.proxies.shape[1:]
    codes = staged.codes[new] - n_known
    order = np.argsort(codes, kind="stable")
    rank = np.empty_like(codes)
    rank[order] = np.arange(len(codes)) - np.searchsorted(codes[order], codes[order])
    module.eval()
    samples = staged.part(new)
    directions = F.normalize(embed(module, samples, staged.device, torch.float32))
    sums = torch.zeros((len(loss.proxies) - n_known) * n_centers, width)
    sums.index_add_(
        0, torch.from_numpy(codes * n_centers + rank % n_centers), directions
    )
    means = F.normalize(sums).unflatten(0, (-1, n_centers)).to(loss.proxies)
    with torch.no_grad():
        # A center without a sample stays where it was drawn.
        there = means.square().sum(dim=2, keepdim=True) > 0
        loss.proxies[n_known:] = torch.where(there, means, loss.proxies[n_known:])


def _has_weights(loss: Any) -> bool:
    return isinstance(loss, nn.Module) and any(True for _ in loss.parameters())


def _take_over(built: Any, old: Any) -> bool:
    """Copy what `old` knows of classes; answer whether `built` can make use of it."""
    if hasattr(built, "proxies") and hasattr(old, "proxies"):
        if built.proxies.shape[1:] != old.proxies.shape[1:]:
            return False
        with torch.no_grad():
            built.proxies[: len(old.proxies)] = old.proxies
        return True
    # Of another library: nothing is known of its weights but that they are as many.
    if not _has_weights(built) or type(_inner(built)) is not type(_inner(old)):
        return False
    try:
        built.load_state_dict(old.state_dict())
    except RuntimeError:
        return False
    return True


def _check_room(loss: Any, embedding_dim: int, n_classes: int, n_known: int) -> None:
    """Refuse a loss made for fewer classes before it fails amid the training."""
    if hasattr(loss, "proxies") or not _has_weights(loss):
        return
    room = _find_room(loss, embedding_dim, n_classes)
    if n_classes <= room:
        return
    those = f", {n_known} of them from before" if n_known else ""
    raise ValueError(
        f"{type(_inner(loss)).__name__} was made for {room} classes and is to be "
        f"trained on {n_classes}{those}. Make it for {n_classes} classes or more, or "
        f"choose a loss of skfsl.losses, such as 'arc_face', which grows."
    )


def _find_room(loss: nn.Module, embedding_dim: int, n_classes: int) -> int:
    """Try how many classes a loss takes, `n_classes` at most: few say it."""
    x = F.normalize(torch.eye(4, embedding_dim) + 0.1)

    def fails(n: int) -> bool:
        # On the CPU, where a code out of range is an error that can be caught.
        probe = copy.deepcopy(loss).cpu()
        try:
            with torch.random.fork_rng(devices=[]):
                probe(x, torch.tensor([0, 0, n - 1, n - 1]), None)
        except Exception:
            return True
        return False

    if not fails(n_classes) or fails(2):
        return n_classes  # or it fails for another reason: training will say it
    return bisect.bisect_left(range(1, n_classes), True, lo=1, key=fails)


def _inner(loss: Any) -> Any:
    return getattr(loss, "loss", loss)
