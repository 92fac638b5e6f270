"""dpkg's database in small roots written here, and this machine's own against dpkg."""

import os
import shutil
import subprocess

import pytest
from inventory_trees import InMemory, OnDisk

from tradewind.audit.inventory.apt import apt_packages
from tradewind.audit.inventory.places import Places
from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.packages import Requirement

INFO = "var/lib/dpkg/info/"


def stanza(name, **fields):
    told = {"Package": name, "Status": "install ok installed", "Version": "1-1", "Architecture": "amd64"}
    told |= {key.replace("_", "-"): value for key, value in fields.items()}
    return "".join(f"{key}: {value}\n" for key, value in told.items()) + "\n"


def taken(given):
    files = InMemory(given)
    packages, notes = apt_packages(files, Places(files.tree))
    return {package.name: package for package in packages}, notes


def test_a_merged_system_and_everything_a_stanza_tells():
    packages, notes = taken(
        {
            "var/lib/dpkg/status": stanza(
                "sh",
                Source="sh-src (1.2)",
                Description="a shell\n that works",
                Pre_Depends="libc6 (>= 2.36)",
                Depends="debconf (>= 0.5) | debconf-2.0, perl:any [amd64] <!cross>, X11",
                Provides="posix-shell (= 1), sh-interface",
            ),
            INFO + "sh.list": "/.\n/bin\n/bin/sh\n/bin/link\n/usr/share/doc/sh/copyright\n/usr/gone\n",
            INFO + "sh.md5sums": "",
            "bin": "-> usr/bin",
            "usr/bin/sh": b"#!",
            "usr/bin/link": "-> sh",
            "usr/share/doc/sh/copyright": "Files: *\nLicense: GPL-2+\n text\n\nLicense: MIT\nLicense: MIT\n",
        }
    )
    sh = packages["sh"]
    assert sh.files == ("usr/bin/link", "usr/bin/sh", "usr/share/doc/sh/copyright")
    assert sh.records == ("usr/share/doc/sh/copyright", INFO + "sh.list", INFO + "sh.md5sums")
    assert sh.requires == (
        Requirement(("libc6",), "pre-depends"),
        Requirement(("debconf", "debconf-2.0")),
        Requirement(("perl",)),
        Requirement(("x11",)),
    )
    assert sh.provides == ("posix-shell", "sh-interface")
    assert (sh.source, sh.source_version, sh.summary) == ("sh-src", "1.2", "a shell")
    assert sh.license == "GPL-2+, MIT" and not sh.asked_for and not notes


def test_only_what_is_there_counts_as_installed():
    packages, _ = taken(
        {
            "var/lib/dpkg/status": stanza("kept")
            + stanza("gone", Status="deinstall ok config-files")
            + stanza("purged", Status="purge ok not-installed")
            + stanza("half", Status="install ok half-configured")
            + "Version: 3\n\n"
        }
    )
    assert sorted(packages) == ["half", "kept"]


def test_diverted_files_belong_to_whom_they_came_with():
    packages, _ = taken(
        {
            "var/lib/dpkg/status": stanza("tool") + stanza("wrapper"),
            INFO + "tool.list": "/usr/bin/tool\n/etc/local\n",
            INFO + "wrapper.list": "/usr/bin/tool\n/usr/bin/tool.real\n",
            "var/lib/dpkg/diversions": "/usr/bin/tool\n/usr/bin/tool.real\nwrapper\n"
            "/etc/local\n/etc/local.old\n:\n",
            "usr/bin/tool": b"wrapper",
            "usr/bin/tool.real": b"tool",
            "etc/local.old": b"",
        }
    )
    assert packages["tool"].files == ("etc/local.old", "usr/bin/tool.real")
    assert packages["wrapper"].files[0] == "usr/bin/tool"


