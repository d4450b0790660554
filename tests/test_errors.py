"""Bad input: each row gets its error, a message to act on, and nothing changes."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.callbacks import EarlyStopping
from torch import nn

from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseTransformer,
)
from skfsl.augmentation import RandomAffine
from skfsl.exceptions import TrainingDivergedError
from skfsl.losses import ContrastiveLoss, PrototypicalLoss
from skfsl.samplers import ClassBalancedSampler
from skfsl.siamese._learn import _digest

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(24, 5)).astype(np.float32)
IMAGES = RNG.integers(0, 255, size=(24, 3, 12, 12), dtype=np.uint8)
Y = np.repeat([0, 1, 2, 3], 6)


def siamese(**params):
    params = {"max_epochs": 1, "device": "cpu", "random_state": 0, **params}
    return SiameseTransformer(**params)


def with_value(X, value):
    X = X.astype(float)
    X[3, 2] = value
    return X


class NaNLoss:
    """Turns NaN at once."""

    def __call__(self, embeddings, labels):
        return embeddings.sum() * float("nan")


class InterruptedLoss:
    """Stands for Ctrl-C in the middle of an epoch."""

    def __call__(self, embeddings, labels):
        raise KeyboardInterrupt


class LogitHead(PrototypeClassifier):
    """No head at all, but has get_params."""


RAGGED = np.empty(24, dtype=object)
for i in range(24):
    RAGGED[i] = np.zeros((8 + i % 2, 8))

# What fit is given, the error, and what its message says.
FIT = {
    "nan": (siamese(), with_value(TABLE, np.nan), Y, ValueError, "contains NaN"),
    "inf": (siamese(), with_value(TABLE, np.inf), Y, ValueError, "infinity"),
    "too large for float32": (
        siamese(), with_value(TABLE, 1e300), Y, ValueError, "too large for dtype",
    ),
    "nan in images": (
        siamese(), with_value(IMAGES, np.nan), Y, ValueError, "contains NaN",
    ),
    "too large images": (
        siamese(), with_value(IMAGES, 1e300), Y, ValueError, "too large for dtype",
    ),
    "empty": (siamese(), TABLE[:0], Y[:0], ValueError, "0 sample"),
    "empty images": (siamese(), IMAGES[:0], Y[:0], ValueError, "0 sample"),
    "no pixels": (
        siamese(input_layout="channels_first"), IMAGES[..., :0], Y, ValueError,
        "0 feature|without pixels",
    ),
    "no features": (siamese(), TABLE[:, :0], Y, ValueError, "0 feature"),
    "one class": (siamese(), TABLE, np.zeros(24), ValueError, "Got 1 class"),
    "one sample": (siamese(), TABLE[:1], Y[:1], ValueError, "1 class"),
    "no pair": (
        siamese(), TABLE, np.arange(24), ValueError, "class a\nsecond|second sample",
    ),
    "y is None": (siamese(), TABLE, None, ValueError, "requires y to be passed"),
    "y too short": (siamese(), TABLE, Y[:-1], ValueError, "inconsistent numbers"),
    "y of two columns": (
        siamese(), TABLE, np.c_[Y, Y], ValueError, "1d array",
    ),
    "continuous y": (siamese(), TABLE, TABLE[:, 0], ValueError, "continuous"),
    "nan in y": (
        siamese(), TABLE, np.where(Y == 1, np.nan, Y), ValueError, "NaN",
    ),
    "None in y": (
        siamese(), TABLE, [None if v == 1 else v for v in Y], ValueError, "None",
    ),
    "mixed labels": (
        siamese(), TABLE, [*Y[:12], *(["b"] * 12)], TypeError, "mix of",
    ),
    "mixed labels, prototypes": (
        PrototypeClassifier(), TABLE, [*Y[:12], *(["b"] * 12)], TypeError, "",
    ),
    "strings": (
        siamese(), [["a", "b"]] * 24, Y, ValueError, "strings where numbers",
    ),
    "text": (siamese(), ["some text"] * 24, Y, ValueError, "raw text has to be"),
    "ragged images": (siamese(), RAGGED, Y, ValueError, "images of one size"),
    "list of ragged images": (
        siamese(), list(RAGGED), Y, ValueError, "images of one size",
    ),
    "one-dimensional": (siamese(), TABLE[:, 0], Y, ValueError, "Expected 2D array"),
    "five-dimensional": (
        siamese(), IMAGES[..., None], Y, ValueError, "dim 5|Expected 2D array|<= 2",
    ),
    "channels nowhere": (
        siamese(), np.zeros((24, 5, 12, 12)), Y, ValueError, "input_layout=",
    ),
    "channels at both ends": (
        siamese(), np.zeros((24, 3, 12, 3)), Y, ValueError, "input_layout=",
    ),
    "complex": (siamese(), TABLE * 1j, Y, ValueError, "Complex data"),
    "unknown encoder": (
        siamese(encoder="resnet9000"), TABLE, Y, ValueError, "Unknown encoder=",
    ),
    "unknown head": (siamese(head="taxi"), TABLE, Y, ValueError, "Unknown head="),
    "unknown loss": (siamese(loss="hinge"), TABLE, Y, ValueError, "Unknown loss="),
    "unknown sampler": (
        siamese(sampler="all"), TABLE, Y, ValueError, "Unknown sampler=",
    ),
    "unknown optimizer": (
        siamese(optimizer="lbfgs"), TABLE, Y, ValueError, "'optimizer' parameter",
    ),
    "optimizer without weight_decay": (
        siamese(optimizer=torch.optim.Rprop), TABLE, Y, TypeError,
        "function.params, lr, weight_decay",
    ),
    "class of a loss": (
        siamese(loss=ContrastiveLoss), TABLE, Y, TypeError, r"ContrastiveLoss\(\)",
    ),
    "class of a module as loss": (
        siamese(loss=nn.CrossEntropyLoss), TABLE, Y, TypeError, "'loss' parameter",
    ),
    "class of a sampler": (
        siamese(sampler=ClassBalancedSampler), TABLE, Y, TypeError, "an instance",
    ),
    "class of an augmentation": (
        siamese(augment=RandomAffine), IMAGES, Y, TypeError, r"RandomAffine\(\)",
    ),
    "loss of many numbers": (
        siamese(loss=lambda e, y: e.sum(1)), TABLE, Y, ValueError, "one number",
    ),
    "loss of no tensor": (
        siamese(loss=lambda e, y: 0.5), TABLE, Y, ValueError, "Got float",
    ),
    "loss without a gradient": (
        siamese(loss=lambda e, y: torch.zeros(())), TABLE, Y, ValueError, "a gradient",
    ),
    "augmentation of nothing": (
        siamese(augment=lambda x: None), TABLE, Y, ValueError, "Got NoneType",
    ),
    "augmentation that drops samples": (
        siamese(augment=lambda x: x[:2]), TABLE, Y, ValueError, "as many samples",
    ),
    "augmentation to bytes": (
        siamese(augment=lambda x: x.to(torch.uint8)), TABLE, Y, ValueError,
        "tensor of floats",
    ),
    "monitor of what is not recorded": (
        siamese(callbacks=[EarlyStopping()]), TABLE, Y, ValueError,
        "'valid_loss' was not found .* There is .*'train_loss'",
    ),
    "unknown device": (siamese(device="abacus"), TABLE, Y, ValueError, "'device'"),
    "absent device": (
        siamese(device="cuda:99"), TABLE, Y, ValueError, "not on this machine",
    ),
    "encoder of a kind": (siamese(encoder=3), TABLE, Y, ValueError, "'encoder'"),
    "encoder for images on a table": (
        siamese(encoder="conv4"), TABLE, Y, ValueError, "(5,)",
    ),
    "encoder for tables on images": (
        siamese(encoder="mlp"), IMAGES, Y, ValueError, "(3, 12, 12)",
    ),
    "image too small": (
        siamese(encoder="koch_net"), IMAGES, Y, ValueError, "12",
    ),
    "encoder without a row a sample": (
        siamese(encoder=nn.Conv2d(3, 4, 3)), IMAGES, Y, ValueError, "nn.Flatten",
    ),
    "encoder without weights": (
        siamese(encoder=nn.Identity()), TABLE, Y, ValueError, "Set max_epochs=0",
    ),
    "encoder of frozen weights": (
        siamese(encoder=nn.Linear(5, 3).requires_grad_(False)), TABLE, Y, ValueError,
        "embedding_dim to train",
    ),
    "factory of no module": (
        siamese(encoder=lambda: "net"), TABLE, Y, TypeError, "must return a torch",
    ),
    "negative lr": (siamese(lr=-1.0), TABLE, Y, ValueError, "'lr' parameter"),
    "negative epochs": (
        siamese(max_epochs=-1), TABLE, Y, ValueError, "'max_epochs' parameter",
    ),
    "validation_fraction of one": (
        siamese(validation_fraction=1.0), TABLE, Y, ValueError, "validation_fraction",
    ),
    "projection that nothing trains": (
        siamese(embedding_dim=8, max_epochs=0), TABLE, Y, ValueError, "max_epochs=0",
    ),
    "callbacks of a kind": (
        siamese(callbacks=["print"]), TABLE, Y, TypeError, "skorch callbacks",
    ),
    "n_way above the classes": (
        siamese(sampler=ClassBalancedSampler(9)), TABLE, Y, ValueError,
        "n_way=9 .* n_classes=4",
    ),
    "n_way of one": (
        siamese(sampler=ClassBalancedSampler(1)), TABLE, Y, ValueError,
        "'n_way' parameter",
    ),
    "n_shot without pairs": (
        siamese(sampler=ClassBalancedSampler(4, n_shot=1)), TABLE, Y, ValueError,
        "n_shot >= 2",
    ),
    "negative margin": (
        siamese(loss=ContrastiveLoss(margin=-1)), TABLE, Y, ValueError, "'margin'",
    ),
    "temperature of zero": (
        siamese(loss=PrototypicalLoss(temperature=0)), TABLE, Y, ValueError,
        "'temperature'",
    ),
    "NaN in training": (
        siamese(loss=NaNLoss()), TABLE, Y, TrainingDivergedError, "Lower lr",
    ),
    "Ctrl-C in training": (
        siamese(loss=InterruptedLoss()), TABLE, Y, KeyboardInterrupt, "",
    ),
    "nan, prototypes": (
        PrototypeClassifier(), with_value(TABLE, np.nan), Y, ValueError, "NaN",
    ),
    "images, prototypes": (PrototypeClassifier(), IMAGES, Y, ValueError, "dim 4|<= 2"),
    "unknown metric": (
        PrototypeClassifier(metric="taxi"), TABLE, Y, ValueError, "'metric'",
    ),
    "nan, neighbours": (
        KNeighborsClassifier(), with_value(TABLE, np.nan), Y, ValueError, "NaN",
    ),
}  # fmt: skip

# A call on an estimator that was fitted on (TABLE, Y) or (IMAGES, Y).
USE = {
    "changed columns": (
        siamese(), TABLE, lambda e: e.transform(TABLE[:, :3]), ValueError, "3 features",
    ),
    "images after a table": (
        siamese(), TABLE, lambda e: e.transform(IMAGES), ValueError, "on a table",
    ),
    "a table after images": (
        siamese(), IMAGES, lambda e: e.transform(TABLE), ValueError,
        "fitted on images",
    ),
    "changed size": (
        siamese(), IMAGES, lambda e: e.transform(IMAGES[..., 1:]), ValueError,
        r"\(3, 12, 12\)",
    ),
    "changed channels": (
        siamese(), IMAGES, lambda e: e.transform(IMAGES[:, :1]), ValueError,
        r"\(1, 12, 12\)",
    ),
    "changed size in partial_fit": (
        siamese(), IMAGES, lambda e: e.partial_fit(IMAGES[..., 1:], Y), ValueError,
        r"\(3, 12, 12\)",
    ),
    "one class in partial_fit": (
        siamese(), TABLE, lambda e: e.partial_fit(TABLE[:6], Y[:6]), ValueError,
        "Got 1 class",
    ),
    "labels that floats would merge": (
        siamese(), TABLE,
        lambda e: e.partial_fit(TABLE, Y.astype(np.uint64) + 2**63 + 1), ValueError,
        "no common dtype",
    ),
    "refit on bad data": (
        siamese(), TABLE, lambda e: e.fit(with_value(TABLE, np.nan), Y), ValueError,
        "NaN",
    ),
    "refit that diverges": (
        siamese(), TABLE, lambda e: e.set_params(loss=NaNLoss()).fit(TABLE, Y),
        TrainingDivergedError, "Lower lr",
    ),
    "partial_fit that is interrupted": (
        siamese(), TABLE,
        lambda e: e.set_params(loss=InterruptedLoss()).partial_fit(TABLE, Y),
        KeyboardInterrupt, "",
    ),
    "warm start on another kind": (
        siamese(warm_start=True), TABLE, lambda e: e.fit(IMAGES, Y), ValueError,
        "warm_start=True",
    ),
    "warm start of another module": (
        siamese(encoder=nn.Linear(5, 8), warm_start=True), TABLE,
        lambda e: e.set_params(encoder=nn.Linear(5, 3)).fit(TABLE, Y), ValueError,
        "out_features=8.*Got encoder=.*out_features=3",
    ),
    "similarity of two kinds": (
        siamese(), TABLE, lambda e: e.similarity(TABLE, IMAGES), ValueError,
        "on a table",
    ),
    "nested parameter of auto": (
        siamese(), TABLE, lambda e: e.set_params(encoder__width=3), ValueError,
        "Name it",
    ),
    "no such parameter": (
        siamese(), TABLE, lambda e: e.set_params(loss__width=3), ValueError,
        "Invalid parameter",
    ),
    "prototypes, changed columns": (
        PrototypeClassifier(), TABLE,
        lambda e: e.partial_fit(TABLE[:, :3], Y), ValueError, "3 features",
    ),
    "prototypes, strings into integers": (
        PrototypeClassifier(), TABLE,
        lambda e: e.partial_fit(TABLE[:1], ["x"]), (TypeError, ValueError), "",
    ),
    "prototypes, unknown class forgotten": (
        PrototypeClassifier(), TABLE, lambda e: e.forget([77]), ValueError, "77",
    ),
    "neighbours, strings into integers": (
        KNeighborsClassifier(), TABLE,
        lambda e: e.partial_fit(TABLE[:1], ["x"]), (TypeError, ValueError), "",
    ),
    "neighbours, changed columns": (
        KNeighborsClassifier(), TABLE,
        lambda e: e.partial_fit(TABLE[:, :3], Y), ValueError, "3 features",
    ),
}  # fmt: skip


def state(estimator):
    values = dict(vars(estimator))
    net = values.get("net_")
    return values, _digest(net.module_) if net is not None else None


def assert_same_state(estimator, before, params=()):
    values, weights = state(estimator)
    assert {k for k in values if k not in params} == set(before[0]) - set(params)
    for key, value in before[0].items():
        if key not in params:
            assert values[key] is value, key
    assert weights == before[1]


@pytest.mark.parametrize("case", FIT)
def test_fit_says_what_is_wrong_and_changes_nothing(case):
    template, X, y, error, match = FIT[case]
    estimator = clone(template)
    before = state(estimator)
    with pytest.raises(error, match=match):
        estimator.fit(X, y)
    # Locks of writers are not state.
    after = {k for k in vars(estimator) if k.endswith("_")}
    assert after == {k for k in before[0] if k.endswith("_")}


@pytest.mark.parametrize("case", USE)
def test_a_fitted_estimator_says_what_is_wrong_and_is_as_it_was(case):
    template, X, call, error, match = USE[case]
    estimator = clone(template).fit(X, Y)
    before = state(estimator)
    with pytest.raises(error, match=match):
        call(estimator)
    assert_same_state(estimator, before, params=("loss", "encoder"))


@pytest.mark.parametrize(
    "call",
    [
        lambda: siamese().transform(TABLE),
        lambda: siamese().similarity(TABLE),
        lambda: siamese().get_feature_names_out(),
        lambda: PrototypeClassifier().predict(TABLE),
        lambda: PrototypeClassifier().forget([0]),
        lambda: KNeighborsClassifier().predict(TABLE),
        lambda: FewShotPipeline(
            [("a", siamese()), ("b", PrototypeClassifier())]
        ).predict(TABLE),
    ],
)
def test_unfitted_use_is_named(call):
    with pytest.raises(NotFittedError, match="not fitted"):
        call()


def test_a_loss_that_is_not_defined_on_the_scores_names_both():
    from skfsl.heads import EuclideanHead

    class LogitsOnly(EuclideanHead):
        score_type = "logit"

    with pytest.raises(ValueError, match=r"ContrastiveLoss .* LogitsOnly"):
        siamese(loss="contrastive", head=LogitsOnly()).fit(TABLE, Y)


def test_torch_is_left_as_it_was_by_an_error():
    before = torch.get_rng_state()
    with pytest.raises(TrainingDivergedError):
        siamese(loss=NaNLoss()).fit(TABLE, Y)
    assert torch.equal(torch.get_rng_state(), before)
