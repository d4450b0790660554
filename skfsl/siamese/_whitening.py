"""What a fine-tuning starts from: pretrained embeddings, whitened within classes."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from skfsl.siamese._data import Staged, embed
from skfsl.siamese._module import SiameseModule, encoder_of

__all__ = ["N_DIRECTIONS", "Whitening", "whiten"]

# Directions of pretrained embeddings that are kept, unless the user names a number. Of
# 1280, whitened all, the last thousand brought more noise than they told of classes.
N_DIRECTIONS = 256

# Share of the identity in the covariance: few classes say little of 1280 directions.
_SHRINKAGE = 0.3
# Length of the embeddings: squared distances are then as far apart as those that the
# prototypical loss, at its own temperature, makes of an encoder trained from scratch.
_LENGTH = 8.0


class Whitening(nn.Module):
    """Centre embeddings, scale them to length one, whiten them, and scale them again.

    Directions that vary within classes count for less. Mean, main directions and map
    are those of the training embeddings, in closed form; the map is trained from there.

    Parameters
    ----------
    mean : Tensor of shape (d,)
        Of the directions of embeddings.
    directions : Tensor of shape (embedding_dim, d)
        The main ones.
    weight : Tensor of shape (embedding_dim, embedding_dim)
        What the map starts at.
    """

    mean: torch.Tensor
    directions: torch.Tensor

    def __init__(
        self, mean: torch.Tensor, directions: torch.Tensor, weight: torch.Tensor
    ):
        super().__init__()
        self.register_buffer("mean", mean)
        # Not trained: the others would come in as noise.
        self.register_buffer("directions", directions)
        self.weight = nn.Parameter(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map embeddings (n, d) into (n, embedding_dim), all of the same length."""
        x = F.normalize(F.normalize(x.float()) - self.mean)
        x = F.linear(x, self.directions)
        return _LENGTH * F.normalize(F.linear(x, self.weight))


def whiten(module: SiameseModule, staged: Staged) -> torch.Tensor:
    """Put a whitening behind the encoder of a module, made for some samples.

    Centring and scaling to length one is after Y. Wang, W.-L. Chao, K. Q. Weinberger
    and L. van der Maaten, SimpleShot, 2019; whitening by the covariance within classes
    after A. O. Hatch, S. Kajarekar and A. Stolcke, Within-class covariance
    normalization for SVM-based speaker recognition, Interspeech, 2006.

    Parameters
    ----------
    module : SiameseModule
        Its projection is replaced by one of the same width.
    staged : Staged
        The training samples, with codes.

    Returns
    -------
    embeddings : Tensor of shape (n, d)
        What the encoder answers for them.
    """
    module.eval()
    embeddings = embed(encoder_of(module), staged.X, staged.device, torch.float32)
    x = F.normalize(embeddings.double())
    mean = x.mean(dim=0)
    x = F.normalize(x - mean)
    directions = _main_directions(x, module.embedding_dim)
    weight = _whitening_matrix(x @ directions.T, staged.codes)
    projection = Whitening(mean.float(), directions.float(), weight.float())
    module.projection = projection.to(staged.device)
    return embeddings


def _whitening_matrix(x: torch.Tensor, codes: np.ndarray) -> torch.Tensor:
    """Return the square root of the inverse covariance within classes, (d, d)."""
    _, codes, counts = np.unique(codes, return_inverse=True, return_counts=True)
    place, n = torch.from_numpy(codes), torch.from_numpy(counts)[:, None]
    means = torch.zeros(len(n), x.shape[1], dtype=x.dtype).index_add_(0, place, x) / n
    residuals = x - means[place]
    covariance = residuals.T @ residuals / max(1, len(x) - len(n))
    scale = covariance.trace() / len(covariance)
    if scale == 0:
        return torch.eye(len(covariance), dtype=x.dtype)
    covariance = covariance / scale * (1 - _SHRINKAGE)
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * (values.clamp(min=0) + _SHRINKAGE).rsqrt()) @ vectors.T


def _main_directions(x: torch.Tensor, width: int) -> torch.Tensor:
    """Return the directions of largest variance, (width, d); rows of zeros behind."""
    centered = x - x.mean(dim=0)
    _, vectors = torch.linalg.eigh(centered.T @ centered)
    rows = vectors.T.flip(0)[:width]
    return torch.cat([rows, rows.new_zeros(width - len(rows), rows.shape[1])])
