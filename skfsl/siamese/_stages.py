"""Stages of a training: how many epochs, at which learning rate, of which layers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from torch import nn

from skfsl.siamese._module import SiameseModule
from skfsl.siamese._schedule import cosine_factor
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["Stage", "freeze", "parameter_groups", "resolve_schedule"]

# What a plateau multiplies the learning rate by.
_DROP = 0.1


class Stage(Part):
    """Train some layers for some epochs.

    A list of stages is a ``schedule`` of a :class:`~skfsl.SiameseTransformer`. In each
    the layers of the encoder before the last ones are frozen: their weights stay as
    they are, and so do the statistics of their norms. The head, the projection behind
    the encoder and what a loss has learned of classes are trained in every stage. One
    in which there is nothing to train is left out.

    Use it for encoders that carry pretrained weights: what is behind them learns
    first, at a high rate, then their last layers, at a low one.

    Parameters
    ----------
    max_epochs : int
        Number of epochs, at most.
    lr : float, default=None
        Largest learning rate; None is that of the transformer.
    trainable : float, default=1.0
        Share of the encoder's layers, in [0, 1], that are trained: the last ones, in
        the order that its modules were registered in. A layer is a module with weights
        of its own. 0.0 freezes the encoder; where nothing augments either, it embeds
        the samples once, and the whole stage trains on these embeddings.
    layer_decay : float, default=None
        What the learning rate of the encoder's first layer is multiplied by, in (0, 1];
        layers between it and the last one get factors in between, in geometric
        progression. None trains all at the same rate.
    plateau : int, default=None
        Divide the learning rate by ten after so many epochs without a better score on
        the validation classes, or a lower loss where there are none. None has it rise
        and fall along a cosine instead, over the stage.

    See Also
    --------
    skfsl.SiameseTransformer : Takes stages as ``schedule``.

    References
    ----------
    .. [1] J. Howard and S. Ruder. Universal Language Model Fine-tuning for Text
       Classification. ACL, 2018. Layers are freed one after the other, and the first
       ones learn more slowly.

    Examples
    --------
    >>> from skfsl.siamese import Stage
    >>> schedule = [
    ...     Stage(3, lr=1e-4, trainable=0.0),
    ...     Stage(10, lr=1e-5, trainable=0.2, plateau=2),
    ... ]
    >>> schedule[1]
    Stage(lr=1e-05, max_epochs=10, plateau=2, trainable=0.2)
    """

    _parameter_constraints: dict = {
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither"), None],
        "trainable": [Interval(Real, 0, 1, closed="both")],
        "layer_decay": [Interval(Real, 0, 1, closed="right"), None],
        "plateau": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self, max_epochs, *, lr=None, trainable=1.0, layer_decay=None, plateau=None
    ):
        self.max_epochs = max_epochs
        self.lr = lr
        self.trainable = trainable
        self.layer_decay = layer_decay
        self.plateau = plateau

    def build(self) -> "Stage":
        """Check the settings.

        Returns
        -------
        stage : Stage
            This stage: it has no weights.
        """
        self._validate_params()
        return self

    def lr_factor(self, step: int, n_steps: int, rows: Sequence[Mapping]) -> float:
        """Return the share of the learning rate at a step of an epoch.

        Parameters
        ----------
        step, n_steps : int
            Steps done in this stage, and all that it has.
        rows : sequence of mappings
            The history of its complete epochs.

        Returns
        -------
        factor : float
            In [0, 1].
        """
        if self.plateau is None:
            return cosine_factor(step, n_steps)
        factor, lowest, n_worse = 1.0, math.inf, 0
        for row in rows:
            error = -row.get("valid_accuracy", -row["train_loss"])
            n_worse = 0 if error < lowest else n_worse + 1
            lowest = min(lowest, error)
            if n_worse == self.plateau:
                factor, n_worse = factor * _DROP, 0
        return factor


def resolve_schedule(
    schedule: Any, encoder: nn.Module, max_epochs: int
) -> tuple[list[Stage], bool]:
    """Return the stages that a schedule stands for.

    Parameters
    ----------
    schedule : {"auto", "cosine", "staged"} or list of Stage
        "auto" is the first stage of "staged" where the encoder says that it is
        ``pretrained``, "cosine" where not.
    encoder : nn.Module
        The built encoder.
    max_epochs : int
        Of the estimator: of the one stage of "cosine", and the most of all others.

    Returns
    -------
    stages : list of Stage
        Empty where ``max_epochs`` is 0.
    staged : bool
        Whether the encoder is fine-tuned rather than trained from the start.

    Raises
    ------
    TypeError
        If a list has something else in it.
    ValueError
        If a list is empty, or a stage's parameter is out of its range.
    """
    pretrained = getattr(encoder, "pretrained", False)
    if schedule == "cosine" or (schedule == "auto" and not pretrained):
        return ([Stage(max_epochs)] if max_epochs else []), False
    if isinstance(schedule, str):
        first = min(max_epochs, 3)
        stages = [Stage(first, lr=1e-4, trainable=0.0)] if first else []
        rest = min(max_epochs - first, 10) if schedule == "staged" else 0
        if rest:
            stages.append(Stage(rest, lr=1e-5, trainable=0.2, plateau=2))
        return stages, bool(stages)
    if not schedule:
        raise ValueError(
            "The 'schedule' parameter must have at least one Stage. Got none. "
            "max_epochs=0 takes an encoder as it is."
        )
    for stage in schedule:
        if not isinstance(stage, Stage):
            raise TypeError(
                f"The 'schedule' parameter must be a name or a list of Stage. Got "
                f"{stage!r} in it."
            )
    stages = [stage.build() for stage in schedule]
    return (stages, True) if max_epochs else ([], False)


def _layers(encoder: nn.Module) -> list[nn.Module]:
    """Return the modules with weights of their own, as they were registered."""
    return [
        module
        for module in encoder.modules()
        if next(module.parameters(recurse=False), None) is not None
    ]


def freeze(
    encoder: nn.Module, share: float, own: Iterable[nn.Parameter]
) -> list[nn.Module]:
    """Freeze all but the last layers.

    Parameters
    ----------
    encoder : nn.Module
        Its weights are told whether they are to have gradients.
    share : float
        Share of the layers that stay free, in [0, 1].
    own : iterable of Parameter
        The weights that may be trained; what a user froze stays frozen.

    Returns
    -------
    frozen : list of Module
        Those that have to be in evaluation mode while the others train: their norms
        would follow the batches otherwise.
    """
    own, layers = set(own), _layers(encoder)
    n_frozen = len(layers) - math.ceil(round(share * len(layers), 6))
    for number, layer in enumerate(layers):
        for weight in layer.parameters(recurse=False):
            weight.requires_grad_(number >= n_frozen and weight in own)
    frozen, behind_frozen, free = [], False, False
    for module in encoder.modules():
        mine = [weight.requires_grad for weight in module.parameters(recurse=False)]
        free = free or any(mine)
        behind_frozen = behind_frozen or (bool(mine) and not any(mine))
        weights = [weight.requires_grad for weight in module.parameters()]
        # What has no weights, a dropout or a norm, goes with what is before it.
        if not any(weights) if weights else behind_frozen and not free:
            frozen.append(module)
    return frozen


def parameter_groups(
    module: SiameseModule,
    criterion: nn.Module,
    stage: Stage,
    lr: float,
    lr_factor: float | None,
) -> list[dict]:
    """Return what is trained in a stage, in groups for an optimizer.

    Parameters
    ----------
    module : SiameseModule
        Frozen as the stage asks for.
    criterion : nn.Module
        The loss, with what it learns of single classes.
    stage : Stage
        For its ``layer_decay``.
    lr : float
        The learning rate of the stage.
    lr_factor : float or None
        What that of the loss's own weights is multiplied by. They are then not decayed;
        None has them go with the others.

    Returns
    -------
    groups : list of dict
        Norms and biases are not decayed. "lr_factor" is in those of another rate.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    of_loss = list(criterion.parameters())
    if lr_factor is None:
        lr_factor, parameters, of_loss = 1.0, parameters + of_loss, []
    scale = _lr_factors(module.encoder, stage.layer_decay)
    groups = []
    for share in sorted({scale.get(p, 1.0) for p in parameters}, reverse=True):
        mine = [p for p in parameters if scale.get(p, 1.0) == share]
        own = {} if share == 1.0 else {"lr": lr * share, "lr_factor": share}
        decayed = [p for p in mine if p.ndim > 1]
        plain = [p for p in mine if p.ndim <= 1]
        groups.append({"params": decayed, **own})
        groups.append({"params": plain, "weight_decay": 0.0, **own})
    if of_loss:
        proxies = {"params": of_loss, "lr": lr * lr_factor, "lr_factor": lr_factor}
        groups.append(proxies | {"weight_decay": 0.0})
    return [g for g in groups if g["params"]] or [{"params": []}]


def _lr_factors(encoder: nn.Module, layer_decay: float | None) -> dict:
    """Return what the learning rate of each weight is multiplied by."""
    if layer_decay is None:
        return {}
    layers = _layers(encoder)
    last = max(1, len(layers) - 1)
    return {
        weight: layer_decay ** ((last - number) / last)
        for number, layer in enumerate(layers)
        for weight in layer.parameters(recurse=False)
    }
