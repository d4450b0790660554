"""A trained network as numbers, and the network of them."""

from functools import partial
from typing import Any

import torch
from torch import nn

from skfsl.encoders import TorchvisionBackbone
from skfsl.siamese._learn import OPTIMIZERS
from skfsl.siamese._module import (
    SiameseModule,
    asks_for_shape,
    build_encoder,
    build_loss,
    describe_network,
    encoder_part,
    resolve_part,
)
from skfsl.siamese._net import SiameseNet
from skfsl.siamese._planned import check_plan, check_same
from skfsl.siamese._whitening import Whitening
from skfsl.utils._parts import Part
from skfsl.utils._random import seeded

__all__ = ["net_from_numbers", "net_to_numbers"]

_PLAIN = (bool, int, float, str, tuple, type(None))


def net_to_numbers(transformer: Any) -> dict:
    """Return what a fitted net is made of, beside the parameters of its transformer.

    Parameters
    ----------
    transformer : SiameseTransformer
        Fitted, on the CPU.

    Returns
    -------
    numbers : dict
        Tensors, and values of Python.

    Raises
    ------
    ValueError
        If the parameters have changed since `fit`, so that they say of another net.
    """
    net = transformer.net_
    module: Any = net.module_
    _check_description(transformer, module)
    fresh = vars(nn.Module())
    numbers = {
        "weights": dict(module.state_dict()),
        "module": {k: v for k, v in vars(module).items() if k not in {*fresh, "head"}},
        # What a build does not know: whether the weights came trained, for example.
        "encoder": {
            k: v
            for k, v in vars(module.encoder).items()
            if k not in fresh and isinstance(v, _PLAIN)
        },
        "loss": dict(net.criterion_.state_dict()),
        "loss_labels": net.loss_labels,
    }
    net_from_numbers(transformer, numbers)  # that it can be read is known only now
    return numbers


def net_from_numbers(transformer: Any, numbers: dict) -> SiameseNet:
    """Return the net that numbers were taken of, on the CPU.

    Parameters
    ----------
    transformer : SiameseTransformer
        With its parameters and `input_shape_`.
    numbers : dict
        As of `net_to_numbers`.

    Raises
    ------
    ValueError
        If the weights are not those of the network that the parameters describe.
    """
    weights, about = numbers["weights"], numbers["module"]
    width, n_classes = about["embedding_dim"], max(1, len(numbers["loss_labels"]))
    head_part: Any = resolve_part(transformer.head, "head")
    with seeded(0, torch.device("cpu")):
        _check_encoder(transformer, weights)
        check_plan(lambda: head_part.build(width), weights, f"{head_part!r}", "head.")
        head = head_part.build(width)
        encoder = _encoder_without_weights(transformer).cpu()
        module: Any = SiameseModule(encoder, _projection(weights), head)

        def make_loss():
            return build_loss(transformer.loss, head, width, n_classes)

        what = f"loss={transformer.loss!r}"
        check_plan(make_loss, numbers["loss"], what, "loss.")
        net = SiameseNet(
            module, make_loss(), sampler=None, rng=None, stages=[], dtype=torch.float32,
            optimizer=OPTIMIZERS.get(transformer.optimizer, transformer.optimizer),
            lr=transformer.lr, optimizer__weight_decay=transformer.weight_decay,
            callbacks=[], device="cpu", verbose=int(transformer.verbose),
        ).initialize()  # fmt: skip
    _take_up(module, weights, f"encoder={transformer.encoder!r} and its head")
    _take_up(net.criterion_, numbers["loss"], what)
    vars(module).update(about)
    vars(module.encoder).update(numbers["encoder"])
    net.loss_labels = numbers["loss_labels"]
    net.settle()
    return net


def _check_description(transformer: Any, module: Any) -> None:
    now = describe_network(
        transformer.encoder, transformer.embedding_dim, transformer.head,
        transformer.weights,
    )  # fmt: skip
    for name, value in now.items():
        if value != module.description.get(name, value):
            raise ValueError(
                f"The network was trained with {name}={module.description[name]}. Got "
                f"{name}={value}. Set it back, or call fit."
            )


def _check_encoder(transformer: Any, weights: dict) -> None:
    """Check that the encoder takes weights, where its size is told by the file."""
    given, what = transformer.encoder, f"encoder={transformer.encoder!r}"
    ours = isinstance(given, str | Part)
    if ours and transformer.input_shape_[0] > sum(map(torch.numel, weights.values())):
        raise ValueError(
            f"The samples have {transformer.input_shape_[0]} channels or columns, and "
            f"{what} fewer weights. The file was not written by skfsl."
        )
    if ours or asks_for_shape(given):
        build = partial(_encoder_without_weights, transformer)
        check_plan(build, weights, what, "encoder.", ours=ours)


def _encoder_without_weights(transformer: Any) -> nn.Module:
    encoder, shape = transformer.encoder, transformer.input_shape_
    if not (isinstance(encoder, str) and encoder == "auto"):
        encoder = encoder_part(encoder, transformer.weights)
    if isinstance(encoder, TorchvisionBackbone):
        return encoder.build(shape, load=False)
    return build_encoder(encoder, shape)


def _projection(weights: dict) -> nn.Module:
    """Return the module behind the encoder that has weights of these names."""
    weight = weights.get("projection.weight")
    if weight is None:
        return nn.Identity()
    mean, directions = (weights.get(f"projection.{n}") for n in ("mean", "directions"))
    if mean is not None and directions is not None:
        return Whitening(mean, directions, torch.zeros_like(weight))
    return nn.Linear(weight.shape[1], weight.shape[0])


def _take_up(module: nn.Module, weights: dict, what: str) -> None:
    check_same(module.state_dict(), weights, what)
    module.load_state_dict(weights)
