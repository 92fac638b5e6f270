"""Which handler answers a path, and in which shape a path's errors are told.

A template is a path whose segments are literal or `{name}`: `/v2/models/{model}/versions/{version}/infer`.
A variable is exactly one segment, never an empty one, and is decoded after the path was cut at its slashes:
a model called `team/model` is asked for as `team%2Fmodel`. A literal segment goes before a variable; a slash
at the very end of a path is overlooked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.serving.calls import Engine, Refusal, RefusalKind
from tradewind.serving.server.http.messages import Handler, Request, Response

ErrorShape = Callable[[int, str, Request], Response]
"""(status, message, request) -> response. Of a request that was never whole, only some fields are filled:
`path` and `query` may be empty, and `body` is. Headers such as Retry-After and Allow are added afterwards."""

_REMEMBERED = 1024
"""Paths whose match is kept; all are forgotten when there are more."""
_DEEPEST = 64
"""Slashes in a path, beyond which there is nothing at it."""


class Unanswerable(Refusal):
    """What HTTP itself refuses, before or instead of a handler: a status, a text, headers to send along."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(RefusalKind.MALFORMED, message)
        self.status = status
        self.headers = headers


class Route(Struct, frozen=True):
    """A method and a template with the handler for both."""

    method: str
    template: str
    handler: Handler
    names: tuple[str, ...]
    """Of its variables, from left to right."""
    task: bool
    over: Callable[[Engine], Handler] | None = None
    """The same handler over another engine, where bodies carry tensors: a large one is read in a thread."""


class Match(Struct, frozen=True):
    """What answers one method and target."""

    route: Route
    path: str
    """Decoded."""
    query: str
    variables: dict[str, str]


class _Node:
    """A place in the tree of segments."""

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.routes: dict[str, Route] = {}


