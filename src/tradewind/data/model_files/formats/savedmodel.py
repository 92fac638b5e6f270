"""TensorFlow's SavedModel and frozen graphs: which operators its graphs and functions hold.

A graph is data, but some operators read and write files, call Python or end the process; loading alone runs
the initializer. Only operators are let pass that TensorFlow publishes and that do none of this; the list is
generated from TensorFlow itself. Every SavedModel holds operators that save and restore, in functions that
only a saver calls; they pass if neither a signature nor the initializer reaches them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.file_names import astray
from tradewind.data.model_files.formats.graph_operators import Graph, graph_of
from tradewind.data.model_files.formats.json_text import parsed
from tradewind.data.model_files.formats.keras_config import RULES as KERAS_RULES
from tradewind.data.model_files.formats.keras_config import judge
from tradewind.data.model_files.formats.wire import BYTES, VARINT, Field, Malformed, Message
from tradewind.data.model_files.inspection import Inspection, Reading, Source

RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "savedmodel-file", "blocked", "An operator reads or writes files when the graph runs.",
            "Save the model without it.",
        ),
        Rule(
            "savedmodel-code", "blocked",
            "An operator calls Python, ends the process or talks to another machine.",
            "Save the model without it.",
        ),
        Rule(
            "savedmodel-unknown-operator", "blocked",
            "An operator is none that TensorFlow publishes: it needs a native library.",
            "Trust and load that library yourself, or save the model with TensorFlow's own operators.",
        ),
        Rule(
            "savedmodel-reachable-save", "blocked",
            "A signature or the initializer writes or reads checkpoints, which only a saver should.",
            "Save the model again.",
        ),
        Rule(
            "savedmodel-asset", "blocked", "An asset's name leads out of the model's folder.",
            "Save the model again.",
        ),
        Rule(
            "savedmodel-table", "undecided",
            "A table is filled from a file; which one cannot be told for sure.",
            "Compare the assets with what the publisher lists.",
        ),
        Rule("savedmodel-malformed", "undecided", "The file cannot be walked to its end.",
        "Fetch the file again."),
    )
}  # fmt: skip
_CODE = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "Abort", "RemoteCall", "RpcCall", "TryRpc",
"XlaHostCompute",
         "GeneratorDataset", "DatasetFromGraph"}  # fmt: skip
_SAVER = {"Save", "SaveV2", "SaveSlices", "Restore", "RestoreV2", "RestoreSlice", "MergeV2Checkpoints",
          "ShardedFilename", "ShardedFilespec"}  # fmt: skip
_HARMLESS = {"ShardedFilename", "ShardedFilespec"}
_TABLES = {"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"}
_FILES = ("File", "Reader", "Record", "Summary", "Snapshot", "LoadDataset", "SaveDataset", "CacheDataset",
          "TextLine", "Csv", "CSV", "LMDB", "Sql", "Debug", "PrintV2", "LoadAndRemap", "GenerateVocab",
          "Proto",
          "Service", "RegisterDataset", "DistributedSave")  # fmt: skip
_META = {1, 2, 3, 4, 5, 6, 7}
_GRAPH = {1: BYTES, 2: BYTES, 3: VARINT, 4: BYTES, 5: BYTES}


@cache
def _operators() -> frozenset[str]:
    told = json.loads((Path(__file__).parent / "tensorflow_operators.json").read_text(encoding="utf-8"))
    return frozenset(told["operators"])


def recognises(source: Source) -> bool:
    """Whether bytes read as a SavedModel: a version, and graphs with what belongs to each."""
    try:
        fields = list(_few(Message(source)))
    except Malformed:
        return False
    if not fields or any(each.number not in (1, 2) for each in fields):
        return False
    graphs = [each for each in fields if each.number == 2]
    if not graphs or any(each.wire != (VARINT if each.number == 1 else BYTES) for each in fields):
        return False
    return _is_meta(Message(source), graphs[0])


def recognises_graph(source: Source) -> bool:
    """Whether bytes read as a frozen graph: nodes, each with a name and an operator."""
    message = Message(source)
    try:
        fields = list(_few(message))
        if not fields or any(_GRAPH.get(each.number) != each.wire for each in fields):
            return False
        first = next((each for each in fields if each.number == 1), None)
        if first is None:
            return False
        node = {each.number: each for each in message.fields(first.begin, first.end)}
        return {1, 2} <= set(node) <= {1, 2, 3, 4, 5, 6, 7} and message.text(node[2], 256).isidentifier()
    except Malformed:
        return False


def _few(message: Message) -> list[Field]:
    found = []
    for field in message.fields():
        found.append(field)
        if len(found) > 200_000:
            raise Malformed("too many fields")
    return found


def _is_meta(message: Message, graph: Field) -> bool:
    try:
        numbers = {each.number for each in message.fields(graph.begin, graph.end)}
    except Malformed:
        return True  # damaged inside of what is none other; the inspector says so
    return bool(numbers) and numbers <= _META and bool(numbers & {1, 2})


class _Judge:
    def __init__(self, source: Source, inspection: Inspection) -> None:
        self.source, self.inspection = source, inspection
        self.message = Message(source, lambda fields: inspection.spend(opcodes=fields))

    def tell(self, rule: str, text: str, at: int | None = None, opcode: str = "", name: str = "") -> None:
        self.inspection.found(
            RULES[rule], text, source=self.source, offset=at, opcode=opcode, name=name or opcode
        )

    def saved_model(self) -> None:
        for field in self.message.fields():
            if field.number == 2:
                self.meta_graph(field)

    def meta_graph(self, meta: Field) -> None:
        graph: Graph | None = None
        signatures: list[str] = []
        assets = False
        for field in self.message.fields(meta.begin, meta.end):
            if field.wire != BYTES:
                continue
            if field.number == 2:
                if graph is not None:
                    raise Malformed("two graphs in one")
                graph = graph_of(self.message, field)
            elif field.number in (4, 5):
                signatures += self.roots(field)
            elif field.number == 6:
                assets = True
                self.asset(field)
            elif field.number == 7:
                self.objects(field)
        if graph is not None:
            self.graph(graph, signatures, assets)

    def graph(self, graph: Graph, roots: list[str] | None, assets: bool = False) -> None:
        reached = graph.reached(roots) if roots is not None else None
        for place in graph.places:
            operator = place.operator
            if operator in _operators() or operator in graph.functions or operator in _HARMLESS:
                continue
            if operator in _SAVER:
                if reached is None or place.owner in reached or (place.owner, place.name) in reached:
                    self.tell(
                        "savedmodel-reachable-save", f"{place.name} is a {operator}", place.at, operator
                    )
            elif operator in _TABLES:
                rule = "savedmodel-table" if assets else "savedmodel-file"
                self.tell(rule, f"{place.name} is a {operator}", place.at, operator)
            elif operator == "PrintV2" and place.stream in ("stderr", "stdout", "log(info)", "log(warning)"):
                continue
            elif operator in _CODE:
                self.tell("savedmodel-code", f"{place.name} is a {operator}", place.at, operator)
            elif any(each in operator for each in _FILES):
                self.tell("savedmodel-file", f"{place.name} is a {operator}", place.at, operator)
            else:
                self.tell("savedmodel-unknown-operator", f"{place.name} is a {operator}", place.at, operator)

    def roots(self, entry: Field) -> list[str]:
        """Every tensor that a signature or a collection names: whatever looks like the name of a node."""
        found, waiting = [], [(entry, 0)]
        while waiting:
            field, depth = waiting.pop()
            try:
                inner = list(self.message.fields(field.begin, field.end)) if field.end > field.begin else []
            except Malformed:
                inner = []
            if field.end - field.begin < 1 << 12:
                found.append(self.message.text(field))
            if depth < 8:
                waiting += [(each, depth + 1) for each in inner if each.wire == BYTES]
        return found

    def asset(self, asset: Field) -> None:
        for field in self.message.fields(asset.begin, asset.end):
            if field.number == 2 and field.wire == BYTES:
                name = self.message.text(field)
                if astray(name):
                    self.tell("savedmodel-asset", f"the asset {name!r} {astray(name)}", field.begin, "", name)

    def objects(self, graph: Field) -> None:
        """The objects of Keras that older TensorFlow describes inside, each as a text of JSON."""
        for node in self.message.fields(graph.begin, graph.end):
            if node.number != 1 or node.wire != BYTES:
                continue
            for kind in self.message.fields(node.begin, node.end):
                if kind.number == 4 and kind.wire == BYTES:
                    for field in self.message.fields(kind.begin, kind.end):
                        if field.number == 3 and field.wire == BYTES and field.end > field.begin:
                            self.described(field)

    def described(self, field: Field) -> None:
        try:
            judge(
                parsed(self.message.content(field, self.inspection.budget.text), self.inspection.budget.text),
                self.source, self.inspection,
            )  # fmt: skip
        except ValueError as problem:
            self.tell("savedmodel-malformed", f"an object's description: {problem}", field.begin)


def inspect(source: Source, inspection: Inspection) -> None:
    """Judge every operator of every graph and function."""
    judged = _Judge(source, inspection)
    try:
        judged.saved_model()
    except Malformed as problem:
        judged.tell("savedmodel-malformed", str(problem))


def inspect_graph(source: Source, inspection: Inspection) -> None:
    """Judge a frozen graph, of which any node may be asked for."""
    judged = _Judge(source, inspection)
    try:
        whole = Field(0, BYTES, 0, source.size, 0)
        judged.graph(graph_of(judged.message, whole), None)
    except Malformed as problem:
        judged.tell("savedmodel-malformed", str(problem))


def recognises_metadata(source: Source) -> bool:
    """Whether bytes read as `keras_metadata.pb`: nodes with a path, an identifier and a text of JSON."""
    message = Message(source)
    try:
        fields = _few(message)
        if not fields or any(each.number != 1 or each.wire != BYTES for each in fields):
            return False
        node = {each.number for each in message.fields(fields[0].begin, fields[0].end)}
        identifier = next(each for each in message.fields(fields[0].begin, fields[0].end) if each.number == 4)
        return node <= {2, 3, 4, 5, 6} and message.text(identifier, 256).startswith("_tf_keras")
    except (Malformed, StopIteration):
        return False


def inspect_metadata(source: Source, inspection: Inspection) -> None:
    """Judge the configuration of every Keras object."""
    judged = _Judge(source, inspection)
    try:
        for node in judged.message.fields():
            for field in judged.message.fields(node.begin, node.end):
                if field.number == 5 and field.wire == BYTES and field.end > field.begin:
                    judged.described(field)
    except Malformed as problem:
        judged.tell("savedmodel-malformed", str(problem))


READING = Reading("savedmodel", recognises, inspect, {**RULES, **KERAS_RULES})
GRAPH = Reading("graphdef", recognises_graph, inspect_graph, RULES)
METADATA = Reading("keras-metadata", recognises_metadata, inspect_metadata, {**RULES, **KERAS_RULES})
