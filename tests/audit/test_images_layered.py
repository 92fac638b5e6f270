"""tradewind.audit.images.layered"""

import tarfile

import pytest
from images_by_hand import directory, hard, link, member, stored, tar

from tradewind.audit.images.archives import members
from tradewind.audit.images.layered import Layered, Stack
from tradewind.audit.images.limits import Limits, Spent
from tradewind.errors import Misuse


def stacked(*layers: bytes, limits: Limits | None = None) -> dict[str, str]:
    """What each path is in these layers: a file's content, a link's target, the kind of all else."""
    return {path: what for path, (what, _) in numbered(*layers, limits=limits).items()}


def numbered(*layers: bytes, limits: Limits | None = None) -> dict[str, tuple[str, int]]:
    """The same with the layer that each path comes from."""
    with stored(b"".join(layers)) as whole:
        stack, at = Stack(Spent(limits or Limits(), "image"), "image"), 0
        for number, layer in enumerate(layers):
            region = whole.within(at, len(layer))
            stack.add(region, members(region, "image", Limits()), f"layer {number}")
            at += len(layer)
        files = stack.files()
        return {each.path: (shown(files, each.path), each.layer) for each in files.tree}


def shown(files: Layered, path: str) -> str:
    entry = files.tree.entries[path]
    if entry.kind == "file":
        return files.read(path).decode()
    return f"-> {entry.target}" if entry.kind == "link" else entry.kind


def text(name: str, content: str) -> tuple[tarfile.TarInfo, bytes | None]:
    return member(name, content.encode())


LOWER = tar(
    directory("etc/"), text("etc/a", "a"), text("etc/b", "b"), directory("etc/deep/"),
    text("etc/deep/c", "c"), directory("usr/"), directory("usr/bin/"), text("usr/bin/sh", "sh"),
    link("bin", "usr/bin"), link("lost", "none"),
)  # fmt: skip


def test_a_layer_hides_and_replaces_what_is_below() -> None:
    upper = tar(
        text("etc/.wh.a", ""), text("etc/b", "new"), text("etc/.wh.deep", ""), text("etc/.wh.absent", "")
    )
    found = numbered(LOWER, upper)
    assert {path: found[path] for path in found if path.startswith("etc")} == {
        "etc": ("directory", 0),
        "etc/b": ("new", 1),
    }


def test_an_opaque_directory_hides_all_below_but_not_what_its_layer_brings() -> None:
    for members_ in (
        [text("etc/.wh..wh..opq", ""), text("etc/d", "d")],
        [text("etc/d", "d"), text("etc/.wh..wh..opq", "")],
    ):
        found = stacked(LOWER, tar(*members_))
        assert {path for path in found if path.startswith("etc")} == {"etc", "etc/d"}
    assert stacked(LOWER, tar(text(".wh..wh..opq", ""), text("new", "n"))) == {"new": "n"}


def test_a_whiteout_hides_only_what_is_in_lower_layers() -> None:
    found = stacked(LOWER, tar(directory("etc/deep"), text("etc/deep/new", "n"), text("etc/.wh.deep", "")))
    assert {path for path in found if path.startswith("etc/deep")} == {"etc/deep", "etc/deep/new"}


def test_kinds_replace_one_another() -> None:
    found = stacked(
        LOWER, tar(text("etc", "a file"), directory("bin"), text("bin/x", "x"), link("usr", "etc"))
    )
    assert found == {"etc": "a file", "bin": "directory", "bin/x": "x", "usr": "-> etc", "lost": "-> none"}


def test_a_way_through_a_link_of_a_lower_layer_stays_inside() -> None:
    lower = tar(directory("data"), link("out", "../../../data"), link("abs", "/data"), text("file", "f"))
    upper = tar(text("out/one", "1"), text("abs/two", "2"), text("file/three", "3"),
                hard("abs/four", "out/one"), text("abs/.wh.absent", ""))  # fmt: skip
    found = stacked(lower, upper)
    assert found["data/one"] == "1" and found["data/two"] == "2" and found["data/four"] == "1"
    assert found["out"] == "-> ../../../data" and found["file/three"] == "3"


