from slimming_files import closed, files_of, packages_of, pip, run

from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.misses import Miss, healed, misses
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
    assert misses(first, found, inventory) == ()
    assert misses(second, found, inventory) == (
        Miss("log", 1, "", True, "canary"),
        Miss("site/late.py", 4, "pip:site", True, "canary"),
        Miss("conf", 0, "", False, "canary"),
        Miss("link", 0, "", False, "canary"),
        Miss("other", 1, "", False, "canary"),
    )
    grown = healed(files, found, [first], [second], inventory, policy)
    assert grown.kept.reasons["site/late.py"] == Reason("healed", "canary")
    assert {"log", "link", "conf"} <= grown.kept.paths and found.kept.paths <= grown.kept.paths
    assert misses(second, grown, inventory) == ()
    third = run("third", opened=["conf/x"])
    again = healed(files, grown, [first], [third], inventory, policy)
    assert again.kept.reasons["site/late.py"] == Reason("healed", "canary"), "what was healed stays"
    assert again.kept.reasons["conf/x"] == Reason("healed", "third")


def test_an_empty_file_that_is_opened_is_a_miss():
    files = files_of(GIVEN)
    found = closed(files, run(probed=["asked"]), probed="placeholder")
    told = misses(run("later", opened=["asked"]), found, packages_of(files))
    assert told == (Miss("asked", 1, "", True, "later"),)
