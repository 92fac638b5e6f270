"""Functions through Lambda's API: to AWS where no address is given, else to a host such as ours.

The only module of the runtimes that speaks through boto3. Every method blocks, may be called from any thread,
and raises Temporary (Unreachable without an answer, Throttled where too many calls run), Permanent or Misuse.
boto3's own retries are off: whoever calls knows whether a second time is welcome.
"""

from __future__ import annotations

import base64
import contextlib
import json
import platform
import threading
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tradewind.errors import MissingExtra, Misuse, Permanent, Temporary, Unreachable
from tradewind.runtimes.functions.reports import Report, report_in

_CONNECT = 5.0
_LONGEST_CALL = 900.0
_NOT_FOUND = "ResourceNotFoundException"
_THROTTLED = ("TooManyRequestsException", "ThrottlingException", "EC2ThrottledException")


class Throttled(Temporary):
    """More calls at a time than the function, or the account, may have."""


class Called(Struct, frozen=True):
    """What came of a call."""

    payload: bytes
    """The answer, or what is told of the error, as JSON."""
    error: str
    """The error's type, such as `Runtime.ExitError` or an exception's name; empty for none."""
    message: str
    report: Report | None
    """What it took and is billed; None where the log does not say."""

    @property
    def lost(self) -> bool:
        """Whether the environment went down with the call, or ran out of time."""
        return self.error.startswith(("Runtime.ExitError", "Runtime.OutOfMemory", "Sandbox."))


