"""JSON: what a document means to whoever loads a model by it."""

import json

import pytest

from tradewind.data.model_files.scanner import scan_bytes


def judged(value):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    scan = scan_bytes(content)
    return scan.format, scan.verdict, {each.rule for each in scan.findings}


@pytest.mark.parametrize(
    "value",
    [
        {}, [], {"architectures": ["BertModel"], "hidden_size": 3, "auto_map": {}},
        {"weight_map": {"a": "model-00001-of-00002.safetensors"}}, {"chat_template": None}, [[1, 2], ["a"]],
        {"model": {"vocab": {"a": 0}}}, b"\xef\xbb\xbf{}", b" \n {\"a\": NaN}",
    ],
    ids=range(9),
)  # fmt: skip
def test_data_are_clean(value):
    assert judged(value) == ("json", "clean", set())


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({"auto_map": {"AutoModel": "modeling_x.Model"}}, "repository-remote-code"),
        ({"a": [{"auto_map": {"AutoModel": "modeling_x.Model"}}]}, "repository-remote-code"),
        ({"custom_pipelines": {"x": {"impl": "p.P"}}}, "repository-remote-code"),
        ({"weight_map": {"a": "../other/model.safetensors"}}, "repository-shard-path"),
        ({"weight_map": {"a": "/etc/passwd"}}, "repository-shard-path"),
        ({"weight_map": {"a": "https://example.org/x"}}, "repository-shard-path"),
        (b'{"chat_template": "x", "chat_template": "{{ x.__class__ }}"}', "json-repeated-key"),
        (b'{"a": [1, {"b": 1, "b": 2}]}', "json-repeated-key"),
        (b'{"a": 1', "json-malformed"),
        (b'{"a": 1} trailing', "json-malformed"),
        (b"[" * 100_000, "json-malformed"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "json-malformed"),
        ({"processor": {"chat_template": "{{ x.__class__ }}"}}, "template-attribute"),
        ({"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda"}]}}, "keras-lambda"),
    ],
    ids=range(14),
)
def test_what_is_wrong_is_told(value, rule):
    _, verdict, rules = judged(value)
    assert verdict != "clean" and rule in rules
