"""torch's zips: pickles inspected, storages where and as long as they are said to be."""

import io
import pickle
import re
import zipfile

import pytest

from tradewind.data.model_files import scanner
from tradewind.data.model_files.scanner import scan_bytes, scan_file

torch = pytest.importorskip("torch")
BAD = b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R."


def saved(value, **options):
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def rules(content):
    return {finding.rule for finding in scan_bytes(content).findings}


def rewritten(content, change, compression=0):
    """The same archive with its members changed: name and bytes to bytes, or None to leave it out."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", compression) as new:
        for name in old.namelist():
            made = change(name, old.read(name))
            if made is not None:
                new.writestr(name, made)
    return file.getvalue()


STATE = {"a": torch.arange(12.0).reshape(3, 4), "b": torch.ones(5, dtype=torch.int8)}


def test_what_torch_writes_is_clean_and_loads():
    shared = torch.arange(10.0)
    for value in (
        STATE, {"x": shared, "y": shared[2:5]}, [torch.ones(2, dtype=torch.bfloat16)], torch.nn.Linear(3, 2),
        {"sparse": torch.eye(3).to_sparse()}, torch.nn.Parameter(torch.ones(2)), torch.zeros(0),
        [torch.ones(3, dtype=torch.uint16)], torch.nn.LSTM(2, 3), {"step": 3, "size": torch.Size([1])},
    ):  # fmt: skip
        content = saved(value)
        scan = scan_bytes(content)
        assert (scan.findings, scan.format) == ((), "torch-zip")
        torch.load(io.BytesIO(content), weights_only=False)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_is_clean_and_its_classes_are_no_modules():
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())), file)
    scan = scan_bytes(file.getvalue())
    assert (scan.verdict, scan.format) == ("clean", "torchscript")
    bad = rewritten(
        saved(STATE),
        lambda name, content: b"\x80\x02c__torch__.A\nB\n)\x81." if name.endswith(".pkl") else content,
    )
    assert "pickle-global" in rules(bad)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_trace_has_shapes_without_numbers_and_constants_of_its_own():
    class Viewed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = torch.ones(8)  # neither a parameter nor a buffer

        def forward(self, x):
            return x.view(3, -1) + self.shift

    file = io.BytesIO()
    traced = torch.jit.trace(Viewed(), torch.ones(3, 2, 4), check_trace=False)
    torch.jit.save(traced, file)
    content = file.getvalue()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    assert {"traced_inputs.pkl", "traced_inputs/0", "constants/0"} <= names
    scan = scan_bytes(content)
    assert (scan.findings, scan.format) == ((), "torchscript")
    for member in ("traced_inputs/0", "constants/0"):
        longer = rewritten(content, lambda n, c, member=member: c + b"\0" if n.endswith(member) else c)
        assert "torch-storage" in rules(longer)
    emptied = rewritten(content, lambda n, c: b"" if n.endswith("constants/0") else c)
    assert "torch-storage" in rules(emptied)
    bad = rewritten(content, lambda n, c: BAD if n.endswith("traced_inputs.pkl") else c)
    assert "pickle-call" in rules(bad)


def test_the_payload_is_found_in_any_member():
    content = saved(STATE)
    assert rules(rewritten(content, lambda n, c: BAD if n.endswith("data.pkl") else c)) >= {"pickle-call"}
    assert rules(rewritten(content, lambda n, c: BAD if n.endswith("version") else c)) >= {"pickle-call"}
    assert rules(rewritten(content, lambda n, c: c + BAD if n.endswith("data.pkl") else c)) >= {
        "pickle-trailing"
    }


def test_storages_are_what_the_pickle_says():
    content = saved(STATE)
    cut = rewritten(content, lambda n, c: c[:-1] if n.endswith("data/0") else c)
    missing = rewritten(content, lambda n, c: None if n.endswith("data/0") else c)
    packed = rewritten(content, lambda n, c: c, 8)
    more = rewritten(content, lambda n, c: c + b"\0" if n.endswith("data/1") else c)
    for changed in (cut, missing, packed, more):
        assert "torch-storage" in rules(changed)
    extra = io.BytesIO(content)
    with zipfile.ZipFile(extra, "a") as archive:
        archive.writestr("archive/data/7", b"\x93\xfe" * 20)
    assert scan_bytes(extra.getvalue()).verdict == "blocked"


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (rb"FloatStorage\n", b"FloatStorages\n", "pickle-global"),
        (rb"X\x07\x00\x00\x00storage", b"X\x07\x00\x00\x00storagX", "torch-storage"),
        (rb"X\x03\x00\x00\x00cpu", b"X\x03\x00\x00\x00c/u", "torch-storage"),
        (rb"K\x03K\x04\x86", b"K\x05K\x04\x86", "torch-view"),
        (rb"K\x04K\x01\x86", b"K\x09K\x01\x86", "torch-view"),
    ],
    ids=["type", "kind", "place", "size", "stride"],
)
def test_identifiers_and_views_are_checked(old, new, rule):
    def change(name, content):
        if not name.endswith("data.pkl"):
            return content
        made = re.sub(old, new.replace(b"\\", b"\\\\"), content, count=1)
        assert made != content
        return made

    assert rule in rules(rewritten(saved(STATE), change))


def test_a_persistent_identifier_elsewhere_is_blocked():
    with zipfile.ZipFile(io.BytesIO(saved(STATE))) as archive:
        assert "pickle-persistent-id" in rules(archive.read("archive/data.pkl"))
    assert "torch-storage" in rules(
        rewritten(saved(STATE), lambda n, c: b"Pos.system\n." if n.endswith(".pkl") else c)
    )


def test_a_tensor_pickled_by_itself_is_inspected_inside():
    assert scan_bytes(pickle.dumps(torch.arange(3.0))).verdict == "clean"


def test_a_large_checkpoint_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(scanner, "_SMALL", 1 << 20)
    monkeypatch.setattr(scanner, "scan_bytes", None)  # what reads it whole
    path = tmp_path / "large.pt"
    torch.save({"w": torch.zeros(1 << 20)}, path)
    scan = scan_file(path)
    assert (scan.verdict, scan.format) == ("clean", "torch-zip")
    assert scan.size > 4 << 20
