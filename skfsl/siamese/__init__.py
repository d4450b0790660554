"""The siamese network as an estimator."""

from skfsl.siamese._distance_callback import DistanceMatrixCallback
from skfsl.siamese._transformer import SiameseTransformer

__all__ = ["DistanceMatrixCallback", "SiameseTransformer"]
