"""Every loss teaches a metric that holds on classes it has not seen."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from skfsl import SiameseTransformer
from skfsl.losses import LOSSES, BinaryCrossEntropyLoss, TripletLoss
from skfsl.utils._parts import part_from_name

RNG = np.random.RandomState(0)
N_CLASSES, N_SEEN, N_SHOT = 60, 40, 6
Y = np.repeat(np.arange(N_CLASSES), N_SHOT)
SEEN = N_SEEN > Y


def blobs():
    """Six directions tell classes apart; the other eighteen, larger, tell nothing."""
    telling = RNG.randn(N_CLASSES, 6)[Y] + 0.35 * RNG.randn(len(Y), 6)
    noise = 1.5 * RNG.randn(len(Y), 18)
    turn = np.linalg.qr(RNG.randn(24, 24))[0]
    return (np.hstack([telling, noise]) @ turn).astype(np.float32)


X = blobs()


def pair_auroc(siamese):
    """How well scores tell pairs of one unseen class from those of two."""
    scores, y = siamese.similarity(X[~SEEN]), Y[~SEEN]
    above = np.triu_indices(len(y), 1)
    return roc_auc_score((y[:, None] == y[None, :])[above], scores[above])


def learn(loss, head, max_epochs):
    return SiameseTransformer(
        loss=loss, head=head, max_epochs=max_epochs, lr=3e-3, random_state=0
    ).fit(X[SEEN], Y[SEEN])


@pytest.fixture(scope="module")
def untrained():
    made = {}

    def auroc(head):
        if head not in made:
            made[head] = pair_auroc(learn("prototypical", head, 0))
        return made[head]

    return auroc


HEAD_OF = {
    "neg_sq_distance": "euclidean", "cosine": "cosine", "logit": "dense_sigmoid"
}  # fmt: skip
ACCEPTS = {name: part_from_name(name, LOSSES, "loss").accepts for name in LOSSES}
CASES = [
    *((name, HEAD_OF[kind]) for name, kinds in ACCEPTS.items() for kind in kinds),
    *(
        (BinaryCrossEntropyLoss(r), "dense_sigmoid")
        for r in ("clipped", "top", "focal")
    ),
    *((TripletLoss(mining=m), "euclidean") for m in ("batch_all", "batch_hard")),
    (TripletLoss("soft", mining="batch_hard"), "cosine"),
]


@pytest.mark.parametrize(("loss", "head"), CASES, ids=str)
def test_unseen_classes_are_told_apart_better_than_untrained(loss, head, untrained):
    trained = pair_auroc(learn(loss, head, 6))
    assert trained > untrained(head) + 0.1
