"""torch's files of before its zips: five pickles, and then the storages."""

import io
import pickle

import pytest

from tradewind.data.model_files.pickles.stubs import Named
from tradewind.data.model_files.pickles.torch_legacy import MAGIC, element_size, stored
from tradewind.data.model_files.scanner import scan_bytes

torch = pytest.importorskip("torch")


def saved(value):
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def rules(content):
    return {finding.rule for finding in scan_bytes(content).findings}


def test_what_torch_writes_is_clean_and_loads():
    shared = torch.arange(10.0)
    for value in (
        {"x": shared, "y": shared[2:5]},
        torch.nn.Linear(2, 2),
        [torch.ones(3, dtype=torch.int8)],
        {},
    ):
        content = saved(value)
        assert rules(content) == set()
        torch.load(io.BytesIO(content), weights_only=False)


def test_lengths_and_ends_are_checked():
    content = saved({"x": torch.arange(10.0)})
    assert rules(content + b"x") == {"pickle-trailing"}
    for length in range(0, len(content), 3):
        assert scan_bytes(content[:length]).verdict != "clean"
    at = content.rindex((10).to_bytes(8, "little"))
    assert rules(content[:at] + (11).to_bytes(8, "little") + content[at + 8 :]) == {"torch-storage"}


def test_a_payload_in_any_of_the_five_is_found():
    heads = [MAGIC, 1001, {}, {"a": 1}, []]
    bad = b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R."
    good = [pickle.dumps(each, 2) for each in heads]
    assert rules(b"".join(good)) == set()
    for place in range(1, 5):
        assert "pickle-call" in rules(b"".join([*good[:place], bad, *good[place + 1 :]]))
    assert scan_bytes(b"".join([*good[:4], pickle.dumps(["0"], 2)])).verdict == "blocked"
    identifier = b"\x80\x02(X\x07\x00\x00\x00storageQ."
    assert scan_bytes(b"".join([good[0], identifier, *good[2:]])).verdict == "blocked"


@pytest.mark.parametrize(
    "identifier",
    [
        None, "storage", (), ("storage",), ("storage", Named("os.system"), "0", "cpu", 3),
        ("storage", Named("torch.FloatStorage"), "../0", "cpu", 3),
        ("storage", Named("torch.FloatStorage"), "0", "disk:/x", 3),
        ("storage", Named("torch.FloatStorage"), "0", "cpu", -3),
        ("storage", Named("torch.FloatStorage"), "0", "cpu", True),
        ("module", Named("torch.FloatStorage"), "0", "cpu", 3),
    ],
    ids=["none", "text", "empty", "short", "class", "key", "place", "negative", "truth", "module"],
)  # fmt: skip
def test_what_is_no_storage(identifier):
    with pytest.raises(ValueError, match=r"storage|none|place"):
        stored(identifier, 5)


@pytest.mark.filterwarnings("ignore:TypedStorage")
def test_sizes_are_torch_s():
    for name in (
        "Float",
        "Double",
        "Half",
        "BFloat16",
        "Byte",
        "Char",
        "Short",
        "Int",
        "Long",
        "Bool",
        "ComplexFloat",
    ):
        storage = getattr(torch, f"{name}Storage")
        assert element_size(Named(f"torch.{name}Storage")) == storage(1).element_size()
    assert element_size(Named("torch.storage.UntypedStorage")) == 1
