"""tradewind.audit.images.unpacking: attacks, each as an archive and as a layer, and what tar packs"""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from images_by_hand import directory, hard, layout, link, member, tar

from tradewind.audit.images.limits import Limits
from tradewind.audit.images.unpacking import unpack
from tradewind.errors import Misuse

EVIL = b"evil\n"
HOLES = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "99999999999999"}
ATTACKS = {
    "absolute path": [member("/tmp/evil", EVIL)],
    "path above": [member("../evil", EVIL)],
    "path above, later": [member("a/../../evil", EVIL)],
    "through a link to above": [link("up", ".."), member("up/evil", EVIL)],
    "through a link to a link": [link("a", "."), link("a/b", ".."), member("a/b/evil", EVIL)],
    "through a link named twice": [directory("up"), link("up", ".."), member("up/evil", EVIL)],
    "overwriting through a link": [link("note", "../secret"), member("note", EVIL)],
    "hard link to above": [hard("mine", "../secret"), member("mine", EVIL)],
    "hard link, then content": [link("out", "../secret"), hard("mine", "out"), member("mine", EVIL)],
    "device": [member("disk", type=tarfile.BLKTYPE, devmajor=8)],
    "file twice": [member("a", b"good"), member("a", EVIL)],
    "name too long": [member("n" * 300, EVIL)],
    "many members": [member(f"m{number}", b"") for number in range(60)],
    "many bytes": [member("zeros", bytes(2_000_000))],
    "many bytes in holes": [member("zeros", b"x", pax_headers=HOLES)],
    "long header": [member("a", b"", pax_headers={"comment": "x" * 200_000})],
}  # fmt: skip
TIGHT = Limits(bytes=1_000_000, members=50, header=100_000)


@pytest.mark.parametrize("form", ["archive", "layer"])
@pytest.mark.parametrize("case", sorted(ATTACKS))
def test_an_attack_is_refused_writes_nothing_outside_and_leaves_nothing(
    case: str, form: str, tmp_path: Path
) -> None:
    content = tar(directory("etc"), *ATTACKS[case])
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "scratch").mkdir()
    if form == "archive":
        (tmp_path / "image").write_bytes(content)
    else:
        layout(tmp_path / "image", tar(directory("lower")), content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Misuse):
        unpack(
            tmp_path / "image",
            tmp_path / "root",
            limits=TIGHT,
            devices="refuse",
            scratch=tmp_path / "scratch",
        )
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "secret").read_text() == "secret"


def test_an_image_is_unpacked_as_its_layers_say(tmp_path: Path) -> None:
    lower = tar(
        directory("usr/bin"),
        member("usr/bin/sh", b"sh", mode=0o4755),
        link("bin", "usr/bin"),
        member("gone", b"x"),
    )
    upper = tar(member(".wh.gone", b""), member("bin/ls", b"ls"), hard("bin/dir", "bin/ls"),
                member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3))  # fmt: skip
    copied = unpack(layout(tmp_path / "image", lower, upper), tmp_path / "root")
    root = tmp_path / "root"
    assert sorted(path.name for path in root.iterdir()) == ["bin", "usr"]
    assert (root / "usr/bin/ls").samefile(root / "bin/dir") and (root / "usr/bin/ls").stat().st_nlink == 2
    assert copied.privileged == ("usr/bin/sh",) and [path for path, _ in copied.skipped] == ["null"]
    assert (root / "usr/bin/sh").stat().st_mode & 0o7777 == 0o4755


def test_what_tar_packs_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/a/file").write_text("content")
    os.link(tmp_path / "in/a/file", tmp_path / "in/other")
    (tmp_path / "in/link").symlink_to("/a/file")
    subprocess.run(["tar", "-C", str(tmp_path / "in"), "-czf", str(tmp_path / "in.tar.gz"), "."], check=True)
    unpack(tmp_path / "in.tar.gz", tmp_path / "out")
    assert (
        subprocess.run(
            ["diff", "-r", "--no-dereference", str(tmp_path / "in"), str(tmp_path / "out")], check=False
        ).returncode
        == 0
    )
