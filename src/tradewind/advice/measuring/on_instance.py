"""The program on a rented instance that runs one probe's command and tells an object store how it went.

It needs Python 3.9 and the standard library, no credentials and no open port: what it tells it puts to
addresses that were signed beforehand. `alive.json` says now and then how long the command has run;
`output.log` has the end of what it said; `end.json` comes last, in one atomic write, and says how it ended,
in the fields of `keeper.End`. Whoever started this program then ends the instance.

The machine is the candidate, so the kernel keeps its limits: a command that the kernel kills for want of
memory has failed for want of memory. A candidate that is said to be smaller than its machine is held to its
size: its processors by affinity, its memory by looking at what the processes hold, as `keeper` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from tradewind.advice.measuring.process_trees import adopt_orphans, descendants, held

_LOOK, _WITHIN = 0.1, 20.0
"""Seconds between two looks at the command, and for one answer of the store."""
_PATIENCE = 240.0
"""Seconds for which the end is told again and again where the store does not answer."""
_TAIL = 64 * 1024
"""Bytes of the output's end that are told."""


def main(path: str) -> int:
    """Carry out the task in a JSON file (see `ec2_bundle.task_of`); 0 once its end is told."""
    task = json.loads(Path(path).read_text(encoding="utf-8"))
    with contextlib.suppress(OSError):  # whoever has to tell of a machine without memory must outlive it
        Path("/proc/self/oom_score_adj").write_text("-1000")
    adopt_orphans()
    return _Probe(task).to_its_end()


class _Probe:
    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.log = Path("output.log").absolute()
        self.seconds, self.peak = 0.0, 0
        self.over = threading.Event()

    def to_its_end(self) -> int:
        self._alive()
        end = self._run()
        with contextlib.suppress(OSError):
            self._put("output", self._tail())
        began = _now()
        while True:
            try:
                tail = self._tail(2400).decode(errors="replace")
                self._put("end", json.dumps({**end, "tail": tail}).encode())
                return 0
            except OSError:
                if _now() - began > _PATIENCE:
                    return 1
                _wait(2.0)

    def _run(self) -> dict[str, Any]:
        task = self.task
        began, kills = _now(), _memory_kills()
        try:
            with self.log.open("wb") as log:
                child = subprocess.Popen(
                    task["command"],
                    cwd=task["folder"],
                    env={"HOME": "/root", **os.environ, **task["environment"]},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=self._confine,  # noqa: PLW1509 -- there are no other threads yet
                )
        except (OSError, subprocess.SubprocessError) as problem:
            self.log.write_text(f"{task['command'][0]}: {problem}\n")
            return self._end("absent", 127, began)
        teller = threading.Thread(target=self._tell, daemon=True)
        teller.start()  # only now: a fork of a process with threads may hang
        how = self._watched(child, began)
        seconds = _now() - began
        _kill_all()
        code = child.wait()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # what they used is counted once they are waited for
        self.over.set()
        teller.join()  # what it told a moment ago must not come after the end
        if how == "exited" and code != 0 and _memory_kills() > kills:
            how = "memory"
        return self._end(how, code if how == "exited" else None, began, seconds)

    def _confine(self) -> None:
        """In the child: what the kernel may kill, on the candidate's processors."""
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("0")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        here = sorted(os.sched_getaffinity(0))
        if self.task["cores"] is not None:
            os.sched_setaffinity(0, here[: max(1, round(self.task["cores"]))])

    def _watched(self, child: subprocess.Popen[bytes], began: float) -> str:
        limit, memory = self.task["limit"], self.task["memory"]
        while True:
            left = _LOOK if limit is None else min(_LOOK, limit - self.seconds)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(left, 0.001))
                return "exited"
            self.seconds = _now() - began
            if limit is not None and self.seconds >= limit:
                return "limit"
            now = held(descendants(os.getpid()))
            self.peak = max(self.peak, now)
            if memory is not None and now > memory:
                return "memory"

    def _end(self, how: str, code: int | None, began: float, seconds: float | None = None) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "how": how,
            "code": code,
            "seconds": _now() - began if seconds is None else seconds,
            "user": used.ru_utime,
            "system": used.ru_stime,
            "peak": self.peak,
            "methods": "a machine of its own",
        }

    def _tell(self) -> None:
        while not self.over.wait(self.task["beat"]):
            self._alive()

    def _alive(self) -> None:
        """How long it has run; the store may be out of reach for a while."""
        told = {"how": "gone", "code": None, "seconds": self.seconds, "peak": self.peak}
        with contextlib.suppress(OSError):
            self._put("alive", json.dumps(told).encode())

    def _put(self, name: str, content: bytes) -> None:
        """Raises OSError (urllib's are) where the store does not take it."""
        request = urllib.request.Request(self.task["links"][name], data=content, method="PUT")
        request.add_header("Content-Type", "")  # none is signed, and urllib would add its own
        with urllib.request.urlopen(request, timeout=_WITHIN):
            pass

    def _tail(self, size: int = _TAIL) -> bytes:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - size))
                return file.read()
        except OSError:
            return b""


def _kill_all() -> None:
    while those := descendants(os.getpid()):
        for pid in those:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _wait(0.01)


def _memory_kills() -> int:
    """How many processes the kernel has killed for want of memory since it booted."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _now() -> float:
    return time.monotonic()  # noqa: TID251 -- there is no tradewind.clock where this runs


def _wait(seconds: float) -> None:
    time.sleep(seconds)  # noqa: TID251 -- as above


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
