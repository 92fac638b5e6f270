"""skops' archives: `schema.json`, a tree of what to make, and arrays beside it.

skops looks a node's loader up by `__loader__` and the class by `__module__` and `__class__`; some loaders
took
the class from elsewhere than what was shown to the user, and a file without a schema fell back to joblib
(CVE-2025-54886). So loaders are listed, each class must be allowed by its exact name, wherever a node says
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tradewind.data.model_files.containers.zip_archive import opened
from tradewind.data.model_files.containers.zip_directory import Doubt, looks_like_zip, members_of
from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.json_text import RULES as JSON_RULES
from tradewind.data.model_files.formats.json_text import read_json
from tradewind.data.model_files.inspection import Inspection, Reading, Source

_SCHEMA = "schema.json"
RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "skops-unknown-type", "blocked", "Loading would import and make a type that is not listed.",
            "Name it as trusted if it is yours: serve it with `--trust-type package.module.Type`.",
        ),
        Rule(
            "skops-loader", "blocked",
            "A node is to be made in a way that skops does not publish, or that calls "
            "what the file names.", "Save the model again by a skops of today.",
        ),
        Rule(
            "skops-schema", "blocked", "The schema is not built as skops builds it.", "Save the model again.",
        ),
        Rule(
            "skops-member", "undecided", "The schema names a file that the archive lacks, or the archive has "
            "one that the schema does not name.", "Save the model again.",
        ),
    )
}  # fmt: skip
_LOADERS = {
    "ObjectNode", "DictNode", "DefaultDictNode", "OrderedDictNode", "ListNode", "SetNode", "TupleNode",
    "NdArrayNode", "MaskedArrayNode", "SparseMatrixNode", "RandomStateNode", "RandomGeneratorNode",
    "JsonNode",
    "BytesNode", "BytearrayNode", "SliceNode", "TypeNode", "FunctionNode", "PartialNode", "DTypeNode",
    "DatasetTypeNode", "_DictWithDeprecatedKeysNode", "TreeNode", "LossNode", "SGDNode", "CachedNode",
    "EnumNode", "ReduceNode", "DecimalNode", "DateTimeNode", "DateNode", "TimeNode", "TimeDeltaNode",
    "GeneratorNode",
}  # fmt: skip
_CALLS = {"MethodNode", "OperatorFuncNode", "ComplexNode", "QuantileForestNode"}
"""Loaders of skops that make something else than what `__class__` says, or that call it."""
_PLAIN = {
    "builtins.dict", "builtins.list", "builtins.tuple", "builtins.set", "builtins.frozenset", "builtins.str",
    "builtins.int", "builtins.float", "builtins.bool", "builtins.bytes", "builtins.bytearray",
    "builtins.complex", "builtins.slice", "builtins.NoneType", "builtins.type", "builtins.object",
    "collections.OrderedDict", "collections.defaultdict", "numpy.ndarray", "numpy.dtype", "numpy.matrix",
    "numpy.ma.MaskedArray", "numpy.random.RandomState", "numpy.random.Generator", "functools.partial",
    "numpy.random.mtrand.RandomState", "numpy.random._generator.Generator", "numpy.memmap",
    "scipy.sparse._csr.csr_matrix", "scipy.sparse._csc.csc_matrix", "scipy.sparse._coo.coo_matrix",
    "scipy.sparse._csr.csr_array", "scipy.sparse._csc.csc_array", "datetime.datetime", "datetime.date",
}  # fmt: skip


def recognises(source: Source) -> bool:
    """Whether the file is a zip with a schema at the top."""
    if not looks_like_zip(source):
        return False
    try:
        names = {member.name for member in members_of(source)}
    except Doubt:
        return False
    return _SCHEMA in names


def inspect(source: Source, inspection: Inspection) -> None:
    """Judge the schema by its types and loaders; hand on the arrays."""
    try:
        members = members_of(source, inspection.budget.members)
    except Doubt:
        return  # told by the archive's own check
    named: set[str] = set()
    for member in members:
        if member.name == _SCHEMA:
            content = opened(source, member, inspection)
            if content is not None:
                inner = Source(content, f"{source.name}!{_SCHEMA}".lstrip("!"))
                value = read_json(inner, inspection)
                if value is not None:
                    named = _schema(value, inner, inspection)
    held = {member.name for member in members} - {_SCHEMA}
    for name in sorted(named ^ held):
        inspection.found(RULES["skops-member"], f"the member {name!r}", source=source, name=name)
    for member in members:
        if member.name == _SCHEMA or member.name.endswith("/"):
            continue
        content = opened(source, member, inspection)
        if content is not None:
            inspection.inside(content, member.name, source)


def _schema(value: Any, source: Source, inspection: Inspection) -> set[str]:
    """Tell of every node; the files that they name."""
    files: set[str] = set()
    if not isinstance(value, dict) or "__loader__" not in value:
        inspection.found(RULES["skops-schema"], "the root is no node", source=source)
        return files
    for node in _nodes(value):
        inspection.spend(opcodes=1)
        if isinstance(node.get("file"), str):
            files.add(node["file"])
        if not {"__module__", "__class__", "__loader__"} & set(node):
            continue
        loader, module, name = node.get("__loader__"), node.get("__module__"), node.get("__class__")
        if not isinstance(module, str) or not isinstance(name, str) or not isinstance(loader, str):
            inspection.found(RULES["skops-schema"], "a node without its type", source=source)
            continue
        full = f"{module}.{name}"
        if loader not in _LOADERS:
            what = "calls what it names" if loader in _CALLS else "is not known"
            inspection.found(
                RULES["skops-loader"], f"the loader {loader}, which {what}", source=source, opcode=loader,
                name=full,
            )  # fmt: skip
        for each in {full, *_also(node, loader)}:
            if each not in _PLAIN and each not in inspection.allowed.globals:
                inspection.found(
                    RULES["skops-unknown-type"], f"it makes a {each}", source=source, opcode=loader, name=each
                )
    return files


def _also(node: dict[str, Any], loader: str) -> Iterator[str]:
    """Types that some nodes name beside their own: what is really made."""
    content = node.get("content")
    if isinstance(content, dict):
        module = content.get("module_path", content.get("module"))
        name = content.get("function", content.get("class"))
        if isinstance(module, str) and isinstance(name, str):
            yield f"{module}.{name}"
    for key in ("constructor", "reduce", "cls"):
        inner = node.get(key)
        if isinstance(inner, str):
            yield inner


def _nodes(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    stack: list[Any] = [root]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            yield each
            stack.extend(each.values())
        elif isinstance(each, list):
            stack.extend(each)


READING = Reading("skops", recognises, inspect, {**RULES, **JSON_RULES}, refines="zip")
