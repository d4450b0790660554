"""The trained network alone, as a module that other runtimes can take up."""

import copy
from typing import Any

import torch
from torch import nn

from skfsl.siamese._views import check_views, mean_over_views

__all__ = ["Embedder"]


class Embedder(nn.Module):
    """Embed samples as a transformer does, in float32, views and all.

    Parameters
    ----------
    transformer : SiameseTransformer
        Fitted; its network is copied, to the CPU.
    """

    def __init__(self, transformer: Any):
        super().__init__()
        self.network: Any = copy.deepcopy(transformer.net_.module_).cpu()
        self.network.eval().requires_grad_(False)
        self.views = check_views(transformer.views, transformer.input_shape_)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed samples (n, *input_shape), as the head takes them: not folded."""
        if not self.views:
            return self.network(x)
        return mean_over_views(self.network, x, self.views)
