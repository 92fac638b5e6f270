"""What is kept beyond what the runs touched, and what is never kept: the choices of whoever slims."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tradewind.errors import Misuse


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """The switches of slimming; the defaults repeat what was run and keep scanners seeing.

    Patterns are paths in the tree, with `*` for anything but `/`, `**` for anything, and `?` for one
    character; a pattern that means a directory means all below it.
    """

    system_files: bool = True
    """Users, groups, name service, hosts, the loader's cache, local time: what the C library reads late."""
    certificates: bool = True
    """The bundles and folders of certificate authorities."""
    zoneinfo: bool = True
    """The time zones, of the system and of the Python package `tzdata`."""
    locales: bool = False
    """Compiled locales and the converters of character sets, for whoever starts it under another language."""
    libraries: bool = True
    """What kept programs and libraries are linked with, though no run reached it."""
    late_modules: bool = True
    """What kept libraries load by name and late: name services, OpenSSL's providers."""
    sources: Literal["keep", "sourceless"] = "keep"
    """`keep` keeps `m.py` of each compiled `m`. `sourceless` puts the compiled file in its place instead,
    which breaks `inspect.getsource`, torch.jit, numba and tracebacks with source lines."""
    probed: Literal["keep", "placeholder"] = "keep"
    """What was only asked for: kept, or an empty file with its name and mode."""
    unseen: Literal["placeholder", "nothing"] = "placeholder"
    """Where no tracer saw questions: the names of all files of the packages that were opened, empty."""
    listings: Literal["needed", "names"] = "needed"
    """Directories that were listed: what of them was needed, or all their names, the rest as empty files."""
    metadata: bool = True
    """What Python's packages with kept files tell of themselves: METADATA, RECORD, entry points."""
    licences: bool = True
    """The licences and copyright notices of packages with kept files."""
    databases: bool = True
    """The part of the package databases that tells of packages with kept files."""
    keep: tuple[str, ...] = ()
    """Patterns of paths that are kept whatever the runs touched."""
    drop: tuple[str, ...] = ()
    """Patterns of paths that are never kept, whatever asks for them; the touched ones are told."""
    whole: tuple[str, ...] = ()
    """Packages that are kept with all their files: a name, or manager and name as in `apt:libc6`."""
    writable: tuple[str, ...] = ()
    """Directories that must be there, empty or not, since the workload writes to them."""

    def check(self, source: str = "policy") -> Policy:
        """Itself; raises Misuse, naming the field, for a pattern or a path that can mean nothing."""
        for field in ("keep", "drop", "writable"):
            for at, pattern in enumerate(getattr(self, field)):
                parts = pattern.strip("/").split("/")
                if any(part in ("", ".", "..") for part in parts):
                    raise Misuse(
                        f"{pattern!r} is no path below the root",
                        source=source,
                        field=f"{field}[{at}]",
                        fix="Write it from the root, without '.' or '..': usr/share/zoneinfo/**.",
                    )
        for at, name in enumerate(self.whole):
            if not re.fullmatch(r"((apt|pip|conda):)?[A-Za-z0-9][A-Za-z0-9+._:@/-]*", name):
                raise Misuse(
                    f"{name!r} is no name of a package",
                    source=source,
                    field=f"whole[{at}]",
                    fix="Write the package's name, or its manager in front of it: apt:libc6.",
                )
        both = sorted(set(self.keep) & set(self.drop))
        if both:
            raise Misuse(
                f"{both[0]!r} is to be kept and to be dropped",
                source=source,
                field="drop",
                fix="Leave it in one of the two.",
            )
        return self


def read_policy(given: Mapping[str, Any], source: str = "policy") -> Policy:
    """The policy that a table of a file means; raises Misuse, naming the field, for one that is none."""
    try:
        return msgspec.convert(dict(given), Policy).check(source)
    except msgspec.ValidationError as wrong:
        problem, _, where = str(wrong).partition(" - at `$.")
        raise Misuse(
            problem,
            source=source,
            field=where.rstrip("`"),
            fix=f"The fields are: {', '.join(Policy.__struct_fields__)}.",
        ) from None


def for_config(policy: Policy, config: Mapping[str, Any]) -> Policy:
    """The policy with the folders that an image's configuration starts in or mounts over kept."""
    settings = config.get("config") or {}
    folders = [str(settings.get("WorkingDir") or ""), *(settings.get("Volumes") or {})]
    named = [folder.strip("/") for folder in folders if folder.strip("/")]
    safe = [each for each in named if not any(part in ("", ".", "..") for part in each.split("/"))]
    return msgspec.structs.replace(policy, writable=tuple(dict.fromkeys([*policy.writable, *safe])))


def meaning(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path is meant by one of the patterns, or lies below one that is."""
    return _matcher(tuple(patterns))


@lru_cache(maxsize=32)
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    if not patterns:
        return lambda path: False
    expressions = "|".join(f"(?:{_expression(each.strip('/'))})" for each in patterns)
    match = re.compile(expressions, re.DOTALL).fullmatch
    return lambda path: match(path) is not None


def _expression(pattern: str) -> str:
    """The regular expression of a pattern, in which no pattern can make matching slow.

    An image names patterns too (its volumes). Whatever comes between two wildcards is taken where it first
    fits, and not looked for again (atomic groups): a later place could only leave less to what follows.
    """
    parts: list[tuple[str, str]] = [("", "")]
    for piece in re.findall(r"(?<![^/])\*\*/|\*\*|[^*]+|\*", re.sub(r"\*{3,}", "**", pattern)):
        if piece.startswith("**"):
            parts.append(("(?:.*?/)??" if piece == "**/" else ".*?", ""))
        else:
            parts[-1] = (parts[-1][0], parts[-1][1] + piece)
    *before, (start, last) = parts
    made = "".join(f"(?>{begin}{_within(text, '')})" for begin, text in before)
    return f"{made}{start}{_within(last, '[^/]*')}(?:/.*)?"


def _within(text: str, ending: str) -> str:
    """What of a pattern has no `**` in it; `ending` stands for its last `*`."""
    pieces = [
        "".join("[^/]" if each == "?" else re.escape(each) for each in part) for part in text.split("*")
    ]
    if len(pieces) == 1:
        return pieces[0]
    first, *between, last = pieces
    made = first + "".join(f"(?>[^/]*?{piece})" for piece in between)
    return made + (ending + last if ending else f"(?>[^/]*?{last})")
