"""Resizing by area averaging."""

import numpy as np

__all__ = ["resize_area"]


def _shares(old: int, new: int) -> np.ndarray:
    """Return which share of each old pixel makes each new one; rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(old)
    overlap = np.minimum(high, pixel + 1) - np.maximum(low, pixel)
    return (np.clip(overlap, 0, None) * (new / old)).astype(np.float32)


def resize_area(images: np.ndarray, size: int, *, block: int = 1024) -> np.ndarray:
    """Resize gray images to squares; each new pixel is the mean of what it covers.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), uint8
        Images.
    size : int
        New height and width.
    block : int, default=1024
        How many images are held as float32 at a time.

    Returns
    -------
    resized : ndarray of shape (n, size, size), uint8
        Images, rounded.
    """
    n, h, w = images.shape
    rows, columns = _shares(h, size), _shares(w, size)
    resized = np.empty((n, size, size), dtype=np.uint8)
    for start in range(0, n, block):
        part = images[start : start + block].astype(np.float32)
        resized[start : start + block] = np.rint(rows @ (part @ columns.T))
    return resized
