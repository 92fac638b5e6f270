"""Models on disk: names, versions in the numbers' order, settings that are checked, and no way out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.models.opening import Opening
from tradewind.serving.models.repository import Latest, ModelSettings, Repository, Trust, settings_of


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"artefact")
    return root


@pytest.fixture
def root(tmp_path):
    return put(
        tmp_path / "models",
        "churn/1/model.onnx",
        "churn/2/model.onnx",
        "churn/10/model.onnx",
        "churn/notes.txt",
        "churn/01/model.onnx",
        "price/model.skops",
        "fraud.onnx",
        "readme.txt",
        ".hidden/1/model.onnx",
        "bad.pkl",
    )


def test_names_and_versions(root):
    found = Repository(root)
    assert found.names() == ("bad", "churn", "fraud", "price")
    assert found.versions("churn") == ("10",)
    assert found.artefact("churn") == root / "churn" / "10"
    assert found.versions("price") == ("1",) and found.artefact("price") == root / "price"
    assert found.versions("fraud") == ("1",) and found.artefact("fraud", "1") == root / "fraud.onnx"
    (root / "empty").mkdir()
    assert found.versions("empty") == ()
    put(root, "churn/11/model.onnx")  # what is added is seen at once
    assert found.artefact("churn") == root / "churn" / "11"


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("versions = 'all'", ("1", "2", "10")),
        ("versions = {latest = 2}", ("2", "10")),
        ("versions = {latest = 9}", ("1", "2", "10")),
        ("versions = [10, 1]", ("1", "10")),
        ("", ("10",)),
    ],
)
def test_which_versions_are_served(root, policy, versions):
    (root / "churn" / "model.toml").write_text(policy)
    found = Repository(root)
    assert found.versions("churn") == versions
    assert found.artefact("churn").name == "10"
    if "2" not in versions:
        with pytest.raises(Refusal, match=r"'churn' has not version '2'; there are:") as problem:
            found.artefact("churn", "2")
        assert problem.value.kind is RefusalKind.NOT_FOUND


def test_a_model_alone_is_a_repository_of_it(root, tmp_path):
    for path, name in ((root / "fraud.onnx", "fraud"), (root / "churn", "churn"), (root / "price", "price")):
        alone = Repository(path)
        assert alone.names() == (name,) and alone.artefact(name).exists()
    named = Repository(root / "churn", name="leavers")
    assert named.names() == ("leavers",) and named.artefact("leavers") == root / "churn" / "10"
    assert Repository(root, name="all").names() == Repository(root).names()
    assert Repository(root / "fraud.onnx").artefact("fraud") == root / "fraud.onnx"
    run = put(tmp_path / "run", "spec.json", "model/model.safetensors")
    assert Repository(run).artefact("run") == run
    with pytest.raises(Misuse, match="nothing here"):
        Repository(tmp_path / "absent")


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "../secret", "/etc", "a/b", "churn/1", "a\0b", "\\..", ".hidden", "x" * 300, "churn/.."],
)
def test_no_name_leads_out_of_the_repository(root, name):
    put(root.parent, "secret/1/model.onnx")
    found = Repository(root)
    for ask in (found.versions, found.settings, found.artefact, found.opening):
        with pytest.raises(Refusal) as problem:
            ask(name)
        assert problem.value.kind is RefusalKind.NOT_FOUND and len(str(problem.value)) < 1500


@settings(max_examples=100, deadline=None)
@given(name=st.text(max_size=20), version=st.text(max_size=5))
def test_whatever_is_asked_for_lies_inside(tmp_path_factory, name, version):
    root = tmp_path_factory.getbasetemp() / "drawn"
    if not root.exists():
        put(root, "a/1/model.onnx", "b.onnx")
    try:
        found = Repository(root).artefact(name, version)
    except Refusal:
        assert name not in ("a", "b") or version not in ("", "1")
    else:
        assert found.resolve().is_relative_to(root.resolve())


def test_an_unknown_name_is_told_with_the_likely_one(root):
    with pytest.raises(Refusal, match=r"no model 'chrun'; Did you mean 'churn'\?"):
        Repository(root).versions("chrun")


def test_settings_are_read(root):
    (root / "churn" / "model.toml").write_text(
        "max_batch = 8\ninstances = 2\nversions = [1, 2]\nwarm_up = false\nslo = 0.05\nthreads = 2\n"
        "shapes = {x = [3, 4]}\nparameters = {owner = 'us'}\n"
    )
    assert Repository(root).settings("churn") == ModelSettings(
        max_batch=8,
        instances=2,
        versions=(1, 2),
        warm_up=False,
        slo=0.05,
        threads=2,
        shapes={"x": (3, 4)},
        parameters={"owner": "us"},
    )
    (root / "fraud.onnx.toml").write_text("max_batch = 0")
    assert Repository(root).settings("fraud").max_batch == 0
    assert Repository(root).settings("price") == ModelSettings(versions=Latest(1))
    assert Repository(root).opening("churn", "2") == Opening(
        str(root / "churn" / "2"), threads=2, warm_up=False, shapes={"x": (3, 4)}
    )


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("max_batch = -1", "max_batch", "max_batch = 64"),
        ("max_batch = 'many'", "max_batch", "max_batch = 64"),
        ("max_bach = 1", "max_bach", "Did you mean 'max_batch'"),
        ("instances = 0", "instances", "instances = 2"),
        ("slo = 0", "slo", "slo = 0.05"),
        ("versions = 'newest'", "versions", "latest = 2"),
        ("versions = [0]", "versions", "latest = 2"),
        ("versions = {last = 2}", "versions", "latest = 2"),
        ("shapes = {x = 'wide'}", "shapes", "shapes = "),
        ("class = 'a:B'\nnetwork = 'a:C'", "network", "Name one"),
        ("max_batch = ", "", "is no TOML"),
        ("versions = [3]", "versions", "There are: 1, 2, 10"),
    ],
)
def test_settings_that_cannot_be_meant_name_file_field_and_fix(root, text, field, told):
    file = root / "churn" / "model.toml"
    file.write_text(text)
    with pytest.raises(Misuse, match=told) as problem:
        Repository(root).versions("churn")
    assert problem.value.source == str(file) and problem.value.field == field


def test_a_load_request_may_bring_settings():
    assert settings_of({"max_batch": 3}).max_batch == 3
    with pytest.raises(Misuse, match="there is no such setting"):
        settings_of({"batch": 3})


def test_code_is_named_by_a_file_but_trusted_by_the_operator(root):
    (root / "mine").mkdir()
    (root / "mine" / "model.toml").write_text("class = 'ours:Model'")
    with pytest.raises(
        Misuse, match="ours:Model is code, which is not run because a file says so"
    ) as problem:
        Repository(root).opening("mine")
    assert problem.value.field == "class"
    for code in ("ours:Model", "ours:*"):
        found = Repository(root, Trust((code,), ("a.B",))).opening("mine")
        assert found == Opening(str(root / "mine"), "ours:Model", trusted=("a.B",))
    for code in ("ours:Other", "our:*", "*"):
        with pytest.raises(Misuse, match="is code"):
            Repository(root, Trust((code,))).opening("mine")
