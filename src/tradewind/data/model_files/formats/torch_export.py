"""torch.export's archives (.pt2): a program as JSON, weights as raw bytes.

`torch.export.load` unpickles tensors that the archive says are pickled, evaluates expressions of shapes as
Python, and looks operators up by any name below `torch`; an archive of AOTInductor brings machine code. All
of that is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tradewind.data.model_files.containers.zip_archive import opened
from tradewind.data.model_files.containers.zip_directory import Doubt, looks_like_zip, members_of
from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.json_text import RULES as JSON_RULES
from tradewind.data.model_files.formats.json_text import read_json
from tradewind.data.model_files.inspection import Inspection, Reading, Source

RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "export-native-code", "blocked", "The archive brings machine code, or source that is compiled.",
            "Export the program without AOTInductor.",
        ),
        Rule(
            "export-operator", "blocked",
            "The program calls something else than torch's own operators on tensors.",
            "Export the network again, without operators of other libraries.",
        ),
        Rule(
            "export-expression", "blocked",
            "A shape is an expression that torch evaluates as Python, and it is no plain arithmetic.",
            "Export the network again.",
        ),
        Rule(
            "export-weights", "blocked", "A tensor's description and its bytes do not fit.",
            "Export the network again.",
        ),
        Rule(
            "export-member", "undecided", "The archive has a member that torch does not write there.",
            "Export the network again.",
        ),
    )
}  # fmt: skip
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2, 28: 2, 34: 4,
35: 8,
          29: 1, 30: 1, 31: 1, 32: 1, 33: 1}  # fmt: skip
_TARGET = re.compile(r"torch\.ops\.(aten|prim|prims|quantized|quantized_decomposed)\.\w+(\.\w+)?")
_NUMBERS = re.compile(r"(_operator|math)\.[a-z_]+|torch\.sym_\w+|torch\._sym_\w+")
_UNSAFE = {"from_file", "save", "set_data", "load"}
_HIGHER = re.compile(r"torch\.ops\.higher_order\.(cond|while_loop|scan|map_impl|wrap_with_set_grad_enabled)")
_NOT_NUMBERS = {"_operator.methodcaller", "_operator.attrgetter", "_operator.itemgetter", "_operator.call"}
_WORD = re.compile(r"[A-Za-z_]\w*")
_EXPRESSION = re.compile(r"[\w\s+\-*/%().,<>=!&|~]*")
_KNOWN_WORDS = {
    "Max", "Min", "Mod", "PythonMod", "FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "Where", "Eq",
    "Ne",
    "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Abs", "Pow", "PowByNatural", "FloatPow", "FloatTrueDiv",
    "IntTrueDiv", "ToFloat", "TruncToInt", "CeilToInt", "FloorToInt", "RoundToInt", "RoundDecimal",
    "Identity",
    "Integer", "Rational", "Float", "ceiling", "floor", "int_oo", "oo", "zoo", "true", "false", "True",
    "False",
    "LShift", "RShift", "Add", "Mul", "sqrt",
}  # fmt: skip
_PRINTED_SYMBOL = re.compile(
    r"Symbol\('[a-z]+\d+'(?:, (?:integer|positive|nonnegative|negative|real|finite)=(?:True|False))*\)"
)
_SYMBOL = re.compile(r"(?:s|u|zf|zuf|us|i|f)\d+")
_PLAIN = re.compile(
    r"archive_format|archive_version|byteorder|version|\.format_version|\.storage_alignment"
    r"|\.data/(serialization_id|version)|data/\.?(serialization_id|version)"
)
_NATIVE = re.compile(r".*\.(so|o|a|dll|dylib|pyd|cpp|cc|c|cu|cubin|ptx|h|hpp|hsaco|spv|py|sh)$", re.I)


def recognises(source: Source) -> bool:
    """Whether the file is a zip that says it is of torch's export."""
    if not looks_like_zip(source):
        return False
    try:
        names = {member.name for member in members_of(source)}
    except Doubt:
        return False
    ends = {name.rpartition("/")[2] for name in names}
    return "archive_format" in ends and not any(name.partition("/")[2] == "data.pkl" for name in names)


