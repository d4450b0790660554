"""Residual units that squeeze the channels first: Darknet and its kin."""

from numbers import Integral

import torch
from torch import nn
from torch.nn import functional as F

from skfsl.encoders._layers import (
    ChannelsLast,
    ConvNorm,
    check_image_shape,
    check_positive_ints,
    init_leaky,
)
from skfsl.encoders._pooling import POOLINGS, build_pooling
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval, StrOptions

__all__ = ["Darknet"]

_SLOPE = 0.1  # of the leaky ReLU, where it is negative


class Darknet(Part):
    """Encode images by residual units that squeeze the channels before they convolve.

    A stem, a 3x3 convolution to `stem` channels, is followed by a stage for each
    width: a 3x3 convolution that halves the image, then units of a 1x1 convolution to
    half the channels and a 3x3 convolution back, which are added to what came in.
    Batch normalisation and leaky ReLU follow each convolution. Take it for residuals
    at a cost near that of `Conv4`.

    Parameters
    ----------
    widths : tuple of int, default=(64, 128, 256)
        Channels of each stage; there are as many stages as widths.

    n_units : int or tuple of int, default=1
        Number of residual units of each stage; an int is that of all.

    stem : int, default=32
        Channels of the convolution before the first stage.

    pooling : {"average", "covariance", "flatten", "gem", "max"}, default="gem"
        How the last feature maps become an embedding, see
        :ref:`the user guide <pooling>`. "average", "gem" and "max" make as many
        numbers as the last width.

    See Also
    --------
    ResNet : More work at full resolution.
    Conv4 : No residuals.

    Notes
    -----
    The net of 53 layers of [1]_ is
    ``Darknet((64, 128, 256, 512, 1024), n_units=(1, 2, 8, 8, 4))``, with 40.6 million
    weights, for photos of 256 × 256 pixels. The default has 10 convolutions.

    References
    ----------
    .. [1] J. Redmon and A. Farhadi. YOLOv3: An Incremental Improvement.
       arXiv:1804.02767, 2018.

    Examples
    --------
    >>> import torch
    >>> from skfsl.encoders import Darknet
    >>> module = Darknet((16, 32), n_units=2, stem=8).build((3, 32, 32))
    >>> module(torch.rand(5, 3, 32, 32)).shape
    torch.Size([5, 32])
    """

    _parameter_constraints: dict = {
        "widths": [tuple, list],
        "n_units": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "stem": [Interval(Integral, 1, None, closed="left")],
        "pooling": [StrOptions(set(POOLINGS))],
    }

    def __init__(self, widths=(64, 128, 256), *, n_units=1, stem=32, pooling="gem"):
        self.widths = widths
        self.n_units = n_units
        self.stem = stem
        self.pooling = pooling

    def build(self, input_shape: tuple[int, ...]) -> nn.Module:
        """Make a network with new weights, drawn from torch's global generator.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of an image, (c, h, w).

        Returns
        -------
        module : nn.Module
            float32 (n, c, h, w) -> (n, d).

        Raises
        ------
        ValueError
            If `input_shape` is not that of an image, or a parameter is out of range.
        """
        self._validate_params()
        n_units = self._check_sizes(input_shape)
        layers: list[nn.Module] = [Leaky(input_shape[0], self.stem, 3)]
        channels = self.stem
        for width, n in zip(self.widths, n_units, strict=True):
            layers.append(Leaky(channels, width, 3, stride=2))
            layers += [ResidualUnit(width) for _ in range(n)]
            channels = width
        module = ChannelsLast(*layers)
        init_leaky(module, _SLOPE)
        module.append(build_pooling(self.pooling, channels))
        return module.to(memory_format=torch.channels_last)

    def _check_sizes(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_image_shape(self, input_shape)
        check_positive_ints(self, "widths")
        if isinstance(self.n_units, Integral):
            return (int(self.n_units),) * len(self.widths)
        check_positive_ints(self, "n_units")
        if len(self.n_units) != len(self.widths):
            raise ValueError(
                f"Darknet needs a number of units for each width. Got "
                f"{len(self.widths)} widths and {len(self.n_units)} n_units."
            )
        return tuple(self.n_units)


class Leaky(ConvNorm):
    """A convolution, batch normalisation and leaky ReLU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply all three."""
        return F.leaky_relu_(super().forward(x), _SLOPE)


class ResidualUnit(nn.Module):
    """Squeeze the channels, convolve, add what came in: (n, c, h, w) -> the same.

    Parameters
    ----------
    width : int
        Number of channels c.
    """

    def __init__(self, width: int):
        super().__init__()
        squeezed = max(1, width // 2)
        self.squeeze = Leaky(width, squeezed, 1)
        self.convolve = Leaky(squeezed, width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the unit."""
        return x + self.convolve(self.squeeze(x))
