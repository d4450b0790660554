"""A training that collapses is told of; one that learns, or learns little, is not."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris, load_wine, make_blobs
from torch import nn

from skfsl import SiameseTransformer
from skfsl.exceptions import CollapseWarning, TrainingDivergedError
from skfsl.heads import EuclideanHead
from skfsl.losses import LOSSES, ContrastiveLoss, TripletLoss
from skfsl.siamese._collapse import Watch
from skfsl.utils._parts import part_from_name

RNG = np.random.RandomState(0)


def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:150] / 16).reshape(-1, 8, 8).astype(np.float32), y[:150]


def many_classes():
    y = np.repeat(np.arange(40), 6)
    return RNG.randn(40, 12)[y] + 0.4 * RNG.randn(len(y), 12), y


def characters():
    """Return white points, moved a little, on black."""
    y = np.repeat(np.arange(20), 5)
    points = RNG.randint(4, 23, (20, 2, 12))[y] + RNG.randint(-1, 2, (len(y), 2, 12))
    X = np.zeros((len(y), 28, 28), dtype=np.float32)
    for x, (rows, columns) in zip(X, points, strict=True):
        x[rows, columns] = x[rows + 1, columns] = x[rows, columns + 1] = 1
    return X, y


DATA = {
    "digits": digits(),
    "iris": load_iris(return_X_y=True),
    "wine": load_wine(return_X_y=True),
    "two blobs": make_blobs(80, 3, centers=2, random_state=0),
    "many classes": many_classes(),
    "labels drawn at random": (RNG.randn(60, 6), np.arange(60) % 4),
    "characters": characters(),
    "one column": (RNG.randn(60, 1), np.arange(60) % 4),
}
# Labels that nothing can be learned of, and too many to learn by heart.
HARD = {"hard": (RNG.randn(200, 2), np.arange(200) % 5)}
HEAD_OF = {
    "neg_sq_distance": "euclidean", "cosine": "cosine", "logit": "dense_sigmoid"
}  # fmt: skip
CASES = [
    (name, HEAD_OF[kind])
    for name in LOSSES
    for kind in part_from_name(name, LOSSES, "loss").accepts
]


def fit(data, loss, head, **params):
    params = {"max_epochs": 2, "random_state": 0} | params
    return SiameseTransformer(loss=loss, head=head, **params).fit(*(DATA | HARD)[data])


def check_silence(data, loss, head):
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)
        fit(data, loss, head)


@pytest.mark.parametrize(("loss", "head"), CASES)
@pytest.mark.parametrize("data", ["iris", "labels drawn at random"])
def test_nothing_is_said_of_other_trainings(loss, head, data):
    check_silence(data, loss, head)


@pytest.mark.parametrize(
    ("loss", "head"),
    [("prototypical", "euclidean"), ("triplet", "cosine"), ("arc_face", "cosine")],
)
@pytest.mark.parametrize("data", DATA)
def test_nor_with_other_data(data, loss, head):
    check_silence(data, loss, head)


# All were seen to collapse.
SICK = {
    "batch_hard": (
        "hard", TripletLoss(mining="batch_hard"), "euclidean", 0.1,
        r"has stayed at .*, which is its value where all distances are the same",
    ),
    "batch_hard and a high lr": (
        "hard", TripletLoss(mining="batch_hard"), "euclidean", 0.5,
        r"Training failed: the embeddings .* to one point.*Lower lr \(now 0\.5\)",
    ),
    "batch_hard on cosines": (
        "hard", TripletLoss(mining="batch_hard"), "cosine", 0.1, "has stayed at 0.20",
    ),
    "a tiny margin": (
        "digits", ContrastiveLoss(1e-3), "euclidean", 0.5,
        r"Training failed: the embeddings .* to one point.*Lower lr \(now 0\.5\)",
    ),
    "a huge lr": (
        "iris", "binary_cross_entropy", "dense_sigmoid", 10,
        r"Training failed: the scores of all pairs .* are the same",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SICK)
def test_a_collapse_is_told(case):
    data, loss, head, lr, message = SICK[case]
    with pytest.warns(CollapseWarning, match=message):
        siamese = fit(data, loss, head, lr=lr, max_epochs=15)
    assert np.isfinite(siamese.transform((DATA | HARD)[data][0])).all()


def test_a_loss_that_teaches_nothing_is_told():
    with pytest.warns(CollapseWarning, match="Silent was 0 in every epoch"):
        fit("iris", Silent(), "euclidean")


class Silent(ContrastiveLoss):
    """Asks for nothing."""

    def _of(self, pairs):
        return 0 * pairs.scores.sum()


class _Net:
    """What a watch asks a net for."""

    loss, lr = None, 0.1

    def __init__(self, module):
        self.module_ = module

    def epochs(self):
        return []


class _Module(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3))
        self.head = EuclideanHead()

    def forward(self, x):
        return x @ self.weight


CODES = np.arange(60) % 5
TABLE = RNG.randn(60, 3).astype(np.float32)


def watch_of(weight, n_classes=5):
    module = _Module()
    watch = Watch(module, TABLE, CODES % n_classes, torch.device("cpu"))
    module.weight = nn.Parameter(torch.as_tensor(weight, dtype=torch.float32))
    return watch, _Net(module)


LINE = np.outer([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])


def test_one_line_is_told_where_it_ranks_no_better():
    watch, net = watch_of(LINE)
    watch.before = replace(watch.before, order=0.9)
    with pytest.warns(CollapseWarning, match=r"to one line.*AUROC 0\.\d+, 0\.90"):
        watch.check(net)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_few_classes_may_lie_on_a_line(n_classes):
    watch, net = watch_of(LINE, n_classes)
    order = watch._look(net.module_).order
    watch.before = replace(watch.before, order=order + 0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.check(net)


def test_many_classes_may_lie_on_a_line_that_tells_them_apart():
    codes = np.arange(600) % 300
    noise = RNG.randn(600, 3)
    noise -= noise.mean(axis=1, keepdims=True)  # nothing of it is left on the line
    X = (RNG.randn(300, 1)[codes] + noise).astype(np.float32)
    module = _Module()
    watch = Watch(module, X, codes, torch.device("cpu"))
    module.weight = nn.Parameter(torch.as_tensor(LINE, dtype=torch.float32))
    assert len(watch.codes) == 128
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.check(_Net(module))


def test_zeros_are_a_point():
    watch, net = watch_of(np.zeros((3, 3)))
    with pytest.warns(CollapseWarning, match=r"one point: they differ by 0 of"):
        watch.check(net)


def test_small_embeddings_are_none():
    watch, net = watch_of(1e-6 * np.eye(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.check(net)


def test_embeddings_that_explode_are_told():
    watch, net = watch_of(1e6 * np.eye(3))
    with pytest.warns(CollapseWarning, match="exploded: their length is"):
        watch.check(net)


def test_an_order_that_is_lost_is_told():
    watch, net = watch_of(np.eye(3))
    watch.before = replace(watch.before, order=0.9)
    with pytest.warns(CollapseWarning, match=r"worse than before training \(AUROC"):
        watch.check(net)


def test_equal_samples_are_told():
    module = _Module()
    X = np.ones((20, 3), dtype=np.float32)
    watch = Watch(module, X, np.arange(20) % 5, torch.device("cpu"))
    with pytest.warns(CollapseWarning, match="all alike before training"):
        watch.check(_Net(module))


def test_embeddings_that_are_not_finite_are_an_error():
    watch, net = watch_of(np.full((3, 3), np.inf))
    with pytest.raises(TrainingDivergedError, match="became NaN or infinite"):
        watch.check(net)


def test_a_warning_made_an_error_leaves_the_estimator_as_it_was():
    siamese = fit("iris", "prototypical", "euclidean")
    X, y = DATA["iris"]
    before, fit_id = siamese.transform(X), siamese.fit_id_
    siamese.set_params(loss=Silent())
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)
        with pytest.raises(CollapseWarning, match="0 in every epoch"):
            siamese.partial_fit(X, y)
    assert siamese.fit_id_ == fit_id
    np.testing.assert_array_equal(siamese.transform(X), before)
