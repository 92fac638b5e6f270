"""What a rented instance is given for a probe: the command's folder, our program, its task, and how to begin.

The folder and the program are one gzipped tar. The task is JSON, and has the signed addresses to tell by.
The user data is a shell script that any image with cloud-init, curl or Python, and tar can run; whatever
becomes of it, the instance powers off when its time is up, which ends it.
"""

from __future__ import annotations

import fnmatch
import io
import math
import os
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tradewind.advice.measuring import on_instance, process_trees
from tradewind.advice.measuring.interface import Order
from tradewind.errors import Misuse

FETCHING, ENDING = 300.0, 300.0
"""Seconds that fetching the bundle may take, and that telling the end and powering off may."""
LARGEST = 256 * 2**20
"""Bytes of a bundle at most, packed."""
_UNPACKED = 4 * LARGEST
_FILES, _PROGRAM = "files", "program"
_PACKAGE = "tradewind/advice/measuring"
_EVERY, _TRIES, _ONE = 2, 45, 120
"""Seconds between two tries to fetch, as the network may come up a moment after the script; how many; and
seconds of one."""


def packed(folder: str | Path, leave: Iterable[str], most: int = LARGEST) -> bytes:
    """The folder and the program as a gzipped tar.

    `leave` are patterns of what stays out: of names at any depth, or with a leading `/` of paths from the
    folder on. Raises Misuse for a folder that is too large or cannot be read; sockets, devices and the like
    stay out.
    """
    root, patterns = Path(folder), tuple(leave)
    result, size = io.BytesIO(), 0
    with tarfile.open(fileobj=result, mode="w:gz", compresslevel=6) as tar:
        for path in _chosen(root, patterns):
            name = f"{_FILES}/{path.relative_to(root).as_posix()}"
            try:
                info = tar.gettarinfo(path, name)
                size += info.size
                if size > _UNPACKED:
                    raise _too_large(root, most)
                if info.isreg():
                    with path.open("rb") as file:
                        tar.addfile(info, file)
                else:
                    tar.addfile(info)
            except OSError as problem:
                raise Misuse(
                    f"{path} cannot be read: {problem.strerror}",
                    source="measure",
                    field="folder",
                    fix="Make it readable, or name it in measure.leave.",
                ) from problem
            if result.tell() > most:
                raise _too_large(root, most)
        for name, content in _program():
            info = tarfile.TarInfo(f"{_PROGRAM}/{name}")
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    if result.tell() > most:
        raise _too_large(root, most)
    return result.getvalue()


def task_of(order: Order, cores: float | None, links: Mapping[str, str], beat: float) -> dict[str, Any]:
    """What the program on the instance is told.

    `cores` are the processors to hold the command to, None for all; `links` are the addresses of `alive`,
    `output` and `end`; `beat` is in seconds.
    """
    return {
        "command": list(order.command),
        "folder": f"../{_FILES}",
        "environment": dict(order.environment),
        "cores": cores,
        "memory": order.room.memory,
        "limit": order.limit,
        "beat": beat,
        "links": dict(links),
    }


def user_data(bundle: str, task: str, limit: float) -> str:
    """The script of an instance that fetches a bundle and a task from their addresses, and runs it.

    Braces are doubled, as `providers.aws.requests.user_data` wants them. It works below `TRADEWIND_ROOM`, or
    /var/tmp: /tmp may be memory, and that is measured.
    """
    minutes = math.ceil((FETCHING + limit + ENDING) / 60)
    script = f"""#!/bin/sh
# Tradewind: one probe, and then the end of this instance, come what may.
shutdown -P +{minutes}
cd "$(mktemp -d -p "${{TRADEWIND_ROOM:-/var/tmp}}")" || {{ shutdown -P now; exit 1; }}
get='import sys, urllib.request as u; open(sys.argv[2], "wb").write(u.urlopen(sys.argv[1]).read())'
fetch() {{
  n=0
  until curl -fsS -m {_ONE} -o "$2" "$1" || timeout {_ONE} python3 -c "$get" "$1" "$2"; do
    n=$((n + 1)); [ $n -lt {_TRIES} ] || return 1
    sleep {_EVERY}
  done
}}
mkdir {_FILES} work
fetch {shlex.quote(bundle)} bundle.tar.gz && fetch {shlex.quote(task)} task.json &&
  tar --no-same-owner -xzf bundle.tar.gz && cd work &&
  PYTHONPATH=../{_PROGRAM} python3 -m {on_instance.__name__} ../task.json
shutdown -P now
"""
    return script.replace("{", "{{").replace("}", "}}")


def _chosen(root: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    def left(path: Path) -> bool:
        inside = f"/{path.relative_to(root).as_posix()}"
        names = ((inside if each.startswith("/") else path.name, each) for each in patterns)
        return any(fnmatch.fnmatchcase(name, each) for name, each in names)

    for folder, names, files in os.walk(root):
        here = Path(folder)
        names[:] = sorted(name for name in names if not left(here / name))
        for name in sorted([*names, *files]):
            path = here / name
            if not left(path) and (path.is_symlink() or path.is_dir() or path.is_file()):
                yield path


def _program() -> Iterator[tuple[str, bytes]]:
    """Our program as a package of its own, by its files."""
    folder = ""
    for part in _PACKAGE.split("/"):
        folder += f"{part}/"
        yield f"{folder}__init__.py", b""
    for module in (on_instance, process_trees):
        assert module.__file__ is not None
        path = Path(module.__file__)
        yield f"{_PACKAGE}/{path.name}", path.read_bytes()


def _too_large(root: Path, most: int) -> Misuse:
    return Misuse(
        f"{root} is more than {most / 2**20:g} MiB packed, or {_UNPACKED / 2**30:g} GiB unpacked",
        source="measure",
        field="folder",
        fix="Name in measure.leave what a probe does not need, and let the command fetch large data itself.",
    )
