"""Make allow-lists of trusted libraries, as `tradewind audit model --make-list LIBRARY` does.

The libraries are imported. Read what is written before you use it: it says what files may do with their
classes.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from tradewind.data.model_files.allowed.introspection import list_of
from tradewind.data.model_files.allowed.lists import write_list
from tradewind.errors import Misuse


def make_list(library: str, folder: Path) -> tuple[Path, int]:
    """Write the list of an installed library into a folder; where it is, and how many names it has.

    Misuse where the library, by the name it is imported by, is not there or cannot be imported.
    """
    if not library.isidentifier() or importlib.util.find_spec(library) is None:
        raise Misuse(
            f"there is no library {library!r} in this environment", field="--make-list", fix=_fix(library)
        )
    try:
        made = list_of(library)
    except Exception as error:
        raise Misuse(
            f"{library} cannot be imported ({type(error).__name__}: {error})", field="--make-list",
            fix="Make the list in an environment where it can be.",
        ) from error  # fmt: skip
    path = folder / f"{made.library}-{made.version}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_list(path, made)
    return path, sum(map(len, made.names.values()))


def _fix(library: str) -> str:
    """What to do about a name that cannot be imported, which may be a project's."""
    plain = library.lower().replace("_", "-")
    imported = [
        name
        for name, projects in importlib.metadata.packages_distributions().items()
        if name.isidentifier() and plain in {each.lower().replace("_", "-") for each in projects}
    ]
    shown = [name for name in sorted(imported) if not name.startswith("_")]
    if shown:
        return f"Give the name that it is imported by: {' or '.join(shown)}."
    return "Install it where Tradewind is installed, and give the name that it is imported by."
