"""A sampler bound to the labels and groups of one training."""

import inspect
import warnings
from typing import Any

import numpy as np

from skfsl.samplers import EpisodeSampler
from skfsl.siamese._module import resolve_part
from skfsl.utils._groups import check_groups, groups_of_classes
from skfsl.utils._outside import outside

__all__ = ["bind_sampler"]


def bind_sampler(
    sampler: Any,
    loss: Any,
    classes: np.ndarray,
    codes: np.ndarray,
    groups: Any,
    training: np.ndarray | slice,
) -> Any:
    """Bind a sampler to the samples that are trained on.

    Parameters
    ----------
    sampler, loss : str, Part or other
        As given to the estimator.
    classes : ndarray of shape (n_classes,)
        The labels.
    codes : ndarray of int64, shape (n,)
        Place in `classes` of each sample's label.
    groups : array-like of shape (n,) or None
        The group of each sample's class, for a sampler that asks for groups.
    training : ndarray of int64 or slice
        The samples that are trained on; the others validate.

    Returns
    -------
    sampler : bound sampler
        Batches of indices, an epoch at a time.

    Raises
    ------
    ValueError
        If the sampler cannot draw from these labels, or the loss would take others of
        its samples for the support.
    """
    sampler = resolve_part(sampler, "sampler")
    _check_support(sampler, resolve_part(loss, "loss"))
    known = {}
    if groups is not None:
        names, group = check_groups(groups, len(codes))
        if "groups" in inspect.signature(sampler.build).parameters:
            # The sampler knows codes only; here classes have their names.
            groups_of_classes(codes, group, classes, names)
            known = {"groups": group[training]}
        else:
            warnings.warn(
                f"groups are without effect: {type(sampler).__name__} does not draw "
                f"classes by groups. Leave them out, or choose "
                f"sampler='class_balanced' or 'episode'.",
                stacklevel=outside(),
            )
    try:
        return sampler.build(codes[training], **known)
    except ValueError as error:
        n_held_out = len(classes) - len(np.unique(codes[training]))
        if not n_held_out:
            raise
        raise ValueError(
            f"{error} {n_held_out} classes more are held out to validate: "
            f"validation_fraction=0 trains on all."
        )


def _check_support(sampler: Any, loss: Any) -> None:
    """Refuse episodes whose support is not what the loss takes for it."""
    if not isinstance(sampler, EpisodeSampler) or getattr(loss, "folding", True):
        return
    n_shot, n_query = sampler.n_shot, sampler.n_query
    halves = n_query is None or n_query == n_shot
    if getattr(loss, "n_shot", None) not in {None if halves else n_shot, n_shot}:
        raise ValueError(
            f"{type(loss).__name__}(folding=False) takes other samples as support "
            f"than EpisodeSampler(n_shot={n_shot}, n_query={n_query}) draws as such: "
            f"without n_shot, the first half of each class. Leave n_query=None, so "
            f"that there are as many queries, or give both the same n_shot."
        )
