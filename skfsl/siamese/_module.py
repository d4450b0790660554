"""The network that is trained: encoder, projection and head as one module."""

import copy
import inspect
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from skfsl.augmentation import AUGMENTATIONS
from skfsl.encoders import (
    ENCODERS,
    MLP,
    Conv4,
    ConvNet,
    TorchvisionBackbone,
    load_weights,
)
from skfsl.heads import HEADS
from skfsl.losses import LOSSES
from skfsl.samplers import SAMPLERS
from skfsl.utils._parts import Part, part_from_name

__all__ = [
    "PARTS",
    "SiameseModule",
    "asks_for_shape",
    "behind_encoder",
    "build_encoder",
    "build_loss",
    "describe_network",
    "embeddings_of",
    "encoder_of",
    "encoder_part",
    "resolve_part",
]

# The parameters that take a part, and where its names are looked up.
PARTS = {
    "augment": AUGMENTATIONS,
    "encoder": ENCODERS,
    "head": HEADS,
    "loss": LOSSES,
    "sampler": SAMPLERS,
}
_ROOMS = {
    "encoders": "encoder",
    "heads": "head",
    "losses": "loss",
    "samplers": "sampler",
    "augmentation": "augment",
}


class SiameseModule(nn.Module):
    """Embed samples; the head that compares embeddings is trained along.

    Parameters
    ----------
    encoder : nn.Module
        Samples (n, *input_shape) -> embeddings (n, d).
    projection : nn.Module
        Embeddings (n, d) -> (n, embedding_dim).
    head : object
        Scores pairs of embeddings; a module where it has weights.
    """

    head: Any
    embedding_dim: int
    # Hashes of the samples that the weights were trained on, in whatever fit: sorted,
    # replaced and never written to. On the class for pickles that have none.
    trained_hashes: np.ndarray = np.empty(0, dtype=np.uint64)

    def __init__(self, encoder: nn.Module, projection: nn.Module, head: object):
        super().__init__()
        self.encoder = encoder
        self.projection = projection
        self.head = head
        # Labels that the weights were trained on, in whatever fit.
        self.trained_labels: set = set()
        self.n_epochs = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed samples of shape (n, *input_shape) into (n, embedding_dim)."""
        return self.projection(embeddings_of(self.encoder(x)))


def encoder_of(module: SiameseModule) -> SiameseModule:
    """Return a module that does the first half: samples to the encoder's answer."""
    return SiameseModule(module.encoder, nn.Identity(), module.head)


def behind_encoder(module: SiameseModule) -> SiameseModule:
    """Return a module that does the second half: the encoder's answer to embeddings."""
    return SiameseModule(nn.Identity(), module.projection, module.head)


def embeddings_of(answer: Any) -> Any:
    """Return the embeddings in what an encoder answers.

    Parameters
    ----------
    answer : Tensor or object
        A model of transformers answers an object. Its ``image_embeds`` or
        ``pooler_output`` are the embeddings, where it has them; else the mean of its
        ``last_hidden_state``, over the tokens (n, t, d) or places (n, d, h, w).

    Returns
    -------
    embeddings : Tensor
        Of shape (n, d) where they are from such an object; a tensor as it is.
    """
    for name in ("image_embeds", "pooler_output"):
        pooled = getattr(answer, name, None)
        if isinstance(pooled, torch.Tensor):
            return pooled.flatten(1)  # (n, d, 1, 1) in convolutional ones
    hidden = getattr(answer, "last_hidden_state", None)
    if isinstance(hidden, torch.Tensor):
        return hidden.mean(dim=1 if hidden.ndim == 3 else (2, 3))
    return answer


def resolve_part(value: object, param: str) -> object:
    """Return the part that a name stands for, anything else as it is."""
    if isinstance(value, type) and issubclass(value, Part):
        raise TypeError(
            f"The '{param}' parameter must be an instance. Got the class "
            f"{value.__name__}: write {value.__name__}()."
        )
    if not isinstance(value, str):
        _check_room(value, param)
        return value
    if param == "encoder" and value not in ENCODERS:
        return TorchvisionBackbone(value)
    return part_from_name(value, PARTS[param], param)


def _check_room(value: object, param: str) -> None:
    """Refuse a part of skfsl that is of another kind."""
    package, _, place = type(value).__module__.partition(".")
    kind = _ROOMS.get(place.partition(".")[0], param)
    if package == "skfsl" and kind != param:
        raise TypeError(
            f"The '{param}' parameter was given {value!r}, which is for '{kind}'."
        )


def encoder_part(encoder: Any, weights: Any) -> Any:
    """Return the part that a name stands for, with `weights` if it takes some."""
    encoder = resolve_part(encoder, "encoder")
    if isinstance(encoder, TorchvisionBackbone) and weights != "auto":
        return clone(encoder).set_params(weights=weights)
    return encoder


def build_encoder(
    encoder: Any, input_shape: tuple[int, ...], weights: Any = "auto"
) -> nn.Module:
    """Make a fresh encoder; what the user passed is never trained itself.

    Parameters
    ----------
    encoder : str, Part, nn.Module or callable
        "auto" is an MLP for tables and Conv4 for images, with fewer blocks for tiny
        ones. A callable makes a module; it gets the shape of a sample where it asks
        for one.
    input_shape : tuple of int
        (d,) or (c, h, w).
    weights : str, path-like, torchvision weights or None, default="auto"
        Those of a TorchvisionBackbone, if not "auto"; of others the path of a saved
        state_dict.

    Returns
    -------
    module : nn.Module
        With weights of its own.
    """
    if isinstance(encoder, str) and encoder == "auto":
        encoder = _choose_encoder(input_shape)
    encoder = encoder_part(encoder, weights)
    module = _make_encoder(encoder, input_shape)
    if weights in (None, "auto") or isinstance(encoder, TorchvisionBackbone):
        return module
    if not isinstance(weights, str | os.PathLike):
        raise TypeError(
            f"weights={weights} are for an encoder of torchvision, given by name. Of "
            f"encoder={encoder!r} they must be the path of a saved state_dict."
        )
    load_weights(module, weights)
    return module


