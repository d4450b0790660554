"""Rows of a table through a few fully connected layers."""

from numbers import Integral, Real

import torch
from torch import nn

from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import Interval

__all__ = ["MLP"]

# Rows that principal components are computed from: more of them tell little more.
_MAX_ROWS = 10_000


class MLP(Part):
    """Encode the rows of a table by fully connected layers beside a linear map.

    The columns are standardised, with the means and scales of the training data; then
    the output is the sum of a linear map and of hidden layers with ReLU. The linear
    map starts as a rotation and the hidden layers start at zero: before training, the
    euclidean metric of the embeddings is that of the standardised columns, and
    training departs from there. It is the default for tables.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(128,)
        Widths of the hidden layers. () leaves the linear map alone.

    n_outputs : int, default=64
        Width of the embeddings.

    dropout : float, default=0.0
        Share of hidden units that are dropped in training, in [0, 1).

    See Also
    --------
    Conv4 : For images.

    Notes
    -----
    Where there are more columns than outputs, the linear map starts as the projection
    of the training data onto its principal components, which keeps more of the
    distances than random directions do. They are computed from 10,000 rows at most.

    Examples
    --------
    >>> import torch
    >>> from skfsl.encoders import MLP
    >>> module = MLP(n_outputs=16).build((13,))
    >>> X = torch.rand(5, 13)
    >>> module.adapt(X)
    >>> module(X).shape
    torch.Size([5, 16])
    """

    _parameter_constraints: dict = {
        "hidden_layer_sizes": [tuple, list],
        "n_outputs": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(self, hidden_layer_sizes=(128,), *, n_outputs=64, dropout=0.0):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_outputs = n_outputs
        self.dropout = dropout

    def build(self, input_shape: tuple[int, ...]) -> "MLPModule":
        """Make a network with new weights, drawn from torch's global generator.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of a row, (d,).

        Returns
        -------
        module : MLPModule
            float32 (n, d) -> (n, n_outputs). Its ``adapt(X)`` is called with the
            training data before training begins.

        Raises
        ------
        ValueError
            If `input_shape` is not that of a row, or a parameter is out of range.
        """
        self._validate_params()
        sizes = self.hidden_layer_sizes
        if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
            raise ValueError(
                f"The 'hidden_layer_sizes' parameter of MLP must be a tuple of "
                f"positive ints. Got {sizes!r} instead."
            )
        if len(input_shape) != 1:
            raise ValueError(
                f"MLP takes rows of a table, of shape (d,). Got samples of shape "
                f"{tuple(input_shape)}; use Conv4 for images."
            )
        return MLPModule(input_shape[0], tuple(sizes), self.n_outputs, self.dropout)


class MLPModule(nn.Module):
    """The network of `MLP`.

    Parameters
    ----------
    n_features : int
        Columns of the table.
    hidden : tuple of int
        Widths of the hidden layers.
    n_outputs : int
        Width of the embeddings.
    dropout : float
        Share of hidden units dropped in training.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    pretrained = False

    def __init__(
        self, n_features: int, hidden: tuple[int, ...], n_outputs: int, dropout: float
    ):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.linear = nn.Linear(n_features, n_outputs, bias=False)
        nn.init.orthogonal_(self.linear.weight)
        layers: list[nn.Module] = []
        width = n_features
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU(inplace=True)]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        if hidden:
            last = nn.Linear(width, n_outputs)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            layers.append(last)
        self.hidden = nn.Sequential(*layers) if hidden else None

    def adapt(self, X: torch.Tensor) -> None:
        """Take from the training data what does not need labels, before training.

        That is the means and scales of the columns and, where there are more columns
        than outputs, the principal components that the linear map starts from.

        Parameters
        ----------
        X : Tensor of shape (n, d)
            The training data. Columns that are constant get scale 1.
        """
        if self.pretrained:
            return  # the weights bring the means and scales that they were trained with
        # By blocks: a table in float64 is twice as large. Not on all devices is there
        # float64.
        X = X.detach().cpu()
        blocks = X.split(_MAX_ROWS)
        mean = sum(block.sum(dim=0, dtype=torch.float64) for block in blocks) / len(X)
        squares = sum((block - mean).square().sum(dim=0) for block in blocks)
        constant = X.amax(dim=0) == X.amin(dim=0)
        self.mean.copy_(mean)
        self.scale.copy_((squares / len(X)).sqrt().masked_fill(constant, 1))
        n_outputs = self.linear.out_features
        if n_outputs < min(X.shape):
            rows = torch.randperm(len(X))[:_MAX_ROWS]
            z = (X[rows] - self.mean.cpu()) / self.scale.cpu()
            components = torch.pca_lowrank(z.float(), q=n_outputs, niter=4)[2]
            self.linear.weight.data.copy_(components.T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed rows of shape (n, d) into (n, n_outputs)."""
        x = (x - self.mean) / self.scale
        return (
            self.linear(x) if self.hidden is None else self.linear(x) + self.hidden(x)
        )
