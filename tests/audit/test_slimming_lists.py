import json

from slimming_files import closed, files_of, packages_of, pip, run

from tradewind.audit.slimming.lists import Removed, as_lines, prefetch, removed_paths


def test_removed_paths_are_told_with_size_owner_and_fate():
    pyc = "site/__pycache__/m.cpython-311.pyc"
    files = files_of(
        {
            "a": "xyz",
            "b": "y",
            "site/m.py": "s",
            pyc: "c",
            "asked": "long",
            "status": "st",
            "gone": "g",
            "odd\udcff": "1",
            "l": "-> b",
        }
    )
    owner = pip("a", ["a", "b"])
    first = run(opened=[pyc, "gone"], probed=["asked"])
    found = closed(
        files, first, packages=(owner,), sources="sourceless", probed="placeholder", drop=("gone",)
    )
    told = list(removed_paths(found, packages_of(files, owner), {"status"}))
    assert told[0] == Removed("a", "file", 3, "pip:a", "removed")
    fates = {each.path: each.fate for each in told}
    assert fates == {
        "a": "removed",
        "b": "removed",
        "l": "removed",
        "odd\udcff": "removed",
        "asked": "placeholder",
        "gone": "dropped",
        "status": "replaced",
        pyc: "moved",
        "site/m.py": "removed",
    }
    rows = [json.loads(line) for line in as_lines(told)]
    assert [row["path"] for row in rows] == [each.path for each in told]
    assert sum(row["size"] for row in rows) == files.tree.bytes_of(found.removed)


def test_what_was_opened_first_is_fetched_first():
    files = files_of({"a": "", "b": "", "c": "", "d": "", "e": "-> a"})
    first, second = run("1", opened=["a", "c"]), run("2", opened=["b"])
    found = closed(files, first, second)
    assert prefetch(found, [first, second], ["c", "gone", "d"]) == ("c", "a", "b")
    assert prefetch(found, [second]) == ("b",)
