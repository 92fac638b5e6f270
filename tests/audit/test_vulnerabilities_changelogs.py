"""What apt and Debian's changelogs tell, and that what they cannot be asked is unknown."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import tarfile
import textwrap
from pathlib import Path

import pytest

from tradewind.audit.packages import Inventory, Package
from tradewind.audit.trees import Tree
from tradewind.audit.vulnerabilities import changelogs
from tradewind.audit.vulnerabilities.changelogs import (
    ask_changelogs,
    changelog_of,
    fixed_above,
    read_changelog,
    read_policy,
    security_candidates,
)
from tradewind.audit.vulnerabilities.matching import match
from tradewind.audit.vulnerabilities.sources import Database, Source

NOW = 1.79e9
CHANGELOG = textwrap.dedent("""\
    expat (2.5.0-1+deb12u2) bookworm-security; urgency=high

      * Fix CVE-2026-0002 and, again, CVE-2026-0001.

     -- Somebody <a@example.org>  Mon, 02 Feb 2026 00:00:00 +0000

    expat (2.5.0-1+deb12u1) bookworm-security; urgency=high

      * Fix CVE-2026-0001 (Closes: #1).

     -- Somebody <a@example.org>  Thu, 01 Jan 2026 00:00:00 +0000

    expat (2.5.0-1) unstable; urgency=medium

      * New upstream release, fixes CVE-2022-0001.

     -- Somebody <a@example.org>  Sat, 01 Jan 2022 00:00:00 +0000
    """)
POLICY = textwrap.dedent("""\
    libexpat1:
      Installed: 2.6.0-1
      Candidate: 2.5.0-1+deb12u2
      Version table:
         2.5.0-1+deb12u2 500
            500 http://deb.debian.org/debian-security bookworm-security/main amd64 Packages
         2.5.0-1+deb12u1 500
            500 http://deb.debian.org/debian bookworm/main amd64 Packages
     *** 2.6.0-1 100
            100 /var/lib/dpkg/status
    libc6:i386:
      Installed: (none)
      Candidate: 2.36-9
      Version table:
         2.36-9 500
            500 http://deb.debian.org/debian bookworm/main i386 Packages
    """)
EXPAT = Package("apt", "libexpat1", "2.5.0-1", architecture="amd64", source="expat", source_version="2.5.0-1")
LIBC = Package("apt", "libc6", "2.36-9", architecture="i386", source="glibc", source_version="2.36-9")
INVENTORY = Inventory(Tree([]), {each.key: each for each in (EXPAT, LIBC, Package("pip", "x", "1"))})


def test_changelogs_are_read_entry_by_entry() -> None:
    entries = read_changelog(CHANGELOG)
    assert entries[0] == ("CVE-2026-0002", "2.5.0-1+deb12u2")
    assert fixed_above(entries, "2.5.0-1") == (
        ("CVE-2026-0001", "2.5.0-1+deb12u1"),
        ("CVE-2026-0002", "2.5.0-1+deb12u2"),
    )
    assert fixed_above(entries, "2.5.0-1+deb12u1") == (("CVE-2026-0002", "2.5.0-1+deb12u2"),)
    assert fixed_above(entries, "2.5.0-1+deb12u2") == ()
    assert fixed_above(entries, "2.4.0-1") == (
        ("CVE-2022-0001", "2.5.0-1"),
        ("CVE-2026-0001", "2.5.0-1+deb12u1"),
        ("CVE-2026-0002", "2.5.0-1+deb12u2"),
    )


def test_policies_are_read() -> None:
    policies = read_policy(POLICY)
    assert set(policies) == {"libexpat1", "libc6:i386"}
    expat = policies["libexpat1"]
    assert expat.candidate == "2.5.0-1+deb12u2"
    assert [version.version for version in expat.versions] == [
        "2.5.0-1+deb12u2",
        "2.5.0-1+deb12u1",
        "2.6.0-1",
    ]
    assert "bookworm-security" in expat.versions[0].origins[0]
    assert expat.versions[2].origins == ()


def made_package(
    folder: Path, name: str, packing: str = "xz", link: str = "", changelog: str = CHANGELOG
) -> Path:
    root = folder / f"{name}-root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: x\n"
    )
    (root / "usr/share/doc").mkdir(parents=True)
    if link:
        (root / "usr/share/doc" / name).symlink_to(link)
    else:
        (root / "usr/share/doc" / name).mkdir()
        (root / "usr/share/doc" / name / "changelog.Debian.gz").write_bytes(gzip.compress(changelog.encode()))
    package = folder / f"{name}.deb"
    command = ["dpkg-deb", "--root-owner-group", f"-Z{packing}", "--build", str(root), str(package)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return package


needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed here")


@needs_dpkg
@pytest.mark.parametrize("packing", ["xz", "gzip", "zstd", "none"])
def test_a_changelog_is_found_in_a_package_that_dpkg_built(tmp_path: Path, packing: str) -> None:
    assert changelog_of(made_package(tmp_path, "expat", packing), "expat") == CHANGELOG.encode()


@needs_dpkg
def test_a_changelog_behind_a_link_names_the_package_that_has_it(tmp_path: Path) -> None:
    assert changelog_of(made_package(tmp_path, "libexpat1", link="expat-base"), "libexpat1") == "expat-base"
    with pytest.raises(ValueError, match="no changelog"):
        changelog_of(tmp_path / "libexpat1.deb", "other")


@pytest.mark.parametrize("content", [b"", b"!<arch>\n", b"!<arch>\n" + b"x" * 80, b"PK\x03\x04"], ids=len)
def test_what_is_no_package_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.deb").write_bytes(content)
    with pytest.raises(ValueError, match=r"no Debian package|no data|damaged"):
        changelog_of(tmp_path / "x.deb", "x")


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, cache: str, get: str) -> None:
    """An apt of ours in front of the host's: what it prints is the case."""
    folder.mkdir()
    for name, script in (("apt-cache", cache), ("apt-get", get)):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(changelogs, "_system_here", lambda: "Debian:12")


@needs_dpkg
def test_the_newer_versions_fixes_become_advisories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policy").write_text(POLICY)
    made_package(tmp_path, "libexpat1", link="expat-base")
    made_package(tmp_path, "expat-base")
    get = f'for last; do :; done; cp "{tmp_path}/${{last%%=*}}.deb" .'
    commands(tmp_path / "bin", monkeypatch, f"cat {tmp_path}/policy", get)
    asked = ask_changelogs(INVENTORY, "Debian:12", NOW, limit=20)
    assert asked.source.trouble == ""
    (candidate,) = asked.candidates
    assert (candidate.package, candidate.candidate) == ("apt:libexpat1", "2.5.0-1+deb12u2")
    assert candidate.security
    database = Database([(asked.source, asked.advisories)])
    matching = match(INVENTORY, database, NOW, "Debian:12")
    assert [each.advisory.id for each in matching.matches] == ["CVE-2026-0001", "CVE-2026-0002"]
    assert matching.matches[0].fixed == ("2.5.0-1+deb12u1",)
    # What has no fix is told nowhere: nobody is cleared, with or without a newer version.
    assert matching.cleared == {}


@pytest.mark.parametrize(
    ("cache", "get", "trouble"),
    [
        ("echo broken >&2; exit 100", "exit 1", "apt-cache failed: broken"),
        ("exit 0", "exit 1", "no archive"),
        ("cat policy", "echo unreachable >&2; exit 100", "1 changelogs could not be read"),
        ("cat policy", "sleep 30", "1 changelogs could not be read"),
        ("sleep 30", "exit 1", "could not be asked"),
    ],
    ids=["cache", "empty", "unreachable", "slow", "slow-cache"],
)
def test_what_cannot_be_asked_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str, get: str, trouble: str
) -> None:
    (tmp_path / "policy").write_text(POLICY)
    commands(tmp_path / "bin", monkeypatch, cache.replace("cat policy", f"cat {tmp_path}/policy"), get)
    asked = ask_changelogs(INVENTORY, "Debian:12", NOW, limit=0.4 if "sleep" in cache + get else 20)
    assert trouble in asked.source.trouble
    assert asked.advisories == ()
    whole = Source(name="tracker", as_of="2026-09-20", covers=("Debian",))
    matching = match(INVENTORY, Database([(whole, ()), (asked.source, ())]), NOW, "Debian:12")
    assert "apt:libexpat1" in matching.unknown
    assert trouble in matching.unknown["apt:libexpat1"]


