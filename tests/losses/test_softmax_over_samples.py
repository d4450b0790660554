"""SupCon, N-pair and NCA: softmaxes over the samples of a batch."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.heads import CosineHead, EuclideanHead
from skfsl.losses import NCALoss, NPairLoss, SupConLoss


def mean(values):
    return sum(values) / len(values) if values else torch.zeros(())


def anchors(labels):
    """Yield each sample that has class mates, with these, strangers and both."""
    everyone = range(len(labels))
    for i in everyone:
        mates = [j for j in everyone if j != i and labels[j] == labels[i]]
        strangers = [j for j in everyone if labels[j] != labels[i]]
        if mates:
            yield i, mates, strangers, mates + strangers


def slow_sup_con(s, labels, t):
    """Khosla 2020, equation 2."""
    costs = []
    for i, mates, _, others in anchors(labels):
        denominator = sum((s[i][a] / t).exp() for a in others)
        costs.append(mean([-((s[i][p] / t).exp() / denominator).log() for p in mates]))
    return mean(costs)


def slow_n_pair(s, labels, t):
    """Sohn 2016, with every stranger."""
    costs = []
    for i, mates, strangers, _ in anchors(labels):
        of_mates = [
            (1 + sum(((s[i][n] - s[i][p]) / t).exp() for n in strangers)) for p in mates
        ]
        costs.append(mean([torch.as_tensor(c).log() for c in of_mates]))
    return mean(costs)


def slow_nca(s, labels, t):
    """Goldberger 2004, equations 1 and 2, and the logarithm."""
    costs = []
    for i, mates, _, others in anchors(labels):
        denominator = sum((s[i][a] / t).exp() for a in others)
        costs.append(-sum((s[i][p] / t).exp() / denominator for p in mates).log())
    return mean(costs)


SLOW = {SupConLoss: slow_sup_con, NPairLoss: slow_n_pair, NCALoss: slow_nca}
losses = pytest.mark.parametrize("cls", SLOW, ids=lambda c: c.__name__)


@losses
@pytest.mark.parametrize("name", ["euclidean", "cosine", "logit"])
@settings(deadline=None, max_examples=6)
@given(
    seed=st.integers(0, 1000), n=st.integers(1, 8), n_classes=st.integers(1, 4),
    temperature=st.sampled_from([0.5, 2.0]),
)  # fmt: skip
def test_equals_slow_loops(
    cls, name, make_head, make_batch, equals_slow, seed, n, n_classes, temperature
):
    x, labels = make_batch(seed, n, n_classes)
    equals_slow(
        cls(temperature).build(3, n_classes),
        lambda s, y: SLOW[cls](s, y, temperature),
        make_head(name),
        x,
        labels,
    )


# Cosines 1 with the mate and 0 with the stranger; the mate sees the same.
SQUARE = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
TWO_TWO = torch.tensor([0, 0, 1, 1])


def test_sup_con_by_hand():
    loss = SupConLoss(0.5)(SQUARE, TWO_TWO, CosineHead())
    assert loss.item() == pytest.approx(math.log(math.e**2 + 2) - 2)


def test_n_pair_by_hand():
    loss = NPairLoss(0.5)(SQUARE, TWO_TWO, CosineHead())
    assert loss.item() == pytest.approx(math.log(1 + 2 * math.e**-2))


def test_nca_by_hand():
    # The mate at distance 1 and the other at 2; two strangers at distance 1.
    x = torch.tensor([[0.0], [1.0], [-2.0], [1.0], [-1.0]])
    loss = NCALoss(1.0)
    value = loss(x[:1].repeat(2, 1), torch.tensor([0, 0]), EuclideanHead())
    assert value == 0
    near, far = math.exp(-1), math.exp(-4)
    of_first = -math.log((near + far) / (3 * near + far))
    of_second = -math.log((near + math.exp(-9)) / (near + math.exp(-9) + 1 + far))
    of_third = -math.log((far + math.exp(-9)) / (far + 2 * math.exp(-9) + near))
    # The two strangers are of one class, at 2 from each other.
    of_fourth = -math.log(far / (near + 1 + math.exp(-9) + far))
    of_fifth = -math.log(far / (near + far + near + far))
    by_hand = (of_first + of_second + of_third + of_fourth + of_fifth) / 5
    value = loss(x, torch.tensor([0, 0, 0, 1, 1]), EuclideanHead())
    assert value.item() == pytest.approx(by_hand)


def test_with_two_samples_a_class_sup_con_is_nt_xent(make_batch):
    """Chen 2020, equation 1: a cross-entropy with the other view as the class."""
    x, _ = make_batch(0, n=8)
    logits = CosineHead().scores(x, x) / 0.2
    logits.fill_diagonal_(-torch.inf)
    view = torch.arange(8) ^ 1
    nt_xent = torch.nn.functional.cross_entropy(logits, view)
    loss = SupConLoss(0.2)(x, torch.arange(8) // 2, CosineHead())
    torch.testing.assert_close(loss, nt_xent)


def test_with_two_samples_a_class_the_three_are_one(make_batch):
    x, _ = make_batch(1, n=8)
    labels, head = torch.arange(8) // 2, EuclideanHead()
    values = [cls(2.0)(x, labels, head) for cls in SLOW]
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(values[0], values[2])


@losses
def test_default_temperatures(cls, make_batch, make_head):
    for width, name, expected in [
        (3, "euclidean", 1.0), (16, "euclidean", 4.0), (128, "euclidean", 16.0),
        (3, "cosine", 0.02), (3, "logit", 1.0),
    ]:  # fmt: skip
        x, labels = make_batch(2, d=width)
        head = make_head(name)
        assert cls()(x, labels, head) == cls(expected)(x, labels, head)


def test_nca_asks_for_any_mate_and_sup_con_for_each():
    # A class in two clusters, each with a mate beside it.
    x = torch.tensor([[0.0], [0.1], [9.0], [9.1], [4.0], [4.1]])
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    assert NCALoss(0.1)(x, labels, EuclideanHead()) < 1e-3
    assert SupConLoss(0.1)(x, labels, EuclideanHead()) > 10
