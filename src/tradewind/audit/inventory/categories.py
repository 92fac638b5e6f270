"""Which packages are of machine learning, which of GPUs, and which are generic."""

from __future__ import annotations

import pkgutil
from functools import cache
from typing import cast

import msgspec
from msgspec import Struct

from tradewind.audit.packages import Category, Manager


class _Names(Struct, frozen=True):
    names: frozenset[str]
    prefixes: tuple[str, ...]


@cache
def _known() -> dict[str, _Names]:
    told = msgspec.json.decode(cast(bytes, pkgutil.get_data(__package__, "categories.json")))
    # GPU first: `torch-tensorrt` begins as a package of ML does.
    return {name: msgspec.convert(told[name], _Names) for name in ("GPU", "ML")}


@cache
def category_of(manager: Manager, name: str) -> Category:
    """The category of a package, by exact names and documented prefixes; `generic` for what is not listed.

    Debian's `python3-NAME` is judged as NAME.
    """
    if manager == "apt" and name.startswith(("python3-", "python-")):
        name = name.partition("-")[2]
    for category, known in _known().items():
        if name in known.names:
            return cast(Category, category)
    for category, known in _known().items():
        if name.startswith(known.prefixes):
            return cast(Category, category)
    return "generic"
