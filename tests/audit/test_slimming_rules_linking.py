import pytest
from slimming_files import closed, files_of, run

from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.rules.linking import hard_links, links, targets


def test_links_to_what_is_kept_and_to_the_folders_above_it_are_kept():
    files = files_of(
        {
            "usr/lib64/ld.so": "x",
            "lib64": "-> usr/lib64",
            "ld": "-> lib64/ld.so",
            "bin": "-> usr/bin",
            "usr/bin/tool": "y",
        }
    )
    opened = run(opened=["usr/lib64/ld.so"])
    found = closed(files, opened)
    assert found.kept.reasons["lib64"] == Reason("link", "usr/lib64")
    assert "ld" in found.kept
    assert "bin" not in found.kept
    slim = files.tree.only(closed(files, opened, without=links).kept)
    assert slim.resolve("/lib64/ld.so")[0] is None
    assert files.tree.only(found.kept).resolve("/lib64/ld.so")[0] == "usr/lib64/ld.so"


def test_a_kept_link_leads_where_it_led():
    files = files_of({"a": "-> dir/../to/b", "dir/x": "x", "to/b": "-> c", "to/c": "y", "nowhere": "-> gone"})
    asked = run(probed=["a", "nowhere"])
    found = closed(files, asked)
    slim = files.tree.only(found.kept)
    assert slim.resolve("a")[0] == "to/c" and "dir/x" not in slim
    assert slim.resolve("nowhere")[0] is None and "nowhere" in slim
    assert files.tree.only(closed(files, asked, without=targets).kept).resolve("a")[0] is None


def test_all_names_of_a_file_are_kept_together():
    files = files_of({"perl": "x" * 10, "perl5": "x" * 10, "y": "y"}, nodes={"perl": 1, "perl5": 1})
    found = closed(files, run(opened=["perl"]))
    assert found.kept.reasons["perl5"] == Reason("hard link", "perl")
    assert found.kept.bytes == 10 and files.tree.bytes_of(found.removed) == 1
    split = closed(files, run(opened=["perl"]), without=hard_links)
    assert split.kept.bytes + files.tree.bytes_of(split.removed) > files.tree.bytes


@pytest.mark.parametrize("dropped", ["perl", "perl5"])
def test_a_dropped_file_goes_with_all_its_names(dropped):
    files = files_of({"perl": "x", "perl5": "x", "l": "-> perl"}, nodes={"perl": 1, "perl5": 1})
    found = closed(files, run(opened=["perl"], hops=["l"]), drop=(dropped,))
    assert not found.kept.paths & {"perl", "perl5", "l"}
    assert found.dropped == ("l", "perl")