def test_a_tree_of_another_release_is_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelogs, "_system_here", lambda: "Debian:13")
    asked = ask_changelogs(INVENTORY, "Debian:12", NOW)
    assert "Debian:13, not Debian:12" in asked.source.trouble


def test_without_apt_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert security_candidates(INVENTORY) == ((), "apt-cache is not installed here")
    assert security_candidates(Inventory(Tree([]), {})) == ((), "")


def test_a_text_without_entries_names_nothing():
    assert read_changelog("nothing of a changelog: CVE-2026-0001") == ()


def _one_member(size: bytes) -> bytes:
    return b"!<arch>\n" + b"debian-binary   " + b"0           0     0     100644  " + size + b"`\n" + b"2.0\n"


@pytest.mark.parametrize(
    "size", [b"-60       ", b"1_0       ", b"          "], ids=["negative", "underscore", "empty"]
)
def test_a_member_of_an_impossible_size_ends_the_reading(tmp_path, size):
    package = tmp_path / "x.deb"
    package.write_bytes(_one_member(size))
    with pytest.raises(ValueError, match="damaged"):
        changelog_of(package, "x")


@pytest.mark.parametrize("name", ["-oAPT::Hook=x", "..", "a b"])
def test_a_link_names_no_option_of_apt(tmp_path, name):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("./usr/share/doc/x")
        info.type, info.linkname = tarfile.SYMTYPE, name
        archive.addfile(info)
    content = out.getvalue()
    head = f"{'data.tar':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    package = tmp_path / "x.deb"
    package.write_bytes(b"!<arch>\n" + head + content)
    with pytest.raises(ValueError, match="which is no package"):
        changelog_of(package, "x")
