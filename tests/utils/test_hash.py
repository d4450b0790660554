"""Hashes of samples: the same everywhere, different for what differs."""

import numpy as np
import pytest

from skfsl.utils import _hash
from skfsl.utils._hash import hash_samples

N = 2**16
BITS = (np.arange(N)[:, np.newaxis] >> np.arange(16)) & 1


def by_the_definition(x):
    """One sample, word by word, in Python's integers."""
    mask = 2**64 - 1
    roots = [0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B]

    def mix(word, factor=roots[0]):
        for f in (factor, *roots[1:]):
            word = ((word ^ word >> 32) * f) & mask
        return word ^ word >> 32

    raw = np.ascontiguousarray(x + np.zeros((), x.dtype)).tobytes()
    total = 0
    for place, start in enumerate(range(0, len(raw), 8), 1):
        key = mix(place)
        word = int.from_bytes(raw[start : start + 8], "little")
        total += mix(word ^ key, mix(key ^ mask) | 1)
    return total & mask


SAMPLES = {
    "floats": np.random.default_rng(0).normal(size=(40, 6)).astype("<f4"),
    "odd width": np.random.default_rng(0).normal(size=(40, 5)).astype("<f4"),
    "bytes": np.random.default_rng(0).integers(0, 256, (40, 3, 5, 7), np.uint8),
    "doubles": np.random.default_rng(0).normal(size=(40, 3)),
    "one byte": np.arange(40, dtype=np.uint8)[:, np.newaxis],
}
each = pytest.mark.parametrize("X", SAMPLES.values(), ids=list(SAMPLES))


@each
def test_against_the_definition(X):
    np.testing.assert_array_equal(hash_samples(X), [by_the_definition(x) for x in X])


def test_the_numbers_stay_what_they_are():
    """They are in pickles of metrics."""
    X = np.array([[0, 0, 0], [1, 2, 3]], dtype=np.float32)
    assert hash_samples(X).tolist() == [5859986025202744131, 3817137722117638585]
    assert hash_samples(X.astype(np.uint8)).tolist() == [
        1201523040100190662,
        8166862699071051118,
    ]


@each
def test_any_layout_in_memory(X):
    expected = hash_samples(X)
    spaced = np.zeros((*X.shape, 2), X.dtype)[::-1, ..., 0]
    spaced[...] = X
    read_only = np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape)
    for same in (
        np.asfortranarray(X), spaced, read_only, X.astype(X.dtype.newbyteorder())
    ):  # fmt: skip
        np.testing.assert_array_equal(hash_samples(same), expected)


@each
def test_the_company_does_not_matter(X, monkeypatch):
    expected = hash_samples(X)
    monkeypatch.setattr(_hash, "_BLOCK", 20)
    np.testing.assert_array_equal(hash_samples(X), expected)
    np.testing.assert_array_equal(hash_samples(X[3:4]), expected[3:4])
    assert hash_samples(X[:0]).shape == (0,)


@each
def test_input_is_left_alone(X):
    before = X.copy()
    hash_samples(X)
    np.testing.assert_array_equal(X, before)


def test_zeros_of_both_signs_are_equal():
    X = np.array([[0.0, 1.0], [-0.0, 1.0]], dtype=np.float32)
    assert len(np.unique(hash_samples(X))) == 1


# Many samples that differ in little, each once.
ALIKE = {
    "signs": (2 * BITS - 1).astype(np.float32),
    "signs in every other place": (2 * np.repeat(BITS, 2, axis=1) - 1.0).astype("f4"),
    "black and white": (BITS * 255).astype(np.uint8),
    "highest bits": (BITS[..., np.newaxis] * np.eye(8)[7] * 128).astype(np.uint8),
    "lowest bits": (BITS[..., np.newaxis] * np.eye(8)[0]).astype(np.uint8),
    "digits": (np.arange(N)[:, np.newaxis] // 10 ** np.arange(5) % 10).astype("f4"),
    "numbers": np.arange(N, dtype=np.float32)[:, np.newaxis],
    "one pixel": np.eye(2048, dtype=np.uint8),
}


@pytest.mark.parametrize("X", ALIKE.values(), ids=list(ALIKE))
def test_what_is_nearly_alike_is_told_apart(X):
    hashes = hash_samples(X)
    assert len(np.unique(hashes)) == len(X)
    # Each bit is set in half of them: those of the sum are no worse than a coin's.
    share = np.unpackbits(hashes.view(np.uint8)).reshape(len(X), 64).mean(axis=0)
    assert abs(share - 0.5).max() < 0.1


def test_order_matters():
    x = np.random.default_rng(0).normal(size=12).astype(np.float32)
    X = np.stack([np.roll(x, k) for k in range(12)])
    assert len(np.unique(hash_samples(X))) == 12
