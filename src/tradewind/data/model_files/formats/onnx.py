"""ONNX models: which files they name, whose operators they want, and whether their tensors are what they say.

An ONNX graph is data, so the dangers are at its edges: `external_data` that names files elsewhere
(CVE-2022-25882, CVE-2024-27318), attributes of such an entry that a reader sets blindly, operators that
only a
native library or Python code has, functions that unfold without end, and tensors that claim sizes which their
bytes do not have. The wire format is read by our own reader, no tensor's bytes are.
"""

from __future__ import annotations

from collections import Counter
from math import prod

from msgspec import Struct

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.file_names import astray
from tradewind.data.model_files.formats.wire import BYTES, Field, Malformed, Message, signed
from tradewind.data.model_files.inspection import Inspection, Reading, Source

_MODEL = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_WIRES = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_ONCE = {1, 2, 3, 4, 5, 6, 7}
_KNOWN = {
    "", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training",
    "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "com.microsoft.experimental",
}  # fmt: skip
"""Domains whose operators onnxruntime and the reference have built in."""
_OUTSIDE = {
    "EPContext": "loads a compiled program, from a file that it may name",
    "PythonOp": "runs a function of Python",
    "PythonOpGrad": "runs a function of Python",
    "ATen": "calls any operator of PyTorch by name",
    "ExternalStream": "runs code from outside",
}
_EXTERNAL_KEYS = {"location", "offset", "length", "checksum", "basepath"}
_DEEPEST = 64
_NAMES = 1 << 16
_FEW = 1 << 20
_ITEM = {
    1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 14: 8, 15: 16, 16: 2, 17: 1,
    18: 1, 19: 1, 20: 1, 24: 1,
}  # fmt: skip
"""Bytes of one element, by TensorProto.DataType; 8 is text, 21 to 23, 25 and 26 are parts of a byte."""
_PARTS = {21: 2, 22: 2, 23: 2, 25: 4, 26: 4}
_UNFOLDED = 5_000_000
"""Nodes that all functions together may unfold to."""

RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "onnx-external-path", "blocked",
            "A tensor is said to be in a file outside of the model's folder; opening the model would "
            "read it.",
            "Save the model again with its tensors inside, or beside it.",
        ),
        Rule(
            "onnx-external-entry", "blocked",
            "A tensor's external data are described by what no reader should set, or twice.",
            "Save the model again by onnx.save.",
        ),
        Rule(
            "onnx-custom-operator", "blocked",
            "A node belongs to a domain that neither ONNX nor onnxruntime has: it needs a native library.",
            "Export with standard operators, or inspect and trust the library yourself.",
        ),
        Rule(
            "onnx-code-operator", "blocked", "A node runs code or loads a program from outside of the graph.",
            "Export the model without it.",
        ),
        Rule(
            "onnx-endless", "blocked",
            "Functions or graphs are nested in themselves, or unfold to more nodes than any machine holds.",
            "Export the model again without nested functions.",
        ),
        Rule(
            "onnx-size", "blocked", "A tensor claims another size than its bytes have, or an absurd one.",
            "Fetch the file again.",
        ),
        Rule(
            "onnx-repeated", "blocked",
            "A field that stands once is given twice: readers take different ones, so what one "
            "checked another "
            "does not run.", "Export the model again.",
        ),
        Rule(
            "onnx-unknown-field", "undecided", "The file has fields that the published format has not.",
            "Update Tradewind, or export for an earlier version of ONNX.",
        ),
        Rule(
            "onnx-malformed", "undecided", "The file cannot be walked to its end.", "Fetch the file again.",
        ),
        Rule("onnx-external-data", "note", "Tensors are in other files, which are to be scanned as well."),
    )
}  # fmt: skip


class External(Struct, frozen=True):
    """Where a tensor outside of the model is said to be."""

    location: str
    offset: int
    """Of the entry in the model, in bytes."""


