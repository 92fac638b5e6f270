"""What tells of packages that keep files: Python's metadata, package databases, licences; whole packages."""

from __future__ import annotations

import re

from tradewind.audit.slimming.given import Found, Given
from tradewind.audit.slimming.kept import Reason
from tradewind.errors import Misuse, suggestion

PYTHON = re.compile(
    r".*\.(dist|egg)-info/(METADATA|RECORD|WHEEL|INSTALLER|REQUESTED|PKG-INFO|direct_url\.json|uv_cache\.json"
    r"|entry_points\.txt|top_level\.txt|requires\.txt|namespace_packages\.txt|SOURCES\.txt)|.*\.egg-info"
)
DATABASE = re.compile(
    r"(var/lib/dpkg/(info/[^/]+\.(list|md5sums)|status\.d/.*)|(.*/)?conda-meta/[^/]+\.json)"
)
LICENCE = re.compile(
    r"(.*/)?((un)?licen[cs]es?([-._][^/]*)?|copying([-._][^/]*)?|copyright|notices?([-._][^/]*)?|[^/]*\.licen[cs]e"
    r"|licen[cs]es/.*)",
    re.IGNORECASE,
)
SYSTEM = (
    "etc/os-release", "usr/lib/os-release", "etc/debian_version", "etc/lsb-release", "etc/alpine-release",
    "etc/redhat-release", "etc/apk/arch",
)  # fmt: skip
"""What scanners read to learn which distribution, and so which advisories, a database is about."""


def told(given: Given, path: str) -> Found:
    """The records of a package as soon as one of its files, other than records, is kept.

    Plugins and versions are found by `importlib.metadata`, which finds nothing without them; and scanners
    that see 159 packages in an image see one after slimming, though 26 of them still have code in it.
    """
    owner = given.inventory.owners.get(path)
    if owner is None or path in given.records:
        return
    policy = given.policy
    package = given.inventory.packages[owner]
    for record in package.records:
        wanted = (
            (policy.metadata and package.manager == "pip" and PYTHON.fullmatch(record))
            or (policy.databases and DATABASE.fullmatch(record))
            or (policy.licences and LICENCE.fullmatch(record))
        )
        if wanted and record in given.tree:
            yield record, Reason("metadata", path)


def system_records(given: Given) -> Found:
    """What says which distribution the package database belongs to: without it scanners read none of it."""
    if given.policy.databases:
        for name in SYSTEM:
            end, hops = given.tree.resolve(name)
            if end:
                for path in (*hops, end):
                    yield path, Reason("system", "databases")


def whole(given: Given) -> Found:
    """The packages that the policy names, with all their files and records.

    Raises Misuse for a name that no package of the tree has.
    """
    for at, name in enumerate(given.policy.whole):
        packages = given.inventory.by_name(name)
        if not packages:
            raise Misuse(
                f"no package of the tree is called {name!r}",
                source="policy",
                field=f"whole[{at}]",
                fix=suggestion(name, {each.name for each in given.inventory.packages.values()} | {"none"}),
            )
        for package in packages:
            for path in (*package.files, *package.records):
                yield path, Reason("whole", name)
