"""What convolutional encoders are put together from."""

from numbers import Integral

import torch
from torch import nn
from torch.nn import functional as F

from skfsl.utils._parts import Part

__all__ = [
    "ChannelsLast",
    "ConvNorm",
    "check_image_shape",
    "check_positive_ints",
    "init_leaky",
]


class ChannelsLast(nn.Sequential):
    """Layers that compute with the channels innermost, which CPUs and GPUs prefer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply all layers."""
        return super().forward(x.contiguous(memory_format=torch.channels_last))


class ConvNorm(nn.Conv2d):
    """A convolution that keeps the size, and batch normalisation of what it answers.

    Out of training the normalisation is a scale and an offset of each channel, which
    the weights take in: a pass over the feature maps less, for the same answer.

    Parameters
    ----------
    channels : int
        Channels that come in.
    width : int
        Channels that go out.
    size : int
        Side of the square kernel in pixels, odd.
    stride : int, default=1
        2 answers half as many rows and columns, rounded up.
    """

    def __init__(self, channels: int, width: int, size: int, *, stride: int = 1):
        # Normalisation takes the bias out again.
        super().__init__(
            channels, width, size, stride=stride, padding=size // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve and normalise feature maps (n, channels, h, w)."""
        norm, mean, variance = self.norm, self.norm.running_mean, self.norm.running_var
        # Scaling the weights costs more than it saves where there is little to scale. A
        # batch counts as 16 images, whatever it has: alike in any company.
        few = 16 * x.shape[2] * x.shape[3] < self.weight[0].numel()
        if norm.training or few or mean is None or variance is None:
            return norm(super().forward(x))
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        offset = norm.bias - mean * scale
        weight = self.weight * scale[:, None, None, None]
        return F.conv2d(x, weight, offset, self.stride, self.padding)


def check_image_shape(part: Part, input_shape: tuple[int, ...]) -> None:
    """Raise a ValueError where `input_shape` is not (c, h, w)."""
    if len(input_shape) != 3:
        raise ValueError(
            f"{type(part).__name__} takes images of shape (c, h, w). Got samples of "
            f"shape {tuple(input_shape)}; use MLP for tables."
        )


def check_positive_ints(part: Part, *names: str) -> None:
    """Raise a ValueError where a parameter is not a tuple of positive ints."""
    for name in names:
        values = getattr(part, name)
        if not values or not all(
            isinstance(v, Integral) and int(v) > 0 for v in values
        ):
            raise ValueError(
                f"The '{name}' parameter of {type(part).__name__} must be a tuple of "
                f"positive ints. Got {values!r} instead."
            )


def init_leaky(module: nn.Module, slope: float) -> None:
    """Draw weights so that leaky ReLU keeps the size of gradients (He et al. 2015)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, slope, "fan_out", "leaky_relu")
