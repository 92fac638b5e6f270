import os
import signal
import subprocess
import sys

import msgspec
import pytest
from slimming_files import closed, files_of, packages_of, run

from tradewind.audit.images.digests import tree_digest
from tradewind.audit.images.folder import Folder
from tradewind.audit.images.opening import open_files
from tradewind.audit.images.writing import LayerContent, write_image
from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.slimming.closure import close
from tradewind.audit.slimming.databases import made_files
from tradewind.audit.slimming.halves import slim_half
from tradewind.audit.slimming.sharing import Subject, close_together
from tradewind.audit.slimming.writing import Part, slim_image, slim_images
from tradewind.errors import Misuse
from tradewind.testing.images import small_root

PYC = "usr/lib/python3/dist-packages/demo/__pycache__/__init__.cpython-311.pyc"


def plain(tree):
    """What of a tree an archive can hold."""
    return {
        path: msgspec.structs.replace(entry, layer=0, modified=int(entry.modified))
        for path, entry in tree.entries.items()
        if entry.kind != "directory"
    }


def same(one, other):
    """Whether two trees are equal in all but the times of directories and their layers."""
    assert plain(one.tree) == plain(other.tree)
    folders = [
        {p: e.mode for p, e in each.tree.entries.items() if e.kind == "directory"} for each in (one, other)
    ]
    assert folders[0] == folders[1]
    for entry in one.tree:
        if entry.kind == "file":
            assert one.read(entry.path) == other.read(entry.path), entry.path


def layered(tmp_path, name, *layers):
    """An image of these layers, each {path: content}, with what one of them removes under the key `-`."""
    contents = []
    for number, layer in enumerate(layers):
        gone = layer.pop("-", ())
        files = files_of(layer)
        contents.append(
            LayerContent(files, list(files.tree.entries), removed=gone, created_by=f"step {number}")
        )
    write_image(tmp_path / name, contents, config={"config": {"Cmd": ["/app"]}}, annotations={"by": name})
    return tmp_path / name


def part_of(image, *opened, name="", **policy):
    inventory = take_inventory(image.files)
    first = run("first", opened=opened)
    found = closed(image.files, first, packages=inventory.packages.values(), **policy)
    return Part(image, found, inventory, made_files(image.files, inventory, found), (first,), name)


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_slim_layout_reads_back_and_with_its_side_car_is_the_original(tmp_path, packing):
    with open_files(small_root(tmp_path / "root")) as image:
        inventory = take_inventory(image.files)
        first = run(
            "demo", opened=["usr/bin/demo", PYC, "usr/share/demo/one"], probed=["opt/demo/probe_only"]
        )
        found = close(image.files, [first], inventory)
        made = made_files(image.files, inventory, found, extra={"sbom.json": b"{}"})
        half = slim_half(image.files, found, made)
        told = slim_image(Part(image, found, inventory, made, (first,)), tmp_path / "slim", packing=packing)
        with open_files(tmp_path / "slim/image", reference="slim") as slim:
            same(slim.files, half)
            assert told.bytes == slim.files.tree.bytes and 0 < told.degree < 1
            assert tuple(layer.digest for layer in slim.layers) == told.layers
            assert slim.files.read("var/lib/dpkg/status") == image.files.read("var/lib/dpkg/status")
        with open_files(tmp_path / "slim/image", reference="original") as whole:
            same(whole.files, image.files)
            assert tree_digest(whole.files) == tree_digest(image.files)
        names = sorted(path.name for path in (tmp_path / "slim").iterdir())
        assert names == ["added.txt", "image", "prefetch.txt", "removed.jsonl"]
        assert (tmp_path / "slim/prefetch.txt").read_text().split() == [
            "/usr/bin/demo",
            f"/{PYC}",
            "/usr/share/demo/one",
        ]
        added = (tmp_path / "slim/added.txt").read_text().split()
        assert "/usr/share/tradewind/sbom.json" in added and "/var/lib/dpkg/status" not in added
        assert len((tmp_path / "slim/removed.jsonl").read_text().splitlines()) == told.removed_files
        with pytest.raises(Misuse, match="already"):
            slim_image(Part(image, found, inventory), tmp_path / "slim")


def test_slim_folders_overlaid_are_the_original(tmp_path):
    with open_files(small_root(tmp_path / "root")) as image:
        part = part_of(image, "usr/bin/demo", PYC, sources="sourceless", probed="placeholder")
        told = slim_image(part, tmp_path / "out", form="folders")
        with Folder(tmp_path / "out/slim") as slim, Folder(tmp_path / "out/side-car") as rest:
            same(slim, slim_half(image.files, part.closure, part.made))
            assert told.bytes == slim.tree.bytes
            stacked = {**plain(slim.tree), **plain(rest.tree)}
            added = {line[1:] for line in (tmp_path / "out/added.txt").read_text().splitlines()}
            original = {
                path: msgspec.structs.replace(entry, node=0)
                for path, entry in plain(image.files.tree).items()
            }
            assert {
                p: msgspec.structs.replace(e, node=0) for p, e in stacked.items() if p not in added
            } == original


