"""Samplers draw batches: labels -> indices. NumPy and SciPy only."""

from skfsl.samplers._balanced_pairs import BalancedPairsSampler
from skfsl.samplers._class_balanced import ClassBalancedSampler
from skfsl.samplers._episode import EpisodeSampler
from skfsl.samplers._hard_pairs import HardPairsSampler
from skfsl.samplers._product_pairs import ProductPairsSampler
from skfsl.samplers._random_pairs import RandomPairsSampler

__all__ = [
    "SAMPLERS",
    "BalancedPairsSampler",
    "ClassBalancedSampler",
    "EpisodeSampler",
    "HardPairsSampler",
    "ProductPairsSampler",
    "RandomPairsSampler",
]

# name -> "module:Class"; what a sampler may be called by.
SAMPLERS = {
    "balanced_pairs": "skfsl.samplers._balanced_pairs:BalancedPairsSampler",
    "class_balanced": "skfsl.samplers._class_balanced:ClassBalancedSampler",
    "episode": "skfsl.samplers._episode:EpisodeSampler",
    "hard_pairs": "skfsl.samplers._hard_pairs:HardPairsSampler",
    "product_pairs": "skfsl.samplers._product_pairs:ProductPairsSampler",
    "random_pairs": "skfsl.samplers._random_pairs:RandomPairsSampler",
}
