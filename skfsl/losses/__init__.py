"""Losses say what to learn: (embeddings, labels, head) -> scalar."""

from skfsl.losses._contrastive import ContrastiveLoss
from skfsl.losses._prototypical import PrototypicalLoss

__all__ = ["LOSSES", "ContrastiveLoss", "PrototypicalLoss"]

# name -> "module:Class"; what a loss may be called by.
LOSSES = {
    "contrastive": "skfsl.losses._contrastive:ContrastiveLoss",
    "prototypical": "skfsl.losses._prototypical:PrototypicalLoss",
}
