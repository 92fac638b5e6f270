"""What of each package no run needs, told without any run: tests, headers, stubs, the same library twice.

A folder of tests, documents or examples counts only if no module outside of it imports from it: botocore's
`docs` and jinja2's `tests` are code. Licences and the packages' own records never count. Each file is of one
class, so that the classes' bytes sum to the total.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from tradewind.audit.inventory.elf import read_elf
from tradewind.audit.packages import Inventory, Manager, Package
from tradewind.audit.trees import Files

FOLDERS = {
    "tests": "tests", "test": "tests", "docs": "documents", "doc": "documents", "documentation": "documents",
    "examples": "examples", "example": "examples", "tutorials": "examples",
}  # fmt: skip
"""The class of what lies in a folder of that name."""
ENDINGS = {
    ".h": "headers", ".hh": "headers", ".hpp": "headers", ".hxx": "headers", ".cuh": "headers",
    ".inl": "headers",
    ".a": "static libraries", ".la": "static libraries",
    ".cmake": "build files", ".pc": "build files",
    ".pyi": "type stubs",
    ".c": "sources", ".cc": "sources", ".cpp": "sources", ".cxx": "sources", ".cu": "sources",
    ".f": "sources", ".f90": "sources", ".pyx": "sources", ".pxd": "sources", ".pxi": "sources",
    ".lib": "import libraries", ".def": "import libraries",
    ".dll": "other systems", ".exe": "other systems", ".pyd": "other systems", ".dylib": "other systems",
    ".debug": "debugging", ".pdb": "debugging",
}  # fmt: skip
"""The class of a file by the end of its name, on Linux."""
CLASSES = tuple(dict.fromkeys([*FOLDERS.values(), *ENDINGS.values()]))
BUILDING = {"headers", "static libraries", "build files", "sources", "import libraries"}
"""Classes that a package which compiles while it runs may need after all."""
COMPILERS = (
    "cffi", "cupy", "cython", "deepspeed", "flashinfer", "numba-cuda", "nvidia-cuda-cccl", "nvidia-cuda-nvcc",
    "nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "nvidia-cutlass", "pybind11", "pytensor", "pythran",
    "pytorch-triton", "tensorflow", "tilelang", "torch", "triton",
)  # fmt: skip
"""Packages that compile while a program runs, or whose headers those read: how their names begin."""
STUB_READERS = {"basedpyright", "jedi", "mypy", "pyright", "pytype", "ty"}
"""Packages that read stubs while they run."""
LICENCES = ("licen", "copying", "notice", "authors")
_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+(?P<whole>[.\w]+)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n#]+)"
    rb"|import[ \t]+(?P<plain>[\w.]+(?:[ \t]+as[ \t]+\w+)?(?:[ \t]*,[ \t]*[\w.]+)*))",
    re.MULTILINE,
)
_HASH = re.compile(r"-[0-9a-f]{8,}(?=\.|-|$)")
_NUMBER = re.compile(r"\.so\.(\d+)[^/]*$")
_VERSION = re.compile(r"(?:[-.]r?\d[\w.]*)+$")
FAMILIES = (
    (re.compile(r"^lib(?:scipy_)?openblas"), "OpenBLAS"),
    (re.compile(r"^lib(?:g|i|)omp5?$"), "OpenMP runtime"),
)
"""Libraries that do the same under several names, by the beginning of their names."""


class Unneeded(Struct, frozen=True):
    """One class of files of one package that a run does not need."""

    package: str
    """The package's key."""
    what: str
    """The class: one of CLASSES."""
    paths: tuple[str, ...]
    bytes: int
    caution: str = ""
    """Why it may be needed after all; empty if nothing speaks for that."""


class Duplicate(Struct, frozen=True):
    """A shared library that the tree holds more than once."""

    name: str
    paths: tuple[str, ...]
    """Its copies, in order; links are none."""
    alike: Literal["content", "soname", "name"]
    """What is equal: all bytes, the name that programs ask for, or only the library's own name."""
    bytes: int
    """Of all copies."""
    beyond_one: int
    """Bytes that the copies take beyond the largest."""


