"""The members of a tar archive, read by a parser that believes nothing it can check.

ustar, GNU (long names, sparse files) and PAX are understood; whatever else there is, a wrong checksum, a
negative or contradictory size, or an end that does not come is Misuse, for two readers that disagree on an
archive are how content is hidden from one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from tradewind.audit.images.limits import MIB, Limits
from tradewind.audit.images.regions import Region
from tradewind.errors import Misuse

MemberKind = Literal["file", "hard", "link", "device", "directory", "pipe"]
_KINDS: dict[int, MemberKind] = {
    0: "file", ord("0"): "file", ord("7"): "file", ord("1"): "hard", ord("2"): "link", ord("3"): "device",
    ord("4"): "device", ord("5"): "directory", ord("6"): "pipe", ord("S"): "file",
}  # fmt: skip
BLOCK = 512
_ZEROS = bytes(BLOCK)
_EMPTY = 20 * BLOCK
"""Bytes of an archive without members, as tar pads it."""
XATTR = b"SCHILY.xattr."
_STATED_ONCE = (b"path", b"size", b"linkpath", b"GNU.sparse.name")


class Member(Struct, frozen=True, gc=False):
    """One member of an archive, as the archive states it: its name is not yet safe to use."""

    name: str
    kind: MemberKind
    size: int
    """Bytes of the content, holes included."""
    mode: int
    user: int
    group: int
    modified: float
    target: str
    """Where a link or a hard link leads; for a device, `c 1:3`."""
    start: int
    """Where its content begins in the archive."""
    attributes: tuple[tuple[str, bytes], ...] = ()
    stretches: tuple[tuple[int, int], ...] | None = None
    """For a sparse file, where its stored bytes belong."""


def members(region: Region, source: str, limits: Limits, *, whole: bool = False) -> Iterator[Member]:
    """The members of the archive in `region`, in order; `source` names it in errors.

    An archive that ends without its end mark is taken only if it is known to be `whole`, by its digest.
    """
    return _Parser(region, source, limits).members(whole)


def is_archive(region: Region) -> bool:
    """Whether a tar archive begins here: a header with the right checksum, or an archive without members."""
    header = region.at(0, BLOCK)
    if len(header) < BLOCK or header == _ZEROS:
        return BLOCK <= region.size <= _EMPTY and not any(region.at(0, _EMPTY))
    return any(header[:100]) and _checksum(header) == _octal(header[148:156])


def _checksum(header: bytes) -> int:
    return sum(header[:148]) + sum(header[156:]) + 256


def _octal(field: bytes) -> int | None:
    """A number as tar writes it, or None if it is none."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big") - (256 ** (len(field) - 1) if field[0] == 0xFF else 0)
    text = field.partition(b"\0")[0].strip(b" ")
    if not text:
        return 0
    return int(text, 8) if text.isdigit() and max(text) < ord("8") else None


