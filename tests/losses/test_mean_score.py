"""MeanScoreLoss, and ClassConsistencyLoss, which is built on it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.heads import CosineHead, EuclideanHead
from skfsl.losses import ClassConsistencyLoss, MeanScoreLoss


def mean(values):
    return sum(values) / len(values) if values else torch.zeros(())


def distributions(s, labels, t):
    """Return {query: {class: probability}} by mean scores, itself left out."""
    p = {}
    for i, own in enumerate(labels):
        members = {
            c: [j for j, label in enumerate(labels) if label == c and j != i]
            for c in sorted(set(labels))
        }
        if members[own]:
            e = {c: (mean([s[i][j] for j in m]) / t).exp() for c, m in members.items()}
            p[i] = {c: value / sum(e.values()) for c, value in e.items()}
    return p


def slow_mean_score(s, labels, t):
    p = distributions(s, labels, t)
    return mean([-p[i][labels[i]].log() for i in p])


def slow_consistency(s, labels, t, weight):
    p = distributions(s, labels, t)

    def kl(i, j):
        return sum(p[i][c] * (p[i][c].log() - p[j][c].log()) for c in p[i])

    of_pairs = [
        (kl(i, j) + kl(j, i)) / 2
        for i in p
        for j in p
        if i != j and labels[i] == labels[j]
    ]
    return slow_mean_score(s, labels, t) + weight * mean(of_pairs)


batches = given(
    seed=st.integers(0, 1000), n=st.integers(1, 8), n_classes=st.integers(1, 4),
    t=st.sampled_from([0.5, 2.0]),
)  # fmt: skip
heads = pytest.mark.parametrize("name", ["euclidean", "cosine", "logit"])


@heads
@settings(deadline=None, max_examples=6)
@batches
def test_mean_score_equals_slow_loops(
    name, make_head, make_batch, equals_slow, seed, n, n_classes, t
):
    loss = MeanScoreLoss(t).build(3, n_classes)
    batch = make_batch(seed, n, n_classes)
    equals_slow(loss, lambda s, y: slow_mean_score(s, y, t), make_head(name), *batch)


@heads
@pytest.mark.parametrize("weight", [0.0, 0.7])
@settings(deadline=None, max_examples=5)
@batches
def test_consistency_equals_slow_loops(
    name, weight, make_head, make_batch, equals_slow, seed, n, n_classes, t
):
    loss = ClassConsistencyLoss(weight, temperature=t).build(3, n_classes)
    equals_slow(
        loss,
        lambda s, y: slow_consistency(s, y, t, weight),
        make_head(name),
        *make_batch(seed, n, n_classes),
    )


# Own class and the other: -1 and -4 for the first sample, -1 and -1 for the second.
# The third has no mate.
LINE = torch.tensor([[0.0], [1.0], [2.0]])
LABELS = torch.tensor([0, 0, 1])


def test_mean_score_by_hand():
    loss = MeanScoreLoss(1.0)(LINE, LABELS, EuclideanHead())
    by_hand = (math.log(1 + math.exp(-3)) + math.log(2)) / 2
    assert loss.item() == pytest.approx(by_hand)


def test_consistency_by_hand():
    p = 1 / (1 + math.exp(-3))
    kl = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    lk = math.log(1 / (2 * p)) / 2 + math.log(1 / (2 * (1 - p))) / 2
    loss = ClassConsistencyLoss(0.5, temperature=1.0)(LINE, LABELS, EuclideanHead())
    by_hand = (-math.log(p) + math.log(2)) / 2 + 0.5 * (kl + lk) / 2
    assert loss.item() == pytest.approx(by_hand)


def test_classification_keeps_consistency_from_collapsing():
    """At one point the divergence is 0, and the whole loss at that of guessing."""
    loss, labels = ClassConsistencyLoss(temperature=1.0), torch.tensor([0, 0, 1, 1])
    collapsed = loss(torch.ones(4, 2), labels, EuclideanHead())
    assert collapsed.item() == pytest.approx(math.log(2))
    apart = torch.tensor([[0.0], [0.5], [3.0], [3.5]])
    assert loss(apart, labels, EuclideanHead()) < collapsed / 10


def test_mean_score_differs_from_prototypes_by_the_variances():
    """-mean ||x - x_j||² is -||x - mu||² less the variance of the class."""
    x = torch.tensor([[0.0], [2.0], [5.0], [9.0]])
    labels = torch.tensor([0, 0, 1, 1])
    # Of the first sample: own mate at 2; the others' mean 7, their variance 4.
    logits = [-4.0, -(49.0 + 4.0)]
    log_p = logits[0] - math.log(sum(math.exp(z) for z in logits))
    costs = [-log_p]
    for own, other in [(4, (9 + 49) / 2), (16, (25 + 9) / 2), (16, (81 + 49) / 2)]:
        costs.append(math.log(1 + math.exp(own - other)))
    loss = MeanScoreLoss(1.0)(x, labels, EuclideanHead())
    assert loss.item() == pytest.approx(sum(costs) / 4, rel=1e-5)


@pytest.mark.parametrize("cls", [MeanScoreLoss, ClassConsistencyLoss])
@pytest.mark.parametrize(
    ("width", "head", "expected"),
    [(16, EuclideanHead(), 4.0), (128, EuclideanHead(), 16.0), (3, CosineHead(), 0.02)],
)
def test_default_temperatures(cls, width, head, expected, make_batch):
    x, labels = make_batch(2, d=width)
    assert cls()(x, labels, head) == cls(temperature=expected)(x, labels, head)
