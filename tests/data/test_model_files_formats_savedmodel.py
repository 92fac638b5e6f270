"""SavedModel and frozen graphs, written here field by field."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.data.model_files.scanner import scan_bytes


def varint(value):
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(name, operator, inputs=(), **attributes):
    told = field(1, name) + field(2, operator) + b"".join(field(3, each) for each in inputs)
    for key, value in attributes.items():
        inner = field(10, field(1, value[1:])) if value.startswith("@") else field(2, value)
        told += field(5, field(1, key) + field(2, inner))
    return told


def function(name, nodes):
    return field(1, field(1, name)) + b"".join(field(3, each) for each in nodes)


def graph(nodes, functions=()):
    library = field(2, b"".join(field(1, each) for each in functions))
    return b"".join(field(1, each) for each in nodes) + (library if functions else b"")


def signature(output, name="serving_default"):
    info = field(1, "y") + field(2, field(1, output))
    return field(5, field(1, name) + field(2, field(2, info)))


def saved(nodes, functions=(), output="call:0", more=b""):
    info = field(1, field(4, "serve") + field(5, "2.21.0"))
    return field(1, 1) + field(2, info + field(2, graph(nodes, functions)) + signature(output) + more)


SAVER = function("__traced_save", [node("s", "SaveV2"), node("m", "MergeV2Checkpoints", ["^s"])])
SERVE = function(
    "__serve", [node("w", "ReadVariableOp"), node("y", "MatMul", ["w:value:0"]), node("r", "Relu")]
)
CALL = node("call", "StatefulPartitionedCall", ["x"], f="@__serve")
KEEP = node("keep", "StatefulPartitionedCall", ["saver_filename"], f="@__traced_save")
BASE = [node("x", "Placeholder"), node("saver_filename", "Placeholder"), CALL, KEEP]


def judged(content):
    scan = scan_bytes(content)
    return scan.format, scan.verdict, {each.rule for each in scan.findings}


def test_a_saved_model_with_its_saver_is_clean():
    assert judged(saved(BASE, [SAVER, SERVE])) == ("savedmodel", "clean", set())


@pytest.mark.parametrize(
    ("operator", "rule"),
    [
        ("ReadFile", "savedmodel-file"), ("WriteFile", "savedmodel-file"),
        ("MatchingFiles", "savedmodel-file"),
        ("TFRecordDataset", "savedmodel-file"), ("CreateSummaryFileWriter", "savedmodel-file"),
        ("DebugIdentityV3", "savedmodel-file"), ("DecodeProtoV2", "savedmodel-file"),
        ("PyFunc", "savedmodel-code"), ("EagerPyFunc", "savedmodel-code"), ("Abort", "savedmodel-code"),
        ("RemoteCall", "savedmodel-code"), ("DatasetFromGraph", "savedmodel-code"),
        ("EvilOp", "savedmodel-unknown-operator"), ("PrintV2", "savedmodel-file"),
        ("InitializeTableFromTextFileV2", "savedmodel-file"),
    ],
)  # fmt: skip
def test_an_operator_is_told_wherever_it_stands(operator, rule):
    bad = node("bad", operator)
    for content in (
        saved([*BASE, bad], [SAVER, SERVE]),
        saved(BASE, [SAVER, SERVE, function("unused", [bad])]),
        graph([node("x", "Placeholder"), bad]),
    ):
        _, verdict, rules = judged(content)
        assert verdict == "blocked" and rules == {rule}


@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_printing_to_a_terminal_is_clean(stream):
    assert judged(saved([*BASE, node("p", "PrintV2", output_stream=stream)], [SAVER, SERVE]))[1] == "clean"
    assert (
        judged(saved([*BASE, node("p", "PrintV2", output_stream="file:///x")], [SAVER, SERVE]))[1]
        == "blocked"
    )


@pytest.mark.parametrize(
    "content",
    [
        saved(BASE, [SAVER, SERVE], output="keep:0"),
        saved([*BASE, node("y", "Identity", ["^keep"])], [SAVER, SERVE], output="y:0"),
        saved(BASE, [SAVER, function("__serve", [node("i", "PartitionedCall", f="@__traced_save")])]),
        saved(BASE, [SAVER, function("__serve", [node("i", "__traced_save")])]),
        saved(
            BASE, [SAVER, SERVE], more=field(4, field(1, "main_op") + field(2, field(1, field(1, "keep"))))
        ),
        graph(BASE, [SAVER, SERVE]),
    ],
    ids=["output", "control", "function", "as operator", "initializer", "frozen"],
)
def test_a_saver_that_can_be_reached_is_blocked(content):
    assert judged(content)[2] == {"savedmodel-reachable-save"}


def test_assets_and_objects_are_judged():
    asset = field(6, field(2, "../../etc/passwd"))
    assert judged(saved(BASE, [SAVER, SERVE], more=asset))[2] == {"savedmodel-asset"}
    table = node("t", "InitializeTableFromTextFileV2")
    within = saved([*BASE, table], [SAVER, SERVE], more=field(6, field(2, "vocabulary.txt")))
    assert judged(within)[1:] == ("undecided", {"savedmodel-table"})
    config = json.dumps({"class_name": "Lambda", "config": {}})
    described = field(7, field(1, field(4, field(1, "_tf_keras_layer") + field(3, config))))
    assert judged(saved(BASE, [SAVER, SERVE], more=described))[2] == {"keras-lambda"}


def test_keras_metadata_is_judged():
    def metadata(config):
        return field(
            1, field(2, 0) + field(3, "root") + field(4, "_tf_keras_model") + field(5, json.dumps(config))
        )

    assert judged(metadata({"class_name": "Sequential", "config": {}})) == ("keras-metadata", "clean", set())
    assert judged(metadata({"class_name": "Lambda", "config": {}}))[2] == {"keras-lambda"}


def test_a_cut_inside_of_a_message_is_never_clean():
    whole = saved(BASE, [SAVER, SERVE])
    assert not [cut for cut in range(len(whole)) if judged(whole[:cut])[1] == "clean"]


WHOLE = saved([*BASE, node("bad", "WriteFile")], [SAVER, SERVE])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_never_hides_the_operator(at, byte):
    changed = bytearray(WHOLE)
    changed[at] = byte
    _, verdict, rules = judged(bytes(changed))
    assert "scan-fault" not in rules
    if b"WriteFile" in changed:
        assert verdict != "clean"
