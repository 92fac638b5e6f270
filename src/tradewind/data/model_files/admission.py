"""What serving and training ask before they load a file from outside: is it clean?

The structure alone is read, as everywhere in the scanner: no tensor, and no digest, for the verdict is used
at once and kept nowhere. A model of gigabytes in safetensors costs its header.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from tradewind.data.model_files.allowed.lists import shipped
from tradewind.data.model_files.findings import Finding
from tradewind.data.model_files.inspection import Allowed, Budget, Source
from tradewind.data.model_files.scanning import Scanning
from tradewind.errors import Misuse

_SMALL = 8 << 20
_OF_THE_CODE = ("text-code", "file-unknown", "text-cut", "text-binary", "json-malformed", "json-repeated-key")


def admit(
    path: str | os.PathLike[str], *, trusted: Collection[str] = (), judged_later: Collection[str] = ()
) -> str:
    """The format of a clean file; Misuse, with the first finding, for any other.

    `trusted` are types that the operator named. Findings of the rules `judged_later` are passed over: their
    caller looks at the same thing again, knowing more.
    """
    form, found = _judged(Path(path), frozenset(trusted), judged_later)
    if found:
        raise _refused(Path(path), form, found)
    return form


def admit_beside(path: str | os.PathLike[str], *, trusted: Collection[str] = ()) -> None:
    """Misuse, with the first finding, for a file in a folder that would harm if the code beside it loads it.

    Code is passed over, and data that is of no known format or no whole text: the folder belongs to a class
    that its operator named, and only that class knows what they are. Links to files are followed.
    """
    where, names = Path(path), frozenset(trusted)
    for file in sorted(where.rglob("*")) if where.is_dir() else [where]:
        if file.is_file():
            form, found = _judged(file, names, _OF_THE_CODE)
            if found:
                raise _refused(file, form, found)


def _judged(where: Path, trusted: frozenset[str], passed_over: Collection[str]) -> tuple[str, list[Finding]]:
    """A file's format, and what is found that is neither a note nor passed over."""
    own = Allowed(trusted, trusted, trusted)
    scanning = Scanning(lambda: shipped().joined(own) if trusted else shipped(), Budget())
    with where.open("rb") as file:
        small = os.fstat(file.fileno()).st_size <= _SMALL
        form = scanning.inspect(Source(file.read() if small else file))
    return form, [f for f in scanning.findings if f.level != "note" and f.rule not in passed_over]


def _refused(where: Path, form: str, found: list[Finding]) -> Misuse:
    worst = next((each for each in found if each.level == "blocked"), found[0])
    inside = f" in {worst.where}" if worst.where else ""
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    verdict = "blocked" if worst.level == "blocked" else "undecided"
    return Misuse(
        f"the scan of this {form} file says {verdict}: {worst.message}{inside} ({worst.rule}{more})",
        source=str(where), fix="See all findings with: tradewind audit model FILE",
    )  # fmt: skip
