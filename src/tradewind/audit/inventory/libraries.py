"""Which libraries an ELF file of a tree is loaded with: the loader's search, made inside the tree.

As ld.so does it (ld.so(8)): for a file without DT_RUNPATH the DT_RPATH of itself and of what loaded it, then
the user's LD_LIBRARY_PATH, then DT_RUNPATH, then the folders of `/etc/ld.so.conf` (whose cache tells the
same), then the built-in ones. A file for another processor is passed over. musl reads
`/etc/ld-musl-ARCH.path` instead. What is opened at run time by name (`dlopen`) is not seen here: it is a
floor of what is needed, not the whole.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from fnmatch import fnmatchcase

from msgspec import Struct

from tradewind.audit.inventory.elf import Elf, read_elf
from tradewind.audit.trees import Files
from tradewind.errors import Misuse

BUILT_IN = ("lib", "usr/lib", "lib64", "usr/lib64")
TRIPLETS = {
    "x86_64": "x86_64-linux-gnu",
    "aarch64": "aarch64-linux-gnu",
    "i386": "i386-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "ppc64": "powerpc64le-linux-gnu",
    "s390x": "s390x-linux-gnu",
    "riscv": "riscv64-linux-gnu",
}
"""Debian's folders of one architecture, which its loader has built in."""
MOST_INCLUDES = 8


class Library(Struct, frozen=True):
    """One library that a file asks for, and what it is in the tree."""

    name: str
    """As it is asked for."""
    path: str = ""
    """The file that is loaded, links resolved; empty if the tree has none."""
    found: str = ""
    """The name under which it was found, before its links are resolved."""
    hops: tuple[str, ...] = ()
    """The links that lead from there to the file, in order."""


class LibrarySearch:
    """The loader's search inside one tree; remembers what it read."""

    def __init__(self, files: Files, library_path: Iterable[str] = ()) -> None:
        self.files = files
        self.library_path = tuple(library_path)
        self._elves: dict[str, Elf | None] = {}
        self._configured = self._from_configuration("etc/ld.so.conf", 0)

    def elf(self, path: str) -> Elf | None:
        """What the file at `path` asks for; None if it is no ELF file."""
        if path not in self._elves:
            with self.files.open(path) as file:
                self._elves[path] = read_elf(file)
        return self._elves[path]

    def needed(self, path: str, loaders: tuple[str, ...] = ()) -> tuple[Library, ...]:
        """The libraries that the file at `path` asks for itself; `loaders` are what loaded it, nearest first.

        None for what is no ELF file.
        """
        elf = self.elf(path)
        if elf is None:
            return ()
        folders = list(self._folders(path, elf, loaders))
        return tuple(self._found(name, elf, folders) for name in elf.needed)

    def closure(self, paths: Iterable[str]) -> dict[str, tuple[Library, ...]]:
        """What each of `paths` that is an ELF file asks for, and what their libraries do, and so on, by path.

        A library that several load is searched for with the first loader's inherited folders.
        """
        found: dict[str, tuple[Library, ...]] = {}
        chains: list[tuple[str, tuple[str, ...]]] = [(path, ()) for path in sorted(paths, reverse=True)]
        while chains:
            path, loaders = chains.pop()
            if path in found or self.elf(path) is None:
                continue
            found[path] = self.needed(path, loaders)
            above = (path, *loaders)
            chains += [
                (each.path, above) for each in reversed(found[path]) if each.path and each.path not in found
            ]
        return found

    def _folders(self, path: str, elf: Elf, loaders: tuple[str, ...]) -> Iterable[str]:
        def expanded(owner: str, told: Elf) -> list[str]:
            origin = "/" + posixpath.dirname(owner)
            library = "lib64" if told.bits == 64 else "lib"
            places = []
            for part in told.runpath:
                for word, value in (("ORIGIN", origin), ("LIB", library), ("PLATFORM", told.machine)):
                    part = part.replace("${" + word + "}", value).replace("$" + word, value)
                places.append(part)
            return places

        if not elf.runpath or elf.inherited:
            for each in (path, *loaders):
                told = self.elf(each)
                if told is not None and told.inherited:
                    yield from expanded(each, told)
        yield from self.library_path
        if elf.runpath and not elf.inherited:
            yield from expanded(path, elf)
        yield from self._configured
        triplet = TRIPLETS.get(elf.machine, "")
        if triplet:
            yield from (f"lib/{triplet}", f"usr/lib/{triplet}")
        if "ld-musl" in elf.interpreter or any(name.startswith("libc.musl") for name in elf.needed):
            told_path = f"etc/ld-musl-{elf.machine}.path"
            if told_path in self.files.tree:
                yield from self._text(told_path).replace(":", "\n").split()
                return
            yield "usr/local/lib"
        yield from BUILT_IN

    def _found(self, name: str, elf: Elf, folders: list[str]) -> Library:
        candidates = [name] if "/" in name else [f"{folder}/{name}" for folder in folders]
        for candidate in candidates:
            path, hops = self.files.tree.resolve(candidate)
            if path is None:
                continue
            entry = self.files.tree.get(path)
            if entry is None or entry.kind != "file":
                continue
            other = self.elf(path)
            if other is not None and (other.machine, other.bits) == (elf.machine, elf.bits):
                found = posixpath.normpath("/" + candidate).lstrip("/")
                return Library(name=name, path=path, found=found, hops=hops)
        return Library(name=name)

    def _from_configuration(self, path: str, depth: int) -> tuple[str, ...]:
        """The folders that a file of the loader's configuration names, its includes among them."""
        where, _ = self.files.tree.resolve(path)
        entry = self.files.tree.get(where or "")
        if where is None or entry is None or entry.kind != "file" or depth > MOST_INCLUDES:
            return ()
        found: list[str] = []
        for line in self._text(where).splitlines():
            line = line.partition("#")[0].strip()
            if line.startswith("include"):
                for pattern in line.split()[1:]:
                    if not pattern.startswith("/"):
                        pattern = posixpath.join("/", posixpath.dirname(path), pattern)
                    for each in self._matching(pattern):
                        found += self._from_configuration(each, depth + 1)
            elif line and not line.startswith("hwcap"):
                found.append(line.partition("=")[0])
        return tuple(found)

    def _matching(self, pattern: str) -> list[str]:
        folder, _, last = pattern.rpartition("/")
        where, _ = self.files.tree.resolve(folder)
        if where is None:
            return []
        below = self.files.tree.children.get(where, ())
        return [path for path in below if fnmatchcase(path.rpartition("/")[2], last)]

    def _text(self, path: str) -> str:
        try:
            return self.files.read(path, 1 << 20).decode("utf-8", "replace")
        except Misuse:
            return ""
