import json

from slimming_files import closed, files_of, packages_of, pip, run

from tradewind.audit.packages import Package
from tradewind.audit.slimming.databases import NOTE, STATUS, filtered_status, keeping, kept_files, made_files
from tradewind.audit.slimming.policy import Policy

PARAGRAPHS = [
    "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nDescription: one\n more\n",
    "Package: a\nStatus: install ok installed\nArchitecture: i386\nVersion: 1\n",
    "Package: B\nArchitecture: all\nConffiles:\n /etc/b 0123\nVersion: 2\n",
]
GIVEN = {
    STATUS: "\n".join(PARAGRAPHS),
    "usr/bin/a": "a",
    "usr/bin/b": "b",
    "usr/share/doc/b/copyright": "c",
    "site/p.py": "p",
    "site/__pycache__/p.cpython-311.pyc": "c",
    "odd\udcff": "o",
}
PACKAGES = (
    Package("apt", "a", "1", ("usr/bin/a",), architecture="amd64"),
    Package(
        "apt",
        "b",
        "2",
        ("usr/bin/b", "usr/share/doc/b/copyright"),
        ("usr/share/doc/b/copyright",),
        architecture="all",
    ),
    pip("p", ["site/p.py", "site/__pycache__/p.cpython-311.pyc"]),
)


def test_the_status_tells_of_packages_with_files_in_their_own_words():
    files = files_of(GIVEN)
    inventory = packages_of(files, *PACKAGES)
    first = run(opened=["usr/bin/a", "usr/share/doc/b/copyright"])
    found = closed(files, first, packages=PACKAGES)
    assert keeping(inventory, kept_files(found)) == {"apt:a": 1}
    made = made_files(files, inventory, found, digest="sha256:00", extra={"sbom.json": b"{}"})
    assert made[STATUS] == PARAGRAPHS[0].encode() + b"\n"
    assert made["usr/share/tradewind/sbom.json"] == b"{}"
    note = json.loads(made[NOTE])
    assert note["packages"] == [{"package": "apt:a", "version": "1", "files": 1, "of": 1}]
    assert [each["package"] for each in note["removed_packages"]] == ["apt:b", "pip:p"]
    assert note["original"] == {"digest": "sha256:00", "bytes": files.tree.bytes, "entries": len(files.tree)}
    assert note["kept"]["bytes"] == found.kept.bytes
    assert filtered_status(files, inventory, ["apt:b"]) == PARAGRAPHS[2].encode() + b"\n"


def test_what_is_kept_as_it_was_dropped_or_not_there_is_not_made():
    files = files_of(GIVEN)
    inventory = packages_of(files, *PACKAGES)
    read = closed(files, run(opened=[STATUS, "odd\udcff"]), packages=PACKAGES)
    assert set(made_files(files, inventory, read)) == {NOTE}
    policy = Policy(drop=("usr/share/tradewind", "var/lib/dpkg"))
    assert not made_files(files, inventory, closed(files, packages=PACKAGES), policy)
    assert STATUS not in made_files(files, inventory, read, Policy(databases=False))
    assert filtered_status(files_of({"a": "b"}), packages_of(files_of({"a": "b"})), []) is None


def test_a_package_whose_modules_only_moved_still_has_files():
    files = files_of(GIVEN)
    pyc = "site/__pycache__/p.cpython-311.pyc"
    found = closed(files, run(opened=[pyc]), packages=PACKAGES, sources="sourceless")
    assert found.moved == {"site/p.pyc": pyc}
    assert keeping(packages_of(files, *PACKAGES), kept_files(found)) == {"pip:p": 1}