def _make_encoder(encoder: Any, input_shape: tuple[int, ...]) -> nn.Module:
    """Make a fresh encoder of a part, a module or a callable."""
    if isinstance(encoder, nn.Module):
        return copy.deepcopy(encoder)
    if isinstance(encoder, Part):
        return encoder.build(input_shape)
    if not callable(encoder):
        raise TypeError(
            f"The 'encoder' parameter must be a name, an encoder of skfsl.encoders, a "
            f"torch.nn.Module or a callable that makes one. Got {encoder!r} instead."
        )
    module = encoder(input_shape) if asks_for_shape(encoder) else encoder()
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"The callable given as encoder must return a torch.nn.Module. "
            f"{encoder!r} returned {type(module).__name__}."
        )
    return module


def _choose_encoder(input_shape: tuple[int, ...]) -> Part:
    if len(input_shape) == 1:
        return MLP()
    # Four halvings leave nothing of 8 x 8 pixels; at 24 and more they are right.
    blocks = round(math.log2(min(input_shape[1:]))) - 1
    return Conv4() if blocks >= 4 else ConvNet(max(1, blocks))


def asks_for_shape(factory: Callable) -> bool:
    """Whether a factory has a positional parameter without a default."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:
        return False
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    return any(p.kind in positional and p.default is p.empty for p in parameters)


def describe_network(
    encoder: Any, embedding_dim: int | None, head: Any, weights: Any = "auto"
) -> dict:
    """Return in words what a network is built from, to tell another one from it."""
    if not (isinstance(encoder, str) and encoder == "auto"):
        encoder = encoder_part(encoder, weights)
    if isinstance(encoder, str | Part | nn.Module):
        name = str(encoder)  # of a module all of its layers
    else:
        name = getattr(encoder, "__qualname__", type(encoder).__name__)
    head = resolve_part(head, "head")
    return {
        "encoder": name,
        "weights": str(weights),
        "embedding_dim": embedding_dim,
        # The default repr of other objects is an address.
        "head": _in_words(head) if isinstance(head, Part) else type(head).__qualname__,
    }


def _in_words(part: Part) -> str:
    """Return the repr of a part with functions by name: theirs is an address."""

    def named(value):
        if isinstance(value, tuple | list):
            return tuple(map(named, value))
        if not callable(value):
            return value
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return f"{getattr(value, '__module__', '')}.{name}"

    params = {key: named(value) for key, value in part.get_params().items()}
    return str(type(part)(**params))


class _ForeignLoss(nn.Module):
    """A loss of another library, `loss(embeddings, labels)`, behind our signature."""

    def __init__(self, loss: object):
        super().__init__()
        self.loss = loss

    def forward(self, embeddings, labels, head):
        value = self.loss(embeddings, labels)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            shape = getattr(value, "shape", None)
            found = type(value).__name__ if shape is None else f"shape {tuple(shape)}"
            raise ValueError(
                f"loss(embeddings, labels) must return a tensor of one number. Got "
                f"{found}. Take its mean?"
            )
        if not value.requires_grad:
            raise ValueError(
                "loss(embeddings, labels) returned a tensor without a gradient: "
                "compute it from the embeddings, by functions of torch."
            )
        return value.reshape(())


def _name_of(head: object) -> str:
    """Return the name that a head is known by, of what it builds too."""
    name = type(head).__name__
    return f"{name[1:]}Head" if name.startswith("_") else name


def build_loss(loss: Any, head: Any, embedding_dim: int, n_classes: int):
    """Make the loss that is trained with, and check that it suits the head.

    Parameters
    ----------
    loss : str, Part or callable
        A loss of skfsl.losses, or any ``loss(embeddings, labels)``.
    head : object
        The built head.
    embedding_dim : int
        Width of the embeddings.
    n_classes : int
        Number of classes to train on.

    Returns
    -------
    loss : callable
        ``loss(embeddings, labels, head) -> scalar``.

    Raises
    ------
    ValueError
        If the loss is not defined on the scores of the head.
    """
    loss = resolve_part(loss, "loss")
    if isinstance(loss, Part):
        if head.score_type not in loss.accepts:
            raise ValueError(
                f"{type(loss).__name__} is not defined on the scores of "
                f"{_name_of(head)}: it accepts {sorted(loss.accepts)}, and the "
                f"score_type of the head is {head.score_type!r}. Choose another loss "
                f"or head."
            )
        return loss.build(embedding_dim, n_classes)
    if not callable(loss) or isinstance(loss, type):
        raise TypeError(
            f"The 'loss' parameter must be a name, a loss of skfsl.losses or a "
            f"callable loss(embeddings, labels). Got {loss!r} instead."
        )
    if isinstance(head, nn.Module) and any(True for _ in head.parameters()):
        raise ValueError(
            f"{type(loss).__name__} does not train the head, so it asks for a head "
            f"without weights. {_name_of(head)} has some; choose 'euclidean' or "
            f"'cosine'."
        )
    return _ForeignLoss(copy.deepcopy(loss))
