"""One peer's verdict on every file: run by the peer's interpreter, with its name and a list of files.

`caught` is what the tool itself calls dangerous, `passed` what it calls clean (or only worth a look, as
picklescan does with names that it does not know), `failed` an error or a file that it skipped.
"""

# ruff: noqa: PLC0415
from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import logging
import sys
import time
from collections.abc import Callable


def _picklescan() -> Callable[[str], str]:
    from picklescan import scanner

    def scan(path: str) -> str:
        found = scanner.scan_file_path(path)
        if found.infected_files or found.issues_count:
            return "caught"
        return "failed" if found.scan_err or not found.scanned_files else "passed"

    return scan


def _fickling() -> Callable[[str], str]:
    import fickling

    return lambda path: "passed" if fickling.is_likely_safe(path) else "caught"


def _modelscan() -> Callable[[str], str]:
    from modelscan.modelscan import ModelScan

    scanner = ModelScan()

    def scan(path: str) -> str:
        found = scanner.scan(path)["summary"]
        if found["total_issues"]:
            return "caught"
        return "passed" if found["scanned"]["total_scanned"] else "failed"

    return scan


def main() -> None:
    """Judge the files of the standard input, a JSON list; verdicts and seconds on the standard output."""
    peer = sys.argv[1]
    logging.disable(logging.CRITICAL)
    scan = {"picklescan": _picklescan, "fickling": _fickling, "modelscan": _modelscan}[peer]()
    found, seconds = [], []
    for path in json.load(sys.stdin):
        begun = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                verdict = scan(path)
            except Exception:
                verdict = "failed"
        seconds.append(time.perf_counter() - begun)
        found.append(verdict)
    print(json.dumps({"version": importlib.metadata.version(peer), "verdicts": found, "seconds": seconds}))


if __name__ == "__main__":
    main()