def inspect(source: Source, inspection: Inspection) -> None:
    """Judge programs and descriptions; hand on what is pickled; leave raw weights, which run nothing."""
    try:
        members = members_of(source, inspection.budget.members)
    except Doubt:
        return  # told by the archive's own check
    root = next(
        (each.name[: -len("archive_format")] for each in members if each.name.endswith("archive_format")), ""
    )
    raw: dict[str, int] = {}
    by_name = {member.name: member for member in members}
    for member in members:
        own = member.name.removeprefix(root)
        if not own.endswith(".json"):
            continue
        content = opened(source, member, inspection)
        if content is None:
            continue
        inner = Source(content, f"{source.name}!{member.name}".lstrip("!"))
        value = read_json(inner, inspection)
        if own.endswith("_config.json"):
            folder = "data/constants/" if own.endswith("constants_config.json") else "data/weights/"
            for name, size in _described(value, inner, inspection):
                raw[f"{root}{folder}{name}"] = max(size, raw.get(f"{root}{folder}{name}", 0))
        elif value is not None:
            _program(value, inner, inspection)
    for name, size in raw.items():
        if name not in by_name or by_name[name].size < size:
            inspection.found(
                RULES["export-weights"], f"{name} has not the {size} bytes it is said to have", source=source,
                name=name,
            )  # fmt: skip
    for member in members:
        own = member.name.removeprefix(root)
        if own.endswith(".json") or own.endswith("/"):
            continue
        if _NATIVE.fullmatch(own) or own.startswith("data/aotinductor/"):
            inspection.found(
                RULES["export-native-code"], f"the member {own!r}", source=source, name=member.name
            )
            continue
        content = opened(source, member, inspection)
        if content is None or member.name in raw or (_PLAIN.fullmatch(own) and member.size <= 64):
            continue
        if not own.startswith(("data/", "extra/", "models/")):
            inspection.found(RULES["export-member"], f"the member {own!r}", source=source, name=member.name)
        if member.size:
            inspection.inside(content, member.name, source)


def _described(value: Any, source: Source, inspection: Inspection) -> Iterator[tuple[str, int]]:
    """The name and the least bytes of each raw payload; pickled ones are handed on as what they are."""
    told = value.get("config") if isinstance(value, dict) else None
    if not isinstance(told, dict):
        inspection.found(RULES["export-weights"], "weights are not described", source=source)
        return
    for name, each in told.items():
        meta = each.get("tensor_meta") if isinstance(each, dict) else None
        if not isinstance(each, dict) or not isinstance(each.get("path_name"), str):
            inspection.found(RULES["export-weights"], f"{name} is not described", source=source, name=name)
        elif not each.get("use_pickle") and isinstance(meta, dict):
            try:
                yield each["path_name"], _least(meta)
            except (ValueError, KeyError, TypeError, OverflowError):
                inspection.found(
                    RULES["export-weights"], f"{name} has no plain shape", source=source, name=name
                )


def _least(meta: dict[str, Any]) -> int:
    sizes = [each["as_int"] for each in meta["sizes"]]
    strides = [each["as_int"] for each in meta["strides"]]
    offset = meta["storage_offset"]["as_int"]
    whole = all(type(each) is int and 0 <= each < 1 << 48 for each in (*sizes, *strides, offset))
    if not whole or len(sizes) != len(strides):
        raise ValueError("no shape")
    if 0 in sizes:
        return 0
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    return int((last + 1) * _SIZES[meta["dtype"]])


def _program(value: Any, source: Source, inspection: Inspection) -> None:
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(each)
            continue
        if not isinstance(each, dict):
            continue
        inspection.spend(opcodes=1)
        for key, part in each.items():
            if key == "target" and isinstance(part, str) and "inputs" in each and "outputs" in each:
                _target(part, source, inspection)
            elif key == "expr_str" and isinstance(part, str) and not _arithmetic(part):
                inspection.found(
                    RULES["export-expression"], f"the expression {part[:60]!r}", source=source,
                    name=part[:200], preview=part,
                )  # fmt: skip
            if isinstance(part, dict | list):
                stack.append(part)


def _target(target: str, source: Source, inspection: Inspection) -> None:
    known = _TARGET.fullmatch(target) or _HIGHER.fullmatch(target)
    name = target.split(".")[3] if target.startswith("torch.ops.") and target.count(".") > 2 else ""
    if target in _NOT_NUMBERS or name in _UNSAFE or not (known or _NUMBERS.fullmatch(target)):
        inspection.found(
            RULES["export-operator"], f"the operator {target}", source=source, opcode=target, name=target
        )


def _arithmetic(text: str) -> bool:
    """Whether an expression is numbers, symbols of shapes and the functions that torch prints for them."""
    if len(text) > 1 << 16:
        return False
    plain = _PRINTED_SYMBOL.sub("s0", text)
    if not _EXPRESSION.fullmatch(plain) or re.search(r"\.\s*[A-Za-z_]", plain):
        return False
    return all(_SYMBOL.fullmatch(word) or word in _KNOWN_WORDS for word in _WORD.findall(plain))


READING = Reading("torch-export", recognises, inspect, {**RULES, **JSON_RULES}, refines="zip")