class Diet(Struct, frozen=True):
    """What a tree could do without, by package and class, and its libraries that are there twice."""

    unneeded: tuple[Unneeded, ...]
    duplicates: tuple[Duplicate, ...]
    imported: tuple[tuple[str, str], ...]
    """Folders that look unneeded and are not, each with a file that imports from it."""

    @property
    def bytes(self) -> int:
        """Bytes of all that is unneeded without caution."""
        return sum(each.bytes for each in self.unneeded if not each.caution)

    def by_class(self) -> dict[str, int]:
        """Bytes by class, what is cautioned against left out; every class has its row."""
        return {
            name: sum(each.bytes for each in self.unneeded if each.what == name and not each.caution)
            for name in CLASSES
        }


def wheel_diet(files: Files, inventory: Inventory, managers: Iterable[Manager] = ("pip", "conda")) -> Diet:
    """What the packages of these managers hold that no run needs, and the libraries that are there twice."""
    managers = set(managers)
    found: list[Unneeded] = []
    used: list[tuple[str, str]] = []
    nodes: set[int] = set()
    for key, package in inventory.packages.items():
        if package.manager not in managers:
            continue
        mine = inventory.owned[key]
        folders = _folders(package, mine)
        imported = _imported(files, package, mine, folders)
        used += sorted(imported.items())
        classes: dict[str, list[str]] = {}
        for path in mine:
            name = _class_of(package, path, folders, imported)
            entry = inventory.tree.entries[path]
            if name and entry.kind == "file" and entry.node not in nodes:
                nodes.update([entry.node] if entry.node else [])
                classes.setdefault(name, []).append(path)
        for name, paths in classes.items():
            caution = _caution(package, name)
            found.append(Unneeded(key, name, tuple(paths), inventory.tree.bytes_of(paths), caution))
    found.sort(key=lambda each: (-each.bytes, each.package, each.what))
    return Diet(tuple(found), tuple(duplicates(files, inventory)), tuple(used))


def _relative(package: Package, path: str) -> str:
    return path.removeprefix(package.folder + "/") if package.folder else path


def _folders(package: Package, paths: Iterable[str]) -> dict[str, str]:
    """The outermost folders whose names are of a class, and the class."""
    found: dict[str, str] = {}
    for path in paths:
        below = _relative(package, path)
        above = path[: len(path) - len(below)]
        parts = below.split("/")
        for depth, part in enumerate(parts[:-1]):
            if part.lower() in FOLDERS:
                found[above + "/".join(parts[: depth + 1])] = FOLDERS[part.lower()]
                break
    return found


def _class_of(package: Package, path: str, folders: dict[str, str], imported: dict[str, str]) -> str:
    """The class of a file; empty for what is needed, tells of the package, or is a licence."""
    name = path.rpartition("/")[2]
    lower = name.lower()
    if path in package.records or lower.startswith(LICENCES):
        return ""
    below = _relative(package, path)
    above = path[: len(path) - len(below)]
    parts = below.split("/")
    for depth in range(1, len(parts)):
        folder = above + "/".join(parts[:depth])
        if folder in folders:
            if folder not in imported:
                return folders[folder]
            break
    if name == "conftest.py" or (name.startswith("conftest.cpython") and name.endswith(".pyc")):
        return "tests"
    for ending, what in ENDINGS.items():
        if lower.endswith(ending):
            return what
    return "headers" if "include" in parts[:-1] and "." not in name else ""


def _caution(package: Package, what: str) -> str:
    if what in BUILDING and package.name.startswith(COMPILERS):
        return "this package, or one that reads it, compiles while it runs"
    if what == "type stubs" and package.name in STUB_READERS:
        return "this package reads stubs while it runs"
    if what == "type stubs" and any("lazy-loader" in each.alternatives for each in package.requires):
        return "lazy_loader reads stubs while it runs"
    return ""


