"""The stages of one training, run one after the other."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from skfsl.siamese._checkpoint import Checkpoint
from skfsl.siamese._data import Staged, embed
from skfsl.siamese._module import SiameseModule, behind_encoder, encoder_of
from skfsl.siamese._stages import Stage, freeze

__all__ = ["EndOfStage", "StageLoop", "Stop"]


class Stop(Exception):
    """Ends the training early and in good order."""


class EndOfStage(Stop):
    """Ends a stage early; the next one begins."""


class StageLoop:
    """What a net does between its epochs: a mixin of SiameseNet."""

    module_: Any
    criterion_: nn.Module
    augment: Any
    device: str
    history: Any
    validation: Any
    checkpoint: Checkpoint | None
    initialize_optimizer: Callable
    begin_schedulers: Callable
    fit_loop: Callable

    def _set_stages(self, module: nn.Module, stages: list[Stage]) -> None:
        self.stages = stages
        # Where the training is: the stage, and the epochs before it.
        self.stage = self.n_before = 0
        # What a fine-tuning starts from, a row of the history; {} until it is scored.
        self.start: dict | None = None
        # Embeddings of the training samples by the encoder, as long as it is as it is.
        self.embeddings: torch.Tensor | None = None
        # Whether batches are of these, and go through what is behind the encoder only.
        self._behind = False
        self._valid_X: torch.Tensor | None = None
        self._own = [p for p in module.parameters() if p.requires_grad]
        self._frozen: list[nn.Module] = []

    @property
    def path(self) -> SiameseModule:
        """What batches go through."""
        return behind_encoder(self.module_) if self._behind else self.module_

    @property
    def _trained(self) -> nn.Module:
        """All that has weights: the proxies of a loss belong to those of the rest."""
        return nn.ModuleList([self.module_, self.criterion_])

    @property
    def current(self) -> Stage:
        """The stage that the training is in."""
        return self.stages[self.stage] if self.stages else Stage(1)

    def run_stages(self, data: Staged, **fit_params: Any) -> None:
        """Train, from the first stage or from where a checkpoint is."""
        saved = None if self.checkpoint is None else self.checkpoint.restore(self)
        try:
            while self.stage < len(self.stages):
                through = self._begin_stage(data)
                if saved is not None and self.checkpoint is not None:
                    self.checkpoint.restore_optimizer(self, saved)
                    saved = None
                elif self.start == {} and self.validation is not None:
                    self._score_start()
                n_epochs = self.current.max_epochs - len(self.history) + self.n_before
                try:
                    if self._trains_something():
                        self.fit_loop(through, epochs=n_epochs, **fit_params)
                except EndOfStage:
                    pass
                self.stage, self.n_before = self.stage + 1, len(self.history)
        except Stop:
            self.stage = len(self.stages)
        except KeyboardInterrupt as interrupt:
            if self.checkpoint is not None:
                interrupt.add_note(self.checkpoint.note())
            raise
        if self.stages and not len(self.history):
            raise ValueError(
                "No stage of the schedule has anything to train: the encoder is "
                "frozen, and nothing behind it has weights. Raise 'trainable'."
            )
        if self.start:
            self.start["kept"] = self.validation.best_epoch == 0
        if self.checkpoint is not None and saved is None:
            self.checkpoint.save(self, len(self.stages))

    def _score_start(self) -> None:
        """Score what the fine-tuning starts from: it has to be beaten."""
        began = time.perf_counter()
        self._set_training(False)
        score = self._validate()
        self.validation.update(score, 0, self._trained)
        seconds = time.perf_counter() - began
        self.start = {"epoch": 0, "valid_accuracy": score, "dur": seconds}

    def _begin_stage(self, data: Staged) -> Staged:
        """Freeze layers; embed the samples now if that is all the encoder has to do."""
        module = self.module_
        # One that goes on from a checkpoint goes on from the last weights.
        if self.validation is not None and self.n_before == len(self.history) > 0:
            self.validation.begin_stage(self._trained, len(self.history))
        self._frozen = freeze(module.encoder, self.current.trainable, self._own)
        self._behind, self._valid_X = False, None
        if not self._trains_something():
            return data
        self.initialize_optimizer()
        self.begin_schedulers()
        weights = list(module.encoder.parameters())
        if not weights or any(p.requires_grad for p in weights):
            self.embeddings = None
            return data
        if self.augment is not None:
            return data
        self._set_training(False)
        device = torch.device(self.device)
        encoder, self._behind = encoder_of(module), True
        if self.embeddings is None:
            self.embeddings = embed(encoder, data.X, device, torch.float32)
        if self.validation is not None:
            self._valid_X = embed(encoder, self.validation.X, device, torch.float32)
        return Staged(self.embeddings, data.codes, device)

    def _trains_something(self) -> bool:
        return any(p.requires_grad for p in self._trained.parameters())

    def _validate(self) -> float:
        return self.validation.score(
            self.path, torch.device(self.device), torch.float32, self._valid_X
        )

    def infer(self, x: torch.Tensor, **fit_params: Any) -> torch.Tensor:
        """Embed a batch, of samples or of what a frozen encoder made of them."""
        return self.path(x)

    def _set_training(self, training: bool = True) -> None:
        super()._set_training(training)  # type: ignore[misc]
        for module in self._frozen:
            module.training = False

    def _end_stages(self) -> None:
        for weight in self._own:
            weight.requires_grad_(True)
        self.checkpoint = self.embeddings = self._valid_X = None
        self._behind, self._own, self._frozen = False, [], []
