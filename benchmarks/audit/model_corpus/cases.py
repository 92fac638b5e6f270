"""What a file of the corpus is, and how it is loaded for real."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Attack(NamedTuple):
    """A malicious file: loading it creates the marker, an empty file."""

    name: str
    suffix: str
    make: Callable[[str], bytes]
    """The file's bytes, given the path of the marker that loading it has to create."""
    load: str = "pickle"
    """How it is loaded for real, step by step.

    `pickle`, `pickles` (all in a row), `joblib`, `numpy` and `torch` load; `gzip`, `bz2`, `xz`, `zlib`, `zip`
    and `tar` unfold first, and then it is unpickled. Empty where it cannot be shown here.
    """
    unshown: str = ""
    """Why loading it for real shows nothing: what it needs that is not here, or that it harms otherwise."""


class Benign(NamedTuple):
    """A harmless file as a library writes it."""

    name: str
    suffix: str
    make: Callable[[], bytes]
    library: str
    """Whose list it needs."""
    tuned: bool = True
    """Whether the scanner's author saw it while the lists were reviewed."""
