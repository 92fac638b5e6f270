"""Whether a function of a library does nothing but move values about, judged by its source.

What a class runs while it is unpickled, its `__setstate__` and the like, gets whatever state a file chose. It
may be on a list only if all that it calls is in a short list of functions and methods that cannot act.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import tokenize
import types
from typing import Any

_FUNCTIONS = frozenset(
    [
        "isinstance",
        "issubclass",
        "len",
        "hasattr",
        "tuple",
        "list",
        "dict",
        "set",
        "frozenset",
        "int",
        "float",
        "bool",
        "str",
        "zip",
        "enumerate",
        "range",
        "min",
        "max",
        "sorted",
        "reversed",
        "super",
        "type",
        "repr",
        "id",
        "any",
        "all",
        "sum",
        "abs",
        "object",
        "setattr",
        "vars",
        "slice",
        "deque",
        "OrderedDict",
        "defaultdict",
        "AttributeError",
        "TypeError",
        "ValueError",
        "KeyError",
        "RuntimeError",
        "NotImplementedError",
        "IndexError",
    ]
)
_METHODS = frozenset(
    [
        "update",
        "get",
        "pop",
        "items",
        "keys",
        "values",
        "copy",
        "setdefault",
        "append",
        "extend",
        "add",
        "format",
        "join",
        "startswith",
        "endswith",
        "warn",
        "split",
        "strip",
        "lower",
        "upper",
        "index",
        "count",
        "insert",
        "discard",
        "clear",
        "union",
        "__setstate__",
        "__new__",
        "__init__",
        "__getattr__",
        "__getattribute__",
        "__setattr__",
        "__dict__",
        "__class__",
        "view",
        "reshape",
        "astype",
        "ravel",
        "zeros",
        "ones",
        "empty",
        "asarray",
        "array",
        "dtype",
        "setflags",
        "tolist",
        "fromkeys",
    ]
)
_REFUSED = (ast.Import, ast.ImportFrom, ast.Global, ast.With, ast.AsyncWith, ast.Await, ast.Delete)


def is_plain(function: Any) -> bool:
    """Whether a function only moves values about; False where its source cannot be read."""
    function = inspect.unwrap(getattr(function, "__func__", function))
    if isinstance(function, property | staticmethod | classmethod):
        return False
    if not isinstance(function, types.FunctionType):
        return False
    statement = _statement(function)
    return statement is not None and all(map(_harmless, ast.walk(statement)))


def _statement(function: types.FunctionType) -> ast.stmt | None:
    """The statement that a function is written in; None where its source cannot be had."""
    code = function.__code__
    found = _definitions(code.co_filename).get((code.co_firstlineno, code.co_name))
    if found is not None:
        return found
    try:  # a lambda, or a function that was made by others
        return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndentationError, IndexError):
        return None


@functools.lru_cache(64)
def _definitions(path: str) -> dict[tuple[int, str], ast.stmt]:
    """The functions of a file by first line and name; none where it cannot be read."""
    try:
        with tokenize.open(path) as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[tuple[int, str], ast.stmt] = {}
    left: list[ast.AST] = [tree]
    while left:
        for each in ast.iter_child_nodes(left.pop()):
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                found[(min((each.lineno, *(mark.lineno for mark in each.decorator_list))), each.name)] = each
            if isinstance(each, ast.stmt) and hasattr(each, "body"):
                left.append(each)
    return found


def _harmless(node: ast.AST) -> bool:
    if isinstance(node, _REFUSED) and not isinstance(node, ast.Delete):
        return False
    if not isinstance(node, ast.Call):
        return True
    called = node.func
    if isinstance(called, ast.Name):
        if called.id == "getattr":
            return len(node.args) >= 2 and isinstance(node.args[1], ast.Constant)
        return called.id in _FUNCTIONS or called.id.endswith(("Error", "Warning", "Exception"))
    return isinstance(called, ast.Attribute) and called.attr in _METHODS


def made_by_reducing(cls: type) -> list[types.FunctionType | type]:
    """The functions and classes that the class's own `__reduce__` returns first, as its source names them."""
    found: list[types.FunctionType | type] = []
    for name in ("__reduce__", "__reduce_ex__"):
        function = next((vars(each)[name] for each in cls.__mro__[:-1] if name in vars(each)), None)
        if not isinstance(function, types.FunctionType):
            continue
        statement = _statement(function)
        if statement is None:
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and node.value.elts:
                first = node.value.elts[0]
                if isinstance(first, ast.Name):
                    value = function.__globals__.get(first.id)
                    if isinstance(value, types.FunctionType | type):
                        found.append(value)
                elif (isinstance(first, ast.Attribute) and first.attr == "__class__") or (
                    isinstance(first, ast.Call) and ast.unparse(first) == "type(self)"
                ):
                    found.append(cls)
    return found