def test_two_architectures_are_two_packages_with_lists_of_their_own():
    given = {
        "var/lib/dpkg/status": stanza("libc6", Multi_Arch="same")
        + stanza("libc6", Architecture="i386")
        + stanza("data", Architecture="all"),
        INFO + "libc6:amd64.list": "/lib/a\n",
        INFO + "libc6:i386.list": "/lib/b\n",
        INFO + "data.list": "/lib/c\n",
        "var/lib/apt/extended_states": "Package: libc6\nArchitecture: i386\nAuto-Installed: 1\n\n"
        "Package: other\nArchitecture: amd64\nAuto-Installed: 0\n",
        "lib/a": b"a",
        "lib/b": b"bb",
        "lib/c": b"ccc",
    }
    inventory = take_inventory(InMemory(given))
    assert list(inventory.packages) == ["apt:data", "apt:libc6@amd64", "apt:libc6@i386"]
    assert [inventory.bytes_of(key) for key in inventory.packages] == [3, 1, 2]
    assert [package.asked_for for package in inventory.packages.values()] == [True, True, False]
    assert len(inventory.by_name("apt:libc6")) == 2


def test_what_came_along_with_others_was_not_asked_for_of_any_architecture():
    packages, _ = taken(
        {
            "var/lib/dpkg/status": stanza("data", Architecture="all"),
            "var/lib/apt/extended_states": "Package: data\nArchitecture: amd64\nAuto-Installed: 1\n",
        }
    )
    assert not packages["data"].asked_for


def test_distroless_tells_its_files_by_their_checksums():
    folder = "var/lib/dpkg/status.d/"
    packages, notes = taken(
        {
            folder + "base": "Package: base-files\nVersion: 12\nArchitecture: amd64\nDescription: base\n",
            folder + "base.md5sums": "0" * 32 + "  usr/lib/os\n" + "0" * 32 + "  ./etc/issue\n",
            folder + "netbase": "Package: netbase\nVersion: 6\nArchitecture: all\n",
            folder + "base-files.md5sums": "0" * 32 + "  usr/lib/os\n" + "0" * 32 + "  ./etc/issue\n",
            "usr/lib/os": b"",
            "etc/issue": b"",
        }
    )
    assert packages["base-files"].files == ("etc/issue", "usr/lib/os")
    assert packages["base-files"].records == (folder + "base", folder + "base-files.md5sums")
    assert packages["netbase"].files == () and "1 of 2 packages" in notes[0]


def test_a_root_without_the_database_has_no_packages():
    assert taken({"etc/issue": b""}) == ({}, [])


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="this machine has no dpkg")
def test_this_machines_packages_are_dpkgs():
    form = (
        "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${db:Status-Status}\n"
    )
    told = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    rows = {tuple(line.split("\t")[:5]) for line in told.splitlines() if line.endswith("\tinstalled")}
    sample = [*sorted({row[0] for row in rows})[::97], "bash", "libc6", "dpkg"]
    listed = {}
    for name in sample:
        query = ["dpkg-query", "-L", name] if name != "libc6" else ["dpkg-query", "-L", "libc6:amd64"]
        run = subprocess.run(query, capture_output=True, text=True, check=False)
        # A package of two architectures needs one told; a diversion is told in lines of its own.
        listed[name] = {line for line in run.stdout.splitlines() if line.startswith("/") and line != "/."}
    database = [INFO + name for name in os.listdir("/" + INFO)]
    paths = {*database, "var/lib/dpkg/status", "var/lib/dpkg/diversions", "var/lib/apt/extended_states"}
    paths |= {name for name in os.listdir("/") if os.path.islink("/" + name)}
    for path in set().union(*listed.values()):
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        paths.add(real.lstrip("/"))
        paths.update(link.lstrip("/") for link in _links_above(path))
    files = OnDisk("/", sorted(paths))
    packages, _ = apt_packages(files, Places(files.tree))
    assert {(p.name, p.version, p.architecture, p.source, p.source_version) for p in packages} == rows
    by_name = {p.name: p for p in packages}
    checked = 0
    for name, lines in listed.items():
        theirs = set()
        folders = {os.path.dirname(line) for line in lines}
        for line in lines - folders:
            real = os.path.join(os.path.realpath(os.path.dirname(line)), os.path.basename(line))
            if os.path.lexists(real) and (os.path.islink(real) or not os.path.isdir(real)):
                theirs.add(real.lstrip("/"))
        if lines:
            assert set(by_name[name].files) == theirs, name
            checked += len(theirs)
    assert checked > 100


def _links_above(path):
    while path != "/":
        path = os.path.dirname(path)
        if os.path.islink(path):
            yield path
