"""Tar archives: plain files handed on, links and devices refused, nothing after the end."""

from __future__ import annotations

import re
import tarfile

from tradewind.data.model_files.containers.windows import pieces, window
from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.inspection import Inspection, Reading, Source

_AGAIN = "Fetch the file again, or pack it again with a plain tool; if it stays so, do not load it."
RULES = {
    rule: Rule(rule, "blocked", meaning, _AGAIN)
    for rule, meaning in {
        "tar-broken": "The archive is damaged or cut off; a reader that goes on may see something else.",
        "tar-trailing": "Bytes follow the archive's end: another reader may see something else in the file.",
        "tar-path": "A member's name leads outside of the folder it would be unpacked into.",
        "tar-link": "A member is a link: unpacking it would lead a later member, or a reader, elsewhere.",
        "tar-device": "A member is a device, a pipe or something else that is no file.",
        "tar-duplicate": "Two members have one name: readers differ in which of them they take.",
    }.items()
}
_CHECKSUM = re.compile(rb"[ 0-7]{6}[\0 ]{2}|[ 0-7]{7}\0|[ 0-7]{8}|0[0-7]{5}\0 ")


def recognises(source: Source) -> bool:
    """Whether the file begins with a tar header whose checksum is right, or says that it is one."""
    head = source.read(0, 512)
    if len(head) < 512:
        return False
    if head[257:262] == b"ustar":
        return True
    field = head[148:156]
    if not _CHECKSUM.fullmatch(field):
        return False
    told = int(field.rstrip(b"\0 ").strip() or b"0", 8)
    return told == sum(head) - sum(field) + 8 * 32


def structure(source: Source, inspection: Inspection) -> list[tarfile.TarInfo]:
    """Check the archive as such; its plain files, in order."""
    found: list[tarfile.TarInfo] = []
    names: set[str] = set()

    def tell(rule: str, message: str, member: tarfile.TarInfo | None, offset: int | None = None) -> None:
        name = member.name if member is not None else ""
        at = member.offset if member is not None else offset
        inspection.found(RULES[rule], message, source=source, offset=at, name=name)

    end = 0
    try:
        with tarfile.open(fileobj=source.file(), mode="r:") as archive:
            while (member := archive.next()) is not None:
                inspection.spend(members=1)
                setattr(archive, "members", [])  # noqa: B010 - it would keep every header
                name = member.name
                plain = name.rstrip("/").lower().removeprefix("./")
                if name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name:
                    tell("tar-path", f"a member would be unpacked outside: {name!r}", member)
                if member.issym() or member.islnk():
                    tell("tar-link", f"{name} is a link to {member.linkname!r}", member)
                elif member.isreg() and not member.issparse():
                    if plain in names:
                        tell("tar-duplicate", f"two members are called {name!r}", member)
                    if member.offset_data + member.size > source.size:
                        tell("tar-broken", f"{name} ends beyond the file", member)
                    found.append(member)
                elif not member.isdir():
                    tell("tar-device", f"{name} is no plain file", member)
                names.add(plain)
            end = archive.offset
    except (tarfile.TarError, ValueError, EOFError, OSError, IndexError, KeyError, RecursionError) as error:
        tell("tar-broken", f"the archive cannot be read: {error}", None, end)
        return found
    if any(piece.strip(b"\0") for piece in pieces(source, end, source.size - end)):
        tell("tar-trailing", "the archive's end is followed by something", None, end)
    return found


def inspect(source: Source, inspection: Inspection) -> None:
    """Check an archive and hand every file on."""
    for member in structure(source, inspection):
        inspection.inside(window(source, member.offset_data, member.size), member.name, source)


READING = Reading("tar", recognises, inspect, RULES)
