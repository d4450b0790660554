"""The training loop: skorch's, with our sentences in its hooks."""

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.exceptions import SkorchException
from torch import nn

from skfsl.exceptions import TrainingDivergedError
from skfsl.siamese._data import Batches, Staged, autocast
from skfsl.siamese._pair_scores import PairScores
from skfsl.siamese._stage_loop import EndOfStage, StageLoop, Stop
from skfsl.siamese._stages import parameter_groups

__all__ = ["SiameseNet", "changes_training", "is_callback"]


class _Criterion(nn.Module):
    """Holds a loss, so that weights of its own join the optimizer."""

    def __init__(self, loss: Callable):
        super().__init__()
        self.loss = loss

    def forward(self, embeddings, labels, head, pairs=None):
        if pairs is None:
            return self.loss(embeddings.float(), labels, head)
        if not hasattr(self.loss, "paired"):
            # A loss of another library is wrapped.
            loss = getattr(self.loss, "loss", self.loss)
            raise ValueError(
                f"{type(loss).__name__} does not take given pairs, and the "
                f"sampler draws some. Set all_pairs=True in the sampler, or choose a "
                f"loss that judges pairs one by one: ContrastiveLoss or "
                f"BinaryCrossEntropyLoss."
            )
        left, right = pairs
        same = labels[left] == labels[right]
        embeddings = embeddings.float()
        return self.loss.paired(embeddings[left], embeddings[right], same, head)


