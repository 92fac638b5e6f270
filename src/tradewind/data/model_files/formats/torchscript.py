"""TorchScript archives: the code in `code/`, a language of torch's own, judged by the operators it calls.

torch compiles that code; it is no Python and imports nothing. What can do harm in it are operators that name
files, operators of libraries that must be loaded first, and classes made in C++. The archive's pickles are
the business of torch's zip reading.
"""

from __future__ import annotations

import re

from tradewind.data.model_files.containers.zip_archive import opened
from tradewind.data.model_files.containers.zip_directory import Doubt, looks_like_zip, members_of
from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.inspection import Inspection, Reading, Source

RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "torchscript-file", "blocked", "The program reads or writes files when it is called.",
            "Export the network by torch.export, without that operator.",
        ),
        Rule(
            "torchscript-library", "blocked",
            "The program calls an operator, or makes a class, of a library that is not torch's own.",
            "Trust and load that library yourself, or export the network as ONNX.",
        ),
        Rule(
            "torchscript-code", "undecided", "The program's text is none that torch writes.",
            "Save the program again by torch.jit.save.",
        ),
    )
}  # fmt: skip
_NAMESPACES = {"aten", "prim", "prims", "quantized", "_quantized", "quantized_decomposed", "torchvision"}
_FILES = {
    "save", "load", "from_file", "_save", "_load", "open", "write", "read", "fopen", "tofile", "to_file",
    "set_data", "read_file", "write_file", "get_file", "file_write",
}  # fmt: skip
_CLASSES = {"quantized.LinearPackedParamsBase", "quantized.Conv2dPackedParamsBase",
            "quantized.Conv3dPackedParamsBase", "quantized.EmbeddingPackedParamsBase",
            "rnn.CellParamsBase"}  # fmt: skip
_OPERATOR = re.compile(r"\b(?:ops|torch\.ops)\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)")
_CALL = re.compile(r"\btorch\.([A-Za-z_][\w.]*)[ \t\n]*\(")
_CLASS = re.compile(r"__torch__\.torch\.classes\.([\w.]+)")
_STATEMENT = re.compile(r"^[ \t]*(?:from|import)[ \t]+\w", re.M)
_TEXTS = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|#[^\n]*")
_LIMIT = 16 << 20


def recognises(source: Source) -> bool:
    """Whether the file is torch's archive of a program."""
    if not looks_like_zip(source):
        return False
    try:
        names = [member.name for member in members_of(source)]
    except Doubt:
        return False
    ends = {name.rpartition("/")[2] for name in names}
    return "data.pkl" in ends and any(name.partition("/")[2].startswith("code/") for name in names)


def inspect(source: Source, inspection: Inspection) -> None:
    """Judge every text below `code/`, and hand on what else is there."""
    try:
        members = members_of(source, inspection.budget.members)
    except Doubt:
        return  # told by the archive's own check
    for member in members:
        own = member.name.partition("/")[2]
        if not own.startswith("code/") or member.name.endswith("/"):
            continue
        content = opened(source, member, inspection)
        if content is None:
            continue
        if not own.endswith(".py"):
            inspection.inside(content, member.name, source)
            continue
        inner = Source(content, f"{source.name}!{member.name}".lstrip("!"))
        _code(inner, inspection)


def _code(source: Source, inspection: Inspection) -> None:
    if source.size > _LIMIT:
        inspection.found(RULES["torchscript-code"], f"a text of {source.size} bytes", source=source)
        return
    inspection.spend(opcodes=source.size >> 6)
    try:
        text = source.read(0, source.size).decode()
    except UnicodeDecodeError:
        inspection.found(RULES["torchscript-code"], "the code is no UTF-8", source=source)
        return
    plain = _TEXTS.sub('""', text)
    if _STATEMENT.search(plain):
        inspection.found(RULES["torchscript-code"], "the code imports something", source=source)
    for found in _OPERATOR.finditer(plain):
        space, name = found[1], found[2]
        if space not in _NAMESPACES:
            _tell("torchscript-library", f"the operator {space}::{name}", found, source, inspection)
        elif name in _FILES:
            _tell("torchscript-file", f"the operator {space}::{name}", found, source, inspection)
    for found in _CALL.finditer(plain):
        if found[1].rpartition(".")[2] in _FILES:
            _tell("torchscript-file", f"the operator torch.{found[1]}", found, source, inspection)
    for found in _CLASS.finditer(plain):
        if found[1] not in _CLASSES:
            _tell("torchscript-library", f"the class {found[1]}", found, source, inspection)


def _tell(
    rule: str, text: str, found: re.Match[str], source: Source, inspection: Inspection
) -> None:  # fmt: skip
    inspection.found(
        RULES[rule], text, source=source, opcode=found[0].split("(")[0].strip(), name=found[0].strip("( \n"),
        preview=found.string[found.start() : found.start() + 80],
    )  # fmt: skip


READING = Reading("torchscript", recognises, inspect, RULES, refines="torch-zip")
