"""The process of an environment: loads the function's code once, then answers events, one at a time.

It speaks with the host over one socket (`exchange`) and ends when that does. What the function prints goes to
the environment's log. The handler and its context are as AWS Lambda's Python runtime has them.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from tradewind import clock
from tradewind.runtimes.functions.host.confinement import die_with, limit_memory, refuse_inbound
from tradewind.runtimes.functions.host.exchange import Message, packed, receive_here

Handler = Callable[[Any, "Context"], Any]


class Context:
    """What a handler may ask about its call; named as in AWS Lambda's Python runtime."""

    identity = None

    def __init__(self, told: Message, call: Message) -> None:
        self.function_name = told["name"]
        self.function_version = told["version"]
        self.invoked_function_arn = call["arn"]
        self.memory_limit_in_mb = str(told["memory"])
        self.aws_request_id = call["request"]
        self.log_group_name = f"/aws/lambda/{told['name']}"
        self.log_stream_name = told["environment"]
        self.client_context = call.get("client_context")
        self._deadline = call["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the call is cut off."""
        return int(max(0.0, round(1000 * (self._deadline - clock.wall()))))


def live(connection: socket.socket, forked: bool = False) -> int:
    """Load the code that the first message names, then answer events until the host lets go; exit status."""
    first = receive_here(connection)
    if first is None:
        return 0
    told: Message = first[0]
    elapsed = clock.stopwatch()
    _settle(told, forked)
    try:
        handler = _loaded(told["handler"])
    except BaseException as problem:
        _send(connection, {"tells": "failed", "error": _error(problem)})
        return 1
    gc.freeze()  # what was loaded stays: collections look at what calls make
    modules = _layer(told["code"]) if told["learn"] else []
    ready = {
        "tells": "ready", "pid": os.getpid(), "seconds": elapsed(), "modules": modules,
        "inbound_refused": told["inbound_refused"],
    }  # fmt: skip
    _send(connection, ready)
    while (received := receive_here(connection)) is not None:
        call, event = received
        error, answer = _called(handler, Context(told, call), event, int(call["largest"]))
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        _send(connection, {"tells": "done", "error": error, "memory": _most_memory()}, answer)
    return 0


def _settle(told: Message, forked: bool) -> None:
    """Take the environment's variables, folder, log and limits."""
    log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    os.environ.clear()
    os.environ.update(told["variables"])
    os.chdir(told["code"])
    sys.path.insert(0, told["code"])
    importlib.invalidate_caches()
    if forked and "numpy.random" in sys.modules:
        # Siblings would all draw the same numbers; Python's own generator sees to this by itself.
        sys.modules["numpy.random"].seed()
    told["inbound_refused"] = refuse_inbound()
    limit_memory(int(told["memory"]))


def _loaded(handler: str) -> Handler:
    module, dot, name = handler.rpartition(".")
    if not dot:
        raise ValueError(f"Bad handler '{handler}': not enough values to unpack")
    try:
        found: Handler = getattr(importlib.import_module(module.replace("/", ".")), name)
    except AttributeError as problem:
        if f"'{name}'" not in str(problem):
            raise
        raise HandlerNotFound(f"Handler '{name}' missing on module '{module}'") from None
    return found


class HandlerNotFound(Exception):
    """The module has no such function."""


def _called(handler: Handler, context: Context, event: bytes, largest: int) -> tuple[str, bytes]:
    """The kind of error, empty for none, and the answer as JSON."""
    try:
        answer = handler(json.loads(event) if event else {}, context)
    except Exception as problem:
        traceback.print_exc()
        return "Unhandled", json.dumps(_error(problem)).encode()
    try:
        body = json.dumps(answer, ensure_ascii=False).encode()
    except (TypeError, ValueError) as problem:
        told = {"errorMessage": f"Unable to marshal response: {problem}", "errorType": "Runtime.MarshalError"}
        return "Unhandled", json.dumps(told).encode()
    if len(body) > largest:
        told = {
            "errorMessage": f"Response payload size exceeded maximum allowed payload size ({largest} bytes).",
            "errorType": "Function.ResponseSizeTooLarge",
        }
        return "Unhandled", json.dumps(told).encode()
    return "", body


def _error(problem: BaseException) -> Message:
    kinds = {
        HandlerNotFound: "Runtime.HandlerNotFound",
        ModuleNotFoundError: "Runtime.ImportModuleError",
    }
    return {
        "errorMessage": str(problem),
        "errorType": kinds.get(type(problem), type(problem).__name__),
        "stackTrace": traceback.format_tb(problem.__traceback__)[-20:],
    }


def _layer(code: str) -> list[str]:
    """Modules that were loaded from elsewhere than the function's package, in the order of their loading."""
    found = []
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec is None or name == "__main__" or spec.name != name:
            continue
        places = [spec.origin or "", *(spec.submodule_search_locations or ())]
        if not any(str(place).startswith(code + os.sep) for place in places):
            found.append(name)
    return found


def _most_memory() -> int:
    """The most memory that this process has held, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _send(connection: socket.socket, header: Message, body: bytes = b"") -> None:
    try:
        connection.sendall(packed(header, body))
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the host is gone


def main() -> int:
    """A plain start: the socket's number and the parent's come as arguments."""
    number, parent = int(sys.argv[1]), int(sys.argv[2])
    os.setsid()
    die_with(parent)
    with socket.socket(fileno=number) as connection:
        return live(connection)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # threads that a function left do not keep it
