"""Any classification network of torchvision, without its classifier."""

import difflib
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from skfsl.encoders._backbone import Backbone, set_channels, spread, take_off_head
from skfsl.encoders._layers import check_image_shape
from skfsl.encoders._state_dict import read_state_dict, reason, set_weights
from skfsl.utils._parts import Part
from skfsl.utils._sklearn_private import HasMethods

__all__ = ["TorchvisionBackbone"]


class TorchvisionBackbone(Part):
    """Encode images by a network of torchvision that was trained on ImageNet.

    The layer that tells the classes of ImageNet apart is taken off; the embedding is
    what it got. Take it for photos: frozen (``max_epochs=0``) it tells apart what it
    was never trained on, and it is the start to fine-tune from.

    Parameters
    ----------
    name : str, default="resnet18"
        One of torchvision's classification networks, such as "resnet50",
        "efficientnet_b0", "convnext_tiny" or "vit_b_16".

    weights : str, path-like, torchvision weights or None, default="DEFAULT"
        "DEFAULT" or another name of the weights that torchvision has for the network
        ("IMAGENET1K_V2"), a member of its enum, or the path of a saved state_dict. They
        are looked for in torch.hub's folder, and downloaded where they are not there.
        None draws random ones.

    resize : bool, default=False
        Whether images of any size are resized to a square of `image_size`. Smaller
        ones are told apart better then, in more time.

    Attributes
    ----------
    image_size : int
        Side in pixels of the square images that the weights were made for.

    See Also
    --------
    ResNet : A residual network for small images, to be trained.

    Notes
    -----
    Pixels are floats in [0, 1]; the mean and the standard deviation that belong to the
    weights (of a path or None: to the network's default weights) are taken off and
    divided by inside the network.

    One channel is repeated thrice: that is the gray picture in colour. Of any other
    number n, channel i gets the filters of channel i mod 3 in the first convolution,
    times 3 / n, and the mean and deviation of that channel.

    Images that a network cannot take are resized in any case: those of another size
    than `image_size` for ViT, Swin and MaxViT, and those below the least size of others
    (32 pixels for VGG, 75 for Inception).

    Examples
    --------
    >>> import torch
    >>> from skfsl.encoders import TorchvisionBackbone
    >>> part = TorchvisionBackbone("mobilenet_v3_small", weights=None)
    >>> part.image_size
    224
    >>> part.build((3, 64, 64)).eval()(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 1024])
    """

    _parameter_constraints: dict = {
        "name": [str],
        "weights": [
            str,
            os.PathLike,
            HasMethods(["get_state_dict", "transforms"]),
            None,
        ],
        "resize": ["boolean"],
    }

    def __init__(self, name="resnet18", *, weights="DEFAULT", resize=False):
        self.name = name
        self.weights = weights
        self.resize = resize

    @property
    def image_size(self) -> int:
        """Side in pixels of the square images that the weights were made for."""
        return self._recipe()[1].transforms().crop_size[0]

    def build(self, input_shape: tuple[int, ...], *, load: bool = True) -> nn.Module:
        """Make the network, with weights of its own.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of an image, (c, h, w).
        load : bool, default=True
            Whether `weights` are put in. Otherwise they are not looked for: others,
            that were trained from them, come in their place.

        Returns
        -------
        module : nn.Module
            float32 (n, c, h, w) -> (n, d), with the attributes ``pretrained``, a bool,
            and ``image_size``.

        Raises
        ------
        ImportError
            If torchvision is not installed.
        OSError
            If the weights are not there and cannot be downloaded.
        ValueError
            If there is no network or no weights of this name, or the weights are not
            those of the network, or `input_shape` is not that of an image.
        """
        self._validate_params()
        models, recipe, weights = self._recipe(load)
        check_image_shape(self, input_shape)
        size = recipe.transforms().crop_size[0]
        mean, std = recipe.transforms().mean, recipe.transforms().std
        settings: dict = {}
        if self.name in ("googlenet", "inception_v3"):
            settings = {"aux_logits": False, "init_weights": weights is None}
            mean = std = [0.5] * 3  # what they make of ImageNet's, inside
        elif self.name.startswith("vit"):
            settings = {"image_size": size}
        net = models.get_model(self.name, weights=None, **settings)
        head = take_off_head(net)
        n_channels = 3 if input_shape[0] == 1 else input_shape[0]
        stem = set_channels(net, n_channels)
        if load and weights is not None:
            self._load(net, weights, stem, head)
        return Backbone(
            net,
            mean=[mean[i % 3] for i in range(n_channels)],
            std=[std[i % 3] for i in range(n_channels)],
            image_size=size,
            least_size=size if self.resize else min(recipe.meta["min_size"]),
            pretrained=weights is not None,
        )

    def _recipe(self, load: bool = True) -> tuple[ModuleType, Any, Any]:
        """Return torchvision's models, the weights that say how, those that are due."""
        models = _torchvision_models(self.name)
        _check_name(self.name, models)
        there = models.get_model_weights(self.name)
        given = self.weights
        if given is None or isinstance(given, there):
            return models, given or there.DEFAULT, given
        # "ResNet50_Weights.IMAGENET1K_V2" is how torchvision prints them.
        name = str(given).removeprefix(f"{there.__name__}.")
        if name in there.__members__:
            return models, there[name], there[name]
        if isinstance(given, str | os.PathLike) and (not load or Path(given).is_file()):
            # A file that was downloaded is known by its name.
            files = {Path(member.url).name: member for member in there}
            return models, files.get(Path(given).name, there.DEFAULT), given
        raise ValueError(
            f"weights={str(given)!r} must be one of {list(there.__members__)}, the "
            f"weights that torchvision has for {self.name}, or the path of a saved "
            f"state_dict. There is no such file."
        )

    def _load(self, net: nn.Module, weights: Any, stem: str, head: str) -> None:
        by_path = isinstance(weights, str | os.PathLike)
        state = read_state_dict(weights) if by_path else _from_hub(weights)
        if self.name.startswith("densenet"):  # as it was called in old files
            old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=\d\.)")
            state = {old.sub(r"\1", name): value for name, value in state.items()}
        n_channels = net.get_parameter(f"{stem}.weight").shape[1]
        for name in [n for n in state if n.endswith(f"{stem}.weight")]:
            if state[name].shape[1] == 3 != n_channels:
                state[name] = spread(state[name], n_channels)  # type: ignore[index]
        source = str(weights) if by_path else f"{self.name}, {weights}"
        set_weights(net, state, source=source, head=head)


def _torchvision_models(name: str) -> ModuleType:
    try:
        from torchvision import models
    except ModuleNotFoundError:
        from skfsl.encoders import ENCODERS

        raise ImportError(
            f"encoder={name!r} is none of skfsl's own encoders, {sorted(ENCODERS)}. "
            f"Those of torchvision need the extra 'images': python -m pip install "
            f"'skfsl[images]'."
        )
    return models


def _check_name(name: str, models: ModuleType) -> None:
    names = models.list_models(module=models)
    if name not in names:
        from skfsl.encoders import ENCODERS

        near = difflib.get_close_matches(name.lower(), [*names, *ENCODERS], n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"Unknown encoder={name!r}.{hint} Expected one of {sorted(ENCODERS)}, a "
            f"classification network of torchvision, see "
            f"torchvision.models.list_models(), or an instance."
        )


def _from_hub(weights: Any) -> Any:
    try:
        return weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:  # no network, or any damage to the file
        folder = Path(torch.hub.get_dir(), "checkpoints")
        raise OSError(
            f"Cannot load the weights {weights}: {reason(error)}. Where there is no "
            f"network, download {weights.url} elsewhere and put the file into {folder} "
            f"as {Path(weights.url).name}, or pass its path as weights=."
        )
