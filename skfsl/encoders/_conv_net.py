"""Blocks of convolution, normalisation and pooling: Conv4 and its kin."""

from numbers import Integral

import torch
from torch import nn

from skfsl.encoders._layers import ChannelsLast, ConvNorm, check_image_shape
from skfsl.encoders._pooling import POOLINGS, build_pooling
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval, StrOptions

__all__ = ["Conv4", "ConvNet"]


class ConvNet(Part):
    """Encode images by blocks of convolution, normalisation and pooling.

    A block is a 3x3 convolution to `width` channels, batch normalisation, 2x2
    max-pooling and ReLU [1]_. The field compares methods on four of them (`Conv4`):
    small, fast, and good for small images such as characters.

    Parameters
    ----------
    depth : int, default=4
        Number of blocks.

    width : int, default=64
        Channels of each block.

    pooling : {"average", "covariance", "flatten", "gem", "max"}, default="flatten"
        How the last feature maps become an embedding, see
        :ref:`the user guide <pooling>`. "flatten" takes all positions side by side,
        ``width * h * w`` numbers; "average", "gem" and "max" make `width` numbers.

    See Also
    --------
    Conv4 : Four blocks.
    KochNet : Large filters, for characters of 105 × 105 pixels.

    Notes
    -----
    A block does not pool along an axis of less than 2 pixels, so that small images
    go through any number of blocks. Max-pooling comes before ReLU: the two commute,
    and ReLU then has a quarter of the work.

    References
    ----------
    .. [1] O. Vinyals, C. Blundell, T. Lillicrap, K. Kavukcuoglu and D. Wierstra.
       Matching Networks for One Shot Learning. NeurIPS, 2016.

    Examples
    --------
    >>> import torch
    >>> from skfsl.encoders import ConvNet
    >>> module = ConvNet(depth=3, width=16).build((3, 32, 32))
    >>> module(torch.rand(5, 3, 32, 32)).shape
    torch.Size([5, 256])
    """

    _parameter_constraints: dict = {
        "depth": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "pooling": [StrOptions(set(POOLINGS))],
    }

    def __init__(self, depth=4, *, width=64, pooling="flatten"):
        self.depth = depth
        self.width = width
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
        return build_blocks(self, input_shape, self.depth, self.width, self.pooling)


class Conv4(Part):
    """Encode images by the four blocks that the field compares methods on.

    A block is a 3x3 convolution to `width` channels, batch normalisation, 2x2
    max-pooling and ReLU [1]_. It is the default for images.

    Parameters
    ----------
    width : int, default=64
        Channels of each block.

    pooling : {"average", "covariance", "flatten", "gem", "max"}, default="flatten"
        How the last feature maps become an embedding, see
        :ref:`the user guide <pooling>`. "flatten" takes all positions side by side,
        ``width * h * w`` numbers; "average", "gem" and "max" make `width` numbers.

    See Also
    --------
    ConvNet : Any number of blocks.

    Notes
    -----
    28 × 28 pixels become 1 × 1 and 64 numbers, 84 × 84 pixels become 5 × 5 and 1,600.

    References
    ----------
    .. [1] O. Vinyals, C. Blundell, T. Lillicrap, K. Kavukcuoglu and D. Wierstra.
       Matching Networks for One Shot Learning. NeurIPS, 2016.

    Examples
    --------
    >>> import torch
    >>> from skfsl.encoders import Conv4
    >>> Conv4().build((1, 28, 28))(torch.rand(5, 1, 28, 28)).shape
    torch.Size([5, 64])
    """

    _parameter_constraints: dict = {
        "width": ConvNet._parameter_constraints["width"],
        "pooling": ConvNet._parameter_constraints["pooling"],
    }

    def __init__(self, *, width=64, pooling="flatten"):
        self.width = width
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
        return build_blocks(self, input_shape, 4, self.width, self.pooling)


def build_blocks(
    part: Part, input_shape: tuple[int, ...], depth: int, width: int, pooling: str
) -> nn.Module:
    """Make `depth` blocks of `width` channels for images of `input_shape`."""
    check_image_shape(part, input_shape)
    channels, h, w = input_shape
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers.append(ConvNorm(channels, width, 3))
        window = (min(h, 2), min(w, 2))
        if window != (1, 1):
            layers.append(nn.MaxPool2d(window))
        layers.append(nn.ReLU(inplace=True))
        channels, h, w = width, h // window[0], w // window[1]
    layers.append(build_pooling(pooling, channels))
    return ChannelsLast(*layers).to(memory_format=torch.channels_last)
