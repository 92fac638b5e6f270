"""What is run to be traced or verified: a command, what it is given, and how a service of it is driven."""

from __future__ import annotations

import re
from typing import Literal, Protocol

from msgspec import Struct, field

from tradewind.errors import Misuse

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for when the environment does not say, as container engines have it."""
CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
)
"""What a workload may keep of root's powers; none reaches out of its namespaces."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OURS = ("/proc", "/sys", "/dev")
"""Directories that every confined workload gets anew, whatever the tree has there."""


class _Wrong(Protocol):
    def __call__(self, problem: str, name: str, fix: str = "") -> Misuse: ...


class Input(Struct, frozen=True, forbid_unknown_fields=True):
    """A file or directory of the machine that the workload finds, read-only, at a path of its own."""

    source: str
    path: str


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """One recorded request to a service."""

    path: str = "/"
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    port: int = 0
    """The port asked; 0 is the one that tells when the service is ready."""
    status: int | None = None
    """The status expected; None takes any below 500."""
    json: object = None
    """What the answer's body must hold as JSON; None asks for nothing."""


class Ready(Struct, frozen=True, forbid_unknown_fields=True):
    """How a service tells that it may be asked: a path that answers below 500, an open port, or a line."""

    port: int = 0
    path: str = ""
    """Asked by GET at `port`; where it is empty, a port that takes connections is enough."""
    log: str = ""
    """A regular expression found in what the service wrote to its output or its errors."""
    within: float = 60.0
    """Seconds after which a service that is not ready counts as failed."""


class Workload(Struct, frozen=True, forbid_unknown_fields=True):
    """One command in a tree, with all that decides what it does."""

    name: str
    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    """The whole environment, but for PATH, HOME and HOSTNAME where it does not name them."""
    workdir: str = "/"
    user: str = ""
    """`name`, `uid`, or either with `:group`, by the tree's own accounts; root where empty."""
    stdin: str = ""
    limit: float = 300.0
    """Seconds after which it is killed."""
    long_running: bool = False
    """A service: it is driven by `requests` when it is ready and stopped then."""
    ready: Ready = field(default_factory=Ready)
    requests: tuple[Request, ...] = ()
    grace: float = 10.0
    """Seconds that a service has to stop after SIGTERM, before it is killed."""
    outputs: tuple[str, ...] = ()
    """Absolute paths of files, or of directories, whose content is collected at the end."""
    network: Literal["none", "host"] = "none"
    """`none` is a loopback interface of its own; `host` is the machine's network, for those who must."""
    inputs: tuple[Input, ...] = ()
    capabilities: tuple[str, ...] = ()
    """What it keeps of root's powers, of CAPABILITIES."""

    def check(self, source: str = "") -> None:
        """Raise Misuse, naming the field and the fix, for what cannot be run as it stands."""

        def wrong(problem: str, name: str, fix: str = "") -> Misuse:
            return Misuse(problem, source=source or self.name, field=name, fix=fix)

        if not self.name or "/" in self.name or not self.name.isprintable():
            raise wrong(f"{self.name!r} is no name", "name", "Give a word; runs are stored under it.")
        if not self.command or not self.command[0]:
            raise wrong("there is nothing to run", "command", 'Give a list, such as ["python3", "serve.py"].')
        for name, texts in (("command", self.command), ("env", (*self.env, *self.env.values()))):
            if any("\0" in text for text in texts):
                raise wrong("a text holds a zero byte", name)
        if any("=" in name or not name for name in self.env):
            raise wrong("a name of a variable is empty or holds =", "env")
        for name, paths in (
            ("workdir", (self.workdir,)),
            ("outputs", self.outputs),
            ("inputs", tuple(each.path for each in self.inputs)),
        ):
            for path in paths:
                if not path.startswith("/") or ".." in path.split("/") or "\0" in path:
                    raise wrong(f"{path!r} is no path from the tree's root", name, "Begin it with a slash.")
        for each in self.inputs:
            if not each.source.startswith("/"):
                raise wrong(
                    f"{each.source!r} is not absolute", "inputs", "Resolve it against the file's folder."
                )
            if any(f"{each.path}/".startswith(f"{taken}/") for taken in OURS) or each.path.strip("/") == "":
                raise wrong(f"{each.path!r} is taken", "inputs", f"Choose one outside of {', '.join(OURS)}.")
        for name, seconds in (
            ("limit", self.limit),
            ("grace", self.grace),
            ("ready.within", self.ready.within),
        ):
            if not 0 < seconds <= 86_400:
                raise wrong(f"{seconds!r} seconds", name, "Give more than none and at most a day's, 86400.")
        unknown = [each for each in self.capabilities if each not in CAPABILITIES]
        if unknown:
            raise wrong(
                f"{unknown[0]!r} cannot be kept", "capabilities", f"Choose of {', '.join(CAPABILITIES)}."
            )
        self._check_service(wrong)

    def _check_service(self, wrong: _Wrong) -> None:
        if not self.long_running:
            if self.requests:
                raise wrong("requests are for services only", "requests", "Set long_running = true.")
            return
        if not self.ready.port and not self.ready.log:
            raise wrong(
                "nothing tells when it is ready", "ready", "Give a port, a port and a path, or a log line."
            )
        if self.ready.path and not self.ready.port:
            raise wrong("a path is asked for at a port", "ready.port", "Give the port.")
        try:
            re.compile(self.ready.log)
        except re.error as error:
            raise wrong(f"no regular expression: {error}", "ready.log") from None
        for at, request in enumerate(self.requests):
            where = f"requests[{at}]"
            if request.method not in METHODS:
                raise wrong(f"{request.method!r} is no method", where, f"Choose of {', '.join(METHODS)}.")
            if not request.path.startswith("/") or any(c <= " " or c == "\x7f" for c in request.path):
                raise wrong(
                    f"{request.path!r} is no path to ask for", where, "Begin it with a slash, escape spaces."
                )
            if any(c in text for each in request.headers.items() for text in each for c in "\r\n\0"):
                raise wrong("a header holds the end of a line", where)
            if not (request.port or self.ready.port):
                raise wrong("no port to ask", where, "Give one to the request, or to ready.")
        for port in (self.ready.port, *(request.port for request in self.requests)):
            if not 0 <= port < 65_536:
                raise wrong(f"{port} is no port", "requests", "Give one below 65536.")
