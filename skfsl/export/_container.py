"""The file: arrays and JSON in a safetensors file that carries its own checksum."""

import hashlib
import json

import numpy as np

__all__ = ["pack", "unpack"]

# Goes up when older versions of skfsl cannot read what is written.
_FORMAT = 1
_BLANK = b"0" * 64
# All of ours is one string in the header, quotes escaped, and begins with this.
_MARK = rb"{\"sha256\":\""


def pack(model: object, arrays: dict[str, np.ndarray]) -> bytearray:
    """Return the content of a file.

    Parameters
    ----------
    model : object
        What json can write.
    arrays : dict of str to ndarray
        What it refers to.

    Returns
    -------
    content : bytearray
        A safetensors file. The SHA-256 in its header is that of the file with zeros in
        the place of it.
    """
    from safetensors.numpy import save

    ours = {"sha256": _BLANK.decode(), "format": _FORMAT, "model": model}
    header = {"skfsl": json.dumps(ours, separators=(",", ":"))}
    content = bytearray(save(arrays, metadata=header))
    at = content.index(_MARK + _BLANK) + len(_MARK)
    content[at : at + 64] = hashlib.sha256(content).hexdigest().encode()
    return content


def unpack(content: bytes, source: str) -> tuple[object, dict[str, np.ndarray]]:
    """Return what was packed, if nothing of it was changed.

    Parameters
    ----------
    content : bytes
        Of a file.
    source : str
        What it is called, for errors.

    Raises
    ------
    ValueError
        If it is no such file, is cut off or altered, or is of a newer format.
    """
    from safetensors.numpy import load

    length = int.from_bytes(content[:8], "little")
    try:
        ours = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["skfsl"])
        number, at = int(ours["format"]), content.index(_MARK) + len(_MARK)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(
            f"{source} is no file of skfsl.save, or its beginning is damaged."
        )
    if number > _FORMAT:
        raise ValueError(
            f"{source} is of format {number}, written by a newer version of skfsl; "
            f"this one reads up to {_FORMAT}. Update skfsl."
        )
    digest = hashlib.sha256(content[:at])
    digest.update(_BLANK)
    digest.update(memoryview(content)[at + 64 :])
    if digest.hexdigest().encode() != content[at : at + 64]:
        raise ValueError(
            f"{source} is cut off or was altered: its checksum is wrong. Take a copy "
            f"of it from elsewhere, or save the model again."
        )
    return ours["model"], load(content)
