"""GGUF: counts, places and templates."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.data.model_files.scanner import scan_bytes


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def key(name, kind, value):
    return text(name) + struct.pack("<I", kind) + value


def tensor(name, shape, kind=0, offset=0):
    sizes = b"".join(struct.pack("<Q", each) for each in shape)
    return text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, offset)


def file(keys=(), tensors=(), data=b"", version=3, counts=None):
    n_tensors, n_keys = counts or (len(tensors), len(keys))
    head = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_keys) + b"".join(keys) + b"".join(tensors)
    return head + (b"\0" * (-len(head) % 32) + data if data else b"")


def template(value):
    return key("tokenizer.chat_template", 8, text(value))


ARCHITECTURE = key("general.architecture", 8, text("llama"))
WORDS = key("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b"))
UNALIGNED = key("general.alignment", 4, struct.pack("<I", 0))
SCORES = key("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, 2) + b"\0" * 8)
GOOD = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
WHOLE = file([ARCHITECTURE, WORDS, SCORES, template(GOOD)], [tensor("w", [4, 2])], b"\0" * 32)


def judged(content):
    scan = scan_bytes(content)
    return scan.format, scan.verdict, {each.rule for each in scan.findings}


def test_a_whole_model_is_clean():
    assert judged(WHOLE) == ("gguf", "clean", set())
    two = [tensor("a", [32], 2, 0), tensor("b", [32], 8, 32)]
    assert judged(file([ARCHITECTURE], two, b"\0" * 96))[1] == "clean"
    assert judged(file([ARCHITECTURE]))[1] == "clean"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (file([template("{{ ''.__class__.__mro__[1].__subclasses__() }}")]), "template-attribute"),
        (file([key("tokenizer.chat_template.tool_use", 8, text("{% include 'x' %}"))]), "template-file"),
        (file([key("general.name", 8, text("{{ cycler.__init__.__globals__ }}"))]), "template-attribute"),
        (file([ARCHITECTURE], counts=(1 << 60, 1)), "gguf-claim"),
        (file([ARCHITECTURE], counts=(0, 1 << 60)), "gguf-claim"),
        (file([key("x", 8, struct.pack("<Q", 1 << 62))]), "gguf-claim"),
        (file([key("x", 9, struct.pack("<IQ", 4, 1 << 61))]), "gguf-claim"),
        (file([key("x", 9, struct.pack("<IQ", 8, 1 << 61))]), "gguf-claim"),
        (file([key("x", 99, b"")]), "gguf-malformed"),
        (file([ARCHITECTURE, ARCHITECTURE]), "gguf-repeated"),
        (file([], [tensor("w", [4]), tensor("w", [4], offset=32)], b"\0" * 64), "gguf-repeated"),
        (file([], [tensor("w", [4]), tensor("v", [4], offset=0)], b"\0" * 64), "gguf-claim"),
        (file([], [tensor("w", [1 << 40])], b"\0" * 32), "gguf-claim"),
        (file([], [tensor("w", [1 << 40, 1 << 40])], b"\0" * 32), "gguf-claim"),
        (file([], [tensor("w", [4], offset=7)], b"\0" * 64), "gguf-claim"),
        (file([], [tensor("w", [4], kind=77)], b"\0" * 32), "gguf-unknown"),
        (file([], [tensor("w", [4])], b"\0" * 4096), "gguf-trailing"),
        (file(version=9), "gguf-unknown"),
        (file([UNALIGNED], [tensor("w", [4])], b"\0" * 32), "gguf-claim"),
    ],
    ids=[
        "climbs", "includes", "elsewhere", "tensors", "keys", "text", "numbers", "texts", "type", "key-twice",
        "tensor-twice", "overlap", "beyond", "overflow", "unaligned", "unknown", "trailing", "version",
        "alignment",
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(content, rule):
    _, verdict, rules = judged(content)
    assert verdict != "clean" and rule in rules, rules


def test_no_cut_is_clean():
    cuts = [cut for cut in range(len(WHOLE)) if judged(WHOLE[:cut])[1] == "clean"]
    assert not cuts, cuts


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_never_a_fault_of_the_scanner(at, byte):
    changed = bytearray(WHOLE)
    changed[at] = byte
    assert "scan-fault" not in judged(bytes(changed))[2]


def big_endian(template_text):
    """A file without tensors whose one key is a template, written for a big-endian machine."""
    value = template_text.encode()
    name = b"tokenizer.chat_template"
    lengths = struct.pack(">Q", len(name)), struct.pack(">I", 8), struct.pack(">Q", len(value))
    return b"GGUF" + struct.pack(">IQQ", 3, 0, 1) + lengths[0] + name + lengths[1] + lengths[2] + value


def test_files_for_big_endian_machines_are_read_too():
    assert judged(big_endian(GOOD)) == ("gguf", "clean", set())
    assert judged(big_endian("{{ cycler.__init__.__globals__ }}"))[1] == "blocked"
    assert judged(big_endian(GOOD)[:-1])[1] != "clean"
