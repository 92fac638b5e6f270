"""64-bit hashes of numbers and text: the same on every platform and in every version, and no cipher.

Numbers are mixed by the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014, figure 19). Text is hashed by FNV-1a over its UTF-8 bytes (Fowler, Noll and Vo,
1991) and mixed in the end, since FNV's upper bits depend little on the last bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""The step of SplitMix64's sequence."""

_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@njit(cache=True, nogil=True)
def mixed(x: Any) -> Any:
    """64 bits of which each depends on all of `x`, a uint64; no two numbers give the same."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def text_hash(text: Any, start: Any, stop: Any) -> Any:
    """The hash of text[start:stop], an array of bytes."""
    h = _OFFSET
    for at in range(start, stop):
        h = (h ^ np.uint64(text[at])) * _PRIME
    return mixed(h)


@njit(cache=True, nogil=True)
def text_number(text: Any, start: Any, stop: Any) -> Any:
    """The upper 53 bits of the hash, which a float64 holds exactly."""
    return np.float64(text_hash(text, start, stop) >> np.uint64(11))


@njit(cache=True, nogil=True)
def _text_numbers(text: Any, bounds: Any, out: Any) -> None:
    for n in range(out.shape[0]):
        out[n] = text_number(text, bounds[n], bounds[n + 1])


def text_numbers(texts: Sequence[str | bytes]) -> NDArray[np.float64]:
    """A whole number below 2**53 for each text, equal for equal texts: (n,).

    Two of n different texts get the same with a chance of about n^2 / 2^54: 1 in 18,000 for a million.
    """
    cells = [text.encode() if isinstance(text, str) else text for text in texts]
    bounds = np.zeros(len(cells) + 1, np.int64)
    np.cumsum([len(cell) for cell in cells], out=bounds[1:])
    out = np.empty(len(cells), np.float64)
    _text_numbers(np.frombuffer(b"".join(cells), np.uint8), bounds, out)
    return out


def bits_of(values: Any) -> Hashes:
    """The bits of numbers as float64; zero and minus zero have the same, and so have all NaN."""
    plain = np.array(values, np.float64) + 0.0  # minus zero and zero make zero
    plain[np.isnan(plain)] = np.nan
    return plain.view(np.uint64)


@njit(cache=True, nogil=True)
def _mix_all(bits: Any, seed: Any, out: Any) -> None:
    for n in range(out.shape[0]):
        out[n] = mixed(mixed(seed + GOLDEN) ^ bits[n])


def number_hashes(values: NDArray[Any], seed: int = 0) -> Hashes:
    """A hash of each number, (n,)."""
    out = np.empty(len(values), np.uint64)
    _mix_all(bits_of(values), np.uint64(seed), out)
    return out


@njit(cache=True, nogil=True)
def _add_entries(starts: Any, indices: Any, bits: Any, seed: Any, out: Any) -> None:
    zero = np.uint64(0)
    for row in range(out.shape[0]):
        total = zero
        for k in range(starts[row], starts[row + 1]):
            if bits[k] != zero:  # no other number than zero has none
                total += mixed(mixed(np.uint64(indices[k]) * GOLDEN + seed) ^ bits[k])
        out[row] = mixed(total + seed)


def row_hashes(
    indptr: NDArray[np.int64], indices: NDArray[Any], values: NDArray[Any], seed: int = 0
) -> Hashes:
    """A hash of each sparse row's content, whatever the order of its entries; zeros do not count: (n,)."""
    out = np.empty(len(indptr) - 1, np.uint64)
    _add_entries(indptr, indices, bits_of(values), np.uint64(seed), out)
    return out
