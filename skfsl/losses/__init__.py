"""Losses say what to learn: (embeddings, labels, head) -> scalar."""

from skfsl.losses._arc_face import ArcFaceLoss
from skfsl.losses._binary_cross_entropy import BinaryCrossEntropyLoss
from skfsl.losses._class_consistency import ClassConsistencyLoss
from skfsl.losses._contrastive import ContrastiveLoss
from skfsl.losses._cos_face import CosFaceLoss
from skfsl.losses._mean_score import MeanScoreLoss
from skfsl.losses._multi_similarity import MultiSimilarityLoss
from skfsl.losses._n_pair import NPairLoss
from skfsl.losses._nca import NCALoss
from skfsl.losses._normalized_softmax import NormalizedSoftmaxLoss
from skfsl.losses._prototypical import PrototypicalLoss
from skfsl.losses._proxy_anchor import ProxyAnchorLoss
from skfsl.losses._sup_con import SupConLoss
from skfsl.losses._triplet import TripletLoss

__all__ = [
    "LOSSES",
    "ArcFaceLoss",
    "BinaryCrossEntropyLoss",
    "ClassConsistencyLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "MeanScoreLoss",
    "MultiSimilarityLoss",
    "NCALoss",
    "NPairLoss",
    "NormalizedSoftmaxLoss",
    "PrototypicalLoss",
    "ProxyAnchorLoss",
    "SupConLoss",
    "TripletLoss",
]

# name -> "module:Class"; what a loss may be called by.
LOSSES = {
    "arc_face": "skfsl.losses._arc_face:ArcFaceLoss",
    "binary_cross_entropy": "skfsl.losses._binary_cross_entropy:BinaryCrossEntropyLoss",
    "class_consistency": "skfsl.losses._class_consistency:ClassConsistencyLoss",
    "contrastive": "skfsl.losses._contrastive:ContrastiveLoss",
    "cos_face": "skfsl.losses._cos_face:CosFaceLoss",
    "mean_score": "skfsl.losses._mean_score:MeanScoreLoss",
    "multi_similarity": "skfsl.losses._multi_similarity:MultiSimilarityLoss",
    "n_pair": "skfsl.losses._n_pair:NPairLoss",
    "nca": "skfsl.losses._nca:NCALoss",
    "normalized_softmax": "skfsl.losses._normalized_softmax:NormalizedSoftmaxLoss",
    "prototypical": "skfsl.losses._prototypical:PrototypicalLoss",
    "proxy_anchor": "skfsl.losses._proxy_anchor:ProxyAnchorLoss",
    "sup_con": "skfsl.losses._sup_con:SupConLoss",
    "triplet": "skfsl.losses._triplet:TripletLoss",
}
