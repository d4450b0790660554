"""A classification network as an encoder: other channels, no classifier."""

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Backbone", "set_channels", "spread", "take_off_head"]


class Backbone(nn.Module):
    """Pixels to embeddings: size, normalisation and the network.

    Parameters
    ----------
    net : nn.Module
        Normalised images (n, c, h, w) -> (n, d).
    mean, std : list of float
        Of each channel.
    image_size : int
        Side of the images that the weights were made for.
    least_size : int
        Least side that the network takes; `image_size` where it takes no other.
    pretrained : bool
        Whether the weights were trained.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, net: nn.Module, mean: list[float], std: list[float], image_size: int,
        least_size: int, pretrained: bool,
    ):  # fmt: skip
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.image_size = image_size
        self.least_size = least_size
        self.pretrained = pretrained

    def adapt(self, X: torch.Tensor) -> None:
        """Refuse training data that is not in [0, 1]: its embeddings would be noise."""
        if not self.pretrained or not X.is_floating_point():
            return
        low, high = X.min().item(), X.max().item()
        if low < -0.5 or high > 2:
            raise ValueError(
                f"A pretrained encoder takes pixels as bytes, or as floats in [0, 1], "
                f"which it normalises itself. Got floats from {low:g} to {high:g}. "
                f"Pass X.astype(np.uint8), or X / 255."
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed images (n, c, h, w) of floats in [0, 1] into (n, d)."""
        size = (self.image_size, self.image_size)
        fixed = self.least_size == self.image_size
        if min(x.shape[2:]) < self.least_size or (fixed and x.shape[2:] != size):
            x = F.interpolate(x, size, mode="bilinear", antialias=True)
        x = (x - self.mean) / self.std  # one channel becomes three
        return self.net(x.contiguous(memory_format=torch.channels_last))


def take_off_head(net: nn.Module) -> str:
    """Put nothing in place of the last layer with weights, and name it."""
    layers = reversed(list(net.named_modules()))
    name = next(n for n, m in layers if isinstance(m, nn.Linear | nn.Conv2d))
    parent, _, child = name.rpartition(".")
    setattr(net.get_submodule(parent), child, nn.Identity())
    return name


def set_channels(net: nn.Module, n_channels: int) -> str:
    """Let the first convolution take `n_channels`, and name it."""
    name, stem = next(
        (n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d)
    )
    if n_channels != 3:
        stem.weight = nn.Parameter(spread(stem.weight.detach(), n_channels))
        stem.in_channels = n_channels
    return name


def spread(weight: torch.Tensor, n_channels: int) -> torch.Tensor:
    """Make filters of `n_channels` of those of three, for answers of the same size."""
    return weight[:, torch.arange(n_channels) % 3] * (3 / n_channels)
