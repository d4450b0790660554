"""One training, from checked arguments to a published state."""

import copy
import hashlib
import warnings

import numpy as np
import torch
from sklearn.utils import check_consistent_length
from torch import nn

from skfsl.exceptions import FineTuningWarning
from skfsl.images import part_of
from skfsl.siamese._augment import build_augment
from skfsl.siamese._checkpoint import Checkpoint, fingerprint
from skfsl.siamese._collapse import Watch
from skfsl.siamese._data import Staged, autocast, to_tensor
from skfsl.siamese._device import resolve_device, training_dtype
from skfsl.siamese._files import read_training_data
from skfsl.siamese._module import (
    SiameseModule,
    build_encoder,
    describe_network,
    embeddings_of,
    resolve_part,
)
from skfsl.siamese._net import SiameseNet, changes_training, is_callback
from skfsl.siamese._proxies import codes_of, continue_loss, imprint
from skfsl.siamese._sampling import bind_sampler
from skfsl.siamese._schedule import ClassValidation, split_classes
from skfsl.siamese._similarity import fold
from skfsl.siamese._sklearn_callbacks import epoch_tasks
from skfsl.siamese._stages import resolve_schedule
from skfsl.siamese._views import check_views
from skfsl.siamese._whitening import N_DIRECTIONS, whiten
from skfsl.utils._hash import hash_samples
from skfsl.utils._label_kinds import common_dtype
from skfsl.utils._outside import outside
from skfsl.utils._parts import Part
from skfsl.utils._publish import publish, shadow
from skfsl.utils._random import draw_seed, seeded
from skfsl.utils._sklearn_private import validate_parameter_constraints
from skfsl.utils._validation import check_labels

__all__ = ["OPTIMIZERS", "learn"]

OPTIMIZERS = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


def learn(estimator, X, y, *, reset, module, groups=None):
    """Train, aside, and publish what was learned in one step.

    Parameters
    ----------
    estimator : SiameseTransformer
        States the settings; is changed at the very end only.
    X, y : array-like
        Samples and labels.
    reset : bool
        Whether what was learned before is forgotten, but for `module`.
    module : SiameseModule or None
        The network to go on from; a copy of it is trained. None makes a new one.
    groups : array-like or None
        For the sampler.

    Returns
    -------
    estimator : SiameseTransformer
        Fitted.
    """
    validate_parameter_constraints(
        estimator._parameter_constraints,
        estimator.get_params(deep=False),
        caller_name=type(estimator).__name__,
    )
    _check_settings(estimator)
    work = shadow(estimator, fitted=not reset)
    samples, X, y, groups = read_training_data(work, X, y, groups, reset=reset)
    check_views(work.views, samples.shape[1:])
    labels = check_labels(y)
    check_consistent_length(samples, labels)
    classes, codes = np.unique(labels, return_inverse=True)
    _check_pairs(estimator, codes)
    if not reset:
        common_dtype(estimator.classes_, classes, "those before")
    if module is not None:
        _check_same_network(work, module)
    device = resolve_device(work.device)
    seed = draw_seed(work.random_state)
    if module is not None:
        # The same batches again would teach nothing new.
        seed = (seed + module.n_epochs) % (2**31 - 1)
    rng = np.random.RandomState(seed)
    fraction = work.validation_fraction if work.max_epochs else 0
    seen = _trained_codes(module, classes)
    held_out = split_classes(codes, fraction, rng, seen)
    taught = np.delete(classes, held_out).tolist() if work.max_epochs else []
    before = None if module is None else estimator.net_
    # The user's autocast, if there is one, is not to reach the loss.
    with seeded(seed, device), autocast(device, torch.float32):
        validates = np.isin(codes, held_out)
        training = np.flatnonzero(~validates) if len(held_out) else slice(None)
        staged = part_of(samples, training)
        fresh = module is None
        module, stages, fine_tunes = _make_module(work, module, staged, device)
        embeddings = None
        if fine_tunes and fresh:
            embeddings = whiten(module, Staged(staged, codes[training], device))
        sampler = None
        if work.max_epochs:
            sampler = bind_sampler(
                work.sampler, work.loss, classes, codes, groups, training
            )
        loss, known, n_known = continue_loss(
            work.loss, before, module.head, module.embedding_dim, taught
        )
        net, close = _make_net(
            estimator, work, module, loss, sampler, rng, stages, (X, y)
        )
        net.loss_labels, net.embeddings = known, embeddings
        net.start = {} if fine_tunes else None
        if len(held_out):
            net.validation = _make_validation(
                work, part_of(samples, validates), codes[validates], rng
            )
        net.initialize()
        if work.max_epochs:
            # Of the loss: validation classes have none.
            own = codes_of(classes, known)[codes[training]]
            batches = Staged(staged, own, device)
            imprint(loss, n_known, net.module_, batches)
            watch = Watch(net.module_, staged, own, device)
            if work.checkpoint is not None:
                net.checkpoint = Checkpoint(
                    work.checkpoint,
                    fingerprint(
                        estimator, seed, classes, codes, held_out, np.asarray(groups),
                        str(device), hash_samples(samples), module, loss,
                    ),
                )  # fmt: skip
            net.partial_fit(batches)
        net.settle()
        if work.max_epochs:
            watch.check(net)
            _tell_of_start(work, net.start, fresh)
    past = [] if reset else estimator.history_
    work.device_, work.net_, work.history_ = device, net, [*past, *net.epochs()]
    work.fit_id_ = _digest(net.module_)
    net.module_.n_epochs += len(net.history)
    _remember_classes(estimator, work, net.module_, classes, held_out, reset)
    if work.max_epochs:
        _remember_samples(net.module_, staged)
    close(_fitted(work))
    publish(estimator, work)
    return estimator


