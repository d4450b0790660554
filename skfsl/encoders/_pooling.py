"""Feature maps (n, c, h, w) -> embeddings (n, d)."""

import torch
from torch import nn

__all__ = ["POOLINGS", "AveragePooling", "MaxPooling"]


class AveragePooling(nn.Module):
    """Take the mean over all positions: (n, c, h, w) -> (n, c)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool feature maps."""
        return x.mean(dim=(2, 3))


class MaxPooling(nn.Module):
    """Take the largest value over all positions: (n, c, h, w) -> (n, c)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool feature maps."""
        return x.amax(dim=(2, 3))


# "flatten" keeps the positions: (n, c, h, w) -> (n, c * h * w).
POOLINGS: dict[str, type[nn.Module]] = {
    "average": AveragePooling,
    "flatten": nn.Flatten,
    "max": MaxPooling,
}
