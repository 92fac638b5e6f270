"""Keras configurations: which classes and functions loading one would look up, and what code it carries.

Keras imports what `module` says and calls what `class_name` says, anywhere in the tree (CVE-2025-1550 and
its followers, which reached functions of Keras itself, such as one that downloads and one that turns the
safe mode off). So each pair must be one that is listed, by its exact names; nothing is allowed by a prefix.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.inspection import Inspection, Source

RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "keras-lambda", "blocked",
            "A Lambda, or a function written as its bytecode, runs when the model is loaded or called.",
            "Replace it by a layer, or by an operation of keras.ops.",
        ),
        Rule(
            "keras-unknown-class", "blocked",
            "The configuration names a class or a function that Keras would import and call, and that is not "
            "one of its own layers and their parts.", "Save the model from Keras' own layers.",
        ),
        Rule(
            "keras-code-class", "blocked",
            "A layer opens another program or pickle when it is made.", "Save the model without that layer.",
        ),
        Rule(
            "keras-unsafe-switch", "blocked", "Loading would turn Keras' own safe mode off.",
            "Do not load it.",
        ),
        Rule(
            "keras-custom-object", "blocked",
            "An object is registered by code that is not Keras' own; only that code can load it.",
            "Read and import that code yourself, then convert the weights.",
        ),
        Rule(
            "keras-file", "blocked", "A layer reads a file or an address when the model is loaded.",
            "Save the model with the vocabulary inside.",
        ),
        Rule("keras-code-text", "note",
        "A text in the configuration is a function's bytecode; its words are shown."),
    )
}  # fmt: skip
_CODE = {
    "Lambda": "keras-lambda", "__lambda__": "keras-lambda", "TFSMLayer": "keras-code-class",
    "TorchModuleWrapper": "keras-code-class", "JaxLayer": "keras-code-class",
    "FlaxLayer": "keras-code-class", "TFLiteLayer": "keras-code-class",
}  # fmt: skip
_MARKS = {
    "__tensor__", "__numpy__", "__keras_tensor__", "__bytes__", "__ellipsis__", "__tuple__", "__slice__",
    "__typespec__", "slice", "tuple", "TensorShape", "TypeSpec", "CompositeTensor", "__none__",
}  # fmt: skip
"""What Keras writes for plain values; it looks nothing up for them."""
_TYPESPECS = {"TensorSpec", "RaggedTensorSpec", "SparseTensorSpec"}
_SWITCHES = {"enable_unsafe_deserialization", "set_safe_mode", "safe_mode_scope", "SafeModeScope"}
_TENSORFLOW = {
    "math.add", "math.subtract", "math.multiply", "math.divide", "math.truediv", "math.pow", "math.sqrt",
    "math.square", "math.exp", "math.log", "math.abs", "math.negative", "math.maximum", "math.minimum",
    "math.reduce_sum", "math.reduce_mean", "math.reduce_max", "math.reduce_min", "math.sigmoid", "math.tanh",
    "math.greater", "math.less", "math.equal", "cast", "concat", "expand_dims", "squeeze", "reshape", "shape",
    "compat.v1.shape", "split", "stack", "unstack", "transpose", "tile", "gather", "where", "zeros_like",
    "ones_like", "clip_by_value", "linalg.matmul", "nn.relu", "nn.softmax", "nn.sigmoid", "nn.bias_add",
    "one_hot", "identity", "__operators__.getitem", "__operators__.add", "__operators__.sub",
    "__operators__.mul", "broadcast_to", "range", "fill", "pad",
}  # fmt: skip
_PATHS = ("vocabulary", "idf_weights", "filepath", "file_path", "model_path", "weights_path")
_OLD = {"keras.src.engine.functional", "keras.engine.functional", "keras.src.engine.sequential",
        "keras.engine.sequential", "keras.src.models.model", "keras.src.engine.training"}  # fmt: skip
_PARTS_OF_OLD = {"Functional", "Model", "Sequential"}
_CODE_TEXT = re.compile(rb"[\x20-\x7e]{4,}")


class _Names:
    def __init__(self) -> None:
        told = json.loads((Path(__file__).parent / "keras_names.json").read_text(encoding="utf-8"))
        self.classes = {module: frozenset(names) for module, names in told["classes"].items()}
        self.functions = {module: frozenset(names) for module, names in told["functions"].items()}
        exported = [
            names
            for module, names in self.classes.items()
            if not module.startswith("keras.src") or ".ops." in module
        ]
        self.any_class = frozenset().union(*exported)
        self.any_function = frozenset().union(*self.functions.values())


@cache
def _names() -> _Names:
    return _Names()


def judge(value: Any, source: Source, inspection: Inspection) -> None:
    """Tell what a configuration would look up or run, in whatever depth it stands."""
    stack: list[Any] = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, dict):
            _object(each, source, inspection)
            stack.extend(each.values())
        elif isinstance(each, str) and len(each) > 200 and each[:2] in ('{"', "[{"):
            # Keras 2 kept nested models as texts here and there.
            try:
                stack.append(json.loads(each))
            except (ValueError, RecursionError):
                continue


def _object(told: dict[str, Any], source: Source, inspection: Inspection) -> None:
    name, module = told.get("class_name"), told.get("module")
    for key in _PATHS:
        if isinstance(told.get(key), str) and told[key]:
            inspection.found(
                RULES["keras-file"], f"{key} is the name {told[key]!r} of a file or an address",
                source=source, name=key, preview=told[key],
            )  # fmt: skip
    if isinstance(told.get("shared_object_id"), dict):
        inspection.found(RULES["keras-unknown-class"], "a shared object is no number", source=source)
    if "class_name" not in told:
        function = told.get("function")
        if isinstance(function, list) and len(function) == 3 and isinstance(function[0], str):
            _lambda("a function as bytecode", function[0], source, inspection)
        return
    if not isinstance(name, str) or not isinstance(module, str | None):
        inspection.found(
            RULES["keras-unknown-class"], "a class or its module is no text", source=source,
            preview=repr(name)[:80],
        )  # fmt: skip
        return
    full = f"{module}.{name}" if module else name
    if _SWITCHES & {name, told.get("config") if isinstance(told.get("config"), str) else ""}:
        inspection.found(RULES["keras-unsafe-switch"], f"{full} is called", source=source, name=full)
        return
    last = name.rpartition(">")[2]
    if last in _CODE:
        rule = RULES[_CODE[last]]
        config = told.get("config")
        code = config.get("function", config.get("value", "")) if isinstance(config, dict) else ""
        if isinstance(code, dict):
            inner = code.get("config")
            code = inner.get("code", "") if isinstance(inner, dict) else ""
        text = code[0] if isinstance(code, list) and code else code
        if rule.id == "keras-lambda":
            _lambda(f"a {full}", text if isinstance(text, str) else "", source, inspection)
        else:
            inspection.found(rule, f"a {full}", source=source, name=full)
        return
    if name in ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"):
        config = told.get("config")
        function = config.get("function") if isinstance(config, dict) else None
        if name not in ("TFOpLambda", "SlicingOpLambda") or function not in _TENSORFLOW:
            inspection.found(
                RULES["keras-unknown-class"], f"a {name} of {function!r}", source=source, name=full,
                preview=str(function),
            )  # fmt: skip
        return
    if name == "function":
        _function(told, module, source, inspection)
        return
    registered = told.get("registered_name")
    if (registered not in (None, "", name)) or ">" in name:
        inspection.found(
            RULES["keras-custom-object"], f"it is registered as {registered or name!r}", source=source,
            name=str(registered or name),
        )  # fmt: skip
    elif not _known(name, module):
        inspection.found(RULES["keras-unknown-class"], f"it names {full}", source=source, name=full)


def _known(name: str, module: str | None) -> bool:
    names = _names()
    if name in _MARKS and module in (None, "", "builtins"):
        return True
    if name in _TYPESPECS and module in (None, "", "tensorflow"):
        return True
    if module is None:
        return name in names.any_class or name in _PARTS_OF_OLD
    if module in _OLD:
        return name in _PARTS_OF_OLD
    if module == "builtins":
        return False
    return name in names.classes.get(module, ())


def _function(told: dict[str, Any], module: str | None, source: Source, inspection: Inspection) -> None:
    """A function by its name: of a listed module, or of those that Keras looks through for `builtins`."""
    config = told.get("config")
    names = _names()
    known = names.any_function if module in (None, "builtins") else names.functions.get(module or "", ())
    if not isinstance(config, str) or config not in known:
        full = f"{module}.{config}"
        inspection.found(
            RULES["keras-unknown-class"], f"it names the function {full}", source=source, name=full[:200],
        )  # fmt: skip
    elif told.get("registered_name") not in (None, "", "function", config):
        inspection.found(
            RULES["keras-custom-object"], f"it is registered as {told['registered_name']!r}", source=source,
            name=str(told["registered_name"]),
        )  # fmt: skip


def _lambda(what: str, text: str, source: Source, inspection: Inspection) -> None:
    inspection.found(RULES["keras-lambda"], what, source=source, name="Lambda")
    try:
        code = base64.b64decode(text.encode(), validate=False)
    except (ValueError, binascii.Error):
        return
    # The bytecode is not unmarshalled, which is not safe; its words say enough.
    words = b" ".join(_CODE_TEXT.findall(code[: 1 << 16])).decode("ascii")
    if words:
        inspection.found(
            RULES["keras-code-text"], f"{len(code)} bytes of bytecode", source=source, preview=words
        )
