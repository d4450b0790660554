"""The siamese network as an estimator."""

from skfsl.siamese._distance_callback import DistanceMatrixCallback
from skfsl.siamese._embedder import Embedder as Embedder
from skfsl.siamese._saved import net_from_numbers as net_from_numbers
from skfsl.siamese._saved import net_to_numbers as net_to_numbers
from skfsl.siamese._stages import Stage
from skfsl.siamese._transformer import SiameseTransformer

__all__ = ["DistanceMatrixCallback", "SiameseTransformer", "Stage"]
