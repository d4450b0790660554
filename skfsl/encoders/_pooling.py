"""Feature maps (n, c, h, w) -> embeddings (n, d)."""

import math

import torch
from torch import nn

__all__ = [
    "POOLINGS",
    "AveragePooling",
    "CovariancePooling",
    "GeneralizedMeanPooling",
    "MaxPooling",
    "build_pooling",
]

# Channels that covariance pooling leaves as they are: of 64 it makes 2,080 numbers.
_MOST_CHANNELS = 64


class AveragePooling(nn.Module):
    """Take the mean over all positions: (n, c, h, w) -> (n, c)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool feature maps."""
        return x.mean(dim=(2, 3), dtype=torch.float32)


class MaxPooling(nn.Module):
    """Take the largest value over all positions: (n, c, h, w) -> (n, c)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool feature maps."""
        return x.amax(dim=(2, 3))


class GeneralizedMeanPooling(nn.Module):
    """Take a generalised mean over all positions: (n, c, h, w) -> (n, c).

    It is the p-th root of the mean of p-th powers, of values of 1e-6 at least. 1 is
    the mean; the larger p, the nearer it comes to the largest value. p is trained.

    Parameters
    ----------
    p : float, default=3
        What p starts from, above 0.

    References
    ----------
    .. [1] F. Radenović, G. Tolias and O. Chum. Fine-tuning CNN Image Retrieval with
       No Human Annotation. TPAMI, 2019. Equation 3, with one p for all channels.
    """

    def __init__(self, p: float = 3.0):
        super().__init__()
        # As a logarithm it stays above 0, whatever step is taken. Of one dimension:
        # it is not decayed, as no bias is.
        self.log_p = nn.Parameter(torch.tensor([math.log(p)]))

    @property
    def p(self) -> float:
        """The exponent as it is now."""
        return self.log_p.exp().item()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool feature maps."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float().clamp(min=1e-6)
            p = self.log_p.exp()
            # Powers of shares of the largest value do not overflow. It is a constant
            # to the gradient: any other one would give the same mean.
            largest = x.detach().amax(dim=(2, 3), keepdim=True)
            mean = (x / largest).pow(p).mean(dim=(2, 3)).pow(1 / p)
            return mean * largest.flatten(1)


class CovariancePooling(nn.Module):
    """Take the products of all channels, averaged over positions.

    The mean over positions of f fᵀ, f being the c channels of a position, not centred;
    of each number v then sign(v) · sqrt(|v| + 1e-5). The matrix is symmetric: its
    upper triangle is returned, with √2 times what stands twice in it, so that
    distances and inner products are those of the whole matrix:
    (n, c, h, w) -> (n, c · (c + 1) / 2).

    Parameters
    ----------
    channels : int
        Number of channels c.

    References
    ----------
    .. [1] D. Wertheimer and B. Hariharan. Few-Shot Learning with Localization in
       Realistic Settings. CVPR, 2019. There all c² numbers are kept.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    weight: torch.Tensor

    def __init__(self, channels: int):
        super().__init__()
        rows, columns = torch.triu_indices(channels, channels)
        weight = torch.where(rows == columns, 1.0, math.sqrt(2))
        for name, value in (("rows", rows), ("columns", columns), ("weight", weight)):
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool feature maps."""
        with torch.autocast(x.device.type, enabled=False):
            f = x.float().flatten(2)
            products = f @ f.transpose(1, 2) / f.shape[2]
            v = products[:, self.rows, self.columns]
            return v.sign() * (v.abs() + 1e-5).sqrt() * self.weight


POOLINGS = ("average", "covariance", "flatten", "gem", "max")


def build_pooling(name: str, channels: int) -> nn.Module:
    """Make what pools feature maps of `channels` channels.

    "flatten" keeps the positions, (n, c, h, w) -> (n, c * h * w). "covariance" takes
    64 channels at most; a linear map of each position makes so many of more.
    """
    if name == "flatten":
        return nn.Flatten()
    if name == "covariance" and channels > _MOST_CHANNELS:
        return nn.Sequential(
            nn.Conv2d(channels, _MOST_CHANNELS, 1, bias=False),
            CovariancePooling(_MOST_CHANNELS),
        )
    if name == "covariance":
        return CovariancePooling(channels)
    modules = {
        "average": AveragePooling,
        "gem": GeneralizedMeanPooling,
        "max": MaxPooling,
    }
    return modules[name]()
