"""Heads compare embeddings: (a, b) -> scores, higher is closer."""

from skfsl.heads._cosine import CosineHead
from skfsl.heads._dense_sigmoid import DenseSigmoidHead
from skfsl.heads._euclidean import EuclideanHead
from skfsl.heads._learned_norms import LearnedNormsHead
from skfsl.heads._mahalanobis import MahalanobisHead
from skfsl.heads._mixed_norms import MixedNormsHead

__all__ = [
    "HEADS",
    "CosineHead",
    "DenseSigmoidHead",
    "EuclideanHead",
    "LearnedNormsHead",
    "MahalanobisHead",
    "MixedNormsHead",
]

# name -> "module:Class"; what a head may be called by.
HEADS = {
    "cosine": "skfsl.heads._cosine:CosineHead",
    "dense_sigmoid": "skfsl.heads._dense_sigmoid:DenseSigmoidHead",
    "euclidean": "skfsl.heads._euclidean:EuclideanHead",
    "learned_norms": "skfsl.heads._learned_norms:LearnedNormsHead",
    "mahalanobis": "skfsl.heads._mahalanobis:MahalanobisHead",
    "mixed_norms": "skfsl.heads._mixed_norms:MixedNormsHead",
}
