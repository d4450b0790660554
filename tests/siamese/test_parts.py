"""Parts in the parameters that they are meant for."""

import pytest
from sklearn.datasets import load_iris

from skfsl import SiameseTransformer
from skfsl.augmentation import RandomAffine
from skfsl.encoders import MLP
from skfsl.heads import CosineHead
from skfsl.losses import TripletLoss
from skfsl.samplers import ClassBalancedSampler

PARTS = {
    "augment": RandomAffine(),
    "encoder": MLP(),
    "head": CosineHead(),
    "loss": TripletLoss(),
    "sampler": ClassBalancedSampler(),
}


OTHERS = [
    (p, k) for p in ("encoder", "head", "loss", "sampler") for k in PARTS if p != k
]


@pytest.mark.parametrize(("param", "kind"), OTHERS)
def test_a_part_of_another_kind_is_refused(param, kind):
    siamese = SiameseTransformer(**{param: PARTS[kind]}, max_epochs=1)
    with pytest.raises(TypeError, match=rf"The '{param}' .* which is for '{kind}'\."):
        siamese.fit(*load_iris(return_X_y=True))


def test_a_loss_and_a_head_that_do_not_fit_are_both_named():
    siamese = SiameseTransformer(head="dense_sigmoid", loss="triplet", max_epochs=1)
    message = "TripletLoss is not defined on the scores of DenseSigmoidHead: it"
    with pytest.raises(ValueError, match=message):
        siamese.fit(*load_iris(return_X_y=True))
