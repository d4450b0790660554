"""Models as JSON and arrays, and back: by what they hold, never by code."""

import enum
import inspect
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skfsl.export._known import class_called, name_of
from skfsl.export._skops import from_skops, refusal, to_skops
from skfsl.utils._publish import shadow

__all__ = ["Decoder", "Encoder"]

# What the container knows itself. Other arrays are bytes in it.
_NATIVE = {
    np.dtype(name)
    for name in ("?", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2",
                 "<f4", "<f8")
}  # fmt: skip
# Arrays without numbers cost a file nothing: what is made as long as they are does.
_LONGEST = 2**20


class _Own(str):
    """Stands for an encoder of the user's own, by its name."""


class Encoder:
    """Values to JSON, with the arrays in them apart.

    Attributes
    ----------
    arrays : dict of str to ndarray
        What the JSON refers to by name.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        # By id, with its number: what is met twice is one object again when read.
        self._met: dict[int, tuple[int, Any]] = {}

    def encode(self, value: Any, where: str) -> Any:
        """Return what json can write.

        Parameters
        ----------
        value : object
            A model, or what it holds.
        where : str
            What it is called, for errors and for who looks into the file.

        Raises
        ------
        ValueError
            If it is of no kind that a file can hold.
        """
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if kind is list:
            return [self.encode(v, f"{where}[{i}]") for i, v in enumerate(value)]
        if kind is tuple:
            return {"tuple": self.encode(list(value), where)}
        if kind is set:
            return {"set": self.encode(sorted(value, key=repr), where)}
        if kind is dict:
            items = [
                [self.encode(k, where), self.encode(v, f"{where}[{k!r}]")]
                for k, v in value.items()
            ]
            return {"dict": items}
        if kind is _Own:
            return {"own": str(value)}
        if isinstance(value, pathlib.PurePath):
            return {"path": str(value)}
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value, where)
        if kind is np.random.RandomState:
            return {"random_state": self.encode(list(value.get_state()), where)}
        if isinstance(value, enum.Enum) and hasattr(value, "get_state_dict"):
            return str(value)  # weights of torchvision: as good as their name
        if (name := name_of(kind)) is not None:
            return self._object(value, name, where)
        if isinstance(value, BaseEstimator) and kind.__module__.startswith("sklearn."):
            blob = np.frombuffer(to_skops(value, where), np.uint8)
            return {"skops": self._put(blob, where)}
        return self._torch(value, where)

    def _put(self, array: np.ndarray, where: str) -> str:
        name = f"{len(self.arrays)} {where}"
        self.arrays[name] = array
        return name

    def _array(self, value: Any, where: str) -> dict:
        if value.dtype == object:
            elements = self.encode(value.ravel().tolist(), where)
            return {"objects": elements, "shape": list(value.shape)}
        if value.dtype.hasobject or value.dtype.names:
            raise refusal(value, where)
        node: dict[str, Any] = {"dtype": value.dtype.str, "shape": list(value.shape)}
        if isinstance(value, np.generic):
            node["scalar"] = True
        elif value.flags.f_contiguous and not value.flags.c_contiguous:
            node["transposed"] = True  # the order of sums, and so their last bits
            value = value.T
        array = np.asarray(value, order="C")
        if array.dtype not in _NATIVE:
            array = array.reshape(-1).view(np.uint8)
        return {"array": self._put(array, where), **node}

    def _torch(self, value: Any, where: str) -> dict:
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.device):
            return {"device": str(value)}
        if torch is None or not isinstance(value, torch.Tensor):
            raise refusal(value, where)
        tensor = value.detach().cpu().contiguous()
        node = {"dtype": str(tensor.dtype), "shape": list(tensor.shape)}
        if tensor.dtype == torch.bfloat16:  # of which NumPy has none
            tensor = tensor.reshape(-1).view(torch.uint8)
        return {"tensor": self._put(tensor.numpy(), where), **node}

    def _object(self, value: Any, name: str, where: str) -> dict:
        if id(value) in self._met:
            return {"same": self._met[id(value)][0]}
        self._met[id(value)] = len(self._met), value
        if not isinstance(value, BaseEstimator):
            arguments = self.encode(list(value.__reduce__()[1]), where)
            return {"class": name, "arguments": arguments}
        state = dict(shadow(value, fitted=True).__getstate__())
        state.pop("_sklearn_version", None)
        if name == "SiameseTransformer":
            state = _without_modules(type(value), state)
        encoded = {k: self.encode(v, f"{where}.{k}") for k, v in state.items()}
        return {"class": name, "state": encoded}


class Decoder:
    """JSON and arrays to values.

    Parameters
    ----------
    arrays : dict of str to ndarray
        What the JSON refers to.
    encoder : nn.Module, callable or None
        Takes the place of one that a file cannot hold.
    """

    def __init__(self, arrays: dict[str, np.ndarray], encoder: Any):
        self._arrays = arrays
        self._encoder = encoder
        self._met: list[Any] = []

    def decode(self, node: Any) -> Any:
        """Return the value that was encoded.

        Raises
        ------
        ValueError
            If it is of a kind or class that is not known, or an encoder is missing.
        """
        if isinstance(node, list):
            return [self.decode(v) for v in node]
        if not isinstance(node, dict):
            return node
        tag = next(iter(node), "")
        if tag not in _READ:
            raise ValueError(
                f"The file holds a value of an unknown kind, {tag!r}. It was written "
                f"by a newer version of skfsl: update it."
            )
        return _READ[tag](self, node, node[tag])

    def _take(self, name):
        # Once: a small file that names an array very often would fill the memory.
        return self._arrays.pop(name)

    def _array(self, node, name):
        array, shape = self._take(name), node["shape"]
        if array.dtype != np.dtype(node["dtype"]):
            array = array.view(node["dtype"])
        array = _shaped(array, shape[::-1] if node.get("transposed") else shape)
        if node.get("scalar"):
            return array[()]
        array = array if array.flags.writeable else array.copy()
        return array.T if node.get("transposed") else array

    def _objects(self, node, elements):
        array = np.empty(len(elements), dtype=object)
        array[:] = self.decode(elements)
        return _shaped(array, node["shape"])

    def _tensor(self, node, name):
        import torch

        array = self._take(name)
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        if node["dtype"] == "torch.bfloat16":
            tensor = tensor.view(torch.bfloat16)
        return _shaped(tensor, node["shape"])

    def _device(self, node, name):
        import torch

        return torch.device(name)

    def _random_state(self, node, state):
        random_state = np.random.RandomState()
        random_state.set_state(tuple(self.decode(state)))
        return random_state

    def _own(self, node, name):
        if self._encoder is None:
            raise ValueError(
                f"The model has an encoder of your own, {name}, which no file of "
                f"skfsl.save holds. Pass it: skfsl.load(path, encoder=...), as it was "
                f"given to the estimator; its weights are in the file."
            )
        return self._encoder

    def _same(self, node, number):
        return self._met[number]

    def _object(self, node, name):
        cls, number = class_called(name), len(self._met)
        self._met.append(None)
        if "arguments" in node:
            made = cls(*self.decode(node["arguments"]))
        else:
            state = {k: self.decode(v) for k, v in node["state"].items()}
            for parameter in inspect.signature(cls).parameters.values():
                if parameter.default is not parameter.empty:
                    state.setdefault(parameter.name, parameter.default)
            made = _restored(cls, state)
        self._met[number] = made
        return made


_READ: dict[str, Callable] = {
    "array": Decoder._array,
    "class": Decoder._object,
    "device": Decoder._device,
    "dict": lambda self, node, items: {
        self.decode(k): self.decode(v) for k, v in items
    },
    "objects": Decoder._objects,
    "own": Decoder._own,
    "path": lambda self, node, path: pathlib.Path(path),
    "random_state": Decoder._random_state,
    "same": Decoder._same,
    "set": lambda self, node, elements: set(self.decode(elements)),
    "skops": lambda self, node, name: from_skops(self._take(name).tobytes()),
    "tensor": Decoder._tensor,
    "tuple": lambda self, node, elements: tuple(self.decode(elements)),
}


def _shaped(array: Any, shape: list) -> Any:
    """Return an array or tensor in the shape that a file tells."""
    array = array.reshape(tuple(shape))
    if 0 in array.shape and max(array.shape) > _LONGEST:
        raise ValueError(
            f"The file has an array of shape {tuple(shape)}, without one number. It "
            f"was not written by skfsl."
        )
    return array


def _without_modules(cls: type, state: dict) -> dict:
    """Return the state with the net as numbers, and an encoder of one's own by name."""
    if "net_" in state:
        from skfsl.siamese import net_to_numbers

        fitted: Any = object.__new__(cls)
        fitted.__dict__ = state
        state = state | {"net_": net_to_numbers(fitted)}
        del state["head_"], state["device_"]
    encoder = state["encoder"]
    if not isinstance(encoder, str) and name_of(type(encoder)) is None:
        name = getattr(encoder, "__qualname__", type(encoder).__qualname__)
        state = state | {"encoder": _Own(name)}
    return state


def _restored(cls: type, state: dict) -> Any:
    """Return an estimator in a state, its net made of numbers."""
    made: Any = object.__new__(cls)
    if cls.__name__ == "SiameseTransformer" and "net_" in state:
        import torch

        from skfsl.siamese import net_from_numbers

        made.__dict__ = state
        net = net_from_numbers(made, state["net_"])
        fitted = {
            "net_": net,
            "head_": net.module_.head,
            "device_": torch.device("cpu"),
        }
        state = state | fitted
    if cls.__module__.startswith("skfsl."):
        made.__setstate__(state)
    else:  # scikit-learn's own would ask for its version, as in a pickle
        made.__dict__ = state
    return made
