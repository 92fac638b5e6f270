"""Decimal numerals in text, read without a Python object each.

Correctly rounded: a numeral of up to 15 significant digits and a power of ten up to 22 is one exact product
or quotient (Clinger, "How to read floating point numbers accurately", PLDI 1990, section 3); any other is
left to Python's own `float`.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.errors import Misuse

EXACT, NO_NUMBER, LEFT_TO_PYTHON = 0, 1, 2

_POWERS = 10.0 ** np.arange(23)
_NUMERAL = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@njit(cache=True, nogil=True, error_model="numpy")
def read_numeral(text: NDArray[np.uint8], start: int, stop: int) -> tuple[float, int]:
    """The number that text[start:stop] writes, and how it was read: EXACT, NO_NUMBER or LEFT_TO_PYTHON."""
    at = start
    negative = False
    if at < stop and (text[at] == 45 or text[at] == 43):
        negative = text[at] == 45
        at += 1
    mantissa = np.int64(0)
    digits = 0
    seen = 0
    scale = 0
    while at < stop and 48 <= text[at] <= 57:
        seen += 1
        if digits > 0 or text[at] != 48:
            digits += 1
            if digits <= 18:
                mantissa = mantissa * 10 + (text[at] - 48)
        at += 1
    if at < stop and text[at] == 46:
        at += 1
        while at < stop and 48 <= text[at] <= 57:
            seen += 1
            if digits > 0 or text[at] != 48:
                digits += 1
                if digits <= 18:
                    mantissa = mantissa * 10 + (text[at] - 48)
            scale -= 1
            at += 1
    if seen == 0:
        return 0.0, NO_NUMBER
    if at < stop and (text[at] == 101 or text[at] == 69):
        at += 1
        down = False
        if at < stop and (text[at] == 45 or text[at] == 43):
            down = text[at] == 45
            at += 1
        if at == stop:
            return 0.0, NO_NUMBER
        exponent = 0
        while at < stop and 48 <= text[at] <= 57:
            exponent = min(exponent * 10 + (text[at] - 48), 100000)
            at += 1
        scale += -exponent if down else exponent
    if at != stop:
        return 0.0, NO_NUMBER
    if digits > 15 or scale > 22 or scale < -22:
        return 0.0, LEFT_TO_PYTHON
    value = float(mantissa)
    value = value / _POWERS[-scale] if scale < 0 else value * _POWERS[scale]
    return (-value if negative else value), EXACT


@njit(cache=True, nogil=True)
def writes_nonfinite(text: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Whether text[start:stop] writes NaN or an infinity, which has an error of its own."""
    if start < stop and (text[start] == 45 or text[start] == 43):
        start += 1
    if stop - start != 3 and stop - start != 8:
        return False
    a, b, c = text[start] | 32, text[start + 1] | 32, text[start + 2] | 32
    return bool((a == 110 and b == 97 and c == 110) or (a == 105 and b == 110 and c == 102))


@njit(cache=True, nogil=True)
def writes_gap(text: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Whether text[start:stop] says that a value is missing: nothing, ?, NA, N/A, NaN, null or None."""
    size = stop - start
    if size == 0:
        return True
    a = text[start] | 32
    if size == 1:
        return bool(text[start] == 63)
    b = text[start + 1] | 32
    if size == 2:
        return bool(a == 110 and b == 97)
    c = text[start + 2] | 32
    if size == 3:
        return bool(a == 110 and ((b == 97 and c == 110) or (text[start + 1] == 47 and c == 97)))
    d = text[start + 3] | 32
    null = b == 117 and c == 108 and d == 108
    none = b == 111 and c == 110 and d == 101
    return bool(size == 4 and a == 110 and (null or none))


def python_number(cell: bytes) -> float | None:
    """The number that a cell writes, infinite if it is beyond a double; None if it writes none."""
    return float(cell) if _NUMERAL.fullmatch(cell) else None


def read_text(path: Path) -> bytes:
    """A whole file, unpacked if it is gzip; Misuse if it is absent, empty or cut off."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise Misuse("there is no such file", source=str(path), fix="Check the path.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise Misuse(
            error.strerror or "cannot be read", source=str(path), fix="Give a readable file."
        ) from None
    return unpacked(content, str(path))


def unpacked(content: bytes, source: str) -> bytes:
    """The text of a file's content, unpacked if it is gzip; Misuse if it is empty or cut off."""
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Misuse(
                f"the gzip data is damaged or cut off ({error})", source=source, fix="Fetch the file again."
            ) from None
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        raise Misuse("the file is empty", source=source, fix="Give a file with rows.")
    return content


def line_of(text: bytes, position: int) -> int:
    """The number, from 1, of the line that holds a byte."""
    return text.count(b"\n", 0, position) + 1


def cell_at(text: bytes, position: int, delimiters: bytes) -> str:
    """The cell that begins at a byte, for an error message."""
    stop = position
    while stop < len(text) and text[stop : stop + 1] not in delimiters and stop - position < 60:
        stop += 1
    return text[position:stop].decode("utf-8", "replace").strip()
