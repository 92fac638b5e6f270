"""What serving and training ask before they load a file from outside: is it clean?

The structure alone is read, as everywhere in the scanner: no tensor, and no digest, for the verdict is used
at once and kept nowhere. A model of gigabytes in safetensors costs its header.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from tradewind.data.model_files.allowed.lists import shipped
from tradewind.data.model_files.inspection import Allowed, Budget, Source
from tradewind.data.model_files.scanning import Scanning
from tradewind.errors import Misuse

_SMALL = 8 << 20


def admit(
    path: str | os.PathLike[str], *, trusted: Collection[str] = (), judged_later: Collection[str] = ()
) -> str:
    """The format of a clean file; Misuse, with the first finding, for any other.

    `trusted` are types that the operator named. Findings of the rules `judged_later` are passed over: their
    caller looks at the same thing again, knowing more.
    """
    where = Path(path)
    names = frozenset(trusted)
    allowed = shipped().joined(Allowed(names, names, names)) if names else shipped()
    scanning = Scanning(allowed, Budget())
    with where.open("rb") as file:
        small = os.fstat(file.fileno()).st_size <= _SMALL
        form = scanning.inspect(Source(file.read() if small else file))
    found = [each for each in scanning.findings if each.level != "note" and each.rule not in judged_later]
    if found:
        worst = next((each for each in found if each.level == "blocked"), found[0])
        inside = f" in {worst.where}" if worst.where else ""
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        verdict = "blocked" if worst.level == "blocked" else "undecided"
        raise Misuse(
            f"the scan of this {form} file says {verdict}: {worst.message}{inside} ({worst.rule}{more})",
            source=str(path), fix="See all findings with: tradewind audit model FILE",
        )  # fmt: skip
    return form
