"""What recorded runs do not prove: how much each still added, and the imports that none of them made."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.kept import Kept
from tradewind.audit.tracing.events import Run
from tradewind.audit.tracing.joining import join_runs
from tradewind.audit.trees import Files, Tree
from tradewind.audit.verification.proof import Coverage

_LIBRARIES = ("site-packages", "dist-packages")
_LARGEST = 4 << 20
"""Bytes of a source that is looked into."""


def coverage(files: Files, kept: Kept, inventory: Inventory, runs: Sequence[Run]) -> Coverage:
    """What the runs, in their order, cover of what they are to stand for."""
    together = join_runs(runs, files.tree)
    lazy = unmade_imports(files, kept, inventory, together.touched.opened)
    # The proof tells how many files each run added; which ones, the recorded runs tell.
    added = tuple(replace(each, paths=()) for each in together.added)
    return Coverage(added, together.statement, lazy)


def unmade_imports(
    files: Files, kept: Kept, inventory: Inventory, opened: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Modules that functions of opened modules import and that are in the tree but removed, by package.

    A call of such a function fails in the slim image. Conditions are not followed: the import may stand where
    the program never comes.
    """
    modules = module_paths(files.tree)
    names = {path: name for name, path in modules.items()}
    compiled = {path for path in opened if path.endswith(".pyc")}
    sources = {path for path in opened if path.endswith(".py")}
    sources |= {source for path in compiled if (source := _source_of(path)) is not None}
    found: dict[str, set[str]] = {}
    for path in sorted(sources):
        entry = files.tree.get(path)
        owner = inventory.owners.get(path)
        if entry is None or entry.kind != "file" or owner is None or entry.size > _LARGEST:
            continue
        for wanted in late_imports(files.read(path), names.get(path, ""), path.endswith("/__init__.py")):
            place = modules.get(wanted)
            if place is not None and place not in kept:
                found.setdefault(owner, set()).add(wanted)
    return {owner: tuple(sorted(wanted)) for owner, wanted in sorted(found.items())}


def module_paths(tree: Tree) -> dict[str, str]:
    """The source of each module in the tree's libraries of Python, by its dotted name."""
    found: dict[str, str] = {}
    for entry in tree:
        if entry.kind != "file" or not entry.path.endswith(".py"):
            continue
        parts = entry.path.split("/")
        at = next((n for n in range(len(parts) - 2, -1, -1) if parts[n] in _LIBRARIES), None)
        if at is None:
            at = next((n for n in range(len(parts) - 1) if parts[n].startswith("python3.") and n), None)
        if at is None:
            continue
        inside = [*parts[at + 1 : -1], parts[-1].removesuffix(".py")]
        if inside[-1] == "__init__":
            inside = inside[:-1]
        if inside and all(part.isidentifier() for part in inside):
            found.setdefault(".".join(inside), entry.path)
    return found


def late_imports(source: bytes, name: str, package: bool) -> frozenset[str]:
    """Dotted names that functions of a module import; those it cannot parse have none.

    `name` is the module's own, `package` whether it is a package's `__init__`, for relative imports. Of
    `from a import b` both `a` and `a.b` are told, since `b` may be a module.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    parts = name.split(".") if name else []
    here = parts if package else parts[:-1]
    found: set[str] = set()
    for function in _functions(tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                found |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    above = here[: len(here) - node.level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                found.add(base)
                found |= {f"{base}.{each.name}" for each in node.names if each.name != "*"}
    return frozenset(found - {""})


def _functions(tree: ast.AST) -> Iterator[ast.AST]:
    """The outermost functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
        else:
            yield from _functions(node)


def _source_of(compiled: str) -> str | None:
    """`a/m.py` of `a/__pycache__/m.cpython-311.pyc`."""
    folder, _, name = compiled.rpartition("/")
    above, _, last = folder.rpartition("/")
    if last != "__pycache__" and folder != "__pycache__":
        return None
    stem = name.split(".")[0]
    return f"{above}/{stem}.py" if above else f"{stem}.py"
