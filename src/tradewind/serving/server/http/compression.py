"""Bodies in gzip and deflate, both ways."""

from __future__ import annotations

import zlib
from functools import lru_cache

from tradewind.serving.server.http.messages import Buffer
from tradewind.serving.server.http.routes import Unanswerable

_LEVEL = 1
"""Of zlib. The others take two to ten times as long on JSON numbers for a tenth fewer bytes."""
_WRAPPERS = {"gzip": 31, "deflate": 15}
"""zlib's `wbits`; "deflate" in HTTP is zlib's format."""
_CODINGS_AT_MOST = 2
_MEMBERS_AT_MOST = 64


@lru_cache(maxsize=256)
def chosen(accept: str) -> str:
    """The coding to answer in, by an Accept-Encoding header: gzip, deflate, or empty for none.

    The highest weight wins, gzip among equals; identity only where it is weighted above both.

    >>> chosen("deflate, gzip;q=0.5"), chosen("br"), chosen("*;q=0.1"), chosen("gzip;q=0")
    ('deflate', '', 'gzip', '')
    """
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, _, parameters = part.partition(";")
        key, _, value = parameters.partition("=")
        weight = 1.0
        if key.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                weight = 0.0
        weights["gzip" if name.strip() == "x-gzip" else name.strip()] = weight
    others = weights.get("*", 0.0)
    best = max(("gzip", "deflate"), key=lambda name: weights.get(name, others))
    weight = weights.get(best, others)
    return best if weight > 0.0 and weight >= weights.get("identity", 0.0) else ""


def packed(pieces: bytes | list[Buffer], coding: str) -> bytes:
    """A body compressed in `coding` (gzip or deflate)."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WRAPPERS[coding])
    if isinstance(pieces, bytes):
        return packer.compress(pieces) + packer.flush()
    return b"".join([*(packer.compress(piece) for piece in pieces), packer.flush()])


def unpacked(body: bytes, codings: str, limit: int) -> bytes:
    """A body as it was before the codings of its Content-Encoding header were applied, one after the other.

    Nothing much beyond `limit` bytes is ever held. Raises Unanswerable: 413 beyond the limit, 415 for a
    coding that is not spoken here, 400 for bytes that are not in their coding, or end early.
    """
    names = [name for part in codings.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    for name in names:
        if name not in ("gzip", "x-gzip", "deflate"):
            known = (("Accept-Encoding", "gzip, deflate"),)
            raise Unanswerable(415, f"Content-Encoding {name[:40]!r} is not understood", known)
    if len(names) > _CODINGS_AT_MOST:
        raise Unanswerable(415, f"the body was compressed {len(names)} times over")
    for name in reversed(names):
        try:
            body = _inflated(body, "gzip" if name == "x-gzip" else name, limit)
        except zlib.error as error:
            raise Unanswerable(
                400, f"the body is not {name}, as its Content-Encoding says: {error}"
            ) from None
    return body


def _inflated(body: bytes, coding: str, limit: int) -> bytes:
    wrapper = _WRAPPERS[coding]
    if coding == "deflate" and not _has_zlib_header(body):
        wrapper = -15  # some clients send the bare stream, which every other server takes too
    found = b""
    for _ in range(_MEMBERS_AT_MOST):
        opener = zlib.decompressobj(wrapper)
        part = opener.decompress(body, limit - len(found) + 1)
        found = found + part if found else part
        if len(found) > limit:
            raise Unanswerable(413, f"the body is over {limit} bytes once decompressed")
        if not opener.eof:
            raise zlib.error("it ends early")
        body = opener.unused_data
        if not body:
            return found
        if coding != "gzip":
            raise zlib.error("something follows its end")
        # A gzip file may be several, one after the other (RFC 1952, section 2.2); each copies what is left.
    raise zlib.error(f"it has more than {_MEMBERS_AT_MOST} members")


def _has_zlib_header(body: bytes) -> bool:
    """Whether the first two bytes are zlib's: method 8, and a multiple of 31 (RFC 1950, section 2.2)."""
    return len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
