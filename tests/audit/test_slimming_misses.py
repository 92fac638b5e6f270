from slimming_files import closed, files_of, packages_of, pip, run

from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.misses import Miss, healed, lacking, lacking_of, misses
from tradewind.audit.slimming.policy import Policy

PYC = "site/__pycache__/m.cpython-311.pyc"
GIVEN = {
    "app": "x",
    "site/late.py": "late",
    "site/m.py": "source",
    PYC: "c",
    "asked": "a",
    "link": "-> site/late.py",
    "log": "l",
    "other": "o",
    "conf/x": "1",
}


def test_misses_are_told_with_their_package_and_size_and_healed():
    files = files_of(GIVEN)
    owner = pip("site", ["site/late.py", "site/m.py", PYC])
    inventory = packages_of(files, owner)
    first = run("first", opened=["app", PYC], probed=["asked", "site/m.py"])
    policy = Policy(probed="placeholder", sources="sourceless")
    found = closed(files, first, packages=(owner,), probed="placeholder", sources="sourceless")
    second = run(
        "canary", opened=["app", "site/late.py", PYC], probed=["asked", "site/m.py", "other"], hops=["link"],
        written=["log", "out/new"], listed=["conf", "site"],
    )  # fmt: skip
    assert misses(first, lacking_of(found), inventory) == ()
    missed = misses(second, lacking_of(found), inventory)
    assert missed == (
        Miss("log", 1, "", True, "canary"),
        Miss("site/late.py", 4, "pip:site", True, "canary"),
        Miss("conf", 0, "", False, "canary"),
        Miss("link", 0, "", False, "canary"),
        Miss("other", 1, "", False, "canary"),
    )
    grown = healed(files, [first, second], missed, inventory, policy)
    assert grown.kept.reasons["site/late.py"] == Reason("healed", "canary")
    assert {"log", "link", "conf"} <= grown.kept.paths and found.kept.paths <= grown.kept.paths
    assert misses(second, lacking_of(grown), inventory) == ()
    third = run("third", opened=["conf/x"])
    missed = misses(third, lacking_of(grown), inventory)
    earlier = {"site/late.py": Reason("healed", "canary"), "gone since": Reason("healed", "canary")}
    again = healed(files, [first, third], missed, inventory, policy, earlier)
    assert again.kept.reasons["site/late.py"] == Reason("healed", "canary"), "what was healed stays"
    assert again.kept.reasons["conf/x"] == Reason("healed", "third")


def test_an_empty_file_that_is_opened_is_a_miss():
    files = files_of(GIVEN)
    found = closed(files, run(probed=["asked"]), probed="placeholder")
    told = misses(run("later", opened=["asked"]), lacking_of(found), packages_of(files))
    assert told == (Miss("asked", 1, "", True, "later"),)


def test_what_a_slim_tree_has_not_is_told_by_its_paths():
    tree = files_of(GIVEN).tree
    held = {"app", "asked", "site", "conf"}
    found = lacking(tree, held, placeholders=["asked"], moved=[PYC])
    assert found.paths == tree.entries.keys() - {"app", "site", "conf", PYC}
    assert found.answered == {"asked", "site/m.py"}
