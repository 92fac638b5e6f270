"""Small tasks for the laws of runtimes: `arguments["chore"]` says which."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tradewind.clock import stopwatch


def main(arguments: dict[str, Any], leaving: Callable[[], bool]) -> None:
    """Do one chore."""
    print("doing", arguments["chore"], flush=True)  # noqa: T201 -- a task's output goes to its log
    match arguments["chore"]:
        case "return":
            pass
        case "tell":
            # Written at once and whole, so that whoever waits for the file finds all of it.
            _write(Path(arguments["path"]), arguments["text"])
        case "loaded":
            _write(Path(arguments["path"]), str(arguments["module"] in sys.modules))
        case "raise":
            raise ValueError(arguments["text"])
        case "exit":
            raise SystemExit(arguments["code"])
        case "wait":
            _write(Path(arguments["path"]), str(os.getpid()))
            _wait(leaving, 60.0)
        case "burn":
            _write(Path(arguments["path"]), str(os.getpid()))
            _burn(leaving)
        case "linger":
            _write(Path(arguments["path"]), str(os.getpid()))
            _wait(lambda: False, 60.0)
        case other:
            raise ValueError(f"no chore {other!r}")


def _write(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text)
    draft.rename(path)


def _wait(done: Callable[[], bool], seconds: float) -> None:
    """Until `done`, but not for ever: a chore must not outlive a test that failed."""
    elapsed, nobody = stopwatch(), threading.Event()
    while not done() and elapsed() < seconds:
        nobody.wait(0.005)


def _burn(done: Callable[[], bool]) -> None:
    """Keep a processor busy until `done`."""
    elapsed = stopwatch()
    while not done() and elapsed() < 60.0:
        sum(range(1000))
