"""A model as one program of torch: samples in; label, scores, embeddings out."""

from typing import Any

import torch
from torch import nn
from torch.export import Dim

from skfsl.export._anatomy import Anatomy, support_arrays, support_inputs, take_apart
from skfsl.heads import CosineHead, EuclideanHead
from skfsl.siamese import Embedder

__all__ = ["choose_layout", "input_of", "to_exported_program"]

LAYOUTS = ("channels_first", "channels_last", "no_channels")


class _Program(nn.Module):
    """What a model computes, in float32.

    Parameters
    ----------
    anatomy : Anatomy
        Of the model.
    layout : str
        Where the channels of images are.
    support : dict of str to ndarray
        As of `support_inputs`; empty where there is no classifier.
    """

    support: torch.Tensor
    membership: torch.Tensor

    def __init__(self, anatomy: Anatomy, layout: str, support: dict):
        super().__init__()
        self.layout = layout
        self.aggregation = anatomy.aggregation
        self.threshold = anatomy.threshold
        self.embed = self.head = None
        if anatomy.transformer is not None:
            self.embed = Embedder(anatomy.transformer)
            self.head = self.embed.network.head
        self.folds = anatomy.compare != "head"
        self.compare = _comparison(anatomy.compare, self.head)
        self.n_neighbors = getattr(anatomy.classifier, "n_neighbors", 0)
        self.whiten = None if anatomy.shared is None else _Whitening(anatomy.shared)
        for name, array in support.items():
            self.register_buffer(name, torch.from_numpy(array))

    def forward(self, X, support=None, membership=None):
        """Answer samples X, by the support set given or else the model's own."""
        embeddings = self._embed(X)
        if self.aggregation is None:
            return (embeddings,)
        given = support is not None
        if not given:
            support, membership = self.support, self.membership
        if self.aggregation == "prototype" and given:
            support = (membership.T @ support) / membership.sum(dim=0)[:, None]
        if self.whiten is None:
            pairs = self.compare(embeddings, support)
        else:
            pairs = self.compare(self.whiten(embeddings), support)
            pairs = 1 + pairs / 2 if self.whiten.unit else pairs
        scores = self._of_classes(pairs, membership)
        label = scores.argmax(dim=1)
        if self.threshold > float("-inf") and not given:
            label = torch.where(pairs.amax(dim=1) < self.threshold, -1, label)
        return label, scores, embeddings

    def _embed(self, x):
        if x.ndim > 2:
            if self.layout == "channels_last":
                x = x.permute(0, 3, 1, 2)
            elif self.layout == "no_channels":
                x = x[:, None]
        x = x.to(torch.float32) * (1 / 255) if x.dtype == torch.uint8 else x
        if self.embed is None:
            return x + 0  # an output is not to be an input
        embeddings = self.embed(x)
        return self.head.fold(embeddings) if self.folds else embeddings

    def _of_classes(self, pairs, membership):
        if self.aggregation == "prototype":
            return pairs
        if self.aggregation == "mean":
            return pairs @ (membership / membership.sum(dim=0))
        if self.aggregation == "max":
            mine = membership.T[None] > 0
            return torch.where(mine, pairs[:, None], float("-inf")).amax(dim=2)
        nearest = pairs.topk(self.n_neighbors, dim=1).indices
        return membership[nearest].mean(dim=1)


class _Whitening(nn.Module):
    """What embeddings are compared as with a shared covariance."""

    center: torch.Tensor
    axes: torch.Tensor

    def __init__(self, shared: Any):
        super().__init__()
        self.unit = shared.unit
        for name, array in (("center", shared.center), ("axes", shared.whiten)):
            self.register_buffer(name, torch.from_numpy(array).float())

    def forward(self, x):
        """Whiten (n, d), brought to length one where the covariance is of these."""
        x = nn.functional.normalize(x) if self.unit else x
        return (x - self.center) @ self.axes


def _comparison(compare: str | None, head: Any) -> Any:
    """Return a function of embeddings (n, d) and (m, d) to scores (n, m)."""
    if compare == "euclidean":
        return EuclideanHead().scores
    if compare == "cosine":
        return CosineHead().scores
    if compare == "manhattan":
        return lambda a, b: -(a[:, None] - b).abs().sum(dim=2)
    if getattr(head, "score_type", None) != "logit" or hasattr(head, "unit_length"):
        return getattr(head, "scores", None)

    # Its own loops over blocks are no part of a graph.
    def all_pairs(a, b):
        n, m = a.shape[0], b.shape[0]
        left = a[:, None].expand(n, m, -1).reshape(n * m, -1)
        right = b[None].expand(n, m, -1).reshape(n * m, -1)
        return head.paired(left, right).reshape(n, m)

    return all_pairs


