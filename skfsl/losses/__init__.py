"""Losses say what to learn: (embeddings, labels, head) -> scalar."""

from skfsl.losses._binary_cross_entropy import BinaryCrossEntropyLoss
from skfsl.losses._class_consistency import ClassConsistencyLoss
from skfsl.losses._contrastive import ContrastiveLoss
from skfsl.losses._mean_score import MeanScoreLoss
from skfsl.losses._multi_similarity import MultiSimilarityLoss
from skfsl.losses._n_pair import NPairLoss
from skfsl.losses._nca import NCALoss
from skfsl.losses._prototypical import PrototypicalLoss
from skfsl.losses._sup_con import SupConLoss
from skfsl.losses._triplet import TripletLoss

__all__ = [
    "LOSSES",
    "BinaryCrossEntropyLoss",
    "ClassConsistencyLoss",
    "ContrastiveLoss",
    "MeanScoreLoss",
    "MultiSimilarityLoss",
    "NCALoss",
    "NPairLoss",
    "PrototypicalLoss",
    "SupConLoss",
    "TripletLoss",
]

# name -> "module:Class"; what a loss may be called by.
LOSSES = {
    "binary_cross_entropy": "skfsl.losses._binary_cross_entropy:BinaryCrossEntropyLoss",
    "class_consistency": "skfsl.losses._class_consistency:ClassConsistencyLoss",
    "contrastive": "skfsl.losses._contrastive:ContrastiveLoss",
    "mean_score": "skfsl.losses._mean_score:MeanScoreLoss",
    "multi_similarity": "skfsl.losses._multi_similarity:MultiSimilarityLoss",
    "n_pair": "skfsl.losses._n_pair:NPairLoss",
    "nca": "skfsl.losses._nca:NCALoss",
    "prototypical": "skfsl.losses._prototypical:PrototypicalLoss",
    "sup_con": "skfsl.losses._sup_con:SupConLoss",
    "triplet": "skfsl.losses._triplet:TripletLoss",
}