def _imported(
    files: Files, package: Package, paths: Iterable[str], folders: dict[str, str]
) -> dict[str, str]:
    """The folders from which one of the package's modules outside of all of them imports, and that module."""
    found: dict[str, str] = {}
    if not folders:
        return found
    inside = tuple(f"{folder}/" for folder in folders)
    words = {folder.rpartition("/")[2].encode() for folder in folders}
    for path in paths:
        if path.startswith(inside) or path.endswith("/conftest.py"):
            continue
        if path.endswith("/entry_points.txt") and path in package.records:
            names = re.findall(r"=\s*([\w.]+)", files.read(path).decode("utf-8", "replace"))
        elif path.endswith(".py") and files.tree.entries[path].kind == "file":
            content = files.read(path)
            if not any(word in content for word in words):
                continue
            names = list(_modules(content, _relative(package, path)))
        else:
            continue
        prefix = f"{package.folder}/" if package.folder else ""
        for name in names:
            where = prefix + name.replace(".", "/")
            for folder in folders:
                if where == folder or where.startswith(f"{folder}/"):
                    found.setdefault(folder, path)
    return found


def _modules(content: bytes, path: str) -> Iterator[str]:
    """The dotted names that the source at `path` imports, relative ones made whole."""
    package = path.rpartition("/")[0].split("/")
    for match in _IMPORT.finditer(content):
        if match["plain"]:
            yield from (part.split(b" as ")[0].strip().decode() for part in match["plain"].split(b","))
            continue
        whole = match["whole"].decode("ascii", "replace")
        dots = len(whole) - len(whole.lstrip("."))
        parts = [part for part in whole.split(".") if part]
        if dots:
            parts = package[: len(package) - dots + 1] + parts
        yield ".".join(parts)
        for name in re.findall(rb"[\w]+", match["names"]):
            yield ".".join([*parts, name.decode("ascii", "replace")])


def duplicates(files: Files, inventory: Inventory) -> Iterator[Duplicate]:
    """The shared libraries that the tree holds more than once, the ones that take the most first.

    Names are compared without the hash that wheels put in and without versions; extension modules are none.
    """
    groups: dict[str, list[str]] = {}
    nodes: set[int] = set()
    for path, entry in inventory.tree.entries.items():
        name = path.rpartition("/")[2]
        if not name.startswith("lib") or ".so" not in name or entry.kind != "file" or entry.node in nodes:
            continue
        nodes.update([entry.node] if entry.node else [])
        if ".cpython-" not in name and ".abi3." not in name:
            groups.setdefault(family(name), []).append(path)
    found = []
    for name, paths in _by_version(groups):
        by_machine: dict[tuple[str, int], dict[str, str]] = {}
        for path in paths if len(paths) > 1 else ():
            with files.open(path) as file:
                elf = read_elf(file)
            if elf is not None:
                by_machine.setdefault((elf.machine, elf.bits), {})[path] = _HASH.sub("", elf.soname)
        for sonames in by_machine.values():
            if len(sonames) > 1:
                sizes = [inventory.tree.entries[path].size for path in sonames]
                alike: Literal["content", "soname", "name"] = "name"
                if len(set(sizes)) == 1 and len({_digest(files, path) for path in sonames}) == 1:
                    alike = "content"
                elif len(set(sonames.values())) == 1 and "" not in sonames.values():
                    alike = "soname"
                found.append(Duplicate(name, tuple(sonames), alike, sum(sizes), sum(sizes) - max(sizes)))
    yield from sorted(found, key=lambda each: (-each.beyond_one, each.name))


def _by_version(groups: dict[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    """The groups, split where the first number after `.so.` differs: a program cannot swap those."""
    known = {name for _, name in FAMILIES}
    for name, paths in groups.items():
        numbers = {path: match[1] if (match := _NUMBER.search(path)) else "" for path in paths}
        different = sorted(set(numbers.values()) - {""})
        if name in known or len(different) < 2:
            yield name, paths
        else:
            for number in different:
                yield name, [path for path in paths if numbers[path] == number]


def family(name: str) -> str:
    """A library's name without hash and version: `libgfortran` for `libgfortran-040039e1.so.5`."""
    stem = _HASH.sub("", name.partition(".so")[0])
    stem = _VERSION.sub("", stem) or stem
    return next((known for pattern, known in FAMILIES if pattern.search(stem)), stem)


def _digest(files: Files, path: str) -> bytes:
    with files.open(path) as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.digest()