def to_exported_program(
    model: Any, *, support: str = "constant", input_layout: str = "auto"
) -> torch.export.ExportedProgram:
    """Export a model as a program of torch, which needs neither skfsl nor the model.

    Parameters
    ----------
    model : estimator
        As of :func:`to_onnx`.
    support : {"constant", "input"}, default="constant"
        As of :func:`to_onnx`.
    input_layout : {"auto", "channels_first", "channels_last", "no_channels"}, \
            default="auto"
        As of :func:`to_onnx`.

    Returns
    -------
    program : torch.export.ExportedProgram
        ``program.module()(X)`` answers as the ONNX model does, with the number of
        samples free; with ``support="input"`` it is called with X, support and
        membership.

    Raises
    ------
    ValueError
        As of :func:`to_onnx`.

    See Also
    --------
    to_onnx : The same for other runtimes.

    Examples
    --------
    >>> import torch
    >>> from skfsl import PrototypeClassifier
    >>> from skfsl.export import to_exported_program
    >>> clf = PrototypeClassifier().fit([[0.0], [2.0], [9.0]], ["a", "a", "b"])
    >>> label, scores, _ = to_exported_program(clf).module()(torch.tensor([[8.0]]))
    >>> label, scores
    (tensor([1]), tensor([[-49.,  -1.]]))
    """
    if support not in ("constant", "input"):
        raise ValueError(
            f"The 'support' parameter must be 'constant' or 'input'. Got {support!r}."
        )
    anatomy = take_apart(model)
    if support == "input":
        arrays = support_inputs(model)
    else:
        arrays = support_arrays(anatomy) if anatomy.classifier is not None else {}
    layout = choose_layout(anatomy, input_layout)
    program = _Program(anatomy, layout, arrays).eval()
    # Sizes of one would be taken for constants.
    shape, dtype = input_of(anatomy, layout)
    examples = [torch.zeros((3, *shape), dtype=dtype)]
    dims: list[dict] = [{0: Dim("n")}]
    if support == "input":
        n, k = arrays["support"].shape[1], program.n_neighbors
        examples += [torch.rand(k + 5, n), torch.ones(k + 5, 3)]
        rows, columns = Dim("n_support", min=max(1, k)), Dim("n_classes")
        dims += [{0: rows}, {0: rows, 1: columns}]
    with torch.no_grad():
        return torch.export.export(
            program, tuple(examples), dynamic_shapes=tuple(dims), strict=False
        )


def choose_layout(anatomy: Anatomy, input_layout: str) -> str:
    """Return where the channels of images are in what a program gets."""
    if input_layout not in ("auto", *LAYOUTS):
        raise ValueError(
            f"The 'input_layout' parameter must be 'auto' or one of {LAYOUTS}. Got "
            f"{input_layout!r}."
        )
    transformer = anatomy.transformer
    if transformer is None:
        return LAYOUTS[0]
    if input_layout == "no_channels" and transformer.input_shape_[0] != 1:
        raise ValueError(
            f"input_layout='no_channels' is for images of one channel. Got a model for "
            f"images of shape (c, h, w) = {transformer.input_shape_}."
        )
    own = transformer.input_layout if input_layout == "auto" else input_layout
    return LAYOUTS[0] if own == "auto" else own


def input_of(anatomy: Anatomy, layout: str) -> tuple[tuple[int, ...], torch.dtype]:
    """Return the shape of a sample, and the dtype that the model was fitted on."""
    if anatomy.transformer is None:
        return (anatomy.classifier.n_features_in_,), torch.float32
    shape = tuple(anatomy.transformer.input_shape_)
    if len(shape) == 1:
        return shape, torch.float32
    c, h, w = shape
    shapes = {
        "channels_first": shape,
        "channels_last": (h, w, c),
        "no_channels": (h, w),
    }
    dtype = torch.uint8 if anatomy.transformer._on_bytes else torch.float32
    return shapes[layout], dtype
