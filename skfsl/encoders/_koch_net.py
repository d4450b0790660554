"""The twin of the first deep siamese network for one-shot learning."""

from numbers import Integral

import torch
from torch import nn

from skfsl.encoders._layers import (
    ChannelsLast,
    check_image_shape,
    check_positive_ints,
)
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["KochNet"]


class KochNet(Part):
    """Encode images as in "Siamese Neural Networks for One-shot Image Recognition".

    Convolutions with ReLU, 2x2 max-pooling after all but the last of them, and one
    fully connected layer with a sigmoid: an embedding lies in (0, 1). Made for
    characters of 105 × 105 pixels; for smaller images make the kernels smaller, or
    use `Conv4`, which also learns faster.

    Parameters
    ----------
    embedding_dim : int, default=4096
        Width of the fully connected layer.

    channels : tuple of int, default=(64, 128, 128, 256)
        Channels of the convolutions.

    kernel_sizes : tuple of int, default=(10, 7, 4, 4)
        Sizes of their square kernels, in pixels; as many as `channels`.

    paper_init : bool, default=False
        Whether weights start as in the paper. In hundreds of steps next to nothing is
        learned from there; from torch's own start it is.

    See Also
    --------
    Conv4 : Small kernels and batch normalisation.

    Notes
    -----
    The start of [1]_: weights of convolutions from N(0, 0.01²), of the fully connected
    layer from N(0, 0.2²), biases from N(0.5, 0.01²). So wide a layer starts with most
    sigmoids near 0 or 1, where they have no gradient.

    Convolutions are not padded. The default needs 65 × 65 pixels at least. It has 39
    million weights on 105 × 105 pixels, 38 million of them in the last layer.

    References
    ----------
    .. [1] G. Koch, R. Zemel and R. Salakhutdinov. Siamese Neural Networks for
       One-shot Image Recognition. ICML Deep Learning Workshop, 2015.

    Examples
    --------
    >>> import torch
    >>> from skfsl.encoders import KochNet
    >>> part = KochNet(embedding_dim=32, channels=(8, 16), kernel_sizes=(5, 3))
    >>> part.build((1, 28, 28))(torch.rand(5, 1, 28, 28)).shape
    torch.Size([5, 32])
    """

    _parameter_constraints: dict = {
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "channels": [tuple, list],
        "kernel_sizes": [tuple, list],
        "paper_init": ["boolean"],
    }

    def __init__(
        self,
        *,
        embedding_dim=4096,
        channels=(64, 128, 128, 256),
        kernel_sizes=(10, 7, 4, 4),
        paper_init=False,
    ):
        self.embedding_dim = embedding_dim
        self.channels = channels
        self.kernel_sizes = kernel_sizes
        self.paper_init = paper_init

    def build(self, input_shape: tuple[int, ...]) -> nn.Module:
        """Make a network with new weights, drawn from torch's global generator.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of an image, (c, h, w).

        Returns
        -------
        module : nn.Module
            float32 (n, c, h, w) -> (n, embedding_dim), in (0, 1).

        Raises
        ------
        ValueError
            If `input_shape` is not that of an image, if the images are too small for
            the kernels, or if a parameter is out of its range.
        """
        self._validate_params()
        self._check_sizes(input_shape)
        c, h, w = input_shape
        layers: list[nn.Module] = []
        for i, (width, size) in enumerate(
            zip(self.channels, self.kernel_sizes, strict=True)
        ):
            layers.append(nn.Conv2d(c, width, size))
            c, h, w = width, h - size + 1, w - size + 1
            if i < len(self.channels) - 1:
                # Max-pooling before ReLU is the same function, and less work.
                layers.append(nn.MaxPool2d(2))
                h, w = h // 2, w // 2
            layers.append(nn.ReLU(inplace=True))
        layers += [nn.Flatten(), nn.Linear(c * h * w, self.embedding_dim), nn.Sigmoid()]
        module = ChannelsLast(*layers)
        for layer in module if self.paper_init else ():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                spread = 0.01 if isinstance(layer, nn.Conv2d) else 0.2
                nn.init.normal_(layer.weight, 0.0, spread)
                if layer.bias is not None:
                    nn.init.normal_(layer.bias, 0.5, 0.01)
        return module.to(memory_format=torch.channels_last)

    def _check_sizes(self, input_shape: tuple[int, ...]) -> None:
        check_positive_ints(self, "channels", "kernel_sizes")
        if len(self.channels) != len(self.kernel_sizes):
            raise ValueError(
                f"KochNet needs a kernel size for each convolution. Got "
                f"{len(self.channels)} channels and {len(self.kernel_sizes)} "
                f"kernel_sizes."
            )
        check_image_shape(self, input_shape)
        smallest = self.kernel_sizes[-1]
        for size in self.kernel_sizes[-2::-1]:
            smallest = 2 * smallest + size - 1
        if min(input_shape[1:]) < smallest:
            raise ValueError(
                f"KochNet with kernel_sizes={tuple(self.kernel_sizes)} needs images of "
                f"at least {smallest} x {smallest} pixels. Got {input_shape[1]} x "
                f"{input_shape[2]}. Enlarge them, make the kernels smaller, or use "
                f"Conv4."
            )
