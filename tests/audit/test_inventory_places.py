"""Paths that managers wrote down, in trees whose folders are links."""

from inventory_trees import InMemory

from tradewind.audit.inventory.places import Places, below, readable, text_of


def test_folders_that_are_links_are_followed_and_the_last_name_is_not():
    files = InMemory(
        {
            "usr/bin/env": b"x",
            "bin": "-> usr/bin",
            "usr/bin/short": "-> env",
            "lib": "-> /usr/lib",
            "usr/lib/a": b"",
            "loop": "-> loop",
        }
    )
    places = Places(files.tree)
    assert places.entry("/bin/env") == "usr/bin/env" and places.entry("bin/short") == "usr/bin/short"
    assert places.entry("/usr/share/../lib/a") == "usr/lib/a" and places.entry("lib/a") == "usr/lib/a"
    assert places.entry("bin") == "bin" and places.entry("/../../usr/bin/env") == "usr/bin/env"
    assert places.entry("loop/a") is None and places.entry("bin/none") is None
    assert places.files(["/bin/env", "/usr", "/bin/short", "/none"]) == {"usr/bin/env", "usr/bin/short"}


def test_text_is_read_through_links_and_not_beyond_the_limit():
    files = InMemory({"a": b"caf\xe9", "b": "-> a", "c": None, "c/d": b""})
    assert text_of(files, "b") == "caf\udce9" and readable("caf\udce9") == "caf?"
    assert text_of(files, "c") is None and text_of(files, "none") is None and text_of(files, "a", 2) is None
    assert below(files.tree, "c") == ("c/d",) and below(files.tree, "none") == ()
