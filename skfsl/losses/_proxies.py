"""What the losses that compare samples with class proxies have in common."""

import torch
from sklearn.base import clone
from torch import nn
from torch.nn import functional as F

from skfsl.utils._parts import Part

__all__ = ["ProxyLoss", "ProxyModule"]


class ProxyLoss(Part):
    """Base of the losses that compare samples with a learned proxy a class.

    A subclass computes its equation in ``_of``, from cosines of samples and classes.
    """

    accepts: tuple[str, ...] = ("cosine",)
    n_centers = 1

    def build(self, embedding_dim: int, n_classes: int) -> "ProxyModule":
        """Return a module that holds the proxies, drawn at random.

        Parameters
        ----------
        embedding_dim : int
            Width of the embeddings.
        n_classes : int
            Number of classes in training; their codes are 0 to ``n_classes - 1``.

        Returns
        -------
        loss : nn.Module
            ``loss(embeddings, labels, head)``, with a parameter ``proxies`` of shape
            (n_classes, n_centers, embedding_dim): row c is of the class of code c.

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        """
        self._validate_params()
        return ProxyModule(clone(self), embedding_dim, n_classes)

    def _of(self, cosines: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss, of cosines (n, n_classes) and codes (n,)."""
        raise NotImplementedError


class ProxyModule(nn.Module):
    """A loss together with its proxies.

    Only the direction of a proxy counts. Cosines are float32 at least, also under
    autocast and for embeddings of half precision.

    Parameters
    ----------
    loss : ProxyLoss
        What to compute.
    embedding_dim : int
        Width of the embeddings.
    n_classes : int
        Number of classes.
    """

    # The optimizer's lr is multiplied by it for the proxies: found by trying 1, 10 and
    # 100 on digits and on tables of many classes.
    lr_factor = 10.0

    def __init__(self, loss: ProxyLoss, embedding_dim: int, n_classes: int):
        super().__init__()
        self.loss = loss
        directions = torch.randn(n_classes, loss.n_centers, embedding_dim)
        self.proxies = nn.Parameter(F.normalize(directions, dim=2))

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor, head):
        """Return the loss of a batch: (n, d), codes (n,) and a head -> scalar."""
        with torch.autocast(embeddings.device.type, enabled=False):
            x = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
            n_classes, n_centers, _ = self.proxies.shape
            cosines = head.scores(x, self.proxies.flatten(0, 1).to(x.dtype))
            # The nearest center speaks for its class.
            cosines = cosines.unflatten(1, (n_classes, n_centers)).amax(dim=2)
            return self.loss._of(cosines, labels)
