import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skfsl.heads import CosineHead, EuclideanHead

HEADS = [EuclideanHead().build(3), CosineHead().build(3)]
each_head = pytest.mark.parametrize("head", HEADS, ids=lambda h: type(h).__name__)


def slow_score(head, a, b):
    """Score one pair from the definition, in float64."""
    if isinstance(head, EuclideanHead):
        return -sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    lengths = np.sqrt(sum(x * x for x in a)) * np.sqrt(sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def draw(seed, n, d=5):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@each_head
def test_scores_equal_slow_loops(head):
    a, b = draw(0, 7), draw(1, 4)
    slow = [[slow_score(head, x.tolist(), y.tolist()) for y in b] for x in a]
    torch.testing.assert_close(
        head.scores(a.double(), b.double()), torch.tensor(slow).double()
    )


@each_head
def test_paired_is_the_diagonal_of_scores(head):
    a, b = draw(0, 7), draw(1, 7)
    torch.testing.assert_close(head.paired(a, b), head.scores(a, b).diagonal())


def test_euclidean_by_hand():
    score = EuclideanHead().scores(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 6.0]])
    )
    assert score.item() == -25.0


def test_cosine_by_hand():
    score = CosineHead().scores(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0]]))
    assert score.item() == pytest.approx(0.6)


@pytest.mark.parametrize("offset", [100.0, -1e4])
def test_euclidean_keeps_its_digits_under_an_offset(offset):
    # Multiples of 1/64 stay exact under the offset.
    a, b = (draw(0, 50) * 64).round() / 64, (draw(1, 9) * 64).round() / 64
    exact = -torch.cdist(a.double(), b.double()).square()
    moved = EuclideanHead().scores(a + offset, b + offset).double()
    torch.testing.assert_close(moved, exact, rtol=1e-4, atol=1e-4)


def test_euclidean_is_never_positive():
    a = draw(0, 300, 64)
    assert (EuclideanHead().scores(a, a) <= 0).all()


def test_cosines_are_at_most_one():
    a, head = draw(0, 300, 64), CosineHead()
    assert head.scores(a, a).abs().max() <= 1
    assert head.paired(a, -2 * a).abs().max() <= 1


@each_head
def test_scores_keep_full_precision_under_autocast(head):
    a, b = draw(0, 20), draw(1, 20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = head.scores(a, b)
    torch.testing.assert_close(scores, head.scores(a, b), rtol=0, atol=0)


@each_head
@pytest.mark.parametrize("how", ["scores", "paired"])
def test_gradients_are_right(head, how):
    a = draw(0, 4).double().requires_grad_()
    b = draw(1, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(getattr(head, how), (a, b))


@each_head
def test_gradients_are_finite_at_coinciding_and_zero_points(head):
    a = torch.tensor([[0.0, 0, 0], [1, 2, 3], [1, 2, 3]], requires_grad=True)
    (head.scores(a, a).sum() + head.paired(a, a).sum()).backward()
    assert torch.isfinite(a.grad).all()
    assert a.grad.abs().max() < 100


@pytest.mark.parametrize("size", [1e-30, 1e-15, 1e15, 1e30])
def test_cosine_does_not_depend_on_size(size):
    a, b = draw(0, 5), draw(1, 5)
    torch.testing.assert_close(
        CosineHead().scores(a * size, b), CosineHead().scores(a, b)
    )


def test_cosine_of_a_zero_vector_is_zero():
    scores = CosineHead().scores(torch.zeros(1, 5), draw(0, 4))
    assert (scores == 0).all()


def test_cosine_folds_to_unit_length():
    lengths = CosineHead().fold(draw(0, 20) * 50).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(20))


points = arrays(np.float64, (6, 3), elements=st.integers(-50, 50).map(float))


@each_head
@settings(deadline=None, max_examples=50)
@given(points=points)
def test_plain_metric_on_folded_embeddings_ranks_as_the_head(head, points):
    x = torch.from_numpy(points)[torch.from_numpy(np.abs(points).sum(1) > 0)]
    if len(x) < 3:
        return
    folded = head.fold(x)
    scores, distances = (
        head.scores(x[:1], x[1:])[0],
        torch.cdist(folded[:1], folded[1:])[0],
    )
    for i in range(len(scores)):
        for j in range(len(scores)):
            if scores[i] > scores[j] + 1e-9:
                assert distances[i] < distances[j]


@each_head
@settings(deadline=None, max_examples=30)
@given(points=points, seed=st.integers(0, 99))
def test_scores_follow_a_permutation_and_are_symmetric(head, points, seed):
    x = torch.from_numpy(points)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    scores = head.scores(x, x)
    torch.testing.assert_close(scores, scores.T, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        head.scores(x[order], x), scores[order], rtol=1e-9, atol=1e-9
    )
