"""Documents of specs: TOML as plain tables, checked by a published JSON schema before they mean anything.

What is wrong is one clear error that names the file, the field and the fix.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError

from tradewind.errors import Misuse, suggestion

Where = Callable[[str], str]
"""From a field to the source that it was given in."""


@cache
def schema(name: str = "spec") -> dict[str, Any]:
    """The published JSON schema (draft 2020-12) that every spec, or its table of that name, is checked by."""
    document = files("tradewind.session").joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(document))


def read_document(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; Misuse if it cannot be read or does not parse."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise Misuse(
            f"cannot be read: {problem.strerror}", source=str(path), fix="Give a TOML file."
        ) from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise Misuse(f"is no TOML: {problem}", source=str(path), fix="Mend the file.") from problem


def override(text: str) -> tuple[str, Any]:
    """The field and the value of a `--set field=value`; the value is TOML if it parses as such, else text.

    >>> override("learner.loss=hinge"), override("epochs=3")
    (('learner.loss', 'hinge'), ('epochs', 3))
    """
    field, equals, value = text.partition("=")
    if not (field.strip() and equals):
        raise Misuse(f"{text!r} sets nothing", source="--set", fix="Write it as --set learner.loss=hinge.")
    try:
        return field.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return field.strip(), value.strip()


def plain(value: Any) -> Any:
    """`value` as JSON has it: TOML's moments and tuples become texts and lists, tables are copied."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def check(document: dict[str, Any], where: Where, rules: Mapping[str, Any]) -> None:
    """Raise Misuse for the first thing that a schema does not allow: misspelt fields before others."""
    for field, number in _numbers(document):
        if not abs(number) <= 1e18:
            raise Misuse(
                f"{number} is no finite number of a sensible size",
                source=where(field),
                field=field,
                fix="Give a number.",
            )
    validator = jsonschema.Draft202012Validator(rules)
    problems = sorted(
        validator.iter_errors(document),
        key=lambda each: (each.validator != "additionalProperties", [str(part) for part in each.path]),
    )
    if problems:
        raise _told(problems[0], where)


def _numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number in a document with its field."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _numbers(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for each in value:
            yield from _numbers(each, path)


def _told(problem: ValidationError, where: Where) -> Misuse:
    """A validation error as a sentence with the field and the fix."""
    path = [str(part) for part in problem.absolute_path]
    value, rule, bound = problem.instance, problem.validator, problem.validator_value
    fragment: dict[str, Any] = dict(problem.schema) if isinstance(problem.schema, Mapping) else {}
    about = fragment.get("description", "")
    if rule == "additionalProperties" and isinstance(value, dict):
        known = list(fragment.get("properties", {}))
        word = sorted(set(value) - set(known))[0]
        field = ".".join([*path, word])
        return Misuse("there is no such field", source=where(field), field=field, fix=suggestion(word, known))
    if rule == "required" and isinstance(value, dict):
        missing = next(name for name in _texts(bound) if name not in value)
        field = ".".join([*path, missing])
        return Misuse("is missing", source=where(field), field=field, fix=f"Add {field}.")
    field = ".".join(path)
    if rule == "enum":
        known = [str(each) for each in _texts(bound)]
        wrong = f"{value!r} is none of the choices"
        return Misuse(wrong, source=where(field), field=field, fix=suggestion(str(value), known))
    return Misuse(_complaint(rule, value, bound), source=where(field), field=field, fix=about)


def _complaint(rule: Any, value: Any, bound: Any) -> str:
    if rule in ("minimum", "exclusiveMinimum"):
        return (
            f"{value!r} is too small; it must be {'above' if rule.startswith('ex') else 'at least'} {bound}"
        )
    if rule in ("maximum", "exclusiveMaximum"):
        return f"{value!r} is too large; it must be at most {bound}"
    if rule == "type":
        kinds = {"integer": "whole number", "object": "table", "array": "list", "string": "text"}
        allowed = [kinds.get(each, each) for each in ([bound] if isinstance(bound, str) else _texts(bound))]
        return f"{value!r} is no {' and no '.join(allowed)}"
    if rule in ("minLength", "pattern"):
        return f"{value!r} will not do"
    return f"{value!r} breaks the rule {rule}"


def _texts(value: Any) -> Sequence[str]:
    return list(value) if isinstance(value, list | tuple) else []
