from slimming_files import files_of

from tradewind.audit.slimming.links import route


def test_a_route_tells_every_link_and_every_folder_that_it_needs():
    tree = files_of(
        {
            "a": "-> b/../down/c",
            "b/keep": "x",
            "down": "-> /real",
            "real/c": "-> file",
            "real/file": "content",
            "root": "-> /",
            "dot": "-> .",
        }
    ).tree
    way = route(tree, "a")
    assert way.end == "real/file"
    assert way.links == ("a", "down", "real/c")
    assert way.directories == ("b", "real")
    assert route(tree, "root").end == "" and route(tree, "dot").end == ""


def test_a_route_that_leads_nowhere_has_no_end():
    tree = files_of(
        {"gone": "-> none/x", "loop": "-> pool", "pool": "-> loop", "through": "-> file/x", "file": "x"}
    ).tree
    for link in ("gone", "loop", "through"):
        assert route(tree, link).end is None
        assert tree.resolve(link)[0] is None
    assert set(route(tree, "loop").links) == {"loop", "pool"}