def test_layers_are_kept_where_nothing_goes_and_left_out_where_nothing_stays(tmp_path):
    where = layered(
        tmp_path,
        "image",
        {"lib/a": "A" * 50, "lib/b": "B" * 9},
        {"tools/x": "X"},
        {"app": "run", "lib/b": "new"},
        {"-": ["tools/x"], "etc/conf": "c"},
    )
    with open_files(where) as image:
        part = part_of(image, "app", "etc/conf", "lib/a", "lib/b")
        told = slim_image(part, tmp_path / "slim")
        with open_files(tmp_path / "slim/image@slim") as slim:
            same(slim.files, slim_half(image.files, part.closure, part.made))
            assert len(slim.layers) == 4, "of the second nothing is left, and the note has one of its own"
            assert slim.layers[1].digest == image.layers[2].digest and told.kept_layers == 2
            assert slim.layers[0].digest != image.layers[0].digest, (
                "it had an older file that nobody could see"
            )
            assert slim.config["config"] == {"Cmd": ["/app"]} and slim.annotations["by"] == "image"
        with open_files(tmp_path / "slim/image@original") as whole:
            same(whole.files, image.files)
        with open_files(tmp_path / "slim/image@side-car") as rest:
            assert "tools" in rest.files.tree and len(rest.layers) == 1


def test_images_that_share_a_base_go_on_sharing_it(tmp_path):
    base = {
        "lib/a": "A" * 99,
        "lib/b": "B" * 99,
        "lib/c": "C" * 99,
        "conf": "base",
        "lib/d/e": "deep",
        "free": "f",
    }
    one = layered(tmp_path, "one", dict(base), {"app1": "1", "lib/more": "m"})
    two = layered(tmp_path, "two", dict(base), {"app2": "2", "-": ["lib/a", "lib/d"], "conf": "mine"})
    with open_files(one) as first, open_files(two) as second:
        assert first.layers[0].digest == second.layers[0].digest
        subjects = []
        for name, image, opened in (
            ("one", first, ["lib/a", "app1", "conf", "lib/d/e"]),
            ("two", second, ["lib/b", "app2"]),
        ):
            layers = tuple(layer.diff_id for layer in image.layers)
            inventory = packages_of(image.files)
            subjects.append(Subject(name, image.files, layers, (run(name, opened=opened),), inventory))
        closures = close_together(subjects)
        parts = [
            Part(
                image,
                closure,
                subject.inventory,
                made_files(image.files, subject.inventory, closure),
                subject.runs,
                name,
            )
            for name, image, subject, closure in zip(
                ("one", "two"), (first, second), subjects, closures, strict=True
            )
        ]
        told = slim_images(parts, tmp_path / "out")
        assert told[0].layers[0] == told[1].layers[0], "the base is one blob"
        assert told[0].layers[1] != told[1].layers[1]
        for name, image, part in (("one", first, parts[0]), ("two", second, parts[1])):
            with open_files(tmp_path / f"out/image@{name}-slim") as slim:
                same(slim.files, slim_half(image.files, part.closure, part.made))
                assert {"lib/b"} <= slim.files.tree.entries.keys() and "lib/c" not in slim.files.tree
            with open_files(tmp_path / f"out/image@{name}-original") as whole:
                same(whole.files, image.files)
        with open_files(tmp_path / "out/image@two-slim") as slim:
            assert "lib/a" not in slim.files.tree and "conf" not in slim.files.tree, (
                "it had removed one, replaced one"
            )


def test_names_tell_several_images_apart(tmp_path):
    with open_files(small_root(tmp_path / "root")) as image:
        part = part_of(image)
        for parts in (
            [part, part],
            [msgspec.structs.replace(part, name=".."), part],
            [msgspec.structs.replace(part, name="a/b")],
        ):
            with pytest.raises(Misuse):
                slim_images(parts, tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["layout", "folders"])
def test_whatever_fails_on_the_way_leaves_nothing(tmp_path, form):
    with open_files(small_root(tmp_path / "root")) as image:
        part = part_of(image, "usr/bin/demo")
        for moment in (1, 5, 20):
            seen = []

            def progress(count, moment=moment, seen=seen):
                seen.append(count)
                if len(seen) == moment:
                    raise KeyboardInterrupt

            (tmp_path / "work").mkdir(exist_ok=True)
            with pytest.raises(KeyboardInterrupt):
                slim_image(part, tmp_path / "work/out", form=form, progress=progress)
            assert not list((tmp_path / "work").iterdir())


KILLED = """
import sys, time
from pathlib import Path
from tradewind.audit.images.opening import open_files
from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import close
from tradewind.audit.slimming.writing import Part, slim_image
def progress(count):
    print("going", flush=True)
    time.sleep(30)
with open_files(sys.argv[1]) as image:
    inventory = Inventory(image.files.tree, {})
    part = Part(image, close(image.files, [], inventory), inventory)
    slim_image(part, Path(sys.argv[2]), progress=progress)
"""


def test_a_kill_in_the_middle_leaves_no_image(tmp_path):
    small_root(tmp_path / "root")
    command = [sys.executable, "-c", KILLED, tmp_path / "root", tmp_path / "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"going\n"
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert all(path.name == "root" or path.name.startswith(".partial-") for path in tmp_path.iterdir())
