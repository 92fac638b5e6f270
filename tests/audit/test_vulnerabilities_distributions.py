"""A tree's distribution is the one that its os-release names."""

from __future__ import annotations

import io
from typing import BinaryIO

import pytest

from tradewind.audit.packages import Package
from tradewind.audit.trees import Entry, Tree
from tradewind.audit.vulnerabilities.distributions import distribution, ecosystem_of, of_release


class Held:
    """Files that are held in memory."""

    def __init__(self, contents: dict[str, bytes], *entries: Entry) -> None:
        self.contents = contents
        folders = {
            "/".join(parts[:at])
            for path in contents
            for parts in [path.split("/")]
            for at in range(1, len(parts))
        }
        self.tree = Tree(
            [
                *(Entry(folder, "directory") for folder in folders),
                *(Entry(path, "file", len(content)) for path, content in contents.items()),
                *entries,
            ]
        )

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(self.contents[path])

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        return self.contents[path][:limit]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "Debian:12"),
        ('ID=ubuntu\nVERSION_ID="24.04"\nVERSION="24.04.1 LTS (Noble Numbat)"', "Ubuntu:24.04:LTS"),
        ("ID=ubuntu\nVERSION_ID=23.10\nVERSION='23.10 (Mantic)'", "Ubuntu:23.10"),
        ("# ID=ubuntu\nID='debian'", "Debian"),
        ("ID=alpine\nVERSION_ID=3.20", ""),
        ('ID="debian\n', ""),
        ("", ""),
    ],
    ids=str,
)
def test_os_release(text: str, expected: str) -> None:
    assert of_release(text) == expected


def test_it_is_found_behind_a_link() -> None:
    held = Held(
        {"usr/lib/os-release": b"ID=debian\nVERSION_ID=12", "etc/hosts": b""},
        Entry("etc/os-release", "link", target="../usr/lib/os-release"),
    )
    assert distribution(held) == "Debian:12"
    assert distribution(Held({"etc/hosts": b""})) == ""


def test_ecosystems() -> None:
    assert ecosystem_of(Package("pip", "x", "1"), "Debian:12") == "PyPI"
    assert ecosystem_of(Package("apt", "x", "1"), "Debian:12") == "Debian:12"
    assert ecosystem_of(Package("conda", "x", "1"), "Debian:12") == ""
