"""Samples known again by a number each, without being kept."""

import numpy as np

__all__ = ["hash_samples"]

# Words that are mixed at once: they stay in the processor's caches.
_BLOCK = 2**16
# Square roots of 2, 3 and 5, behind the point; odd, so that no two words become one.
_FACTORS = np.array(
    [0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B], dtype=np.uint64
)


def hash_samples(X: np.ndarray) -> np.ndarray:
    """Hash each sample into 64 bits.

    Equal samples have equal hashes, in any process, on any machine and in any layout
    in memory; 0.0 and -0.0 are equal. Two that differ have the same hash with a
    probability of about 2⁻⁶⁴: that any of a million samples is taken for one of a
    million others, 5e-8. It is no cryptographic hash.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        Samples of one shape and dtype, numbers that are not NaN.

    Returns
    -------
    hashes : ndarray of shape (n,), dtype=uint64
        In the order of the samples.
    """
    n_bytes = X.itemsize * int(np.prod(X.shape[1:]))
    n_words = -(-n_bytes // 8)
    keys = _mix(np.arange(1, n_words + 1, dtype=np.uint64))
    factors = _mix(~keys) | np.uint64(1)
    n_rows = max(1, _BLOCK // n_words)
    words = np.zeros((min(n_rows, len(X)), n_words), dtype="<u8")
    raw = words.view(np.uint8)[:, :n_bytes]  # what is behind it stays zero
    hashes = np.empty(len(X), dtype=np.uint64)
    for start in range(0, len(X), n_rows):
        block = X[start : start + n_rows]
        if X.dtype.kind == "f":
            block = block + X.dtype.type(0)  # -0.0 becomes 0.0
        block = np.ascontiguousarray(block, dtype=X.dtype.newbyteorder("<"))
        n = len(block)
        raw[:n] = block.reshape(n, -1).view(np.uint8)
        # A key for each place: the same words in another order are another sample.
        hashes[start : start + n] = _mix(words[:n] ^ keys, factors).sum(axis=1)
    return hashes


def _mix(words: np.ndarray, factors: np.ndarray | None = None) -> np.ndarray:
    """Scatter 64-bit words, one to one, so that near ones are far apart, in place."""
    for factor in (_FACTORS[0] if factors is None else factors, *_FACTORS[1:]):
        words ^= words >> np.uint64(32)
        words *= factor
    words ^= words >> np.uint64(32)
    return words
