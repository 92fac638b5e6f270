"""torch's first files: a tar of pickles."""

import io
import pickle
import struct
import tarfile

import pytest

from tradewind.data.model_files.scanner import scan_bytes

torch = pytest.importorskip("torch")
BAD = b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R."


def tarred(**changed):
    """One tensor of three floats, as torch 0.1.1 wrote it."""
    numbers = struct.pack("<3f", 1, 2, 3)
    storage = pickle.dumps(1, 2) + pickle.dumps((0, "cpu", torch.FloatStorage), 2)
    storage += struct.pack("<q", 3) + numbers + pickle.dumps([], 2)
    tensor = pickle.dumps(1, 2) + pickle.dumps((5, 0, torch.FloatTensor), 2)
    tensor += struct.pack("<ii", 1, 0) + struct.pack("<qqq", 3, 1, 0)
    parts = {
        "sys_info": pickle.dumps({"little_endian": True}, 2), "storages": storage, "tensors": tensor,
        "pickle": b"\x80\x02}X\x01\x00\x00\x00aX\x01\x00\x00\x005Qs.",
    }  # fmt: skip
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in (parts | changed).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def rules(content):
    return {finding.rule for finding in scan_bytes(content).findings}


def test_what_torch_wrote_is_clean_and_loads(tmp_path):
    content = tarred()
    scan = scan_bytes(content)
    assert (scan.format, {each.rule for each in scan.findings} - {"pickle-global"}) == ("torch-tar", set())
    (tmp_path / "old.pt").write_bytes(content)
    loaded = torch.load(tmp_path / "old.pt", weights_only=False)
    assert loaded["a"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("part", ["sys_info", "storages", "tensors", "pickle"])
def test_the_payload_is_found_in_any_part(part):
    assert "pickle-call" in rules(tarred(**{part: BAD}))


def test_parts_that_are_none():
    assert "torch-storage" in rules(tarred(storages=pickle.dumps("many", 2)))
    assert "torch-storage" in rules(tarred(tensors=pickle.dumps(10**12, 2)))
    assert "torch-storage" in rules(tarred(pickle=b"\x80\x02X\x01\x00\x00\x007Q."))
    assert "pickle-trailing" in rules(tarred(pickle=pickle.dumps({}, 2) + b"x"))
    assert "pickle-call" in rules(tarred(more=BAD))
