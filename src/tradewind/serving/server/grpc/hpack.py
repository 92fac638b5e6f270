"""Header blocks of HTTP/2, read: HPACK (RFC 7541), with its static and dynamic tables and Huffman code."""

from __future__ import annotations

from collections import deque

from tradewind.errors import TradewindError

_STATIC: tuple[tuple[str, str], ...] = (
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""),
    ("cache-control", ""), ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""),
    ("content-length", ""), ("content-location", ""), ("content-range", ""), ("content-type", ""),
    ("cookie", ""), ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""),
    ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""),
    ("retry-after", ""), ("server", ""), ("set-cookie", ""), ("strict-transport-security", ""),
    ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
)  # fmt: skip
"""Appendix A, from index 1."""
_LENGTHS = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJB"
    "KABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRSVV"
    "PORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ"
)
"""Appendix B: of each symbol and the end of a text, the bits of its code, A for 5. The codes follow:
they ascend with the length, and with the symbol where that is the same."""
_TABLE_BYTES = 4096
"""Of the dynamic table at most, as where nobody settled on another size."""
_ENTRY_BYTES = 32
"""What an entry counts beside its texts (section 4.1)."""


def _codes() -> dict[tuple[int, int], int]:
    found, code, before = {}, 0, 0
    for length, symbol in sorted((ord(letter) - 60, symbol) for symbol, letter in enumerate(_LENGTHS)):
        code <<= length - before
        found[length, code] = symbol
        code, before = code + 1, length
    return found


_SYMBOLS = _codes()
_END = 256
_LONGEST = 30


class Undecodable(TradewindError):
    """A block of headers that does not read, or that is too large to be read."""


class HeaderBlocks:
    """Reads the header blocks of one connection, in their order.

    `limit` is for the bytes of one block's names and values, counted as the table does, so that a small block
    cannot make a large list.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: deque[tuple[str, str]] = deque()
        self._size, self._most = 0, _TABLE_BYTES
        self.changes = 0
        """How often the table has changed: a block means the same as before while it has not."""

    def read(self, block: bytes) -> list[tuple[str, str]]:
        """The headers of a block. Undecodable, after which the connection's other blocks cannot be read."""
        try:
            return self._read(block)
        except (IndexError, UnicodeDecodeError):
            raise Undecodable("a block of headers ends early or is no text") from None

    def _read(self, block: bytes) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        at, taken, end = 0, 0, len(block)
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 7)
                entry = self._entry(index)
            elif first & 0xC0 == 0x40:
                entry, at = self._literal(block, at, 6)
                self._keep(entry)
            elif first & 0xE0 == 0x20:
                size, at = _integer(block, at, 5)
                if found or size > _TABLE_BYTES:
                    raise Undecodable("the table's size is changed where or to what it may not")
                self._most = size
                self._evict()
                self.changes += 1
                continue
            else:
                entry, at = self._literal(block, at, 4)
            taken += len(entry[0]) + len(entry[1]) + _ENTRY_BYTES
            if taken > self._limit:
                raise Undecodable(f"the headers are over {self._limit} bytes")
            found.append(entry)
        return found

    def _literal(self, block: bytes, at: int, prefix: int) -> tuple[tuple[str, str], int]:
        index, at = _integer(block, at, prefix)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = _text(block, at)
        value, at = _text(block, at)
        return (name, value), at

    def _entry(self, index: int) -> tuple[str, str]:
        if index <= 0:
            raise Undecodable("there is no header of index 0")
        if index <= len(_STATIC):
            return _STATIC[index - 1]
        return self._entries[index - len(_STATIC) - 1]

    def _keep(self, entry: tuple[str, str]) -> None:
        self.changes += 1
        self._entries.appendleft(entry)
        self._size += len(entry[0]) + len(entry[1]) + _ENTRY_BYTES
        self._evict()

    def _evict(self) -> None:
        while self._size > self._most:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + _ENTRY_BYTES


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """An integer that begins in the last `prefix` bits of a byte (section 5.1), and where it ends."""
    most = (1 << prefix) - 1
    value = block[at] & most
    at += 1
    if value < most:
        return value, at
    for shift in range(0, 28, 7):
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise Undecodable("an integer in it is too large")


def _text(block: bytes, at: int) -> tuple[str, int]:
    packed = block[at] & 0x80
    length, at = _integer(block, at, 7)
    end = at + length
    if end > len(block):
        raise IndexError
    raw = block[at:end]
    return (unpacked(raw) if packed else raw).decode("latin-1"), end


def unpacked(raw: bytes) -> bytes:
    """What a text in Huffman's code says (section 5.2). Undecodable where it is none.

    >>> unpacked(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff"))
    b'www.example.com'
    """
    bits, left = int.from_bytes(raw, "big"), 8 * len(raw)
    found = bytearray()
    length, code = 0, 0
    while left:
        left -= 1
        code = code << 1 | bits >> left & 1
        length += 1
        symbol = _SYMBOLS.get((length, code)) if length > 4 else None
        if symbol is not None:
            if symbol == _END:
                raise Undecodable("the end of a text is in a text")
            found.append(symbol)
            length, code = 0, 0
        elif length >= _LONGEST:
            raise Undecodable("a text in it is in no code")
    if length > 7 or code != (1 << length) - 1:
        raise Undecodable("a text in it is badly filled up")
    return bytes(found)
