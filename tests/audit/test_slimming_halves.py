import pytest
from slimming_files import closed, files_of, run

from tradewind.audit.slimming.halves import side_car, slim_half, whiteouts
from tradewind.errors import Misuse

SITE = "site/__pycache__"
GIVEN = {
    "app/main": "main",
    "app/asked": "a long text",
    f"{SITE}/m.cpython-311.pyc": "compiled",
    "site/m.py": "source",
    "var/lib/dpkg/status": "all",
    "etc/empty": None,
    "other/file": "x",
    "current": "-> app",
}


def halves():
    files = files_of(GIVEN)
    first = run(opened=["app/main", f"{SITE}/m.cpython-311.pyc"], probed=["app/asked"])
    found = closed(files, first, sources="sourceless", probed="placeholder")
    made = {"var/lib/dpkg/status": b"some", "usr/share/tradewind/note": b"note"}
    return files, slim_half(files, found, made), side_car(files, found)


def test_the_slim_half_reads_like_an_image():
    _, slim, _ = halves()
    told = {entry.path: (entry.kind, entry.size) for entry in slim.tree if entry.kind != "directory"}
    assert told == {
        "app/main": ("file", 4), "app/asked": ("file", 0), "site/m.pyc": ("file", 8), "current": ("link", 0),
        "var/lib/dpkg/status": ("file", 4), "usr/share/tradewind/note": ("file", 4),
    }  # fmt: skip
    assert slim.read("site/m.pyc") == b"compiled" and slim.open("app/asked").read() == b""
    assert slim.read("var/lib/dpkg/status") == b"some" and slim.read("app/main") == b"main"
    assert slim.tree.get("usr/share").mode == 0o755
    for wrong in ("site/m.py", "app", "current", "nothing"):
        with pytest.raises(KeyError):
            slim.open(wrong)
    with pytest.raises(Misuse):
        slim.read("usr/share/tradewind/note", 3)


def test_the_side_car_on_top_gives_the_original_back():
    files, slim, rest = halves()
    stacked = {path: slim.read(path) for path, entry in slim.tree.entries.items() if entry.kind == "file"}
    stacked |= {path: rest.read(path) for path, entry in rest.tree.entries.items() if entry.kind == "file"}
    hidden = whiteouts(files, slim)
    assert set(hidden) == {"usr", "site/m.pyc"}
    for gone in hidden:
        stacked = {
            path: text for path, text in stacked.items() if path != gone and not path.startswith(f"{gone}/")
        }
    assert stacked == files.contents
    assert "etc/empty" in rest.tree and rest.tree.get("app/asked").size == 11


def test_a_made_file_takes_no_folders_or_links_place():
    files = files_of({"a/b": "x", "l": "-> a"})
    for path in ("a", "l", "l/b"):
        with pytest.raises(Misuse, match="something else"):
            slim_half(files, closed(files), {path: b""})