class SiameseNet(StageLoop, NeuralNet):
    """A skorch net that learns from batches of pairs.

    Parameters
    ----------
    module : SiameseModule
        Trained in place.
    loss : callable
        ``loss(embeddings, labels, head) -> scalar``; for given pairs it has
        ``paired(a, b, same, head) -> scalar``, of embeddings (n_pairs, d) and bool
        (n_pairs,).
    sampler : bound sampler
        Batches of indices, an epoch at a time.
    rng : RandomState
        Draws the batches.
    stages : list of Stage
        What is trained, one after the other.
    dtype : torch.dtype
        Dtype of the forward pass.
    augment : callable or None
        Applied to each batch of samples, on the device.
    validation : ClassValidation or None
        Scores each epoch on unseen classes.
    checkpoint : Checkpoint or None
        Where the state is stored after each epoch.
    on_epoch : callable or None
        ``on_epoch(net, when)`` with when "begin" or "end"; a true answer stops.
    **kwargs : dict
        skorch's own: optimizer, lr, max_epochs, callbacks, device, verbose.
    """

    def __init__(
        self, module, loss, *, sampler, rng, stages, dtype, augment=None,
        validation=None, checkpoint=None, on_epoch=None, **kwargs,
    ):  # fmt: skip
        self.loss = loss
        self.sampler = sampler
        self.rng = rng
        self.dtype = dtype
        self.augment = augment
        self.validation = validation
        self.checkpoint = checkpoint
        self.on_epoch = on_epoch
        self._set_stages(module, stages)
        # The label that each class code of the loss stands for.
        self.loss_labels: list = []
        # While training: an estimator over the weights as they are, for callbacks.
        self.as_estimator: Callable | None = None
        super().__init__(
            module, _Criterion(loss), train_split=None, iterator_train=None,
            max_epochs=sum(stage.max_epochs for stage in stages), **kwargs,
        )  # fmt: skip

    @property
    def _default_callbacks(self):
        return []

    def initialize_optimizer(self, *args, **kwargs):
        """Make the optimizer; norms, biases and proxies are not decayed."""
        if self.max_epochs and not self._own:
            raise ValueError(
                "The encoder has no weights that can be trained. Set max_epochs=0 to "
                "take it as it is, or embedding_dim to train a projection behind it."
            )
        stage = self.current
        lr = self.lr if stage.lr is None else stage.lr
        factor = getattr(self.loss, "lr_factor", None)
        groups = parameter_groups(self.module_, self.criterion_, stage, lr, factor)
        _, settings = self.get_params_for_optimizer("optimizer", [])
        settings["lr"] = lr
        try:
            self.optimizer_ = self.optimizer(groups, **settings)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"The 'optimizer' parameter must take groups of parameters, lr and "
                f"weight_decay, as torch.optim.AdamW does. {self.optimizer!r} does "
                f"not: {error}. Wrap it in a function(params, lr, weight_decay)."
            )
        return self

    def begin_schedulers(self) -> None:
        """Let skorch's schedulers begin anew: each stage has its own optimizer."""
        for _, callback in self.callbacks_:
            if isinstance(callback, LRScheduler):
                callback.on_train_begin(self)

    # skorch's partial_fit swallows KeyboardInterrupt: a search would carry on.
    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train for `max_epochs` on staged data; Ctrl-C goes through."""
        if not self.initialized_:
            self.initialize()
        self.notify("on_train_begin", X=X, y=y)
        self.run_stages(X, **fit_params)
        self.notify("on_train_end", X=X, y=y)
        self._set_training(False)
        return self

    def notify(self, method_name, **kwargs):
        """Call all hooks; skorch's EarlyStopping stops by a KeyboardInterrupt."""
        stop: Stop | None = None
        try:
            getattr(self, method_name)(self, **kwargs)
        except Stop as reason:
            stop = reason  # the callbacks are told of the last epoch as well
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **kwargs)
            except KeyboardInterrupt:
                if not isinstance(callback, EarlyStopping):
                    raise
                stop = Stop()
            except (KeyError, SkorchException) as error:
                if "not found in history" not in str(error):
                    raise
                raise ValueError(
                    f"{type(callback).__name__} asks for what is not recorded: "
                    f"{error.args[0]} There is {sorted(self._recorded())}, of which "
                    f"'valid_accuracy' only where classes are held out."
                )
        if method_name == "on_epoch_end" and self.checkpoint is not None:
            over = {EndOfStage: self.stage + 1, Stop: len(self.stages)}
            self.checkpoint.save(self, over.get(type(stop)))
        if stop is not None:
            raise stop

    def get_dataset(self, X, y=None):
        """Return staged data as it is."""
        return X

    def get_iterator(self, dataset: Staged, training=False):
        """Return batches taken by index from the staged data."""

        def tell():
            done = (len(self.history) - 1) / self.max_epochs
            return {"scores": PairScores(self.path, dataset), "progress": done}

        return Batches(dataset, self.sampler, self.rng, tell)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run the batches of an epoch; the loss comes off the device once."""
        if iterator is None:
            return
        stage = self.current
        n_steps = stage.max_epochs * len(iterator)
        rows = self.history[self.n_before : -1]
        step = len(rows) * len(iterator)
        lr = self.lr if stage.lr is None else stage.lr
        schedules = any(isinstance(c, LRScheduler) for _, c in self.callbacks_)
        total, n_batches = torch.zeros((), device=self.device), 0
        for batch in iterator:
            if not schedules:
                factor = stage.lr_factor(step, n_steps, rows)
                for group in self.optimizer_.param_groups:
                    group["lr"] = lr * group.get("lr_factor", 1) * factor
            self.notify("on_batch_begin", batch=batch, training=training)
            result = step_fn(batch, **fit_params)
            self.history.record_batch("train_batch_size", len(batch[1]))
            self.notify("on_batch_end", batch=batch, training=training, **result)
            total += result["loss"].detach()
            n_batches += 1
            step += 1
        loss = total.item() / n_batches
        self.history.record("train_loss", loss)
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"The loss became {loss} in epoch {len(self.history)} of "
                f"{self.max_epochs}. Lower lr (now {lr}), check X for extreme "
                f"values, or set precision='float32'."
            )

    def train_step_single(self, batch, **fit_params):
        """Embed a batch, score all its pairs, go one step back through both."""
        self._set_training(True)
        x, labels, *pairs = batch
        if self.augment is not None:
            x = self._augmented(x)
        with autocast(torch.device(self.device), self.dtype):
            embeddings = self.infer(x)
        loss = self.criterion_(embeddings, labels, self.module_.head, *pairs)
        loss.backward()
        return {"loss": loss, "y_pred": embeddings}

    def _augmented(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            out = self.augment(x)
        if isinstance(out, np.ndarray):
            out = torch.from_numpy(out)
        if not isinstance(out, torch.Tensor) or not out.is_floating_point():
            raise ValueError(
                f"The 'augment' parameter must return a tensor of floats. Got "
                f"{getattr(out, 'dtype', type(out).__name__)}."
            )
        if out.ndim != x.ndim or len(out) != len(x):
            raise ValueError(
                f"The 'augment' parameter must return as many samples as it gets. Got "
                f"shape {tuple(out.shape)} for {tuple(x.shape)}."
            )
        return out.to(x)

    def on_epoch_begin(self, net, **kwargs):
        """Start an epoch."""
        super().on_epoch_begin(net, **kwargs)
        self._began = time.perf_counter()
        if self.on_epoch is not None:
            self.on_epoch(self, "begin")

    def on_epoch_end(self, net, **kwargs):
        """Validate on unseen classes, keep the best weights, tell of it."""
        self._set_training(False)
        epoch, stop = len(self.history), False
        losses = self.history[:, "train_loss"]
        self.history.record("train_loss_best", losses[-1] <= min(losses))
        self.history.record("lr", self.optimizer_.param_groups[0]["lr"])
        if self.validation is not None:
            score = self._validate()
            best = score >= self.validation.best_score
            self.history.record("valid_accuracy", score)
            self.history.record("valid_accuracy_best", best)
            stop = self.validation.update(score, epoch, self._trained)
        if self.start is not None:
            self.history.record("stage", self.stage + 1)
        self.history.record("dur", time.perf_counter() - self._began)
        if self.verbose:
            self._print_progress(self.history[-1])
        if self.on_epoch is not None and self.on_epoch(self, "end"):
            raise Stop
        if stop:
            raise EndOfStage

    def _print_progress(self, row: dict) -> None:
        epochs_left = self.current.max_epochs - row["epoch"] + self.n_before
        stage = row.get("stage")
        recent = [r["dur"] for r in self.history[-5:] if r.get("stage") == stage]
        left = f"{epochs_left * np.median(recent):.0f} s left"
        if self.stage + 1 < len(self.stages):  # these take another time an epoch
            left += " in this stage"
        valid = row.get("valid_accuracy")
        shown = "" if valid is None else f"  valid_accuracy {valid:.4f}"
        stage = "" if stage is None else f"  stage {stage}/{len(self.stages)}"
        print(
            f"Epoch {row['epoch']}/{self.max_epochs}{stage}  train_loss "
            f"{row['train_loss']:.4f}{shown}  {row['dur']:.1f} s, {left}",
            flush=True,
        )

    def settle(self) -> None:
        """Drop what only the training needed; embeddings need the module alone."""
        if self.validation is not None:
            self.validation.restore(self._trained)
        self._set_training(False)
        self.optimizer_.state.clear()
        self.optimizer_.zero_grad(set_to_none=True)
        self._end_stages()
        self.sampler = self.rng = self.validation = self.on_epoch = None
        self.as_estimator = None
        self.callbacks_: list = []

    # skorch pickles weights apart, which would store a shared module twice; the
    # transformer has brought them to the CPU already.
    def __getstate__(self):
        # A Checkpoint may pickle it in training, tasks of scikit-learn and all.
        return {**self.__dict__, "on_epoch": None, "as_estimator": None}

    def __setstate__(self, state):
        self.__dict__.update(state)

    def on_cpu(self) -> "SiameseNet":
        """Return a copy without a tensor on an accelerator, the optimizer's too."""
        net = copy.deepcopy(self)
        net.device = "cpu"
        for value in vars(net).values():
            if isinstance(value, nn.Module):
                value.cpu()  # in place: the optimizer's groups follow
        return net

    def _recorded(self) -> set[str]:
        return {k for row in self.history for k in row if k != "batches"}

    def epochs(self) -> list[dict]:
        """Return the history, one dict an epoch."""
        keys = ("epoch", "stage", "train_loss", "valid_accuracy", "lr", "dur")
        flags = ("train_loss_best", "valid_accuracy_best")  # for skorch's Checkpoint
        trained = [
            {
                k: v
                for k, v in row.items()
                if k in keys or (_is_scalar(v) and k not in flags)
            }
            for row in self.history
        ]
        return [self.start, *trained] if self.start else trained


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float | bool | str | np.number)


def is_callback(value: object) -> bool:
    """Whether `value` is a skorch callback, or a (name, callback) pair of one."""
    if isinstance(value, tuple) and len(value) == 2:
        value = value[1]
    return isinstance(value, Callback)


def changes_training(callback: Any) -> bool:
    """Whether a callback has a state that the weights depend on."""
    if isinstance(callback, tuple):
        callback = callback[-1]
    return isinstance(callback, EarlyStopping | LRScheduler)
