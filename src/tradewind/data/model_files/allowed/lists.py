"""Allow-lists as files: exact names with what a pickle may do with each, read once and joined.

A list is JSON: `library`, `version`, `python`, and `names`, by module and name a string of letters. Each name
may be named; `c` may be called, `n` made without being initialised, `b` given state, `i` given items.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from tradewind.data.durable_files import write_durably
from tradewind.data.model_files.allowed.denied import refused_of
from tradewind.data.model_files.inspection import Allowed
from tradewind.errors import Misuse

USES = "cnbi"


class NameList(Struct, frozen=True):
    """What one version of one library lets a pickle do."""

    library: str
    version: str
    names: dict[str, dict[str, str]]
    """By module and name, the letters of what may be done."""
    python: str = ""


def read_list(path: Path) -> NameList:
    """A list from its file. Misuse for what is none, and for letters that mean nothing."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=NameList)
    except (OSError, msgspec.DecodeError) as error:
        raise Misuse(
            f"this is no list of allowed names ({error})", source=str(path),
            fix="Make one: tradewind audit model --make-list LIBRARY",
        ) from None  # fmt: skip
    used: set[str] = set()
    for names in found.names.values():
        used.update(names.values())
    for uses in used:
        if not set(uses) <= set(USES):
            places = ((m, n) for m, names in found.names.items() for n, each in names.items() if each == uses)
            raise Misuse(
                f"{uses!r} is no use of a name", source=str(path), field=".".join(next(places)),
                fix=f"Use letters of {USES!r}.",
            )  # fmt: skip
    return found


def write_list(path: Path, made: NameList) -> None:
    """Write a list, sorted, so that two versions can be compared line by line."""
    names = {module: dict(sorted(made.names[module].items())) for module in sorted(made.names)}
    content = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(made, names=names)), indent=1)
    write_durably(path, content + b"\n")


def allowed_by(lists: Iterable[NameList]) -> Allowed:
    """What any of the lists allows, without what none may allow."""
    by_uses: dict[str, set[str]] = {}
    for each in lists:
        for module, names in each.names.items():
            refused = refused_of(module, names)
            for name, letters in names.items():
                if name in refused:
                    continue
                if letters not in by_uses:
                    by_uses[letters] = set()
                by_uses[letters].add(f"{module}.{name}")

    def those(letter: str) -> frozenset[str]:
        return frozenset().union(*(names for letters, names in by_uses.items() if letter in letters))

    return Allowed(those(""), those("c"), those("b"), those("n"), those("i"))


@functools.cache
def shipped() -> Allowed:
    """What the lists that come with Tradewind allow."""
    return allowed_by(read_list(path) for path in sorted(Path(__file__).parent.glob("*.json")))


def allowed_from(*paths: Path) -> Allowed:
    """What is shipped, and what lists made for other libraries allow: files, or folders of `.json` files."""
    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    return shipped().joined(allowed_by(read_list(path) for path in files))
