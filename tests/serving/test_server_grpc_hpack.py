"""HPACK against the examples of RFC 7541, appendix C, and against blocks that are none."""

import pytest

from tradewind.serving.server.grpc.hpack import _LENGTHS, HeaderBlocks, Undecodable, unpacked

REQUESTS = (
    (
        "828684410f7777772e6578616d706c652e636f6d",
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    ),
    (
        "828684be58086e6f2d6361636865",
        "828684be5886a8eb10649cbf",
        [
            (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com"),
            ("cache-control", "no-cache"),
        ],
    ),
    (
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        [
            (":method", "GET"), (":scheme", "https"), (":path", "/index.html"),
            (":authority", "www.example.com"), ("custom-key", "custom-value"),
        ],
    ),
)  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_the_requests_of_appendix_c(packed):
    blocks = HeaderBlocks(10_000)
    changes = []
    for plain, huffman, expected in REQUESTS:
        assert blocks.read(bytes.fromhex(huffman if packed else plain)) == expected
        changes.append(blocks.changes)
    assert changes == [1, 2, 3]
    # 62 is the newest entry, 64 the first; what was said before can be said in one byte.
    assert blocks.read(b"\xbe\xc0") == [("custom-key", "custom-value"), (":authority", "www.example.com")]
    assert blocks.changes == 3


def test_literals_and_the_tables_size():
    blocks = HeaderBlocks(10_000)
    assert blocks.read(bytes.fromhex("040c2f73616d706c652f70617468")) == [(":path", "/sample/path")]
    assert blocks.read(bytes.fromhex("100870617373776f726406736563726574")) == [("password", "secret")]
    assert blocks.changes == 0
    entry = bytes.fromhex("400a637573746f6d2d6b65790d637573746f6d2d686561646572")
    assert blocks.read(entry) == [("custom-key", "custom-header")]
    assert blocks.read(b"\xbe") == [("custom-key", "custom-header")]
    assert blocks.read(b"\x20") == [] and blocks.changes == 2  # a table of no bytes
    with pytest.raises(Undecodable):
        blocks.read(b"\xbe")
    assert blocks.read(b"\x3f\x18" + entry) == [("custom-key", "custom-header")]  # 55 bytes: the entry's
    with pytest.raises(Undecodable):
        blocks.read(b"\xbf")


def test_the_code_is_complete():
    """Kraft's equality: with one length wrong some texts would have no code, or two."""
    assert sum(2.0 ** (60 - ord(letter)) for letter in _LENGTHS) == 1.0
    assert len(_LENGTHS) == 257
    assert unpacked(b"") == b""
    assert unpacked(bytes.fromhex("9d29ad171863c78f0b97c8e9ae82ae43d3")) == b"https://www.example.com"


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("80", "index 0"),
        ("be", "ends early"),
        ("ff", "ends early"),
        ("ffffffffffff7f", "too large"),
        ("3fe21f", "size"),  # 4097
        ("8220", "size"),  # behind a header
        ("4005616263", "ends early"),
        ("4081ff0161", "badly filled"),  # eight bits to fill up
        ("4081610161", "badly filled"),
        ("4084ffffffff0161", "end of a text"),
    ],
)
def test_what_is_no_block(block, reason):
    with pytest.raises(Undecodable, match=reason):
        HeaderBlocks(10_000).read(bytes.fromhex(block))


def test_a_small_block_makes_no_large_list():
    blocks = HeaderBlocks(8192)
    blocks.read(b"\x40\x01a\x7f\x80\x1e" + b"v" * 3967)
    with pytest.raises(Undecodable, match="over 8192"):
        blocks.read(b"\xbe" * 3)
