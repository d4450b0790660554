"""Views: changed copies of a sample that are embedded along with it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

__all__ = ["VIEWS", "check_views", "mean_over_views"]

View = Callable[[torch.Tensor], torch.Tensor]


def check_views(views: Any, input_shape: tuple[int, ...]) -> Sequence[View]:
    """Return the transforms that `views` stands for.

    Parameters
    ----------
    views : None, str or sequence of callables
        A key of `VIEWS`, or transforms of a batch.
    input_shape : tuple of int
        Shape of a sample, (d,) or (c, h, w).

    Returns
    -------
    views : sequence of callables
        Batch -> batch. The sample itself is not among them.

    Raises
    ------
    ValueError
        If views of images are asked for of a table, or the name is unknown.
    TypeError
        If `views` is neither a name nor a sequence of callables.
    """
    if views is None:
        return ()
    if isinstance(views, str) and views in VIEWS:
        if len(input_shape) != 3:
            raise ValueError(
                f"views={views!r} are made of images. X is a table, with samples of "
                f"shape {tuple(input_shape)}: set views=None, or give callables that "
                f"take batches of its rows."
            )
        return VIEWS[views]
    if isinstance(views, str):
        raise ValueError(
            f"The 'views' parameter must be None, one of {sorted(VIEWS)} or a list of "
            f"callables. Got {views!r} instead."
        )
    if not isinstance(views, list | tuple) or not all(map(callable, views)):
        raise TypeError(
            f"The 'views' parameter must be None, one of {sorted(VIEWS)} or a list of "
            f"callables, batch to batch. Got {views!r} instead."
        )
    return views


def mean_over_views(
    embed: View, x: torch.Tensor, views: Sequence[View]
) -> torch.Tensor:
    """Return the mean embedding of a batch and its views.

    Parameters
    ----------
    embed : callable
        Batch (n, ...) -> embeddings (n, d).
    x : Tensor of shape (n, d) or (n, c, h, w)
        Samples, float32. `embed` may overwrite them.
    views : sequence of callables
        Transforms of the batch. The batch itself counts as one more.

    Returns
    -------
    embeddings : Tensor of shape (n, d)
        float32.

    Raises
    ------
    ValueError
        If a view does not return as many samples as it gets, of floats.
    """
    total: torch.Tensor | float = 0.0
    for view in views:
        # Of a copy each: a view may work in place, and so may the network.
        total = total + embed(_checked(view(x.clone()), x)).float()
    return (total + embed(x).float()) / (len(views) + 1)


def _checked(view: Any, x: torch.Tensor) -> torch.Tensor:
    if not isinstance(view, torch.Tensor) or not view.is_floating_point():
        raise ValueError(
            f"A view must return a tensor of floats. Got "
            f"{getattr(view, 'dtype', type(view).__name__)}."
        )
    # By shape: len() would fix the number of samples of a program that is exported.
    if view.ndim != x.ndim or view.shape[0] != x.shape[0]:
        raise ValueError(
            f"A view must return as many samples as it gets. Got shape "
            f"{tuple(view.shape)} for {tuple(x.shape)}."
        )
    return view.to(x)


def _shift(down: int, right: int) -> View:
    """Move images by a pixel; what comes into view repeats the edge."""

    def view(x: torch.Tensor) -> torch.Tensor:
        h, w = x.shape[2:]
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return padded[:, :, 1 - down : 1 - down + h, 1 - right : 1 - right + w]

    return view


def _flip(x: torch.Tensor) -> torch.Tensor:
    return x.flip(3)


VIEWS: dict[str, tuple[View, ...]] = {
    "flips": (_flip,),
    "shifts": tuple(_shift(*s) for s in ((1, 0), (-1, 0), (0, 1), (0, -1))),
}
