"""Heads compare embeddings: (a, b) -> scores, higher is closer."""

from skfsl.heads._cosine import CosineHead
from skfsl.heads._euclidean import EuclideanHead

__all__ = ["HEADS", "CosineHead", "EuclideanHead"]

# name -> "module:Class"; what a head may be called by.
HEADS = {
    "cosine": "skfsl.heads._cosine:CosineHead",
    "euclidean": "skfsl.heads._euclidean:EuclideanHead",
}
