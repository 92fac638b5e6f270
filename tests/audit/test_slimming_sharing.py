from slimming_files import files_of, packages_of, run

from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.sharing import Subject, close_together, shared_layers

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
