"""Losses and miners of pytorch-metric-learning: trained with, and compared with."""

import pickle

import numpy as np
import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers

from skfsl import SiameseTransformer
from skfsl.heads import CosineHead, EuclideanHead
from skfsl.losses import (
    ContrastiveLoss,
    MultiSimilarityLoss,
    NCALoss,
    SupConLoss,
    TripletLoss,
)


class MinedLoss(torch.nn.Module):
    """A loss of the triplets or pairs that a miner finds in the batch."""

    def __init__(self, loss, miner):
        super().__init__()
        self.loss = loss
        self.miner = miner

    def forward(self, embeddings, labels):
        return self.loss(embeddings, labels, self.miner(embeddings, labels))


# The same distances as the heads': euclidean, not of length 1.
L2 = distances.LpDistance(normalize_embeddings=False)
SQUARED = distances.LpDistance(normalize_embeddings=False, power=2)
OVER_ACTIVE = reducers.AvgNonZeroReducer()
EVERY_PAIR = EVERY_ANCHOR = reducers.MeanReducer()

SAME = {
    "sup_con": (SupConLoss(0.2), CosineHead(), losses.SupConLoss(temperature=0.2)),
    "nca": (
        NCALoss(2.0),
        EuclideanHead(),
        losses.NCALoss(softmax_scale=0.5, distance=SQUARED),
    ),
    "multi_similarity": (
        MultiSimilarityLoss(2.0, beta=20.0, base=0.4, epsilon=0.1),
        CosineHead(),
        MinedLoss(
            losses.MultiSimilarityLoss(alpha=2.0, beta=20.0, base=0.4),
            miners.MultiSimilarityMiner(epsilon=0.1),
        ),
    ),
    "triplet, batch_all": (
        TripletLoss(1.0, mining="batch_all"),
        EuclideanHead(),
        losses.TripletMarginLoss(margin=1.0, distance=L2, reducer=OVER_ACTIVE),
    ),
    "triplet, semi_hard": (
        TripletLoss(1.0, mining="semi_hard"),
        EuclideanHead(),
        MinedLoss(
            losses.TripletMarginLoss(margin=1.0, distance=L2, reducer=OVER_ACTIVE),
            miners.TripletMarginMiner(1.0, type_of_triplets="semihard", distance=L2),
        ),
    ),
    "triplet, batch_hard": (
        TripletLoss(1.0, mining="batch_hard"),
        EuclideanHead(),
        MinedLoss(
            losses.TripletMarginLoss(margin=1.0, distance=L2, reducer=EVERY_ANCHOR),
            miners.BatchHardMiner(distance=L2),
        ),
    ),
    "triplet, soft": (
        TripletLoss("soft", mining="batch_hard"),
        EuclideanHead(),
        MinedLoss(
            losses.TripletMarginLoss(
                margin=0.0, smooth_loss=True, distance=L2, reducer=EVERY_ANCHOR
            ),
            miners.BatchHardMiner(distance=L2),
        ),
    ),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("seed", range(3))
def test_equals_that_of_pytorch_metric_learning(name, seed, make_batch):
    ours, head, theirs = SAME[name]
    x, labels = make_batch(seed, n=24, n_classes=5, d=4)
    x.requires_grad_()
    values = [ours(x, labels, head), theirs(x, labels)]
    torch.testing.assert_close(*values, rtol=1e-6, atol=1e-8)
    gradients = [torch.autograd.grad(value, x)[0] for value in values]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-7)


def test_contrastive_is_made_of_their_parts(make_batch):
    """Theirs does not square the costs, nor halve their sum."""
    x, labels = make_batch(0, n=24, n_classes=5, d=4)
    squares = losses.ContrastiveLoss(neg_margin=0, distance=SQUARED, reducer=EVERY_PAIR)
    # A margin of 0 pushes nothing: what is left is the pull.
    pull = squares(x, labels)
    ours = ContrastiveLoss(1e-9)(x, labels, EuclideanHead())
    torch.testing.assert_close(2 * ours, pull)
    # A margin beyond all distances: (m - d)² = m² - 2 m d + d².
    d = L2(x)[labels[:, None] != labels[None, :]]
    ours = ContrastiveLoss(100.0)(x, labels, EuclideanHead())
    torch.testing.assert_close(2 * ours, pull + (100 - d).square().mean())


def blobs(n_classes=30, n=6, d=6):
    rng = np.random.RandomState(0)
    y = np.repeat(np.arange(n_classes), n)
    X = rng.randn(n_classes, d)[y] + 0.3 * rng.randn(len(y), d)
    return np.hstack([X, 2 * rng.randn(len(y), d)]).astype(np.float32), y


X, Y = blobs()


def fit(loss, **params):
    params = {"max_epochs": 4, "random_state": 0, "lr": 5e-3} | params
    return SiameseTransformer(loss=loss, **params).fit(X, Y)


@pytest.mark.parametrize(
    "loss",
    [
        losses.TripletMarginLoss(margin=0.2),
        losses.ContrastiveLoss(),
        losses.CircleLoss(),
        losses.SupConLoss(),
        losses.SignalToNoiseRatioContrastiveLoss(),
        MinedLoss(losses.MultiSimilarityLoss(), miners.MultiSimilarityMiner()),
        MinedLoss(losses.TripletMarginLoss(), miners.TripletMarginMiner(0.2)),
        losses.CrossBatchMemory(
            losses.ContrastiveLoss(), embedding_size=64, memory_size=256,
            miner=miners.PairMarginMiner(),
        ),
    ],
    ids=lambda loss: type(getattr(loss, "loss", loss)).__name__,
)  # fmt: skip
def test_any_loss_is_trained_with(loss):
    siamese = fit(loss, head="cosine")
    assert np.isfinite(siamese.transform(X)).all()
    history = [row["train_loss"] for row in siamese.history_]
    assert history[-1] < history[0]
    assert pickle.loads(pickle.dumps(siamese)).transform(X).shape == (len(X), 64)


@pytest.mark.parametrize("cls", [losses.ProxyAnchorLoss, losses.ArcFaceLoss])
def test_weights_of_a_loss_are_trained_along(cls):
    loss = cls(num_classes=30, embedding_size=64)
    (name, before), *_ = [(n, p.clone()) for n, p in loss.named_parameters()]
    siamese = fit(loss, head="cosine")
    trained = dict(siamese.net_.criterion_.named_parameters())
    (key,) = [k for k in trained if k.endswith(name)]
    optimized = [p for g in siamese.net_.optimizer_.param_groups for p in g["params"]]
    assert any(p is trained[key] for p in optimized)
    assert not torch.equal(trained[key], before)
    # What was passed in is not.
    torch.testing.assert_close(dict(loss.named_parameters())[name], before)
    history = [row["train_loss"] for row in siamese.history_]
    assert history[-1] < history[0]


def test_a_head_with_weights_is_refused_with_it():
    with pytest.raises(ValueError, match=r"TripletMarginLoss does not train the head"):
        fit(losses.TripletMarginLoss(), head="dense_sigmoid")
