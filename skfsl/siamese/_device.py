"""Where and how precisely to compute."""

import torch
from torch import nn

__all__ = ["resolve_device", "training_dtype"]


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device that a name stands for; "auto" takes the best there is.

    Parameters
    ----------
    device : str or torch.device
        "auto" is "cuda" where there is one, else "mps", else "cpu".

    Returns
    -------
    device : torch.device
        A device of this machine.

    Raises
    ------
    ValueError
        If this machine has no such device.
    """
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"The 'device' parameter must be 'auto' or name a torch device such as "
            f"'cpu', 'cuda', 'cuda:1' or 'mps'. Got {device!r} instead."
        )
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available()
        and (found.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(found.type, False):
        raise ValueError(
            f"device={device!r} is not on this machine. Use device='auto' to take "
            f"what there is."
        )
    return found


def training_dtype(
    precision: str, device: torch.device, module: nn.Module
) -> torch.dtype:
    """Return the dtype to train in.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" trains convolutional encoders in bfloat16 where the processor is fast
        at it: CUDA devices of compute capability 8 and above, CPUs with AMX or
        AVX512-BF16.
    device : torch.device
        Where to train.
    module : nn.Module
        What to train.

    Returns
    -------
    dtype : torch.dtype
        torch.float32 or torch.bfloat16.
    """
    if precision != "auto":
        return getattr(torch, precision)
    convolutional = any(
        isinstance(m, nn.modules.conv._ConvNd) for m in module.modules()
    )
    return torch.bfloat16 if convolutional and _fast_bfloat16(device) else torch.float32


def _fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    # Private to torch and under two names in its history: absent means not known.
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, bool)() for name in probes)