class _Walk:
    """One pass over a model: finds what is to be told, and who calls which function how often."""

    def __init__(self, source: Source, inspection: Inspection) -> None:
        self.source, self.inspection = source, inspection
        self.message = Message(source, lambda fields: inspection.spend(opcodes=fields))
        self.externals: list[External] = []
        self.defined: set[tuple[str, str]] = set()
        self.wanted: dict[tuple[str, str], int] = {}
        self.calls: dict[tuple[str, str] | None, Counter[tuple[str, str]]] = {None: Counter()}
        self.nodes: Counter[tuple[str, str] | None] = Counter()
        self.within: tuple[str, str] | None = None

    def tell(self, rule: str, text: str, field: Field | None, *, name: str = "", opcode: str = "") -> None:
        at = None if field is None else field.begin
        self.inspection.found(
            RULES[rule], text, source=self.source, offset=at, name=name, opcode=opcode, preview=name
        )

    def model(self) -> None:
        seen: Counter[int] = Counter()
        functions = []
        for field in self.message.fields():
            seen[field.number] += 1
            if field.number not in _MODEL or _WIRES[field.number] != field.wire:
                self.tell("onnx-unknown-field", f"the model has a field {field.number}", field)
            elif field.number in _ONCE and seen[field.number] == 2:
                self.tell("onnx-repeated", f"the model's field {field.number} is given twice", field)
            if field.wire != BYTES:
                continue
            if field.number == 7:
                self.graph(field, 0)
            elif field.number == 20:
                for part in self.message.fields(field.begin, field.end):
                    if part.number in (1, 2) and part.wire == BYTES:
                        self.graph(part, 1)
            elif field.number == 25:
                functions.append(field)
        for field in functions:
            self.function(field)
        for (domain, operator), at in self.wanted.items():
            if (domain, operator) not in self.defined:
                self.inspection.found(
                    RULES["onnx-custom-operator"], f"the operator {operator} of {domain!r} is not known",
                    source=self.source, offset=at, opcode=operator, name=f"{domain}::{operator}",
                )  # fmt: skip
        self.unfold()

    def function(self, function: Field) -> None:
        domain = name = ""
        nodes = []
        for field in self.message.fields(function.begin, function.end):
            if field.number == 1 and field.wire == BYTES:
                name = self.message.text(field, _NAMES)
            elif field.number == 10 and field.wire == BYTES:
                domain = self.message.text(field, _NAMES)
            elif field.number in (7, 11) and field.wire == BYTES:
                nodes.append(field)
        self.within = (domain, name)
        if self.within in self.defined:
            self.tell("onnx-repeated", f"the function {name} is defined twice", function, name=name)
        self.defined.add(self.within)
        self.calls.setdefault(self.within, Counter())
        for field in nodes:
            if field.number == 7:
                self.node(field, 1)
            else:
                self.attribute(field, 1)
        self.within = None

    def graph(self, graph: Field, depth: int) -> None:
        if depth > _DEEPEST:
            self.tell("onnx-endless", f"graphs are nested more than {_DEEPEST} deep", graph)
            return
        for field in self.message.fields(graph.begin, graph.end):
            if field.wire != BYTES:
                continue
            if field.number == 1:
                self.node(field, depth)
            elif field.number == 5:
                self.tensor(field)
            elif field.number == 15:
                self.sparse(field)

    def node(self, node: Field, depth: int) -> None:
        operator = domain = ""
        attributes = []
        for field in self.message.fields(node.begin, node.end):
            if field.wire != BYTES:
                continue
            if field.number == 4:
                operator = self.message.text(field, _NAMES)
            elif field.number == 7:
                domain = self.message.text(field, _NAMES)
            elif field.number == 5:
                attributes.append(field)
        self.nodes[self.within] += 1
        self.calls[self.within][domain, operator] += 1
        if operator in _OUTSIDE and domain not in ("", "ai.onnx"):
            self.tell(
                "onnx-code-operator", f"{operator} {_OUTSIDE[operator]}", node,
                name=f"{domain}::{operator}", opcode=operator,
            )  # fmt: skip
        elif domain not in _KNOWN:
            self.wanted.setdefault((domain, operator), node.begin)
        for field in attributes:
            self.attribute(field, depth)

    def attribute(self, attribute: Field, depth: int) -> None:
        for field in self.message.fields(attribute.begin, attribute.end):
            if field.wire != BYTES:
                continue
            if field.number in (5, 10):
                self.tensor(field)
            elif field.number in (6, 11):
                self.graph(field, depth + 1)
            elif field.number in (22, 23):
                self.sparse(field)

    def sparse(self, sparse: Field) -> None:
        dims: list[int] = []
        for field in self.message.fields(sparse.begin, sparse.end):
            if field.number in (1, 2) and field.wire == BYTES:
                self.tensor(field)
            elif field.number == 3:
                dims += [signed(each) for each in self.message.varints(field, _FEW)]
        claimed = _elements(dims)
        if any(each < 0 for each in dims) or claimed > self.inspection.budget.unpacked:
            self.tell("onnx-size", f"a sparse tensor of {claimed} elements", sparse)

    def tensor(self, tensor: Field) -> None:
        dims: list[int] = []
        kind = 0
        held = raw = None
        external = False
        entries = []
        for field in self.message.fields(tensor.begin, tensor.end):
            if field.number == 1:
                dims += [signed(each) for each in self.message.varints(field, _FEW)]
            elif field.number == 2:
                kind = field.value
            elif field.number == 9 and field.wire == BYTES:
                raw = field.end - field.begin
            elif field.number in (4, 5, 6, 7, 10, 11):
                held = field
            elif field.number == 13 and field.wire == BYTES:
                entries.append(field)
            elif field.number == 14:
                external = field.value == 1
        if any(each < 0 for each in dims) or _elements(dims) > 1 << 50:
            self.tell("onnx-size", f"a tensor of shape {tuple(dims[:8])}", tensor)
        elif raw is not None and not external:
            count = _elements(dims)
            bits = -(-count // _PARTS[kind]) if kind in _PARTS else count * _ITEM.get(kind, 0)
            if bits != raw:
                self.tell("onnx-size", f"a tensor of {count} elements has {raw} bytes", tensor)
        elif raw is None and held is None and not external and _elements(dims) and not entries:
            self.tell("onnx-size", f"a tensor of {_elements(dims)} elements has no bytes", tensor)
        if entries or external:
            self.entries(entries, tensor, _elements(dims) * _ITEM.get(kind, 0))

    def entries(self, entries: list[Field], tensor: Field, needed: int) -> None:
        told: dict[str, str] = {}
        for entry in entries:
            pair = {
                field.number: self.message.text(field, _NAMES)
                for field in self.message.fields(entry.begin, entry.end)
                if field.wire == BYTES
            }
            key, value = pair.get(1, ""), pair.get(2, "")
            if key in told or key not in _EXTERNAL_KEYS:
                self.tell("onnx-external-entry", f"external data with {key!r}", entry, name=key)
            told[key] = value
            if key == "basepath" and value:
                self.tell("onnx-external-path", f"external data with the folder {value!r}", entry, name=value)
            if key in ("offset", "length") and not (value.isascii() and value.isdigit() and len(value) < 19):
                self.tell("onnx-external-entry", f"external data whose {key} is {value!r}", entry, name=value)
            if key == "location":
                why = astray(value)
                if why:
                    self.tell("onnx-external-path", f"the file {value!r} {why}", entry, name=value)
                self.externals.append(External(value, entry.begin))
        if "location" not in told:
            self.tell("onnx-external-entry", "external data without a location", tensor)
        length = told.get("length", "")
        if needed and length.isdigit() and len(length) < 19 and int(length) not in (0, needed):
            self.tell("onnx-size", f"a tensor of {needed} bytes is {length} bytes long outside", tensor)

    def unfold(self) -> None:
        """Whether functions call themselves, and how many nodes all of them come to."""
        sizes: dict[tuple[str, str], int] = {}
        open_now: set[tuple[str, str]] = set()
        for first in self.defined:
            stack = [first]
            while stack:
                name = stack[-1]
                inner = [each for each in self.calls[name] if each in self.defined]
                waiting = [each for each in inner if each not in sizes]
                if name not in sizes and waiting:
                    if name in open_now:
                        self.tell("onnx-endless", f"the function {name[1]} calls itself", None, name=name[1])
                        return
                    open_now.add(name)
                    stack.extend(waiting)
                    continue
                stack.pop()
                open_now.discard(name)
                grown = sum(sizes[each] * self.calls[name][each] for each in inner)
                sizes[name] = min(self.nodes[name] + grown, _UNFOLDED + 1)
        total = sum(sizes[each] * count for each, count in self.calls[None].items() if each in sizes)
        if total + self.nodes[None] > _UNFOLDED:
            self.tell("onnx-endless", "its functions unfold to more than 5,000,000 nodes", None)


def _elements(dims: list[int]) -> int:
    return int(prod(dims))


def recognises(source: Source) -> bool:
    """Whether bytes read as an ONNX model: a graph, among nothing but a model's fields."""
    first = source.read(0, 1)
    if source.size < 4 or not first or first[0] >> 3 not in _MODEL:
        return False
    seen = set()
    try:
        for count, field in enumerate(Message(source).fields()):
            if _WIRES.get(field.number) != field.wire or count > 100_000:
                return False
            seen.add(field.number)
    except Malformed:
        # Cut off behind its first fields it is no other format; the inspector says that it is damaged.
        return {1, 7} <= seen
    return 7 in seen


def inspect(source: Source, inspection: Inspection) -> None:
    """Tell what an ONNX model wants from outside of itself."""
    walk = _Walk(source, inspection)
    try:
        walk.model()
    except Malformed as problem:
        walk.tell("onnx-malformed", str(problem), None)
    for each in sorted({each.location for each in walk.externals}):
        walk.tell("onnx-external-data", f"tensors are in {each!r}", None, name=each)


def external_files(source: Source, inspection: Inspection) -> tuple[External, ...]:
    """The files that a model names, for whoever can look at its folder; its findings go to `inspection`
    too."""
    walk = _Walk(source, inspection)
    try:
        walk.model()
    except Malformed as problem:
        walk.tell("onnx-malformed", str(problem), None)
    return tuple(walk.externals)


READING = Reading("onnx", recognises, inspect, RULES)
