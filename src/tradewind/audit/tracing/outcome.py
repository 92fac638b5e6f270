"""What came of a confined run: how it ended, what it wrote and said, and, if traced, what it touched."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tradewind.audit.tracing.events import Event, Run


class Answer(Struct, frozen=True):
    """What a service answered to one recorded request."""

    status: int
    """0 where no answer came."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    problem: str = ""
    """Why no answer came."""


class Written(Struct, frozen=True):
    """One path that a run made, changed or removed."""

    path: str
    """Relative to the root, as in a tree."""
    kind: Literal["file", "directory", "link", "removed", "other"]
    size: int = 0
    mode: int = 0
    digest: str = ""
    """Of a file's content: `sha256:` and hexadecimal digits."""
    target: str = ""


class Output(Struct, frozen=True):
    """One file that the workload was to produce."""

    path: str
    """Absolute, as the workload sees it."""
    size: int
    digest: str
    content: bytes | None
    """None where it is larger than 64 MiB."""


class Outcome(Struct, frozen=True):
    """How a confined run ended."""

    exit_code: int
    """As a shell tells it: 128 and the signal's number where a signal ended it, 127 where there was no such
    program, 126 where it could not be run."""
    stdout: bytes
    """The first 64 MiB of it, as of `stderr`."""
    stderr: bytes
    answers: tuple[Answer, ...] = ()
    """One for each request, in order."""
    written: tuple[Written, ...] = ()
    outputs: tuple[Output, ...] = ()
    seconds: float = 0.0
    """From the execution of the command to its end, by the wall."""
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    """The largest resident set of any of its processes."""
    problem: str = ""
    """Why it counts as failed, whatever the exit code: killed at its limit, or never ready."""


class Recorded(Struct, frozen=True):
    """A traced run."""

    run: Run
    outcome: Outcome
    events: tuple[Event, ...]
