"""Zips that are unpacked, and those that must not be."""

import io
import os
import stat
import zipfile

import pytest

from function_host import zipped
from tradewind.runtimes.functions.host.packages import Packages, sha256_base64
from tradewind.runtimes.functions.host.refusals import ApiRefusal
from tradewind.runtimes.functions.limits import Limits


def archive(name, content=b"x", mode=0):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as made:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        made.writestr(entry, content)
    return written.getvalue()


def test_a_package_lies_under_its_digest_once(tmp_path):
    packages = Packages(tmp_path / "packages", Limits())
    package = zipped("x = 1", **{"lib/deep.py": "y = 2"})
    name = packages.add(package)
    assert packages.add(package) == name and len(list((tmp_path / "packages").iterdir())) == 1
    folder = packages.folder(name)
    assert (folder / "app.py").read_text() == "x = 1" and (folder / "lib" / "deep.py").read_text() == "y = 2"
    assert len(sha256_base64(name)) == 44
    ran = packages.folder(packages.add(archive("tool", mode=0o755)))
    assert os.access(ran / "tool", os.X_OK)
    packages.keep({name})
    assert folder.is_dir() and not ran.exists()


@pytest.mark.parametrize(
    "package",
    [
        b"",
        b"PK no zip",
        zipped(),
        archive("../escaped"),
        archive("a/../../escaped"),
        archive("/escaped"),
        archive("..\\escaped"),
        archive("link", b"/etc/passwd", stat.S_IFLNK | 0o777),
        archive("pipe", b"", stat.S_IFIFO | 0o644),
        zipped("x = 1")[:-30],
        zipped("x" * 1001),
    ],
)
def test_what_is_no_package_leaves_nothing(tmp_path, package):
    packages = Packages(tmp_path / "packages", Limits(unzipped=1000))
    with pytest.raises(ApiRefusal) as caught:
        packages.add(package)
    assert caught.value.kind == "InvalidParameterValueException"
    assert [each.name for each in tmp_path.rglob("*")] == ["packages"]


def test_a_bomb_is_counted_as_it_is_unpacked(tmp_path):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zeros", bytes(8 << 20))
    bomb = bytearray(written.getvalue())
    # It says of itself, in its directory, that it holds ten bytes.
    at = bomb.rindex(b"PK\x01\x02")
    bomb[at + 24 : at + 28] = (10).to_bytes(4, "little")
    packages = Packages(tmp_path / "packages", Limits(unzipped=1 << 20))
    with pytest.raises(ApiRefusal):
        packages.add(bytes(bomb))
    with pytest.raises(ApiRefusal):
        packages.add(written.getvalue())
    assert not list((tmp_path / "packages").iterdir())


def test_the_room_of_all_together_is_bounded(tmp_path):
    packages = Packages(tmp_path / "packages", Limits(stored=1500))
    packages.add(zipped("x" * 1000))
    with pytest.raises(ApiRefusal) as caught:
        packages.add(zipped("y" * 1000))
    assert caught.value.kind == "CodeStorageExceededException"
    with pytest.raises(ApiRefusal, match="Zipped size"):
        Packages(tmp_path / "others", Limits(zipped=100)).add(zipped("x" * 1000))
