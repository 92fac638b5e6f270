"""The keys under which whole objects are kept."""

from __future__ import annotations

from tradewind.data.durable_files import TEMPORARY
from tradewind.errors import Misuse


def check_key(key: str) -> None:
    """Raise Misuse unless `key` is one or more plain names joined by `/`.

    >>> check_key("runs/7/model.json")
    """
    names = key.split("/")
    if any(name in ("", ".", "..") or name.startswith(TEMPORARY) or "\0" in name for name in names):
        raise Misuse(
            f"{key!r} is no key", field="key", fix="Join plain names by '/', such as runs/7/model.json."
        )
