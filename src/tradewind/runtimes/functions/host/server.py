"""A function host as a process: `python -m tradewind.runtimes.functions.host.server --root FOLDER`.

It keeps functions, packages, logs and the record of calls in its folder, prints the address it listens at as
its first line, and ends with SIGTERM or SIGINT. It runs the code that it is given: it listens on loopback
only, or wants a token, which clients send as their access key id. Nor does it heed what a page in a browser
on this machine can send: requests must be signed as boto3 signs, and be meant for this machine.

Lost with a host that is killed: calls in hand, and events that nobody waits for. Kept: all else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import hmac
import json
import os
import re
import shutil
import signal
import sys
import urllib.parse
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import msgspec

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.runtimes.functions.host.api import STATUS, Api
from tradewind.runtimes.functions.host.http import Request, Response, listen
from tradewind.runtimes.functions.host.packages import Packages
from tradewind.runtimes.functions.host.pool import MARK, Pool
from tradewind.runtimes.functions.host.shelf import Shelf
from tradewind.runtimes.functions.limits import Limits

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")
_ENVELOPE = 64 << 10
"""Bytes of a request beside the package in it."""


class FunctionHost:
    """Listens at an address, for functions kept in `root`. One host has a folder at a time."""

    def __init__(
        self, root: Path | str, limits: Limits | None = None, *, token: str = "", forked: bool = True
    ) -> None:
        self._root, self._limits = Path(root).absolute(), limits or Limits()
        self._token, self._forked = token, forked
        self._api: Api | None = None
        self._pool: Pool | None = None
        self._server: asyncio.Server | None = None
        self._lock = -1
        self.url = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; the address for clients. Misuse where others could call without a token, or the folder is
        another host's."""
        if not self._token and not _loopback(host):
            raise Misuse(
                f"{host} is open to other machines, and no token is asked for",
                source="function host", field="host", fix="Give a token, or listen on 127.0.0.1.",
            )  # fmt: skip
        self._root.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise Misuse(
                "another host has this folder", source=str(self._root), field="root", fix="Give another."
            ) from None
        sweep(self._root)
        shelf = Shelf(self._root / "functions")
        packages = Packages(self._root / "packages", self._limits)
        packages.keep(shelf.packages())
        self._pool = Pool(self._root, shelf, packages, self._limits, forked=self._forked)
        self._pool.open()
        self._api = Api(shelf, packages, self._pool, self._limits)
        largest = self._limits.zipped * 4 // 3 + _ENVELOPE
        try:
            self._server = await listen(host, port, self._answer, largest)
        except OSError as problem:
            await self.close()
            raise Misuse(f"cannot listen there: {problem}", source=f"{host}:{port}", field="port") from None
        where = self._server.sockets[0].getsockname()
        self.url = f"http://{f'[{where[0]}]' if ':' in where[0] else where[0]}:{where[1]}"
        return self.url

    async def _answer(self, request: Request) -> Response:
        assert self._api is not None
        authorization = request.headers.get("authorization", "")
        name = urllib.parse.urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if request.path != STATUS and not authorization.startswith("AWS4-HMAC-SHA256 "):
            return _forbidden("MissingAuthenticationTokenException", "Requests are signed, as boto3 does.")
        if not self._token and not _loopback(name):
            return _forbidden("AccessDeniedException", "This host is for callers on its own machine.")
        if self._token:
            found = _CREDENTIAL.search(authorization)
            given = found[1] if found else ""
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                return _forbidden(
                    "UnrecognizedClientException", "The security token included in the request is invalid."
                )
        return await self._api.answer(request)

    async def close(self) -> None:
        """Stop at once: calls are cut, and every process ends."""
        if self._server is not None:
            self._server.close()
        if self._api is not None:
            await self._api.close()
        if self._pool is not None:
            await self._pool.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def sweep(root: Path) -> int:
    """Kill what processes an earlier host of this folder left, its functions' own among them; how many."""
    mark = f"{MARK}={root}".encode()
    killed = 0
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(each.name) != os.getpid() and mark in (each / "environ").read_bytes().split(b"\0"):
                os.kill(int(each.name), signal.SIGKILL)
                killed += 1
    return killed


def _forbidden(kind: str, message: str) -> Response:
    return Response(403, json.dumps({"message": message}).encode(), {"X-Amzn-ErrorType": kind})


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _serve(host: FunctionHost, address: str, port: int, with_parent: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if with_parent:
        # Nobody writes there: it becomes readable when whoever holds the other end is gone, kill -9 included.
        loop.add_reader(sys.stdin.fileno(), stop.set)
    try:
        print(await host.start(address, port), flush=True)  # noqa: T201 -- how a parent learns the port
        await stop.wait()
    finally:
        await host.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a host until it is told to stop; 2 where it cannot be run so."""
    parser = argparse.ArgumentParser(prog="function host", description=__doc__)
    parser.add_argument("--root", required=True, help="the folder for functions, packages, logs and calls")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free")
    parser.add_argument("--plain", action="store_true", help="start every environment as a new interpreter")
    parser.add_argument("--limits", default="{}", help="limits as JSON, such as '{\"idle\": 60}'")
    parser.add_argument(
        "--with-parent", action="store_true",
        help="end when standard input ends, and leave neither the folder nor anything in it",
    )  # fmt: skip
    told = parser.parse_args(arguments)
    token = os.environ.pop("TRADEWIND_FUNCTION_TOKEN", "")
    try:
        limits = msgspec.json.decode(told.limits, type=Limits)
        host = FunctionHost(told.root, limits, token=token, forked=not told.plain)
        clock.run(_serve(host, told.host, told.port, told.with_parent))
    except (Misuse, msgspec.DecodeError) as problem:
        print(problem, file=sys.stderr)  # noqa: T201
        return 2
    finally:
        if told.with_parent:
            shutil.rmtree(told.root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
