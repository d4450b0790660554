"""The siamese network as an estimator."""

from skfsl.siamese._transformer import SiameseTransformer

__all__ = ["SiameseTransformer"]
