"""What holds for every loss over all pairs of a batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfsl.heads import EuclideanHead
from skfsl.losses import (
    BinaryCrossEntropyLoss,
    ClassConsistencyLoss,
    ContrastiveLoss,
    MeanScoreLoss,
    MultiSimilarityLoss,
    NCALoss,
    NPairLoss,
    SupConLoss,
    TripletLoss,
)

LOSSES = [
    ContrastiveLoss(),
    *(BinaryCrossEntropyLoss(r) for r in ("mean", "clipped", "top", "focal")),
    BinaryCrossEntropyLoss(balanced=False),
    ClassConsistencyLoss(),
    MeanScoreLoss(),
    MultiSimilarityLoss(),
    MultiSimilarityLoss(epsilon=None),
    NCALoss(),
    NPairLoss(),
    SupConLoss(),
    *(TripletLoss(1.0, mining=m) for m in ("semi_hard", "batch_all", "batch_hard")),
    TripletLoss("soft", mining="batch_hard"),
]
HEAD_OF = {"neg_sq_distance": "euclidean", "cosine": "cosine", "logit": "logit"}
CASES = [(loss, HEAD_OF[kind]) for loss in LOSSES for kind in loss.accepts]
cases = pytest.mark.parametrize(
    ("loss", "name"), CASES, ids=lambda v: v if isinstance(v, str) else repr(v)
)


@cases
def test_gradients_are_right(loss, name, make_head, make_batch):
    x, labels = make_batch(4, n=7)
    labels[0] = 99  # a class of one sample
    head = make_head(name)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, head), (x,))


@cases
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 1000))
def test_order_and_names_of_classes_do_not_matter(
    loss, name, make_head, make_batch, seed
):
    x, labels = make_batch(seed)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    renamed = torch.tensor([40, -3, 8])[labels]
    head = make_head(name)
    torch.testing.assert_close(
        loss(x[order], renamed[order], head), loss(x, labels, head)
    )


@cases
@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [3, 3, 3], [0, 0, 1]], ids=str)
def test_small_batches_have_a_finite_loss_with_a_gradient(
    loss, name, make_head, make_batch, labels
):
    x, _ = make_batch(5, n=len(labels))
    x.requires_grad_()
    value = loss(x, torch.tensor(labels), make_head(name))
    value.backward()
    assert torch.isfinite(value)
    assert value >= 0
    assert torch.isfinite(x.grad).all()


# Those that learn from strangers alone, or from mates alone.
FROM_STRANGERS = (ContrastiveLoss, BinaryCrossEntropyLoss)
FROM_MATES = (*FROM_STRANGERS, SupConLoss)


@cases
def test_batches_without_a_pair_that_teaches_cost_nothing(
    loss, name, make_head, make_batch
):
    x, _ = make_batch(5, n=4)
    x.requires_grad_()
    head = make_head(name)
    unmined = getattr(loss, "epsilon", 0) is None  # weighs all pairs there are
    for labels, learns in [([0, 1, 2, 3], FROM_STRANGERS), ([3, 3, 3, 3], FROM_MATES)]:
        value = loss(x, torch.tensor(labels), head)
        (gradient,) = torch.autograd.grad(value, x)
        if unmined or isinstance(loss, learns):
            continue
        assert value.item() == pytest.approx(0, abs=1e-12)
        assert gradient.abs().max() < 1e-12


@cases
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-20])
def test_gradients_are_finite_where_samples_coincide(loss, name, make_head, value):
    x = torch.full((5, 3), value, requires_grad=True)
    loss = loss(x, torch.tensor([0, 0, 1, 1, 2]), make_head(name))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()


@cases
def test_far_embeddings_do_not_overflow(loss, name, make_head, make_batch):
    x, labels = make_batch(6)
    x = (1e4 * x.float()).requires_grad_()
    loss = loss(x, labels, make_head(name))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()


@cases
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(loss, name, make_head, make_batch, dtype):
    x, labels = make_batch(3)
    x, head = x.to(dtype).requires_grad_(), make_head(name)
    value = loss(x, labels, head)
    value.backward()
    assert value.dtype == torch.float32
    assert x.grad.dtype == dtype
    torch.testing.assert_close(value, loss(x.float(), labels, head), rtol=0, atol=0)


@cases
def test_keeps_full_precision_under_autocast(loss, name, make_head, make_batch):
    x, labels = make_batch(3)
    x, head = x.float(), make_head(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(x, labels, head)
    torch.testing.assert_close(value, loss(x, labels, head), rtol=0, atol=0)


# Mining and means over what costs something jump where a pair enters or leaves them.
JUMPS = (TripletLoss, MultiSimilarityLoss)


@pytest.mark.parametrize(
    "loss",
    [
        loss for loss in LOSSES
        if "neg_sq_distance" in loss.accepts and not isinstance(loss, JUMPS)
        and "clipped" not in repr(loss) and not isinstance(loss, ClassConsistencyLoss)
    ],
    ids=repr,
)  # fmt: skip
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), step=st.floats(0.01, 1))
def test_a_mate_that_comes_closer_never_costs_more(loss, make_batch, seed, step):
    """Two samples of one class, and others that are as far from both all along."""
    other, _ = make_batch(seed, n=5, d=2)
    labels = torch.tensor([0, 0, 1, 1, 2, 3, 3])

    def at(half):
        """The mates lie beside the plane of the others, on either side."""
        # Their distance to the axis falls as they part: the strangers stay as far.
        across = (9 - half**2) ** 0.5
        mates = torch.tensor([[0, across, half], [0, across, -half]])
        # The others lie on the first axis, as far from one mate as from the other.
        line = torch.zeros(5, 3, dtype=torch.float64)
        line[:, 0] = other[:, 0]
        return torch.cat([mates.double(), line])

    far, near = at(1.5), at(1.5 - 1.5 * step)
    head = EuclideanHead()
    assert loss(near, labels, head) <= loss(far, labels, head) + 1e-9


@pytest.mark.parametrize("mining", ["batch_hard"])
def test_hardest_triplets_cost_no_more_when_a_mate_comes_closer(mining):
    x = torch.tensor([[0.0, 0.0], [0.0, 2.0], [3.0, 1.0], [3.0, 1.0]])
    labels, loss = torch.tensor([0, 0, 1, 1]), TripletLoss(3.0, mining=mining)
    near = x.clone()
    near[0, 1], near[1, 1] = 0.5, 1.5
    head = EuclideanHead()
    assert loss(near, labels, head) < loss(x, labels, head)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_loss_of_0_throughout_is_told(loss):
    head = EuclideanHead()
    told = loss.diagnose([0.0, 0.0], 4, head)
    assert told.startswith(f"{type(loss).__name__} was 0 in every epoch")
    assert "n_shot >= 2" in told
    assert "all rows of X" in told
    assert loss.diagnose([0.3, 0.0], 4, head) is None
    assert loss.diagnose([], 4, head) is None


@cases
def test_scores_are_asked_for_once(loss, name, make_head, make_batch):
    calls = []
    head = make_head(name)
    scores = head.scores

    def counted(a, b):
        calls.append((len(a), len(b)))
        return scores(a, b)

    head.scores = counted
    loss(*make_batch(0), head)
    assert calls == [(9, 9)]