def _check_settings(estimator):
    if estimator.embedding_dim is not None and estimator.max_epochs == 0:
        raise ValueError(
            f"embedding_dim={estimator.embedding_dim} adds a projection, and with "
            f"max_epochs=0 nothing trains it: it would only blur the encoder. Leave "
            f"embedding_dim=None."
        )
    if estimator.checkpoint is not None and estimator.random_state is None:
        raise ValueError(
            "checkpoint needs a random_state: with None each fit draws another seed, "
            "and none could go on from the state of another. Set an int."
        )
    for callback in estimator.callbacks or ():
        if estimator.checkpoint is not None and changes_training(callback):
            raise ValueError(
                f"checkpoint does not store the state of {callback!r}, which changes "
                f"the training. Leave one of them out."
            )
        if not is_callback(callback):
            raise TypeError(
                f"The 'callbacks' parameter must be a list of skorch callbacks. Got "
                f"{callback!r} in it. Callbacks of scikit-learn are given by "
                f"set_callbacks."
            )


def _check_pairs(estimator, codes):
    counts = np.bincount(codes)
    if len(counts) < 2:
        raise ValueError(
            f"{type(estimator).__name__} learns from pairs of different classes and "
            f"needs at least 2 of them. Got {len(counts)} class."
        )
    if counts.max() < 2:
        raise ValueError(
            f"{type(estimator).__name__} learns from pairs of the same class too. Got "
            f"n_samples={len(codes)} of as many classes: give at least one class a "
            f"second sample."
        )


def _check_start(head, named, max_epochs):
    if max_epochs == 0 and getattr(head, "starts_random", False):
        raise ValueError(
            f"The weights of head={named!r} start at random, and with max_epochs=0 "
            f"nothing trains them: its scores would mean nothing. Choose another "
            f"head, such as 'euclidean' or 'cosine'."
        )


def _check_same_network(work, module):
    if module.input_shape != work.input_shape_:
        raise ValueError(
            f"warm_start=True goes on with a network for samples of shape "
            f"{module.input_shape}. Got {work.input_shape_}."
        )
    wanted = describe_network(work.encoder, work.embedding_dim, work.head, work.weights)
    for name, value in wanted.items():
        # Old networks do not tell of weights.
        if value != module.description.get(name, value):
            raise ValueError(
                f"Training goes on with the network that there is, of "
                f"{name}={module.description[name]}. Got {name}={value}. Set it back, "
                f"or call fit with warm_start=False."
            )


def _make_module(work, module, samples, device):
    """Make the network, or copy the one that training goes on from; its stages."""
    if module is not None:
        module = copy.deepcopy(module)
        plan = resolve_schedule(work.schedule, module.encoder, work.max_epochs)
    else:
        # On the CPU, wherever the user's is: it is looked at before it moves.
        encoder = build_encoder(work.encoder, work.input_shape_, work.weights).cpu()
        ours = isinstance(work.encoder, str | Part) and hasattr(encoder, "adapt")
        if ours and isinstance(samples, np.ndarray):  # and no rows of files
            encoder.adapt(to_tensor(samples))
        plan = resolve_schedule(work.schedule, encoder, work.max_epochs)
        width = _width(encoder, samples[:2])
        projection = nn.Identity()
        if plan[1] and work.embedding_dim is None:
            width = min(width, N_DIRECTIONS)
        if work.embedding_dim is not None:
            projection = nn.Linear(width, work.embedding_dim)
            width = work.embedding_dim
        head = resolve_part(work.head, "head").build(width)
        _check_start(head, work.head, work.max_epochs)
        module = SiameseModule(encoder, projection, head)
        module.input_shape, module.embedding_dim = work.input_shape_, width
        module.description = describe_network(
            work.encoder, work.embedding_dim, work.head, work.weights
        )
    module = module.to(device)
    work.embedding_dim_ = module.embedding_dim
    work.head_, work.metric_ = module.head, module.head.metric
    one = torch.zeros(1, module.embedding_dim)
    work._n_features_out = fold(module.head, one, device).shape[1]
    return module, *plan


