"""tradewind.audit.images.writing"""

import io
import json
import random
import tarfile
import tempfile
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images_by_hand import directory, hard, layout, link, member, tar
from msgspec.structs import replace

from tradewind.audit.images.digests import file_digests, tree_digest
from tradewind.audit.images.folder import Folder
from tradewind.audit.images.opening import open_files
from tradewind.audit.images.unfolding import Packing
from tradewind.audit.images.unpacking import unpack
from tradewind.audit.images.writing import Form, LayerContent, LayerCopy, write_image
from tradewind.audit.trees import Entry, Files, Tree
from tradewind.errors import Misuse
from tradewind.testing.images import random_tree, small_root


def plain(files: Files) -> dict[str, Entry]:
    """The entries without the part of a second, without layers, and without the modes of links."""
    return {
        path: replace(e, modified=e.modified // 1, layer=0, mode=0 if e.kind == "link" else e.mode)
        for path, e in files.tree.entries.items()
    }


@settings(max_examples=9, deadline=None, derandomize=True)
@given(
    st.integers(0, 1 << 32),
    st.sampled_from(["gzip", "zstd", "plain"]),
    st.sampled_from(["layout", "archive", "docker"]),
)
def test_an_image_of_any_tree_gives_the_tree_again(seed: int, packing: Packing, form: Form) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with Folder(random_tree(random.Random(seed), work / "tree", 30)) as folder:
            layer = LayerContent(folder, folder.tree.entries)
            write_image(work / "image", [layer], form=form, packing=packing)
            with open_files(work / "image") as image:
                assert plain(image.files) == plain(folder)
                assert file_digests(image.files) == file_digests(folder) and image.digest == tree_digest(
                    folder
                )
            unpack(work / "image", work / "out")
            with Folder(work / "out") as out:
                assert plain(out) == plain(folder) and file_digests(out) == file_digests(folder)
        assert sorted(path.name for path in work.iterdir()) == ["image", "out", "tree"]


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 32))
def test_layers_that_share_a_tree_out_stack_to_it(seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with Folder(random_tree(chance, work / "tree", 30)) as folder:
            # Names of one file go into one layer: across layers they become files of their own.
            names = {path: (e.node or path) for path, e in folder.tree.entries.items()}
            where = {key: chance.randrange(3) for key in sorted(set(names.values()), key=str)}
            parts = [[path for path in names if where[names[path]] == part] for part in range(3)]
            write_image(work / "image", [LayerContent(folder, part) for part in parts if part])
            with open_files(work / "image") as image:
                assert plain(image.files) == plain(folder) and image.digest == tree_digest(folder)


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
def test_the_same_tree_is_the_same_image(packing: Packing, tmp_path: Path) -> None:
    written = []
    for attempt in ("one", "two"):
        with Folder(small_root(tmp_path / attempt)) as folder:
            layer = LayerContent(folder, folder.tree.entries, created_by="test")
            written.append(write_image(tmp_path / f"{attempt}.tar", [layer], packing=packing, form="docker"))
    assert written[0] == written[1]
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_an_image_keeps_its_settings_and_says_what_it_is(tmp_path: Path) -> None:
    config = {"config": {"Cmd": ["run"], "Env": ["A=b"]}, "architecture": "arm64",
              "created": "2024-01-01T00:00:00Z", "rootfs": {"diff_ids": ["old"]},
              "history": [{"created_by": "old"}]}  # fmt: skip
    with Folder(small_root(tmp_path / "root")) as folder:
        layers = [
            LayerContent(folder, ["etc/passwd"], created_by="first"),
            LayerContent(folder, ["bin"], created_by="second"),
        ]
        written = write_image(
            tmp_path / "image",
            layers,
            config=config,
            annotations={"note": "slim"},
            reference="shop/model:slim",
        )
    with open_files(f"{tmp_path / 'image'}@slim") as image:
        assert image.settings.command == ("run",) and image.settings.architecture == "arm64"
        assert image.reference == "shop/model:slim" and image.annotations["note"] == "slim"
        assert image.layers == written.layers and [each.created_by for each in image.layers] == [
            "first",
            "second",
        ]
        assert written.digest in image.names and written.bytes == sum(each.packed for each in image.layers)
        assert list(image.files.tree.entries) == ["bin", "etc", "etc/passwd"]
    names = {path.name for path in (tmp_path / "image/blobs/sha256").iterdir()}
    assert len(names) == 4 and all(len(name) == 64 for name in names)


def test_layers_are_copied_as_they_are_or_cut_down(tmp_path: Path) -> None:
    lower = tar(directory("a"), member("a/one", b"one"), hard("a/two", "a/one"), member("a/three", b"3"))
    upper = tar(member("b", b"b"), link("c", "b"), member("a/.wh.three", b""))
    layout(
        tmp_path / "image",
        lower,
        upper,
        packing="zstd",
        history=[{"created_by": "base"}, {"created_by": "app"}],
    )
    with open_files(tmp_path / "image") as image:
        tree = image.files.tree
        slim: list[LayerContent | LayerCopy] = [
            LayerContent(image.files, ["a/two"], created_by="base, slimmed"),
            LayerCopy(image, 1),
            LayerContent(image.files, (), contents={"var/status": b"less"}, removed=["c"]),
        ]
        written = write_image(tmp_path / "slim", slim, config=image.config)
        assert written.layers[1] == image.layers[1]
        assert [each.packing for each in written.layers] == ["gzip", "zstd", "gzip"]
        assert all(tree.entries[path].layer == 1 for path in ("b", "c"))
    with open_files(tmp_path / "slim") as image:
        assert set(image.files.tree.entries) == {"a", "a/two", "b", "var", "var/status"}
        assert image.files.read("a/two") == b"one" and image.files.tree.entries["a/two"].node == 0
        assert image.files.read("var/status") == b"less"


class Failing:
    """Files of which one cannot be read."""

    tree = Tree([Entry("a", "file", 1), Entry("b", "file", 1)])

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def open(self, path: str) -> BinaryIO:
        if path == "b":
            raise self.error
        return io.BytesIO(b"x")

    def read(self, path: str, limit: int = 0) -> bytes:
        return b""


@pytest.mark.parametrize("form", ["layout", "archive", "docker"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), Misuse("gone")], ids=["interrupted", "refused"])
def test_what_is_not_whole_is_not_left(form: Form, error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        write_image(tmp_path / "image", [LayerContent(Failing(error), ["a", "b"])], form=form)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/.wh.file").write_text("x")
    with Folder(tmp_path / "root") as folder:
        for paths, why in ((["absent"], "not in the tree"), ([".wh.file"], "would hide")):
            with pytest.raises(Misuse, match=why):
                write_image(tmp_path / "image", [LayerContent(folder, paths)])
        with pytest.raises(Misuse, match="there already"):
            write_image(tmp_path / "root", [])
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_an_archive_for_docker_lists_what_it_holds(tmp_path: Path) -> None:
    with Folder(small_root(tmp_path / "root")) as folder:
        write_image(tmp_path / "image.tar", [LayerContent(folder, ["bin"])], form="docker", reference="slim")
    with open_files(tmp_path / "image.tar") as image:
        assert image.kind == "docker archive" and image.names[0] == "image:slim"
    with tarfile.open(tmp_path / "image.tar") as archive:
        (about,) = json.loads(archive.extractfile("manifest.json").read())  # type: ignore[union-attr]
        assert set(about["Layers"]) <= set(archive.getnames()) and "index.json" in archive.getnames()
