"""How long `import tradewind` takes in a fresh interpreter: `make bench NAME=startup/import`.

`import_ms` is the statement's own time, measured inside; beside it the whole process with and without the
statement, alternating, so that the difference can be compared. Files are in the page cache, as they are for
whoever calls the command twice.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time

INSIDE = (
    "import time; began = time.perf_counter(); import tradewind; print((time.perf_counter() - began) * 1e3)"
)
COMMAND = (
    "import time; began = time.perf_counter(); import tradewind.cli.main; "
    "print((time.perf_counter() - began) * 1e3)"
)


def timed(code: str) -> tuple[float, str]:
    """Milliseconds of a whole fresh interpreter that runs `code`, and what it printed."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return (time.perf_counter() - began) * 1e3, done.stdout


def main() -> None:
    """Measure, alternating, and print the table and the closing line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="5 rounds")
    arguments = parser.parse_args()
    rounds = 5 if arguments.quick else max(5, arguments.rounds)
    for code in ("pass", INSIDE, COMMAND):
        timed(code)
    bare, whole, inside, command = [], [], [], []
    for _ in range(rounds):
        bare.append(timed("pass")[0])
        total, printed = timed(INSIDE)
        whole.append(total)
        inside.append(float(printed))
        command.append(float(timed(COMMAND)[1]))
    rows = (
        ("import tradewind, inside", inside),
        ("import tradewind.cli.main, inside", command),
        ("a bare interpreter, whole", bare),
        ("an interpreter that imports tradewind, whole", whole),
    )
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {rounds} rounds")
    print(f"{'':46}{'median ms':>10}{'min':>8}{'max':>8}")
    for name, values in rows:
        print(f"{name:46}{statistics.median(values):10.1f}{min(values):8.1f}{max(values):8.1f}")
    figures = {
        "import_ms": round(statistics.median(inside), 2),
        "whole_minus_bare_ms": round(statistics.median(whole) - statistics.median(bare), 2),
        "command_ms": round(statistics.median(command), 2),
    }
    print(json.dumps({"benchmark": "startup/import", "figures": figures}))


if __name__ == "__main__":
    main()
