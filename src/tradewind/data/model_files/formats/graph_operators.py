"""TensorFlow's graphs as operators: which nodes there are, what feeds them, which functions they call."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tradewind.data.model_files.formats.wire import BYTES, Field, Message

_NAME = 1 << 12
Place = tuple[str, str]
"""A function (empty for the graph itself) and a node in it."""


class Node(Struct, frozen=True):
    """One node, of the graph or of a function."""

    owner: str
    """The function it is in; empty for the graph itself."""
    name: str
    operator: str
    inputs: tuple[str, ...]
    calls: tuple[str, ...]
    """Functions that its attributes name."""
    at: int
    stream: str = ""
    """Of an operator that prints, where to."""


class Graph(Struct, frozen=True):
    """A graph with its library of functions."""

    places: tuple[Node, ...]
    functions: frozenset[str]

    def reached(self, roots: Iterable[str]) -> set[Place | str]:
        """What running some nodes would run: nodes of the graph as places, functions by their names.

        `roots` are texts that may name a node, an output of one or a function; others are passed over.
        """
        top = {node.name: node for node in self.places if not node.owner}
        inside: dict[str, list[Node]] = {}
        for node in self.places:
            if node.owner:
                inside.setdefault(node.owner, []).append(node)
        found: set[Place | str] = set()
        waiting: list[Node] = []
        functions: list[str] = []
        for root in roots:
            name = root.lstrip("^").partition(":")[0]
            if name in top:
                waiting.append(top[name])
            if name in self.functions:
                functions.append(name)
        while waiting or functions:
            if waiting:
                node = waiting.pop()
                if ("", node.name) in found:
                    continue
                found.add(("", node.name))
                functions += [*node.calls, node.operator]
                names = (each.lstrip("^").partition(":")[0] for each in node.inputs)
                waiting += [top[name] for name in names if name in top]
                continue
            function = functions.pop()
            if function in found or function not in self.functions:
                continue
            found.add(function)
            for node in inside.get(function, ()):
                functions += [*node.calls, node.operator]
        return found


def graph_of(message: Message, graph: Field) -> Graph:
    """The graph in a field, with the functions of its library."""
    places: list[Node] = []
    functions = set()
    for field in message.fields(graph.begin, graph.end):
        if field.wire != BYTES:
            continue
        if field.number == 1:
            places.append(_node(message, field, ""))
        elif field.number == 2:
            for function in message.fields(field.begin, field.end):
                if function.number == 1 and function.wire == BYTES:
                    name, nodes = _function(message, function)
                    functions.add(name)
                    places += nodes
    return Graph(tuple(places), frozenset(functions))


def _function(message: Message, function: Field) -> tuple[str, list[Node]]:
    name = ""
    fields = [each for each in message.fields(function.begin, function.end) if each.wire == BYTES]
    for field in fields:
        if field.number == 1:
            for part in message.fields(field.begin, field.end):
                if part.number == 1 and part.wire == BYTES:
                    name = message.text(part, _NAME)
    return name, [_node(message, field, name or "?") for field in fields if field.number == 3]


def _node(message: Message, node: Field, owner: str) -> Node:
    name = operator = stream = ""
    inputs, calls = [], []
    for field in message.fields(node.begin, node.end):
        if field.wire != BYTES:
            continue
        if field.number == 1:
            name = message.text(field, _NAME)
        elif field.number == 2:
            operator = message.text(field, _NAME)
        elif field.number == 3:
            inputs.append(message.text(field, _NAME))
        elif field.number == 5:
            key, named, text = _attribute(message, field)
            calls += named
            if key == "output_stream":
                stream = text
    return Node(owner, name, operator, tuple(inputs), tuple(calls), node.begin, stream)


def _attribute(message: Message, entry: Field) -> tuple[str, list[str], str]:
    """The key of an attribute, the functions it names, and its text."""
    key = text = ""
    named = []
    for field in message.fields(entry.begin, entry.end):
        if field.number == 1 and field.wire == BYTES:
            key = message.text(field, _NAME)
        elif field.number == 2 and field.wire == BYTES:
            for value in message.fields(field.begin, field.end):
                if value.wire != BYTES:
                    continue
                if value.number == 2 and value.end - value.begin < _NAME:
                    text = message.text(value, _NAME)
                elif value.number == 10:
                    named.append(_named(message, value))
                elif value.number == 1:
                    named += [
                        _named(message, each)
                        for each in message.fields(value.begin, value.end)
                        if each.number == 9 and each.wire == BYTES
                    ]
    return key, named, text


def _named(message: Message, function: Field) -> str:
    for field in message.fields(function.begin, function.end):
        if field.number == 1 and field.wire == BYTES:
            return message.text(field, _NAME)
    return ""