class Routes:
    """Handlers by method and path template, and shapes of errors by prefix.

    Finding takes one look-up for a method and target seen before, else one step a segment.

    >>> routes = Routes()
    >>> async def ready(request: Request) -> Response:
    ...     return Response(200)
    >>> routes.add("GET", "/v2/models/{model}/ready", ready)
    >>> routes.find("GET", "/v2/models/team%2Fmodel/ready").variables
    {'model': 'team/model'}
    """

    def __init__(self) -> None:
        self._root = _Node()
        self._routes: list[Route] = []
        self._shapes: list[tuple[str, ErrorShape]] = []
        self._found: dict[tuple[str, str], Match] = {}

    @property
    def all(self) -> tuple[Route, ...]:
        """Every route, in the order in which they were added."""
        return tuple(self._routes)

    def add(
        self,
        method: str,
        template: str,
        handler: Handler,
        *,
        task: bool = False,
        over: Callable[[Engine], Handler] | None = None,
    ) -> None:
        """Answer `method` on paths like `template` by `handler`; HEAD comes with GET.

        A handler begins to run outside of any task, which spares one where it never waits: before its first
        wait `asyncio.timeout` and task groups fail. `task=True` gives it a task from the beginning.
        `over` makes the same handler over another engine; whoever takes tensors, or rows of them, must give
        it, so that large bodies are read beside the event loop. Such a handler awaits its engine alone.
        Misuse: a template that does not begin with a slash, repeats a name, or is taken for that method.
        """
        if not template.startswith("/"):
            raise Misuse(f"{template!r} is no path", field="template", fix="Begin it with a slash.")
        node, names = self._root, []
        for segment in _segments(template):
            if segment.startswith("{") and segment.endswith("}") and len(segment) > 2:
                names.append(segment[1:-1])
                if node.variable is None:
                    node.variable = _Node()
                node = node.variable
            elif "{" in segment or "}" in segment or not segment:
                raise Misuse(
                    f"{segment!r} is no segment of a path",
                    source=template,
                    field="template",
                    fix="A segment is literal text, or one whole {name}.",
                )
            else:
                node = node.literal.setdefault(unquote(segment), _Node())
        if len(set(names)) < len(names):
            raise Misuse("a name occurs twice", source=template, field="template", fix="Rename one of them.")
        if method in node.routes:
            taken = node.routes[method].template
            raise Misuse(f"{method} {template} is taken by {taken}", field="template", fix="Add it once.")
        route = Route(method, template, handler, tuple(names), task, over)
        node.routes[method] = route
        self._routes.append(route)
        self._found.clear()

    def errors(self, prefix: str, shape: ErrorShape) -> None:
        """Tell the errors of `prefix` and of all paths under it by `shape`; the longest prefix wins."""
        self._shapes.append((prefix.rstrip("/"), shape))
        self._shapes.sort(key=lambda entry: -len(entry[0]))

    def error(self, status: int, message: str, request: Request) -> Response:
        """The response that tells an error, in the shape of the request's path."""
        for prefix, shape in self._shapes:
            if request.path == prefix or request.path.startswith(prefix + "/"):
                return shape(status, message, request)
        return Response(status, msgspec.json.encode({"error": message}))

    def refused(self, refusal: Refusal, request: Request) -> Response:
        """The response that tells a refusal, with Retry-After where trying again may help."""
        status = refusal.status if isinstance(refusal, Unanswerable) else refusal.kind.http
        response = self.error(status, str(refusal), request)
        if refusal.retry_after is not None:
            response.headers += (("Retry-After", str(max(1, math.ceil(refusal.retry_after)))),)
        if isinstance(refusal, Unanswerable):
            response.headers += refusal.headers
        return response

    def find(self, method: str, target: str) -> Match:
        """The route for a request's method and target (its path as it came, with the query).

        Raises Unanswerable: 400 for a target that is none, 404, or 405 with the methods allowed.
        """
        found = self._found.get((method, target))
        if found is None:
            found = self._look_up(method, target)
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[method, target] = found
        return found

    def _look_up(self, method: str, target: str) -> Match:
        raw, query = split_target(target)
        path = decoded(raw)
        allowed: set[str] = set()
        segments = [decoded(segment) for segment in _segments(raw)] if raw.count("/") <= _DEEPEST else []
        for node, values in self._leaves(self._root, segments, 0) if segments or raw == "/" else ():
            route = node.routes.get(method)
            if route is None and method == "HEAD":
                route = node.routes.get("GET")
            if route is not None:
                return Match(route, path, query, dict(zip(route.names, values, strict=True)))
            allowed.update(node.routes)
        if not allowed:
            raise Unanswerable(404, f"there is nothing at {path[:200]}")
        if "GET" in allowed:
            allowed.add("HEAD")
        raise Unanswerable(405, f"{path} does not take {method}", _allow(allowed))

    def _leaves(self, node: _Node, segments: list[str], depth: int) -> list[tuple[_Node, list[str]]]:
        """Every node with routes that fits, the most literal first, each with its variables' values."""
        if depth == len(segments):
            return [(node, [])] if node.routes else []
        segment, found = segments[depth], []
        literal = node.literal.get(segment)
        if literal is not None:
            found += self._leaves(literal, segments, depth + 1)
        if node.variable is not None and segment:
            under = self._leaves(node.variable, segments, depth + 1)
            found += [(leaf, [segment, *values]) for leaf, values in under]
        return found


def _allow(methods: set[str]) -> tuple[tuple[str, str], ...]:
    return (("Allow", ", ".join(sorted(methods))),)


def split_target(target: str) -> tuple[str, str]:
    """The path, as it came, and the query of a request's target; 400 for a target that has no path."""
    if not target.startswith("/"):
        scheme, colon, rest = target.partition("://")
        if not colon or scheme.lower() not in ("http", "https"):
            raise Unanswerable(400, f"{target[:80]!r} is no path")
        target = "/" + rest.partition("/")[2]
    path, _, query = target.partition("#")[0].partition("?")
    return path, query


def _segments(path: str) -> list[str]:
    """The segments between the slashes; none for the root.

    >>> _segments("/v2/models/")
    ['v2', 'models']
    """
    inner = path[1:-1] if len(path) > 1 and path.endswith("/") else path[1:]
    return inner.split("/") if inner else []


def decoded(text: str) -> str:
    """A path with its percent signs decoded; 400 where the bytes are no UTF-8."""
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Unanswerable(400, f"{text[:80]!r} is not UTF-8 behind its percent signs") from None
