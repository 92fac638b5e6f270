"""What programs and libraries need to run: interpreters, and libraries linked or loaded late."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tradewind.audit.slimming.given import SEARCHED, Found, Given
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.policy import meaning

LATE: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    # `pthread_exit` and the unwinding of exceptions end the process where it is missing
    (re.compile(r"lib(c|pthread)\.so(\.\d+)*|libc-[\d.]+\.so"), ("libgcc_s.so.1", "libnss_{services}.so.2")),
    (re.compile(r"libcrypto\.so\.3(\.\d+)*"), ("ossl-modules/*.so",)),
    (re.compile(r"libsasl2\.so(\.\d+)*"), ("sasl2/*.so*",)),
    (re.compile(r"libkrb5\.so(\.\d+)*"), ("krb5/plugins/**",)),
)
"""Names of libraries, and what each loads by name only when it is used, beside itself."""


def interpreters(given: Given, path: str) -> Found:
    """The loader that a program names, and the interpreter of a script: the kernel opens both.

    Tracers of system calls do not see them; without them the program is "not found" though it is there.
    """
    entry = given.file(path)
    if entry is None:
        return
    elf = given.elf(path)
    named = [elf.interpreter] if elf is not None and elf.interpreter else []
    if elf is None and entry.mode & 0o111 and entry.size > 2:
        named = list(_first_line(given, path))
    for each in named:
        end, hops = given.tree.resolve(each)
        if end:
            for found in (*hops, end):
                yield found, Reason("interpreter", path)


def _first_line(given: Given, path: str) -> Iterator[str]:
    """The programs that the first line of a script names: one, or `env` and the one that it starts."""
    start = given.start(path)
    if not start.startswith(b"#!"):
        return
    words = start[2:].split(b"\n", 1)[0].decode("utf-8", "replace").split()
    if not words:
        return
    yield words[0]
    if words[0].rpartition("/")[2] == "env":
        program = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
        places = (
            (f"{folder}/{program}" for folder in SEARCHED) if program and "/" not in program else (program,)
        )
        found = next((place for place in places if place and given.tree.resolve(place)[0]), None)
        if found is not None:
            yield found


def libraries(given: Given, path: str) -> Found:
    """What a kept program or library is linked with: the least that a path not run yet will ask for.

    The loader wants all of them before `main`, so a program of the image that no run started dies without
    them.
    """
    if given.policy.libraries and given.elf(path) is not None:
        for _, paths in given.libraries(path):
            for found in paths:
                yield found, Reason("library", path)


def late_modules(given: Given, path: str) -> Found:
    """What a kept library loads by name and late: name services, providers of OpenSSL, plugins of SASL.

    One run does not reach them all: the first host name that is looked up fails in an image without them.
    """
    if not given.policy.late_modules or given.file(path) is None:
        return
    folder, _, name = path.rpartition("/")
    for names, patterns in LATE:
        if not names.fullmatch(name):
            continue
        meant = meaning(tuple(_filled(given, patterns)))
        for below in _near(given, folder, patterns):
            if meant(below.removeprefix(folder).lstrip("/")):
                yield below, Reason("late module", path)


def _filled(given: Given, patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        if "{services}" in pattern:
            yield from (pattern.replace("{services}", each) for each in given.name_services)
        else:
            yield pattern


def _near(given: Given, folder: str, patterns: tuple[str, ...]) -> Iterator[str]:
    """What could be meant: the folder's own names, and all below those of its folders that a pattern
    names.
    """
    roots = {pattern.partition("/")[0] for pattern in patterns if "/" in pattern}
    for child in given.tree.children.get(folder, ()):
        if child.rpartition("/")[2] in roots:
            yield from given.below(child)
        elif not given.directory(child):
            yield child
