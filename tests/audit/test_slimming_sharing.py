from slimming_files import files_of, packages_of, run

from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.sharing import (
    SharedLayer,
    Subject,
    close_together,
    shared_between,
    shared_layers,
    worth_sharing,
)

BASE = {"lib/one": "1", "lib/two": "2", "lib/three": "-> four", "lib/four": "4", "conf": "base"}


def subject(name, own, layers, *opened, hops=()):
    files = files_of(BASE | own, layers=dict.fromkeys(own, 1))
    return Subject(name, files, layers, (run(name, opened=opened, hops=hops),), packages_of(files))


def test_what_one_image_keeps_of_a_shared_layer_all_keep_that_see_it():
    one = subject("one", {"app1": "x", "conf": "mine"}, ("base", "own1"), "lib/one", "app1", "conf")
    two = subject(
        "two", {"app2": "y"}, ("base", "own2"), "lib/two", "lib/four", "app2", "conf", hops=["lib/three"]
    )
    first, second = close_together([one, two])
    assert first.kept.reasons["lib/two"] == Reason("shared", "two")
    assert second.kept.reasons["lib/one"] == Reason("shared", "one")
    assert "app2" not in first.kept.tree and "app1" not in second.kept.tree
    assert first.kept.reasons["conf"] == Reason("traced", "one"), "its own, in a layer of its own"
    for found in (first, second):
        assert {"lib/one", "lib/two", "lib/three", "lib/four"} <= found.kept.paths


def test_images_without_a_common_layer_go_their_own_ways():
    one = subject("one", {"app1": "x"}, ("base", "own1"), "lib/one")
    two = subject("two", {"app2": "y"}, ("other", "own1"), "lib/two")
    first, second = close_together([one, two])
    assert "lib/two" not in first.kept and "lib/one" not in second.kept


def test_layers_are_shared_from_the_lowest_on():
    assert shared_layers(("a", "b", "c"), ("a", "b", "d")) == 2
    assert shared_layers(("a", "b"), ("x", "b")) == 0
    assert shared_layers(("a",), ("a", "b")) == 1


def test_layers_are_shared_where_the_set_saves_more_than_an_image_grows():
    given = {"base/both": "b" * 60, "base/x": "x" * 20, "base/y": "y" * 20, "up/x": "1" * 9, "up/y": "2" * 9}
    layers = {path: int(path.startswith("up")) for path in given}
    files = files_of(given, layers=layers)
    one, two = (
        Subject(name, files, ("base", "up"), (run(name, opened=["base/both", f"base/{name}", f"up/{name}"]),),
                packages_of(files))
        for name in "xy"
    )  # fmt: skip
    apart = close_together([one, two], 0)
    assert "base/y" not in apart[0].kept
    common = shared_between([one, two], apart)
    assert common == (SharedLayer(0, 2, 160, 100), SharedLayer(1, 2, 18, 18))
    assert [(each.saved, each.growth) for each in common] == [(60, 20.0), (0, 9.0)]
    assert worth_sharing(common) == 1, "of the upper layer both keep nothing that is the same"
    first, second = close_together([one, two], 1)
    assert "base/y" in first.kept and "up/y" not in first.kept and "base/x" in second.kept
    deeper = (SharedLayer(0, 2, 18, 18), SharedLayer(1, 2, 160, 100))
    assert worth_sharing(deeper) == 2, "what a lower layer loses, a higher one brings in"
    assert worth_sharing(deeper[:1]) == worth_sharing(()) == 0
