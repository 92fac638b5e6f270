"""Lambda's API, version 2015-03-31 and the later paths of concurrency: requests to what the host does.

Of what Lambda knows more of than the host does, what changes a function's meaning is refused by name, and
what does not, such as tracing, is ignored.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import platform
import re
import secrets
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from tradewind import clock
from tradewind.runtimes.functions.host.http import Request, Response
from tradewind.runtimes.functions.host.packages import Packages, sha256_base64
from tradewind.runtimes.functions.host.pool import Pool
from tradewind.runtimes.functions.host.refusals import ApiRefusal, conflict, invalid, throttled, too_large
from tradewind.runtimes.functions.host.shelf import LATEST, Entry, Function, Shelf, arn, named
from tradewind.runtimes.functions.limits import Limits

RUNTIME = f"python3.{platform.python_version_tuple()[1]}"
_REFUSED = ("Layers", "VpcConfig", "FileSystemConfigs", "ImageConfig", "KMSKeyArn", "DeadLetterConfig")
_OURS = re.compile(r"(AWS_LAMBDA_|LAMBDA_|TRADEWIND_).*|_HANDLER|AWS_REGION|AWS_DEFAULT_REGION")
_VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
_TAIL = 4096
_LONGEST_PAUSE = 300.0

STATUS = "/tradewind/status"
"""Where a host tells what it runs; the only path that needs no signature."""

Action = Callable[[Request, str], Awaitable[Response]]


class Api:
    """Answers requests; whatever is refused is answered in the shape that botocore raises by."""

    def __init__(self, shelf: Shelf, packages: Packages, pool: Pool, limits: Limits) -> None:
        self._shelf, self._packages, self._pool, self._limits = shelf, packages, pool, limits
        self._events: set[asyncio.Task[None]] = set()
        functions = "/2015-03-31/functions"
        one = functions + "/([^/]+)"
        routes: list[tuple[str, str, Action]] = [
            ("POST", functions, self._create),
            ("GET", functions, self._list),
            ("GET", functions + "/", self._list),
            ("GET", one, self._get),
            ("DELETE", one, self._delete),
            ("GET", one + "/configuration", self._configuration),
            ("PUT", one + "/configuration", self._configure),
            ("PUT", one + "/code", self._code),
            ("POST", one + "/invocations", self._invoke),
            ("POST", one + "/versions", self._publish),
            ("GET", one + "/versions", self._versions),
            ("PUT", "/2017-10-31/functions/([^/]+)/concurrency", self._reserve),
            ("GET", "/2019-09-30/functions/([^/]+)/concurrency", self._reserved),
            ("DELETE", "/2017-10-31/functions/([^/]+)/concurrency", self._unreserve),
            ("PUT", "/2019-09-30/functions/([^/]+)/provisioned-concurrency", self._provision),
            ("GET", "/2019-09-30/functions/([^/]+)/provisioned-concurrency", self._provisioned),
            ("DELETE", "/2019-09-30/functions/([^/]+)/provisioned-concurrency", self._unprovision),
            ("GET", STATUS, self._status),
        ]
        self._routes = [(method, re.compile(path), action) for method, path, action in routes]

    async def answer(self, request: Request) -> Response:
        """The response to any request."""
        try:
            for method, path, action in self._routes:
                found = path.fullmatch(request.path)
                if found is not None and method == request.method:
                    return await action(request, urllib.parse.unquote("".join(found.groups())))
            raise ApiRefusal("UnknownOperationException", 404, f"no {request.method} {request.path[:200]}")
        except ApiRefusal as refusal:
            return _refused(refusal)
        except Exception as problem:
            return _refused(ApiRefusal("ServiceException", 500, f"{type(problem).__name__}: {problem}"))

    async def close(self) -> None:
        """Give up events that wait."""
        for task in list(self._events):
            task.cancel()
        if self._events:
            await asyncio.wait(list(self._events))

    async def _create(self, request: Request, _: str) -> Response:
        told = _object(request)
        name, qualifier = named(str(told.get("FunctionName", "")))
        if qualifier:
            raise invalid("FunctionName: a new function has no version yet")
        if name in self._shelf.entries:
            raise conflict(f"Function already exist: {name}")
        if told.get("Runtime") != RUNTIME:
            raise invalid(f"Runtime {told.get('Runtime')!r} is not here; this host runs {RUNTIME}")
        if told.get("PackageType", "Zip") != "Zip":
            raise invalid("PackageType: this host runs zips")
        function = Function(
            name=name, runtime=RUNTIME, role=str(told.get("Role", "")), handler="", package="",
            **_changed(),
        )  # fmt: skip
        function = self._with(function, told, new=True)
        package, size = await self._unpacked(told.get("Code") or {})
        self._shelf.add(replace(function, package=package, zipped=size))
        return self._told(self._published(name, told), status=201)

    async def _unpacked(self, code: dict[str, Any]) -> tuple[str, int]:
        if "ZipFile" not in code:
            raise invalid("Code: this host takes ZipFile, neither S3 nor images")
        try:
            zipped = base64.b64decode(code["ZipFile"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise invalid("ZipFile: is not base64") from None
        adding = asyncio.get_running_loop().run_in_executor(None, self._packages.add, zipped)
        return await adding, len(zipped)

    def _with(self, function: Function, told: dict[str, Any], new: bool = False) -> Function:
        """A function with the configuration told, checked; it is another revision."""
        for each in _REFUSED:
            if told.get(each):
                raise invalid(f"{each}: this host has none")
        changes: dict[str, Any] = {}
        if told.get("Handler") is not None or new:
            handler = str(told.get("Handler") or "")
            if not re.fullmatch(r"[^\s.][^\s]{0,127}", handler) or "." not in handler:
                raise invalid(f"Handler {handler!r}: write module.function")
            changes["handler"] = handler
        spans = (("Timeout", "timeout", self._limits.timeout), ("MemorySize", "memory", self._limits.memory))
        for field, name, (least, most) in spans:
            if (value := told.get(field)) is not None:
                if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                    raise invalid(f"{field} {value!r}: give a whole number from {least} to {most}")
                changes[name] = value
        if told.get("Description") is not None:
            changes["description"] = str(told["Description"])[:256]
        if told.get("Environment") is not None:
            changes["variables"] = self._checked(told["Environment"].get("Variables") or {})
        return replace(function, **changes, **_changed())

    def _checked(self, variables: Any) -> dict[str, str]:
        if not isinstance(variables, dict) or not all(isinstance(each, str) for each in variables.values()):
            raise invalid("Environment: variables are texts by name")
        for name in variables:
            if not _VARIABLE.fullmatch(name) or _OURS.fullmatch(name):
                raise invalid(f"Environment: {name!r} is no name, or a reserved one")
        if sum(len(name) + len(value.encode()) for name, value in variables.items()) > self._limits.variables:
            raise invalid(f"Environment: the variables take more than {self._limits.variables} bytes")
        return dict(variables)

    async def _code(self, request: Request, name: str) -> Response:
        told = _object(request)
        entry = self._entry(name)
        package, size = await self._unpacked(told)
        entry.latest = replace(entry.latest, package=package, zipped=size, modules=(), **_changed())
        return self._altered(entry, told)

    async def _configure(self, request: Request, name: str) -> Response:
        told = _object(request)
        entry = self._entry(name)
        entry.latest = self._with(entry.latest, told)
        return self._altered(entry, told)

    def _altered(self, entry: Entry, told: dict[str, Any]) -> Response:
        self._shelf.write(entry)
        name = entry.latest.name
        self._pool.forget(name)
        return self._told(self._published(name, told))

    def _published(self, name: str, told: dict[str, Any]) -> Function:
        return self._shelf.publish(name) if told.get("Publish") else self._shelf[name].latest

    async def _publish(self, request: Request, name: str) -> Response:
        self._entry(name)
        return self._told(self._shelf.publish(named(name)[0]), status=201)

    async def _versions(self, request: Request, name: str) -> Response:
        entry = self._entry(name)
        found = [_configuration(each) for each in (entry.latest, *entry.versions.values())]
        return _json({"Versions": found})

    async def _list(self, request: Request, _: str) -> Response:
        return _json({"Functions": [_configuration(each.latest) for each in self._shelf.entries.values()]})

    async def _get(self, request: Request, name: str) -> Response:
        function = self._function(request, name)
        told: dict[str, Any] = {
            "Configuration": _configuration(function),
            "Code": {"RepositoryType": "Local", "Location": self._packages.folder(function.package).as_uri()},
        }
        if (reserved := self._entry(name).reserved) is not None:
            told["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
        return _json(told)

    async def _configuration(self, request: Request, name: str) -> Response:
        return self._told(self._function(request, name))

    def _told(self, function: Function, status: int = 200) -> Response:
        return _json(_configuration(function), status)

    async def _delete(self, request: Request, name: str) -> Response:
        plain, qualifier = named(name)
        self._shelf.remove(plain, request.query.get("Qualifier", qualifier))
        self._pool.forget(plain)
        return Response(204)

    async def _invoke(self, request: Request, name: str) -> Response:
        function = self._function(request, name)
        how = request.headers.get("x-amz-invocation-type", "RequestResponse")
        most = self._limits.event_payload if how == "Event" else self._limits.payload
        if len(request.body) > most:
            raise too_large(f"Request must be smaller than {most} bytes for the InvokeFunction operation")
        try:
            json.loads(request.body or b"{}")
        except ValueError as problem:
            raise ApiRefusal(
                "InvalidRequestContentException", 400, f"Could not parse request body into json: {problem}"
            ) from None
        if how == "DryRun":
            return Response(204)
        context = _client_context(request.headers.get("x-amz-client-context", ""))
        if how == "Event":
            if len(self._events) >= self._limits.waiting_events:
                raise throttled("CallerRateLimitExceeded")
            task = asyncio.create_task(self._sometime(function, request.body, context))
            self._events.add(task)
            task.add_done_callback(self._events.discard)
            return Response(202)
        if how != "RequestResponse":
            raise invalid(f"InvocationType {how!r}")
        answered = await self._pool.call(function, request.body, context)
        headers = {"X-Amz-Executed-Version": answered.version}
        if answered.outcome.error:
            headers["X-Amz-Function-Error"] = answered.outcome.error
        if request.headers.get("x-amz-log-type") == "Tail":
            headers["X-Amz-Log-Result"] = base64.b64encode(answered.log.encode()[-_TAIL:]).decode()
        return Response(200, answered.outcome.payload, headers)

    async def _sometime(self, function: Function, event: bytes, context: Any) -> None:
        """Run a call that nobody waits for: again after a pause where it fails, or where too many run."""
        pauses, pause = list(self._limits.retries), 1.0
        while True:
            try:
                answered = await self._pool.call(function, event, context)
            except ApiRefusal as refusal:
                if refusal.status != 429:
                    return
                await asyncio.sleep(pause)
                pause = min(2.0 * pause, _LONGEST_PAUSE)
                continue
            if not answered.outcome.error or not pauses:
                return
            await asyncio.sleep(pauses.pop(0))

    async def _reserve(self, request: Request, name: str) -> Response:
        entry = self._entry(name)
        wanted = _whole(_object(request), "ReservedConcurrentExecutions", 0)
        others = sum(each.reserved or 0 for each in self._shelf.entries.values() if each is not entry)
        left = self._limits.concurrency - self._limits.unreserved - others
        if wanted > left:
            raise invalid(
                f"ReservedConcurrentExecutions: {wanted} leaves fewer than {self._limits.unreserved} for "
                f"functions without a reservation; at most {left}"
            )
        entry.reserved = wanted
        self._shelf.write(entry)
        return _json({"ReservedConcurrentExecutions": wanted})

    async def _reserved(self, request: Request, name: str) -> Response:
        reserved = self._entry(name).reserved
        return _json({} if reserved is None else {"ReservedConcurrentExecutions": reserved})

    async def _unreserve(self, request: Request, name: str) -> Response:
        entry = self._entry(name)
        entry.reserved = None
        self._shelf.write(entry)
        return Response(204)

    async def _provision(self, request: Request, name: str) -> Response:
        function = self._qualified(request, name)
        wanted = _whole(_object(request), "ProvisionedConcurrentExecutions", 1)
        entry = self._entry(name)
        if wanted > (self._limits.concurrency if entry.reserved is None else entry.reserved):
            raise invalid(f"ProvisionedConcurrentExecutions: {wanted} is more than may run")
        entry.provisioned[function.version] = wanted
        self._shelf.write(entry)
        self._pool.provide(function.name, function.version)
        return _json(self._provision_told(entry, function.version), 202)

    async def _provisioned(self, request: Request, name: str) -> Response:
        function = self._qualified(request, name)
        entry = self._entry(name)
        if function.version not in entry.provisioned:
            raise ApiRefusal(
                "ProvisionedConcurrencyConfigNotFoundException", 404,
                "No Provisioned Concurrency Config found for this function",
            )  # fmt: skip
        return _json(self._provision_told(entry, function.version))

    def _provision_told(self, entry: Entry, version: str) -> dict[str, Any]:
        wanted = entry.provisioned[version]
        up = min(wanted, self._pool.provided(entry.latest.name, version))
        return {
            "RequestedProvisionedConcurrentExecutions": wanted,
            "AllocatedProvisionedConcurrentExecutions": up,
            "AvailableProvisionedConcurrentExecutions": up,
            "Status": "READY" if up == wanted else "IN_PROGRESS",
            "LastModified": entry.version(version).modified,
        }

    async def _unprovision(self, request: Request, name: str) -> Response:
        function = self._qualified(request, name)
        entry = self._entry(name)
        entry.provisioned.pop(function.version, None)
        self._shelf.write(entry)
        self._pool.provide(function.name, function.version)
        return Response(204)

    async def _status(self, request: Request, _: str) -> Response:
        return _json(self._pool.status())

    def _entry(self, name: str) -> Entry:
        return self._shelf[named(name)[0]]

    def _function(self, request: Request, name: str) -> Function:
        plain, qualifier = named(name)
        return self._shelf[plain].version(request.query.get("Qualifier", qualifier))

    def _qualified(self, request: Request, name: str) -> Function:
        function = self._function(request, name)
        if function.version == LATEST:
            raise invalid(
                "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            )
        return function


def _changed() -> dict[str, Any]:
    """When, and under which name, a revision was made."""
    now = clock.iso(clock.now()).removesuffix("Z") + ".000+0000"
    return {"modified": now, "revision": secrets.token_hex(16)}


def _configuration(function: Function) -> dict[str, Any]:
    return {
        "FunctionName": function.name,
        "FunctionArn": arn(function.name) if function.version == LATEST else function.arn,
        "Runtime": function.runtime,
        "Role": function.role,
        "Handler": function.handler,
        "CodeSize": function.zipped,
        "Description": function.description,
        "Timeout": function.timeout,
        "MemorySize": function.memory,
        "LastModified": function.modified,
        "CodeSha256": sha256_base64(function.package),
        "Version": function.version,
        "Environment": {"Variables": function.variables},
        "RevisionId": function.revision,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
    }


def _object(request: Request) -> dict[str, Any]:
    try:
        told = json.loads(request.body)
    except ValueError as problem:
        raise ApiRefusal("InvalidRequestContentException", 400, f"the body is no JSON: {problem}") from None
    if not isinstance(told, dict):
        raise ApiRefusal("InvalidRequestContentException", 400, "the body is no object")
    return told


def _whole(told: dict[str, Any], field: str, least: int) -> int:
    value = told.get(field)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise invalid(f"{field} {value!r}: give a whole number, at least {least}")
    return value


def _client_context(text: str) -> Any:
    try:
        return json.loads(base64.b64decode(text)) if text else None
    except ValueError:
        raise invalid("X-Amz-Client-Context: is no JSON in base64") from None


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(value).encode())


def _refused(refusal: ApiRefusal) -> Response:
    told = {"Type": "User" if refusal.status < 500 else "Service", "Message": str(refusal)}
    told["message"] = told["Message"]
    headers = {"X-Amzn-ErrorType": refusal.kind}
    if refusal.reason:
        told["Reason"] = refusal.reason
    if refusal.status == 429:
        headers["Retry-After"] = "1"
    return Response(refusal.status, json.dumps(told).encode(), headers)
