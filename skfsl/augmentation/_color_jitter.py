"""Other light, other colours."""

from numbers import Real

import torch

from skfsl.augmentation._image_transform import ImageTransform
from skfsl.utils._sklearn_private import Interval

__all__ = ["ColorJitter"]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class ColorJitter(ImageTransform):
    """Change brightness, contrast, saturation and hue of each image of a batch.

    Each image is changed by factors of its own, in this order. Use it where the light
    differs from picture to picture; leave out what tells classes apart, such as the
    hue of fruits. The default strengths are those of [1]_.

    Parameters
    ----------
    brightness : float, default=0.4
        Pixels are multiplied by a factor from [1 - brightness, 1 + brightness].

    contrast : float, default=0.4
        So are differences from the image's mean luminance.

    saturation : float, default=0.4
        So are differences from each pixel's luminance: 0 is gray. Only for images of 3
        channels.

    hue : float, default=0
        Hues are turned by a share of the full circle from [-hue, hue], in [0, 0.5].
        Only for images of 3 channels.

    p : float, default=1
        Probability that an image is changed, in [0, 1].

    Notes
    -----
    Three channels are red, green and blue. Of any other number, the mean of the
    channels is the luminance, and only brightness and contrast change. Factors are not
    negative. After each step pixels are cut to [0, 1].

    Randomness comes from torch's global generator on the device of the images, which
    the caller has seeded.

    References
    ----------
    .. [1] W.-Y. Chen, Y.-C. Liu, Z. Kira, Y.-C. F. Wang and J.-B. Huang. A Closer Look
       at Few-shot Classification. ICLR, 2019.

    Examples
    --------
    >>> import torch
    >>> from skfsl.augmentation import ColorJitter
    >>> _ = torch.manual_seed(0)
    >>> jitter = ColorJitter(brightness=0.5, contrast=0).build()
    >>> jitter(torch.full((3, 1, 2, 2), 0.5)).mean(dim=(1, 2, 3))
    tensor([0.4981, 0.6341, 0.2942])
    """

    _parameter_constraints: dict = {
        "brightness": [Interval(Real, 0, None, closed="left")],
        "contrast": [Interval(Real, 0, None, closed="left")],
        "saturation": [Interval(Real, 0, None, closed="left")],
        "hue": [Interval(Real, 0, 0.5, closed="both")],
        "p": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, brightness=0.4, *, contrast=0.4, saturation=0.4, hue=0, p=1):
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.p = p

    def _transform(self, images: torch.Tensor) -> torch.Tensor:
        low, high = torch.stack(images.aminmax()).tolist()
        if not (low > -1e-3 and high < 1 + 1e-3):
            raise ValueError(
                f"ColorJitter takes pixels in [0, 1]. Got some from {low:g} to "
                f"{high:g}. Scale them to [0, 1], or pass images of bytes, which are "
                f"scaled by the estimator."
            )
        n = len(images)
        signed = 2 * torch.rand(4, n, 1, 1, 1, device=images.device) - 1
        left_out = torch.rand(n, 1, 1, 1, device=images.device) >= self.p
        signed = signed.masked_fill(left_out, 0).to(images.dtype)
        strengths = (self.brightness, self.contrast, self.saturation)
        bright, contrast, saturation = (
            (1 + s * drawn).clamp(min=0)
            for s, drawn in zip(strengths, signed[:3], strict=True)
        )
        images = (images * bright).clamp_(0, 1)
        if self.contrast:
            mean = _luminance(images).mean(dim=(2, 3), keepdim=True)
            images = torch.lerp(mean, images, contrast).clamp_(0, 1)
        if images.shape[1] != 3:
            return images
        if self.saturation:
            images = torch.lerp(_luminance(images), images, saturation).clamp_(0, 1)
        return _turn_hue(images, self.hue * signed[3]) if self.hue else images


def _luminance(images: torch.Tensor) -> torch.Tensor:
    """Return gray images (n, 1, h, w)."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _turn_hue(images: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Turn hues by shares of the full circle, (n, 1, 1, 1); keep the rest of HSV."""
    red, green, blue = images.split(1, dim=1)
    value, low = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    spread = value - low
    # In sixths of the circle, from the largest channel; gray has no hue, any will do.
    by = spread.masked_fill(spread == 0, 1)
    of_blue = 4 + (red - green) / by
    of_green = torch.where(value == green, 2 + (blue - red) / by, of_blue)
    hue = torch.where(value == red, (green - blue) / by, of_green) + 6 * turn
    channel = images.new_tensor([5, 3, 1]).view(3, 1, 1)
    place = (hue + channel) % 6
    return value - spread * place.minimum(4 - place).clamp(0, 1)