def _make_net(estimator, work, module, loss, sampler, rng, stages, data):
    """Put the net together and open the task of scikit-learn's callbacks."""
    X, y = data
    device = next((p.device for p in module.parameters()), torch.device("cpu"))

    def reached(net):
        so_far = copy.copy(net)
        so_far.module_ = copy.deepcopy(net.module_)
        return {
            **_fitted(work),
            "net_": so_far,
            "head_": so_far.module_.head,
            "device_": device,
            "history_": net.epochs(),
        }

    on_epoch, close = epoch_tasks(
        estimator, X, y, sum(stage.max_epochs for stage in stages), reached
    )
    net = SiameseNet(
        module,
        loss,
        sampler=sampler,
        rng=rng,
        stages=stages,
        dtype=training_dtype(work.precision, device, module),
        augment=build_augment(work.augment, device),
        on_epoch=on_epoch,
        optimizer=OPTIMIZERS.get(work.optimizer, work.optimizer),
        lr=work.lr,
        optimizer__weight_decay=work.weight_decay,
        callbacks=list(work.callbacks or ()),
        device=str(device),
        verbose=int(work.verbose),
    )

    def as_estimator():
        net._set_training(False)  # each step sets it back
        so_far = shadow(work, fitted=True)
        so_far.net_, so_far.device_ = net, device
        return so_far

    net.as_estimator = as_estimator
    return net, close


def _tell_of_start(work, start, fresh):
    if not (start and start["kept"]):
        return
    before = "the pretrained encoder, whitened," if fresh else "what there was before"
    message = (
        f"Fine-tuning did not beat {before} on the classes held out (validation "
        f"accuracy {start['valid_accuracy']:.3f}): it is kept as it was."
    )
    if work.schedule != "auto":
        warnings.warn(
            f"{message} Choose other stages by 'schedule'; max_epochs=0 takes the "
            f"encoder as it is, not whitened.",
            FineTuningWarning,
            stacklevel=outside(),
        )
    # By default it is ordinary, and there is nothing to be done about it.
    elif work.verbose:
        print(message, flush=True)


def _make_validation(work, samples, codes, rng):
    patience = work.early_stopping or None
    if isinstance(patience, bool | np.bool_):
        patience = 10
    return ClassValidation(
        samples, codes, patience=patience, seed=rng.randint(2**31 - 1)
    )


def _trained_codes(module, classes):
    """Return the codes of the classes that the weights were trained on."""
    trained = set() if module is None else module.trained_labels
    # As Python's objects: NumPy takes 1 and "1" for the same label.
    return np.flatnonzero([label in trained for label in classes.tolist()])


def _remember_classes(estimator, work, module, classes, held_out, reset):
    """Name the classes, and those of them that the weights were never trained on."""
    if work.max_epochs:
        module.trained_labels |= set(np.delete(classes, held_out).tolist())
    if not reset:
        classes = np.union1d(estimator.classes_, classes)
    work.classes_ = classes
    work.validation_classes_ = np.delete(classes, _trained_codes(module, classes))


def _remember_samples(module, samples):
    """Keep a number a sample, so that those trained on are known again."""
    hashes = hash_samples(samples)
    module.trained_hashes = np.union1d(module.trained_hashes, hashes)


def _fitted(work):
    """Return the fitted attributes of an estimator, and what set_output needs."""
    return {
        key: value
        for key, value in vars(work).items()
        if key.endswith("_") or key == "_n_features_out"
    }


def _width(encoder, samples):
    """Embed two samples to see how wide an embedding is."""
    encoder.eval()
    x = torch.tensor(np.ascontiguousarray(samples), dtype=torch.float32)
    with torch.no_grad():
        e = embeddings_of(encoder(x))
    if not isinstance(e, torch.Tensor) or e.ndim != 2 or len(e) != len(x):
        found = tuple(e.shape) if isinstance(e, torch.Tensor) else type(e).__name__
        raise ValueError(
            f"The encoder must return one row a sample, of shape (n, embedding_dim). "
            f"Samples of shape {tuple(x.shape)} gave {found}. Add torch.nn.Flatten() "
            f"at its end?"
        )
    return e.shape[1]


def _digest(module):
    """Return a short name of the weights and the head: equal for equal ones."""
    # Heads of the same weights may do different things with them.
    head = f"{type(module.head).__qualname__} {module.description['head']}"
    digest = hashlib.sha1(head.encode(), usedforsecurity=False)
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        # As bytes: NumPy has no bfloat16.
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:16]
