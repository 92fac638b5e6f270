"""Notes in the place of objects: keys in constant time, previews within limits."""

import pytest

from tradewind.data.model_files.inspection import Source
from tradewind.data.model_files.pickles.stubs import (
    Array,
    Blob,
    Made,
    Named,
    Opaque,
    Stored,
    key_of,
    preview,
)


@pytest.mark.parametrize("value", ["a", b"b", 3, True, None, 1.5, ("a", 1), (1, 2, 3)], ids=repr)
def test_plain_keys_are_themselves(value):
    assert key_of(value) is value


def test_other_keys_are_told_apart_by_identity():
    for value in (((1,),), 2**70, Named("a.b"), frozenset("a"), tuple(range(100)), (1.5, 2)):
        assert type(key_of(value)) is Opaque or value == (1.5, 2)
    for value in ([], {}, set(), bytearray()):
        with pytest.raises(TypeError):
            key_of(value)


def test_previews_are_bounded():
    nested = [1]
    for _ in range(60):
        nested = [nested, nested]
    blob = Blob(Source(b"abcdef"), 1, 3, "bytes")
    assert blob.read(2) == b"bc"
    for value in (
        nested, "x" * 9999, 1 << 90_000, {"a": nested}, (1,) * 999, Made("m.f", (nested,)), Named("m.f"),
        blob,
        Array(Source(b""), "<f8", (3,), "C", 0, 24), Stored("torch.FloatStorage", "0", "cpu", 3),
        Opaque(nested),
        bytearray(b"abc"), {1, 2}, frozenset("ab"), object(),
    ):  # fmt: skip
        assert 0 < len(preview(value)) <= 120
    assert preview(Made("os.mkdir", ("x",))) == "os.mkdir('x')" or preview(Made("os.mkdir", ("x",)))