def test_directories_that_no_member_states_are_there_all_the_same() -> None:
    assert stacked(tar(text("./a//b/./c", "c"))) == {"a": "directory", "a/b": "directory", "a/b/c": "c"}


def test_hard_links_are_one_file_also_to_a_lower_layer() -> None:
    lower = tar(text("one", "same"), hard("two", "one"), text("alone", "x"), link("l", "one"), hard("m", "l"))
    with stored(lower + (upper := tar(hard("three", "./two"), text(".wh.one", "")))) as whole:
        stack = Stack(Spent(Limits(), "image"), "image")
        for region in (whole.within(0, len(lower)), whole.within(len(lower), len(upper))):
            stack.add(region, members(region, "image", Limits()), "layer")
        tree = stack.files().tree
    assert tree.names == {1: ("three", "two")} and tree.bytes == 5
    assert tree.entries["m"].target == "one" and tree.entries["alone"].node == 0
    assert stack.files().placed == (frozenset({"one", "two", "alone", "l", "m"}), frozenset({"three"}))


def test_what_aufs_left_is_not_looked_at() -> None:
    assert stacked(tar(text(".wh..wh.plnk/1.2", ""), text(".wh..wh.aufs", ""), text("x", "x"))) == {"x": "x"}


REFUSED: dict[str, list[tuple[tarfile.TarInfo, bytes | None]]] = {
    "absolute": [text("/etc/passwd", "x")],
    "leaves the root": [text("../passwd", "x")],
    "leaves the root later": [text("etc/../../passwd", "x")],
    "leaves the root by a directory": [directory("..")],
    "through an absolute link": [link("out", "/etc"), text("out/passwd", "x")],
    "through a relative link": [link("out", "../../etc"), text("out/passwd", "x")],
    "through links to links": [directory("d"), link("d/up", ".."), link("out", "d/up"), text("out/x", "x")],
    "directory through a link": [link("out", "/etc"), directory("out/cron.d")],
    "link in the place of its directory": [directory("d"), text("d/x", "x"), link("d", "/etc")],
    "hard link to outside": [hard("shadow", "/etc/shadow")],
    "hard link above": [hard("shadow", "../../etc/shadow")],
    "hard link through a link": [link("out", "/etc"), hard("shadow", "out/shadow")],
    "hard link to nothing": [hard("shadow", "etc/shadow")],
    "hard link to a directory": [directory("d"), hard("e", "d")],
    "hard link to itself": [hard("e", "e")],
    "file twice": [text("a", "good"), text("a", "bad")],
    "file twice under other spellings": [text("a/b", "good"), text("./a//b", "bad")],
    "link then file": [link("a", "/etc/passwd"), text("a", "bad")],
    "file then link": [text("a", "x"), link("a", "/etc/passwd")],
    "file below a file": [text("a", "x"), text("a/b", "x")],
    "whiteout of nothing": [text(".wh.", "")],
    "whiteout of the directory itself": [text("d/.wh..", "")],
    "whiteout above": [text("d/.wh...", "")],
    "whiteout through a link": [link("out", "/etc"), text("out/.wh.passwd", "")],
    "below a whiteout": [text("etc/.wh.a/x", "")],
    "name too long": [text("n" * 256, "x")],
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_would_leave_the_root_or_is_ambiguous_is_refused(case: str) -> None:
    with pytest.raises(Misuse, match=r"^image, layer 1: "):
        stacked(LOWER, tar(*REFUSED[case]))


def test_a_link_that_leads_nowhere_is_not_gone_through() -> None:
    with pytest.raises(Misuse, match="leads nowhere"):
        stacked(tar(link("round", "round")), tar(text("round/x", "x")))


@pytest.mark.parametrize("limits", [Limits(bytes=100), Limits(members=3)], ids=["bytes", "members"])
def test_limits_hold_over_all_layers(limits: Limits) -> None:
    layer = tar(text("a", "x" * 60), text("b", "x"))
    assert stacked(layer, limits=limits)
    with pytest.raises(Misuse, match="more than"):
        stacked(layer, tar(text("c", "x" * 60), text("d", "x")), limits=limits)
