"""Stretches of time as people write them: 90s, 2h, 1h30m."""

from __future__ import annotations

import math
import re

from tradewind.errors import Misuse

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|d|h|m|s)\s*")


def seconds(text: str | float, *, source: str = "", field: str = "") -> float:
    """The seconds that a duration names; a plain number is seconds already.

    Misuse if it is not positive and finite, or no duration.

    >>> seconds("1h30m"), seconds("90s"), seconds(2.5)
    (5400.0, 90.0, 2.5)
    """
    fix = "Write it as 90s, 2h or 1h30m."
    if isinstance(text, str):
        rest, total, scale = text.strip(), 0.0, math.inf
        try:
            total = float(rest)
        except ValueError:
            while match := _PART.match(rest):
                unit = _UNITS[match[2]]
                if unit >= scale:
                    break
                total, scale, rest = total + float(match[1]) * unit, unit, rest[match.end() :]
            if rest or math.isinf(scale):
                raise Misuse(f"{text!r} is no duration", source=source, field=field, fix=fix) from None
    else:
        total = float(text)
    if not (math.isfinite(total) and total > 0):
        raise Misuse(f"{text!r} is no positive duration", source=source, field=field, fix=fix)
    return total


def text(seconds: float) -> str:
    """A duration as people write it, in its two largest units, rounded; a fraction only below ten seconds.

    >>> text(5400), text(90), text(0.25), text(200000)
    ('1h30m', '1m30s', '0.25s', '2d8h')
    """
    if seconds < 0:
        return "-" + text(-seconds)
    if seconds < 10:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + "s"
    # Rounded to the smaller of the two units first, so that 3599.7 is 1h and not 59m60s.
    for large, small in (("d", "h"), ("h", "m"), ("m", "s")):
        unit, part = _UNITS[large], _UNITS[small]
        whole = round(seconds / part) * part
        if whole >= unit:
            count, left = divmod(whole, unit)
            return f"{count:.0f}{large}" + (f"{left / part:.0f}{small}" if left else "")
    return f"{seconds:.0f}s"
