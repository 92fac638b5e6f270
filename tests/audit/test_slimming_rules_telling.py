import pytest
from slimming_files import closed, files_of, pip, run

from tradewind.audit.packages import Package
from tradewind.audit.slimming.rules.telling import system_records, told, whole
from tradewind.errors import Misuse

INFO = "site/p-1.dist-info"
PIP = {"site/p/a.py": "x", f"{INFO}/METADATA": "m", f"{INFO}/RECORD": "r", f"{INFO}/entry_points.txt": "e",
       f"{INFO}/LICENSE.txt": "l", f"{INFO}/licenses/AUTHORS": "a", f"{INFO}/sboms/x.json": "s"}  # fmt: skip
APT = {
    "usr/bin/x": "x",
    "var/lib/dpkg/info/x.list": "l",
    "var/lib/dpkg/info/x.md5sums": "m",
    "var/lib/dpkg/info/x.postinst": "p",
    "usr/share/doc/x/copyright": "c",
    "usr/share/doc/x/NEWS.gz": "n",
}
PACKAGES = (
    pip("p", ["site/p/a.py"], [path for path in PIP if path.startswith(INFO)]),
    Package("apt", "x", "1", ("usr/bin/x", "usr/share/doc/x/copyright"), tuple(APT)[1:], architecture="all"),
)


def test_a_package_with_a_kept_file_keeps_what_tells_of_it():
    files = files_of(PIP | APT)
    opened = run(opened=["site/p/a.py", "usr/bin/x"])
    kept = closed(files, opened, packages=PACKAGES).kept
    assert kept.paths - {"site/p/a.py", "usr/bin/x"} == {
        *(
            f"{INFO}/{name}"
            for name in ("METADATA", "RECORD", "entry_points.txt", "LICENSE.txt", "licenses/AUTHORS")
        ),
        "var/lib/dpkg/info/x.list",
        "var/lib/dpkg/info/x.md5sums",
        "usr/share/doc/x/copyright",
    }
    blind = closed(files, opened, packages=PACKAGES, without=told).kept
    assert blind.paths == {"site/p/a.py", "usr/bin/x"}, "no scanner and no importlib.metadata sees either"


@pytest.mark.parametrize(
    ("switch", "gone"),
    [
        ("metadata", f"{INFO}/METADATA"),
        ("licences", f"{INFO}/LICENSE.txt"),
        ("databases", "var/lib/dpkg/info/x.list"),
    ],
)
def test_each_kind_has_its_switch(switch, gone):
    files = files_of(PIP | APT)
    opened = run(opened=["site/p/a.py", "usr/bin/x"])
    assert gone in closed(files, opened, packages=PACKAGES).kept
    assert gone not in closed(files, opened, packages=PACKAGES, **{switch: False}).kept


def test_records_alone_make_no_package_kept():
    kept = closed(files_of(PIP), run(opened=[f"{INFO}/entry_points.txt"]), packages=PACKAGES[:1]).kept
    assert kept.paths == {f"{INFO}/entry_points.txt"}


def test_the_distribution_is_named():
    files = files_of(
        {"etc/os-release": "-> ../usr/lib/os-release", "usr/lib/os-release": "ID=debian", "a": "b"}
    )
    assert {"etc/os-release", "usr/lib/os-release"} <= closed(files, run(opened=["a"])).kept.paths
    for less in (closed(files, run(), without=system_records), closed(files, run(), databases=False)):
        assert not less.kept.paths


def test_packages_are_kept_whole_by_name():
    files = files_of(PIP | APT)
    for name in ("p", "pip:p"):
        assert closed(files, run(), packages=PACKAGES, whole=(name,)).kept.paths == set(PIP)
    assert not closed(files, run(), packages=PACKAGES, whole=("p",), without=whole).kept.paths
    with pytest.raises(Misuse) as wrong:
        closed(files, run(), packages=PACKAGES, whole=("x", "pq"))
    assert wrong.value.field == "whole[1]" and "'p'" in wrong.value.fix
