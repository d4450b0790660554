"""Boxes drawn inside of images."""

import math

import torch

__all__ = ["draw_boxes"]


def draw_boxes(
    n: int,
    size: tuple[int, int],
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    padding: int = 0,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw a box an image, of whole pixels.

    Parameters
    ----------
    n : int
        Number of images.
    size : tuple of (int, int)
        Height and width of the images.
    scale : tuple of (float, float)
        Range of the share of the image's area, uniform.
    ratio : tuple of (float, float)
        Range of width by height, relative to that of the image; its logarithm is
        uniform. A side that would be longer than the image's is cut to it.
    padding : int, default=0
        Pixels by which a box may lie outside of the image, on each side.
    device : torch.device
        Where to draw.

    Returns
    -------
    top, left, height, width : Tensor of shape (n,)
        float32, in pixels.
    """
    h, w = size
    share, aspect, down, right = torch.rand(4, n, device=device)
    share = scale[0] + (scale[1] - scale[0]) * share
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = (low + (high - low) * aspect).exp()
    height = (h * (share / aspect).sqrt()).round().clamp(1, h)
    width = (w * (share * aspect).sqrt()).round().clamp(1, w)
    top = (down * (h + 2 * padding - height + 1)).floor() - padding
    left = (right * (w + 2 * padding - width + 1)).floor() - padding
    return top, left, height, width
