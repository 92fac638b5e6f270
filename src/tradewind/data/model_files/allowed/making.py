"""Make allow-lists of trusted libraries: `python -m tradewind.data.model_files.allowed.making NAME...`.

The libraries are imported. Read what is written before you use it: it says what files may do with their
classes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tradewind.data.model_files.allowed.introspection import list_of
from tradewind.data.model_files.allowed.lists import write_list


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one list for each library; 1 if one is not installed."""
    parser = argparse.ArgumentParser(
        prog="python -m tradewind.data.model_files.allowed.making", description="Make lists of allowed names."
    )
    parser.add_argument("libraries", nargs="+", metavar="LIBRARY", help="as it is imported: sklearn")
    parser.add_argument("--output", type=Path, default=Path(), help="folder to write into")
    chosen = parser.parse_args(arguments)
    missing = False
    for library in chosen.libraries:
        try:
            made = list_of(library)
        except ImportError as error:
            sys.stderr.write(f"{library} cannot be imported: {error}" + "\n")
            missing = True
            continue
        path = chosen.output / f"{made.library}-{made.version}.json"
        write_list(path, made)
        count = sum(len(names) for names in made.names.values())
        sys.stdout.write(f"{path}: {count:,} names of {made.library} {made.version}" + "\n")
    return int(missing)


if __name__ == "__main__":
    raise SystemExit(main())