class _Parser:
    def __init__(self, region: Region, source: str, limits: Limits) -> None:
        self._region, self._source, self._limits = region, source, limits
        self._window, self._begin = b"", 0
        self._place = 0

    def members(self, whole: bool) -> Iterator[Member]:
        everywhere: dict[bytes, bytes] = {}
        here: dict[bytes, bytes] = {}
        extra = 0
        while True:
            header = self._block(self._place)
            if not header:
                if whole and not here:
                    return
                self._refuse("ends without its end mark: it is cut short")
            if header == _ZEROS:
                if here or self._block(self._place + BLOCK) not in (_ZEROS, b""):
                    self._refuse("goes on after an end mark")
                return
            if (stated := _octal(header[148:156])) is None or stated != _checksum(header):
                self._refuse("has a header whose checksum is wrong")
            letter = header[156]
            size = self._number(header[124:136], "size")
            if letter in b"xgXLK":
                extra += size
                if extra > self._limits.header or size < 0:
                    self._refuse(f"has extended headers of more than {self._limits.header:,} bytes", "header")
                content = self._region.at(self._place + BLOCK, size)
                if len(content) < size:
                    self._refuse("is cut short")
                self._place += BLOCK + size + -size % BLOCK
                if letter == ord("g"):
                    self._take(content, everywhere)
                    if any(key in everywhere for key in _STATED_ONCE):
                        self._refuse("states one name or size for all of its members")
                elif letter in b"LK":
                    here[b"path" if letter == ord("L") else b"linkpath"] = content.partition(b"\0")[0]
                else:
                    self._take(content, here)
                continue
            yield self._member(header, letter, size, {**everywhere, **here} if everywhere else here)
            here, extra = {}, 0

    def _member(self, header: bytes, letter: int, size: int, stated: dict[bytes, bytes]) -> Member:
        kind = _KINDS.get(letter)
        raw = header[:100].partition(b"\0")[0]
        if header[257:263] == b"ustar\0" and header[345]:
            raw = header[345:500].partition(b"\0")[0] + b"/" + raw
        raw = stated.get(b"path", raw)
        target = stated.get(b"linkpath", header[157:257].partition(b"\0")[0])
        name = raw.decode("utf-8", "surrogateescape")
        if kind is None:
            self._refuse(f"has a member of the unknown kind {chr(letter)!r}", name)
        if not raw or b"\0" in raw or b"\0" in target or max(len(raw), len(target)) > self._limits.path:
            self._refuse("has a member whose name or target is empty, too long, or no name", name[:200])
        if kind == "file" and letter == 0 and raw.endswith(b"/"):
            kind = "directory"
        if stated:
            size = self._stated(stated, b"size", size)
        # Some writers state the size of what a hard link leads to, without content; that of others is none.
        stored = size if kind == "file" else 0
        if stored < 0 or (size and kind in ("link", "device", "pipe")):
            self._refuse("has a member with an impossible size", name)
        start = self._place + BLOCK
        member = Member(
            name,
            kind,
            stored,
            self._number(header[100:108], name) & 0o7777,
            self._stated(stated, b"uid", self._number(header[108:116], name)),
            self._stated(stated, b"gid", self._number(header[116:124], name)),
            self._moment(stated, header, name),
            target.decode("utf-8", "surrogateescape") if kind in ("link", "hard") else "",
            start,
        )
        if kind == "device":
            numbers = [self._number(header[at : at + 8], name) for at in (329, 337)]
            member = replace(member, target=f"{'c' if letter == ord('3') else 'b'} {numbers[0]}:{numbers[1]}")
        if stated:
            attributes = sorted((k[len(XATTR) :].decode(errors="surrogateescape"), v)
                                for k, v in stated.items() if k.startswith(XATTR))  # fmt: skip
            member = replace(member, attributes=tuple(attributes))
        if letter == ord("S"):
            member = self._old_sparse(header, member)
        elif any(key.startswith(b"GNU.sparse.") for key in stated):
            member = self._sparse(member, stated)
        # The blocks of an old map are no part of the stated size.
        end = (member.start if letter == ord("S") else start) + stored
        if end > self._region.size:
            self._refuse("is cut short in the content of a member", name)
        self._place = end + -end % BLOCK
        return member

    def _old_sparse(self, header: bytes, member: Member) -> Member:
        """A GNU sparse file of type S: its map is in the header, and goes on in blocks before the content."""
        pairs = [header[at : at + 24] for at in range(386, 482, 24)]
        more, start = header[482], member.start
        while more:
            block = self._block(start)
            if len(pairs) > MIB // 24 or len(block) < BLOCK:
                self._refuse("has a sparse member whose map does not end", member.name)
            pairs += [block[at : at + 24] for at in range(0, 504, 24)]
            more, start = block[504], start + BLOCK
        found = [
            (self._number(p[:12], member.name), self._number(p[12:], member.name)) for p in pairs if any(p)
        ]
        return self._holed(member, found, self._number(header[483:495], member.name), start)

    def _sparse(self, member: Member, stated: dict[bytes, bytes]) -> Member:
        """A sparse file as PAX writes it, in any of the versions 0.0, 0.1 and 1.0."""
        name = stated.get(b"GNU.sparse.name", b"").decode("utf-8", "surrogateescape")
        member = replace(member, name=name or member.name)
        real = self._stated(
            stated, b"GNU.sparse.realsize", self._stated(stated, b"GNU.sparse.size", member.size)
        )
        start = member.start
        if stated.get(b"GNU.sparse.major") == b"1":
            numbers: list[bytes] = []
            text = b""
            while not numbers or len(numbers) < 1 + 2 * self._whole(numbers[0], member.name):
                block = self._block(start)
                if len(block) < BLOCK or start - member.start > self._limits.header:
                    self._refuse("has a sparse member whose map does not end", member.name)
                *lines, text = (text + block).split(b"\n")
                numbers, start = numbers + lines, start + BLOCK
            flat = [
                self._whole(each, member.name)
                for each in numbers[1 : 1 + 2 * self._whole(numbers[0], member.name)]
            ]
        else:
            flat = [
                self._whole(each, member.name)
                for each in stated.get(b"GNU.sparse.map", b"").split(b",")
                if each
            ]
        if len(flat) % 2:
            self._refuse("has a sparse member with an odd map", member.name)
        found = list(zip(flat[::2], flat[1::2], strict=True))
        return self._holed(replace(member, size=member.size - (start - member.start)), found, real, start)

    def _holed(self, member: Member, found: list[tuple[int, int]], real: int, start: int) -> Member:
        end = 0
        for offset, length in found:
            if offset < end or length < 0:
                self._refuse("has a sparse member whose stretches overlap", member.name)
            end = offset + length
        if end > real or sum(length for _, length in found) != member.size:
            self._refuse("has a sparse member whose map does not fit its size", member.name)
        return replace(member, size=real, start=start, stretches=tuple(pair for pair in found if pair[1]))

    def _take(self, content: bytes, into: dict[bytes, bytes]) -> None:
        """The records of a PAX header: each `LENGTH KEY=VALUE` and a new line."""
        at = 0
        while at < len(content):
            blank = content.find(b" ", at, at + 20)
            length = int(content[at:blank]) if content[at:blank].isdigit() else 0
            record = content[blank + 1 : at + length]
            key, mark, value = record[:-1].partition(b"=")
            if blank < 0 or length < 5 or at + length > len(content) or record[-1:] != b"\n" or not mark:
                self._refuse("has an extended header that is damaged")
            if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                # Version 0.0 repeats these two keys for each stretch; they are what 0.1 calls the map.
                key, value = b"GNU.sparse.map", into.get(b"GNU.sparse.map", b"") + value + b","
            if value or key.startswith(XATTR):
                into[key] = value
            else:
                into.pop(key, None)
            at += length

    def _block(self, place: int) -> bytes:
        """512 bytes, or none at the end; read in larger pieces, for most members are small."""
        at = place - self._begin
        if at < 0 or at + BLOCK > len(self._window):
            self._window, self._begin, at = self._region.at(place, 64 * BLOCK), place, 0
        return self._window[at : at + BLOCK] if len(self._window) - at >= BLOCK else b""

    def _number(self, field: bytes, name: str) -> int:
        found = _octal(field)
        if found is None:
            self._refuse("has a header with a number that is none", name)
        return found

    def _whole(self, text: bytes, name: str) -> int:
        if not text.isdigit() or len(text) > 20:
            self._refuse("has a header with a number that is none", name)
        return int(text)

    def _stated(self, stated: dict[bytes, bytes], key: bytes, otherwise: int) -> int:
        return self._whole(stated[key], key.decode()) if key in stated else otherwise

    def _moment(self, stated: dict[bytes, bytes], header: bytes, name: str) -> float:
        if b"mtime" not in stated:
            return float(self._number(header[136:148], name))
        try:
            found = float(stated[b"mtime"])
        except ValueError:
            found = float("nan")
        if not abs(found) < 2**53:
            self._refuse("has a header with a time that is none", name)
        return found

    def _refuse(self, problem: str, field: str = "") -> NoReturn:
        raise Misuse(
            problem, source=self._source, field=field, fix="Fetch it again, or write it with another tool."
        )
