"""skops: files of its own making, and schemas that name what nobody allowed."""

import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tradewind.data.model_files.scanner import scan_bytes

X = np.random.default_rng(0).normal(size=(30, 3))
Y = (X[:, 0] > 0) * 1


def judged(content):
    scan = scan_bytes(content)
    return scan.format, scan.verdict, {each.rule for each in scan.findings}


def changed(change, extra=()):
    content = io.BytesIO()
    original = zipfile.ZipFile(io.BytesIO(skops.io.dumps(LogisticRegression().fit(X, Y))))
    with zipfile.ZipFile(content, "w") as archive:
        for name in original.namelist():
            member = original.read(name)
            if name == "schema.json":
                schema = json.loads(member)
                change(schema)
                member = json.dumps(schema)
            archive.writestr(name, member)
        for name, member in extra:
            archive.writestr(name, member)
    return content.getvalue()


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(2),
        GradientBoostingClassifier(n_estimators=2),
    ],
    ids=["linear", "pipeline", "forest", "boosting"],
)
def test_estimators_are_clean(estimator):
    assert judged(skops.io.dumps(estimator.fit(X, Y))) == ("skops", "clean", set())


def renamed(schema):
    schema["__module__"], schema["__class__"] = "os", "system"


def inner(schema):
    schema["content"]["x"] = {"__class__": "Popen", "__module__": "subprocess", "__loader__": "TypeNode"}


def called(schema):
    schema["__loader__"] = "MethodNode"


def operator(schema):
    schema["content"]["f"] = {
        "__class__": "str", "__module__": "builtins", "__loader__": "OperatorFuncNode", "attrs": ["x"],
    }  # fmt: skip


def elsewhere(schema):
    schema["content"]["f"] = {
        "__class__": "dict", "__module__": "builtins", "__loader__": "FunctionNode",
        "content": {"module_path": "os", "function": "system"},
    }  # fmt: skip


def untyped(schema):
    schema["content"]["f"] = {"__loader__": "TypeNode", "__class__": 3, "__module__": []}


def missing(schema):
    schema["content"]["f"] = {
        "__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "numpy",
        "file": "away.npy",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (renamed, "skops-unknown-type"),
        (inner, "skops-unknown-type"),
        (called, "skops-loader"),
        (operator, "skops-loader"),
        (elsewhere, "skops-unknown-type"),
        (untyped, "skops-schema"),
        (missing, "skops-member"),
    ],
)
def test_a_schema_that_names_more_is_told(change, rule):
    _, verdict, rules = judged(changed(change))
    assert verdict != "clean" and rule in rules, rules


def test_unchanged_it_is_clean_and_a_pickle_beside_is_not():
    assert judged(changed(lambda schema: None))[1] == "clean"
    bad = changed(lambda schema: None, [("x.pkl", b"cos\nsystem\n(S'id'\ntR.")])
    assert judged(bad)[1] == "blocked"


def test_a_root_that_is_no_node_is_blocked():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("schema.json", "[]")
    assert judged(content.getvalue())[2] == {"skops-schema"}
