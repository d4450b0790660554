"""What a sampler may ask the network that it feeds."""

import numpy as np
import torch

from skfsl.exceptions import TrainingDivergedError
from skfsl.siamese._data import Staged, embed
from skfsl.siamese._module import SiameseModule

__all__ = ["PairScores"]

# Scores that are on the device at a time.
_SCORES = 2**24


class PairScores:
    """Scores of pairs of training samples, by the network as it is when first asked.

    All samples are embedded on the first call, and kept.

    Parameters
    ----------
    module : SiameseModule
        The network; it is put into evaluation mode.
    staged : Staged
        The training samples.
    """

    def __init__(self, module: SiameseModule, staged: Staged):
        self.module = module
        self.staged = staged
        self.embeddings: torch.Tensor | None = None

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Score all pairs across two sets.

        Parameters
        ----------
        a, b : ndarray of int64, shape (n,) and (m,)
            Sample indices.

        Returns
        -------
        scores : ndarray of float32, shape (n, m)
            Higher is closer.

        Raises
        ------
        TrainingDivergedError
            If scores are NaN or infinite.
        """
        device = self.staged.device
        if self.embeddings is None:
            self.module.eval()
            self.embeddings = embed(
                self.module, self.staged.X, device, torch.float32
            ).to(device)
        left, right = (
            self.embeddings[torch.from_numpy(at).to(device)] for at in (a, b)
        )
        scores = np.empty((len(a), len(b)), dtype=np.float32)
        rows = max(1, _SCORES // max(1, len(b)))
        with torch.inference_mode():
            for start in range(0, len(a), rows):
                block = self.module.head.scores(left[start : start + rows], right)
                scores[start : start + rows] = block.float().cpu().numpy()
        if not np.isfinite(scores).all():
            raise TrainingDivergedError(
                "The scores of training samples became NaN or infinite. Lower lr, "
                "check X for extreme values, or set precision='float32'."
            )
        return scores
