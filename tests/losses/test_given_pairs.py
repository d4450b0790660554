"""Losses that judge pairs one by one take given pairs, too."""

import numpy as np
import pytest
import torch

from skfsl import SiameseTransformer
from skfsl.heads import EuclideanHead
from skfsl.losses import BinaryCrossEntropyLoss, ContrastiveLoss

LOSSES = [
    ContrastiveLoss(),
    BinaryCrossEntropyLoss(),
    BinaryCrossEntropyLoss(balanced=False),
    BinaryCrossEntropyLoss("clipped"),
    BinaryCrossEntropyLoss("focal"),
]
by_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)


def build(loss):
    return loss.build(embedding_dim=3, n_classes=3)


@by_loss
@pytest.mark.parametrize("head", ["euclidean", "cosine", "logit"])
def test_all_pairs_given_are_those_of_the_batch(loss, head, make_head, make_batch):
    head = make_head(head)
    if head.score_type not in loss.accepts:
        pytest.skip("not defined on these scores")
    x, y = make_batch(0)
    left, right = np.nonzero(~np.eye(len(x), dtype=bool))
    same = y[left] == y[right]
    given = build(loss).paired(x[left], x[right], same, head)
    torch.testing.assert_close(given, build(loss)(x, y, head))


def test_the_hardest_given_pairs_are_a_share_of_each_kind():
    a = torch.zeros(5, 1)
    b = torch.tensor([[0.0], [3.0], [1.0], [2.0], [4.0]])
    same = torch.tensor([True, True, False, False, False])
    loss = BinaryCrossEntropyLoss("top", top=0.5, temperature=1.0, bias=0.0)
    found = loss.build(1, 2).paired(a, b, same, EuclideanHead())
    # Of two of one class the further one, of three strangers the two nearest.
    cost = torch.nn.functional.softplus
    pull = cost(torch.tensor(9.0))
    push = cost(torch.tensor([-1.0, -4.0])).mean()
    torch.testing.assert_close(found, (pull + push) / 2)


@by_loss
def test_half_precision_and_duplicates_do_no_harm(loss):
    a = torch.ones(4, 3, dtype=torch.bfloat16, requires_grad=True)
    same = torch.tensor([True, True, False, False])
    value = build(loss).paired(a, a.detach(), same, EuclideanHead())
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(a.grad).all()


@pytest.mark.parametrize("loss", ["contrastive", "binary_cross_entropy"])
@pytest.mark.parametrize("sampler", ["balanced_pairs", "random_pairs", "hard_pairs"])
def test_samplers_of_pairs_train_a_metric(loss, sampler):
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(12, 6))
    centers[:, 3:] = 0
    y = np.repeat(np.arange(12), 12)
    X = centers[y] + rng.normal(size=(len(y), 6)) * [0.3] * 6
    X[:, 3:] *= 6
    siamese = SiameseTransformer(
        loss=loss, sampler=sampler, max_epochs=15, random_state=0, device="cpu"
    )

    def contrast(E, y):
        d = np.linalg.norm(E[:, None] - E[None], axis=2)
        same = y[:, None] == y
        return d[same & ~np.eye(len(y), dtype=bool)].mean() / d[~same].mean()

    seen = y < 9
    unseen = siamese.fit(X[seen], y[seen]).transform(X[~seen])
    assert contrast(unseen, y[~seen]) < 0.9 * contrast(X[~seen], y[~seen])
