"""Residual blocks of convolution, normalisation and pooling: ResNet-12 and its kin."""

from numbers import Integral, Real

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

__all__ = ["ResNet", "ResNet12"]

_SLOPE = 0.1  # of the leaky ReLU, where it is negative


class ResNet(Part):
    """Encode images by residual blocks of convolutions.

    A stem, a 3x3 convolution to `stem` channels, is followed by a residual block [1]_
    for each width: `n_convolutions` 3x3 convolutions with batch normalisation and leaky
    ReLU, beside a 1x1 convolution that the input is added through, and 2x2 max-pooling.
    It learns more from the same number of images than `Conv4`, and takes some eight
    times as long for each.

    Parameters
    ----------
    widths : tuple of int, default=(64, 128, 256)
        Channels of each block; there are as many blocks as widths.

    stem : int or None, default=64
        Channels of the convolution before the first block; None is no stem.

    n_convolutions : int, default=2
        Number of 3x3 convolutions in a block.

    drop_rate : float, default=0.0
        Share of the numbers that are dropped behind each block in training, in [0, 1).

    pooling : {"average", "covariance", "flatten", "gem", "max"}, default="gem"
        How the last feature maps become an embedding, see
        :ref:`the user guide <pooling>`. "average", "gem" and "max" make as many
        numbers as the last width.

    See Also
    --------
    ResNet12 : Four wide blocks of three convolutions, for photos.
    Darknet : Residual units that are cheaper.
    Conv4 : No residuals, and faster.

    Notes
    -----
    A block does not pool along an axis of less than 2 pixels. Max-pooling comes before
    leaky ReLU: the two commute.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun. Deep Residual Learning for Image
       Recognition. CVPR, 2016.

    Examples
    --------
    >>> import torch
    >>> from skfsl.encoders import ResNet
    >>> module = ResNet((16, 32), stem=8).build((1, 28, 28))
    >>> module(torch.rand(5, 1, 28, 28)).shape
    torch.Size([5, 32])
    """

    _parameter_constraints: dict = {
        "widths": [tuple, list],
        "stem": [Interval(Integral, 1, None, closed="left"), None],
        "n_convolutions": [Interval(Integral, 1, None, closed="left")],
        "drop_rate": [Interval(Real, 0, 1, closed="left")],
        "pooling": [StrOptions(set(POOLINGS))],
    }

    def __init__(
        self,
        widths=(64, 128, 256),
        *,
        stem=64,
        n_convolutions=2,
        drop_rate=0.0,
        pooling="gem",
    ):
        self.widths = widths
        self.stem = stem
        self.n_convolutions = n_convolutions
        self.drop_rate = drop_rate
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
        return build_residual(
            self, input_shape, self.stem, self.n_convolutions, self.pooling
        )


class ResNet12(Part):
    """Encode images by the residual net that the field compares methods on.

    Four residual blocks of three 3x3 convolutions with batch normalisation and leaky
    ReLU, each followed by 2x2 max-pooling, and the mean over positions. For photos of
    some 84 × 84 pixels, on a GPU: it has 12.4 million weights.

    Parameters
    ----------
    widths : tuple of int, default=(64, 160, 320, 640)
        Channels of each block. The first authors [1]_ had (64, 128, 256, 512).

    drop_rate : float, default=0.0
        Share of the numbers that are dropped behind each block in training, in [0, 1).

    pooling : {"average", "covariance", "flatten", "gem", "max"}, default="average"
        How the last feature maps become an embedding, see
        :ref:`the user guide <pooling>`. "average", "gem" and "max" make as many
        numbers as the last width.

    See Also
    --------
    ResNet : Any residual net of this kind, for small images by default.

    Notes
    -----
    In [2]_ the numbers that are dropped are single ones behind the first two blocks
    and whole patches behind the last two. Here they are single ones.

    References
    ----------
    .. [1] B. Oreshkin, P. Rodríguez López and A. Lacoste. TADAM: Task Dependent
       Adaptive Metric for Improved Few-Shot Learning. NeurIPS, 2018.
    .. [2] K. Lee, S. Maji, A. Ravichandran and S. Soatto. Meta-Learning with
       Differentiable Convex Optimization. CVPR, 2019.

    Examples
    --------
    >>> import torch
    >>> from skfsl.encoders import ResNet12
    >>> module = ResNet12((8, 16, 32, 64)).build((3, 84, 84))
    >>> module(torch.rand(2, 3, 84, 84)).shape
    torch.Size([2, 64])
    """

    _parameter_constraints: dict = {
        name: ResNet._parameter_constraints[name]
        for name in ("widths", "drop_rate", "pooling")
    }

    def __init__(self, widths=(64, 160, 320, 640), *, drop_rate=0.0, pooling="average"):
        self.widths = widths
        self.drop_rate = drop_rate
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
        return build_residual(self, input_shape, None, 3, self.pooling)


class ResidualBlock(nn.Module):
    """Convolutions beside a short cut, then pooling: (n, c, h, w) -> (n, d, h', w').

    Parameters
    ----------
    channels : int
        Channels that come in.
    width : int
        Channels that go out.
    n_convolutions : int
        Number of 3x3 convolutions.
    window : tuple of int
        Height and width of the window that is pooled.
    """

    def __init__(
        self, channels: int, width: int, n_convolutions: int, window: tuple[int, int]
    ):
        super().__init__()
        self.convolutions = nn.ModuleList(
            ConvNorm(width if i else channels, width, 3) for i in range(n_convolutions)
        )
        self.shortcut = ConvNorm(channels, width, 1)
        self.window = window

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        y = self.convolutions[0](x)
        for convolution in self.convolutions[1:]:
            y = convolution(F.leaky_relu_(y, _SLOPE))
        y = y.add_(self.shortcut(x))
        if self.window != (1, 1):
            y = F.max_pool2d(y, self.window)
        return F.leaky_relu_(y, _SLOPE)


def build_residual(
    part: ResNet | ResNet12,
    input_shape: tuple[int, ...],
    stem: int | None,
    n_convolutions: int,
    pooling: str,
) -> nn.Module:
    """Make a stem and residual blocks for images of `input_shape`."""
    check_positive_ints(part, "widths")
    check_image_shape(part, input_shape)
    channels, h, w = input_shape
    layers: list[nn.Module] = []
    if stem is not None:
        layers += [ConvNorm(channels, stem, 3), nn.LeakyReLU(_SLOPE, inplace=True)]
        channels = stem
    for width in part.widths:
        window = (min(h, 2), min(w, 2))
        layers.append(ResidualBlock(channels, width, n_convolutions, window))
        if part.drop_rate:
            layers.append(nn.Dropout(part.drop_rate))
        channels, h, w = width, h // window[0], w // window[1]
    module = ChannelsLast(*layers)
    init_leaky(module, _SLOPE)
    module.append(build_pooling(pooling, channels))
    return module.to(memory_format=torch.channels_last)
