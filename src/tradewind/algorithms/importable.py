"""Code of the user's own by the name under which every worker can import it: `module:Name`."""

from __future__ import annotations

import functools
import importlib
import json
from typing import Any

import msgspec

from tradewind.errors import Misuse


def home_of(thing: Any, source: str) -> str:
    """The `module:Name` that a class or function is imported by.

    Misuse for a lambda, something defined inside a function or in `__main__`, and whatever else another
    process could not import.
    """
    if isinstance(thing, functools.partial):
        raise _refused("a partial function has no name", source, "Give the function, and arguments={...}.")
    name, module = getattr(thing, "__qualname__", None), getattr(thing, "__module__", None)
    if not callable(thing) or name is None or module is None:
        raise _refused(
            f"a {type(thing).__name__} is neither a class nor a function", source,
            "Give the class or function that makes it, and arguments={...}.",
        )  # fmt: skip
    if "<lambda>" in name:
        raise _refused("a lambda has no name", source, "Write it as a function in a module, with def.")
    if "<locals>" in name:
        raise _refused(
            f"{name.rpartition('.')[2]!r} is defined inside a function", source,
            "Define it at the top of a module.",
        )  # fmt: skip
    if module == "__main__":
        raise _refused(
            f"{name!r} is defined in the script that runs, which no worker imports", source,
            "Move it to a module of its own, import it from there, and install it where the workers run.",
        )  # fmt: skip
    home = f"{module}:{name}"
    if found_at(home, source) is not thing:
        raise _refused(f"{home} is something else", source, "Give what its module exports under that name.")
    return home


def found_at(home: str, source: str) -> Any:
    """What `module:Name` names, the name with dots where it is in a class; Misuse if there is nothing."""
    module, colon, name = home.partition(":")
    if not (module and colon and name):
        raise _refused(f"{home!r} names nothing", source, "Write module:Name, such as my_package.model:Net.")
    try:
        return functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except Exception as problem:  # whatever the user's own module raises
        raise _refused(
            f"{home!r} cannot be imported: {type(problem).__name__}: {problem}", source,
            "Write module:Name, and install its package where the workers run.",
        ) from problem  # fmt: skip


def plain_arguments(arguments: Any, source: str) -> dict[str, Any]:
    """Arguments as plain JSON values by name; Misuse for what JSON cannot say."""
    try:
        found = msgspec.convert(msgspec.to_builtins(arguments or {}), dict[str, Any])
        plain: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    except (TypeError, ValueError, msgspec.ValidationError) as problem:
        raise Misuse(
            f"they are no plain values: {problem}", source=source, field="arguments",
            fix="Give numbers, text, lists and tables of such, by name.",
        ) from None  # fmt: skip
    return plain


def _refused(problem: str, source: str, fix: str) -> Misuse:
    return Misuse(problem, source=source, field="", fix=fix)