class Functions:
    """Deploys functions and calls them. `token` is what a host asks for beyond loopback; `longest` the
    seconds that a call's answer is waited for.

    On AWS, credentials and the region are found as boto3 finds them.
    """

    def __init__(
        self,
        endpoint_url: str = "",
        *,
        region: str = "",
        token: str = "",
        connections: int = 64,
        longest: float = _LONGEST_CALL,
    ) -> None:
        self._endpoint_url, self._region = endpoint_url, region
        self._token, self._connections, self._longest = token, connections, longest
        self._made: Any = None
        self._making = threading.Lock()

    @property
    def client(self) -> Any:
        """boto3's own client, for what is not wrapped here."""
        with self._making:
            if self._made is None:
                self._made = self._client()
        return self._made

    def _client(self) -> Any:
        try:
            import boto3  # noqa: PLC0415 -- an extra
            from botocore.config import Config  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("boto3", "aws", "calling functions") from None
        config = Config(
            connect_timeout=_CONNECT,
            read_timeout=self._longest,
            retries={"total_max_attempts": 1},
            max_pool_connections=self._connections,
        )
        told: dict[str, Any] = {"config": config}
        if self._endpoint_url:
            told |= {
                "endpoint_url": self._endpoint_url,
                "region_name": self._region or "us-east-1",
                "aws_access_key_id": self._token or "local",
                "aws_secret_access_key": "local",
            }
        elif self._region:
            told["region_name"] = self._region
        return boto3.session.Session().client("lambda", **told)

    def deploy(
        self,
        name: str,
        package: bytes,
        handler: str,
        *,
        memory: int = 1769,
        timeout: int = 30,
        variables: dict[str, str] | None = None,
        role: str = "arn:aws:iam::000000000000:role/function",
        layers: Sequence[str] = (),
        description: str = "",
    ) -> None:
        """Create the function, or give it this package and configuration; returns when it can be called.

        `package` is a zip, `memory` in MB, `timeout` in seconds. `role` matters on AWS alone; `layers` are
        versions of layers there, by ARN, and a local host refuses them.
        """
        settings: dict[str, Any] = {
            "FunctionName": name,
            "Handler": handler,
            "MemorySize": memory,
            "Timeout": timeout,
            "Environment": {"Variables": variables or {}},
            "Description": description,
        }
        if layers:
            settings["Layers"] = list(layers)
        runtime = f"python3.{platform.python_version_tuple()[1]}"
        try:
            self._ask("get_function_configuration", FunctionName=name)
        except Absent:
            self._ask("create_function", **settings, Runtime=runtime, Role=role, Code={"ZipFile": package})
        else:
            self._ask("update_function_code", FunctionName=name, ZipFile=package)
            self._settled(name)
            self._ask("update_function_configuration", **settings)
        self._settled(name)

    def _settled(self, name: str) -> None:
        """Wait until AWS has made the change; our host has made it when it answers."""
        found = self._ask("get_function_configuration", FunctionName=name)
        if found.get("State") == "Active" and found.get("LastUpdateStatus") == "Successful":
            return
        for waiter in ("function_active_v2", "function_updated_v2"):
            self.client.get_waiter(waiter).wait(FunctionName=name)

    def configuration(self, name: str) -> dict[str, Any]:
        """A function's configuration, as Lambda tells it; Absent if there is none."""
        return self._ask("get_function_configuration", FunctionName=name)

    def reserve(self, name: str, concurrency: int) -> None:
        """Let so many calls of the function run at a time, no more, and keep them from others."""
        self._ask("put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=concurrency)

    def described(self) -> dict[str, str]:
        """The descriptions of all functions that there are, by name."""
        found: dict[str, str] = {}
        told: dict[str, str] = {}
        while True:
            page = self._ask("list_functions", **told)
            found |= {each["FunctionName"]: each.get("Description", "") for each in page["Functions"]}
            if not page.get("NextMarker"):
                return found
            told = {"Marker": page["NextMarker"]}

    def delete(self, name: str) -> None:
        """Forget a function; silent if there is none."""
        with contextlib.suppress(Absent):
            self._ask("delete_function", FunctionName=name)

    def call(self, name: str, event: bytes) -> Called:
        """Run one call, and wait for its answer; `event` is JSON."""
        answer = self._ask("invoke", FunctionName=name, Payload=event, LogType="Tail")
        try:
            payload = answer["Payload"].read()
        except Exception as problem:
            raise Unreachable(f"invoke of {name}: the answer broke off ({problem})") from problem
        log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
        error = message = ""
        if answer.get("FunctionError"):
            error, message = _told(payload)
        return Called(payload, error, message, report_in(log))

    def send(self, name: str, event: bytes) -> None:
        """Have a call run some time soon, again where it fails; nobody gets its answer."""
        self._ask("invoke", FunctionName=name, Payload=event, InvocationType="Event")

    def _ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self.client, method)(**arguments)
        except MissingExtra:
            raise
        except Exception as problem:
            raise _translated(problem, method, arguments.get("FunctionName", "")) from problem
        return answer

    def close(self) -> None:
        """Let go of the connections."""
        if self._made is not None:
            self._made.close()
            self._made = None


class Absent(Permanent):
    """There is no function of that name."""


def _translated(problem: Exception, method: str, name: str) -> Exception:
    """The error of our tree for one of botocore's."""
    told: dict[str, Any] = getattr(problem, "response", None) or {}  # None with a connection that broke
    code = str(told.get("Error", {}).get("Code", ""))
    status = int(told.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"{method} of {name}: {problem}"
    if not code:
        names = {each.__name__ for each in type(problem).__mro__}
        gone = {"HTTPClientError", "EndpointConnectionError", "ConnectionError", "ConnectionClosedError"}
        return Unreachable(text) if names & gone else Misuse(text, source="functions")
    if code in _THROTTLED or status == 429:
        return Throttled(text)
    if status >= 500:
        return Temporary(text)
    if code == _NOT_FOUND:
        return Absent(text)
    return Misuse(text, source="functions")


def _told(payload: bytes) -> tuple[str, str]:
    try:
        told = json.loads(payload)
        message = str(told.get("errorMessage", ""))
        kind = str(told.get("errorType") or ("Sandbox.Timedout" if "timed out" in message else "Unhandled"))
        return kind, message
    except (ValueError, AttributeError):
        return "Unhandled", payload[:200].decode(errors="replace")
