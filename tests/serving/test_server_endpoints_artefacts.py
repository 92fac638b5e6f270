"""Artefacts brought to this machine."""

from __future__ import annotations

import io
import tarfile

import fsspec
import pytest

from tradewind.errors import Misuse
from tradewind.serving.server.endpoints.artefacts import Artefacts


def archive(files, kind=tarfile.REGTYPE):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.type = len(content), kind
            member.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            made.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def test_what_is_here_stays_where_it_is(tmp_path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"model")
    artefacts = Artefacts(tmp_path / "kept", lambda text: tmp_path / text.removeprefix("run/"))
    assert artefacts.place("run/m.onnx") == tmp_path / "m.onnx"
    assert Artefacts(tmp_path / "kept").place(f"file://{tmp_path}/m.onnx") == tmp_path / "m.onnx"
    assert not (tmp_path / "kept").exists()


def test_what_is_elsewhere_is_fetched_once_by_its_content(tmp_path) -> None:
    system = fsspec.filesystem("memory")
    system.pipe_file("/bucket/m.onnx", b"model")
    system.pipe_file("/bucket/folder/model.onnx", b"whole")
    system.pipe_file("/bucket/folder/model.toml", b"")
    packed = archive({"model.onnx": b"packed", "code/x.txt": b"x"})
    system.pipe_file("/bucket/model.tar.gz", packed)
    artefacts = Artefacts(tmp_path)
    one = artefacts.place("memory://bucket/m.onnx")
    assert one.name == "m.onnx" and one.read_bytes() == b"model"
    assert artefacts.place("memory://bucket/m.onnx") == one
    folder = artefacts.place("memory://bucket/folder/")
    assert (folder / "model.onnx").read_bytes() == b"whole" and (folder / "model.toml").exists()
    unpacked = artefacts.place("memory://bucket/model.tar.gz")
    assert (unpacked / "code" / "x.txt").read_bytes() == b"x"
    (tmp_path / "here.tar.gz").write_bytes(packed)
    assert artefacts.place(str(tmp_path / "here.tar.gz")) == unpacked
    system.pipe_file("/bucket/m.onnx", b"newer")
    assert artefacts.place("memory://bucket/m.onnx") != one and one.read_bytes() == b"model"
    system.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no archive", "no archive"),
        (archive({"../out": b"x"}), "no plain file"),
        (archive({"/etc/x": b"x"}), "no plain file"),
        (archive({"link": b""}, tarfile.SYMTYPE), "no plain file"),
        (archive({}), "empty"),
        (archive({"a": b"x" * 5000})[:60], "no archive"),
    ],
    ids=range(6),  # an archive has the time in it
)
def test_archives_that_are_none_or_reach_out(tmp_path, content, said) -> None:
    (tmp_path / "m.tar.gz").write_bytes(content)
    with pytest.raises(Misuse, match=said):
        Artefacts(tmp_path / "kept").place(str(tmp_path / "m.tar.gz"))
    assert not (tmp_path / "kept").exists() and not (tmp_path.parent / "out").exists()


@pytest.mark.parametrize("address", ["", "/nowhere/m.onnx", "memory://none/m.onnx", "memory://none/folder/"])
def test_nothing_there(tmp_path, address) -> None:
    with pytest.raises(Misuse):
        Artefacts(tmp_path).place(address)
