"""Samplers draw batches: labels -> indices. NumPy only."""

from skfsl.samplers._class_balanced import ClassBalancedSampler

__all__ = ["SAMPLERS", "ClassBalancedSampler"]

# name -> "module:Class"; what a sampler may be called by.
SAMPLERS = {"class_balanced": "skfsl.samplers._class_balanced:ClassBalancedSampler"}
