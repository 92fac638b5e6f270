"""JSON, read within a budget; keys that stand twice are a finding, for two readers take different ones.

What a document means is told by its keys, not by its name: a Keras configuration, templates of a tokenizer,
code of a repository (`auto_map`), the index of a model in shards. Anything else is data, which runs nothing.
"""

from __future__ import annotations

import json
from typing import Any

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats.file_names import astray
from tradewind.data.model_files.formats.keras_config import RULES as KERAS_RULES
from tradewind.data.model_files.formats.keras_config import judge
from tradewind.data.model_files.formats.templates import RULES as TEMPLATE_RULES
from tradewind.data.model_files.formats.templates import judge_template
from tradewind.data.model_files.inspection import Inspection, Reading, Source

_SPACE = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"
RULES = {
    rule.id: rule
    for rule in (
        Rule("json-malformed", "undecided", "The text is no whole JSON.", "Fetch the file again."),
        Rule(
            "json-repeated-key", "blocked",
            "A key stands twice in one object; readers take different ones.", "Write the file again.",
        ),
        Rule(
            "repository-remote-code", "blocked",
            "The configuration names Python code that comes with the model; with `trust_remote_code` loading "
            "runs it.", "Read that code, or use a model that its library knows.",
        ),
        Rule(
            "repository-shard-path", "blocked", "The index names a file outside of the model's folder.",
            "Write the index again.",
        ),
    )
}  # fmt: skip
_REMOTE = ("auto_map", "custom_pipelines", "trust_remote_code")


class Repeated(ValueError):
    """A key stands twice in one object."""


def parsed(content: bytes, limit: int) -> Any:
    """The value of a JSON text of at most `limit` bytes.

    ValueError where it is no JSON, too long or too deep; Repeated where a key stands twice.
    """
    if len(content) > limit:
        raise ValueError(f"{len(content)} bytes are more than the {limit} that are read")
    try:
        return json.loads(content.removeprefix(_MARK).decode(), object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise Repeated(key)
            seen.add(key)
    return found


def read_json(source: Source, inspection: Inspection) -> Any:
    """The value of a source, or None after telling why there is none."""
    limit = inspection.budget.text
    try:
        return parsed(source.read(0, min(source.size, limit + 1)), limit)
    except Repeated as key:
        inspection.found(
            RULES["json-repeated-key"], f"the key {str(key)!r} stands twice", source=source, name=str(key)
        )
    except ValueError as problem:
        inspection.found(RULES["json-malformed"], f"no JSON: {problem}", source=source)
    return None


def recognises(source: Source) -> bool:
    """Whether a text begins as an object or a list of JSON does."""
    start = source.read(0, 4096).removeprefix(_MARK).lstrip(_SPACE)
    return start[:1] in (b"{", b"[") and b"\0" not in start and start[:2] not in (b"{%", b"{{", b"{#")


def inspect(source: Source, inspection: Inspection) -> None:
    """Read the document, and tell what loading a model by it would run."""
    value = read_json(source, inspection)
    if value is not None:
        inspect_value(value, source, inspection)


def inspect_value(value: Any, source: Source, inspection: Inspection) -> None:
    """Tell what a document that was read means for whoever loads a model by it."""
    keras = isinstance(value, dict) and ("class_name" in value or "keras_version" in value)
    if keras:
        judge(value, source, inspection)
    _walk(value, source, inspection, 0)
    weights = value.get("weight_map") if isinstance(value, dict) else None
    if isinstance(weights, dict):
        for name in sorted({each for each in weights.values() if isinstance(each, str)}):
            why = astray(name)
            if why:
                inspection.found(
                    RULES["repository-shard-path"], f"the file {name!r} {why}", source=source, name=name
                )


def _walk(value: Any, source: Source, inspection: Inspection, depth: int) -> None:
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(part for part in each if isinstance(part, dict | list))
        elif isinstance(each, dict):
            for key, part in each.items():
                if key in _REMOTE and part:
                    inspection.found(
                        RULES["repository-remote-code"], f"it has {key}: code is loaded with the model",
                        source=source, name=key, preview=json.dumps(part)[:200],
                    )  # fmt: skip
                elif "template" in key:
                    _templates(key, part, source, inspection)
                if isinstance(part, dict | list):
                    stack.append(part)


def _templates(key: str, value: Any, source: Source, inspection: Inspection) -> None:
    """A template, or several by name as a mapping or a list of `{"name": ..., "template": ...}`."""
    if isinstance(value, str):
        judge_template(value, source, inspection, name=key)
    elif isinstance(value, dict):
        for name, each in value.items():
            if isinstance(each, str) and "template" not in name:
                judge_template(each, source, inspection, name=f"{key}.{name}")


READING = Reading("json", recognises, inspect, {**RULES, **KERAS_RULES, **TEMPLATE_RULES})
