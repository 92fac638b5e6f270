"""Trees in memory and pieces of this machine's disk as Files; ELF files and GPU code written by bytes."""

import os
import stat
import struct
from io import BytesIO
from pathlib import Path

from tradewind.audit.trees import Entry, Tree
from tradewind.errors import Misuse


class InMemory:
    """A tree from {path: content}: bytes or text is a file, `-> target` a link, None a directory."""

    def __init__(self, given, *, nodes=(), modes=()):
        self.contents = {
            path: content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
            for path, content in given.items()
            if content is not None and not (isinstance(content, str) and content.startswith("-> "))
        }
        entries = {}
        for path, content in given.items():
            if path in self.contents:
                size = len(self.contents[path])
                node, mode = dict(nodes).get(path, 0), dict(modes).get(path, 0o644)
                entries[path] = Entry(path, "file", size=size, node=node, mode=mode)
            elif content is None:
                entries[path] = Entry(path, "directory")
            else:
                entries[path] = Entry(path, "link", target=content.removeprefix("-> "))
            while "/" in path:
                path = path.rpartition("/")[0]
                entries.setdefault(path, Entry(path, "directory"))
        self.tree = Tree(entries.values())

    def open(self, path):
        return BytesIO(self.contents[path])

    def read(self, path, limit=64 << 20):
        if len(self.contents[path]) > limit:
            raise Misuse("it has too many bytes", source=path)
        return self.contents[path]


class OnDisk:
    """The given paths below a folder of this machine, with the folders above them; the rest is not there."""

    def __init__(self, root, paths):
        self.root = Path(root)
        entries = {}
        for path in paths:
            while path and path not in entries:
                entries[path] = self.entry(path)
                path = path.rpartition("/")[0]
        self.tree = Tree(entry for entry in entries.values() if entry is not None)

    def entry(self, path):
        try:
            told = os.lstat(self.root / path)
        except OSError:
            return None
        if stat.S_ISLNK(told.st_mode):
            return Entry(path, "link", target=os.readlink(self.root / path))
        if stat.S_ISDIR(told.st_mode):
            return Entry(path, "directory")
        return Entry(path, "file", size=told.st_size, mode=told.st_mode & 0o7777)

    def open(self, path):
        return (self.root / path).open("rb")

    def read(self, path, limit=64 << 20):
        return (self.root / path).read_bytes()


def elf_file(
    *, interpreter="", needed=(), runpath="", rpath="", soname="", machine=62, bits=64, order="<", sections=()
):
    """An ELF file with these in its dynamic section, loaded at 0x10000, and sections by name and content."""
    strings = b"\0"

    def text(value):
        nonlocal strings
        at = len(strings)
        strings += value.encode() + b"\0"
        return at

    wide = bits == 64
    rows = [(1, text(each)) for each in needed]
    rows += [(tag, text(value)) for tag, value in ((14, soname), (15, rpath), (29, runpath)) if value]
    head, program = (64, 56) if wide else (52, 32)
    tables = 3 if interpreter else 2
    loader = interpreter.encode() + b"\0" if interpreter else b""
    at_loader = head + tables * program
    at_strings = at_loader + len(loader)
    base = 0x10000
    rows += [(5, base + at_strings), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack(order + ("qQ" if wide else "iI"), *row) for row in rows)
    at_dynamic = at_strings + len(strings)
    end = at_dynamic + len(dynamic)

    def header(kind, offset, size):
        if wide:
            return struct.pack(order + "IIQQQQQQ", kind, 4, offset, base + offset, 0, size, size, 1)
        return struct.pack(order + "IIIIIIII", kind, offset, base + offset, 0, size, size, 4, 1)

    programs = header(1, 0, end) + header(2, at_dynamic, len(dynamic))
    if interpreter:
        programs += header(3, at_loader, len(loader))
    body = loader + strings + dynamic
    names, listed, content = b"\0", [(0, 0, 0, 0)], b""
    for name, data in [*sections, (".shstrtab", None)]:
        at = len(names)
        names += name.encode() + b"\0"
        data = names if data is None else data
        listed.append((at, 1, end + len(content), len(data)))
        content += data
    layout = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    table = b"".join(struct.pack(layout, n, k, 0, 0, o, s, 0, 0, 1, 0) for n, k, o, s in listed)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    fields = struct.pack(
        order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"),
        3, machine, 1, 0, head, end + len(content), 0, head, program, tables, struct.calcsize(layout),
        len(listed), len(listed) - 1,
    )  # fmt: skip
    return ident + fields + programs + body + content + table


def fat_region(elements, *, padding=0):
    """One region of `.nv_fatbin`: elements as (kind, sm, payload bytes), 1 for PTX and 2 for a cubin."""
    body = b""
    for kind, sm, size in elements:
        body += struct.pack("<HHIQ", kind, 0x101, 64, size) + bytes(12) + struct.pack("<I", sm) + bytes(32)
        body += b"\x5a" * size
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body + bytes(padding)
