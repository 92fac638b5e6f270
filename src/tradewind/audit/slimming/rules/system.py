"""What the system reads late or only elsewhere, behind the policy's switches, and what the user names."""

from __future__ import annotations

from tradewind.audit.slimming.given import Found, Given
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.policy import meaning

SYSTEM_FILES = (
    "etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/hosts", "etc/hostname", "etc/resolv.conf",
    "etc/host.conf", "etc/gai.conf", "etc/services", "etc/protocols", "etc/ld.so.cache", "etc/ld.so.conf",
    "etc/ld.so.conf.d", "etc/localtime", "etc/timezone", "etc/mime.types",
)  # fmt: skip
CERTIFICATES = (
    "etc/ssl/certs", "etc/ssl/openssl.cnf", "etc/ssl/cert.pem", "usr/lib/ssl/certs", "usr/lib/ssl/cert.pem",
    "usr/lib/ssl/openssl.cnf", "usr/share/ca-certificates",
    "etc/ca-certificates.conf", "etc/pki/tls/certs", "etc/pki/ca-trust/extracted", "**/certifi/cacert.pem",
)  # fmt: skip
ZONEINFO = ("usr/share/zoneinfo", "**/tzdata/zoneinfo", "**/pytz/zoneinfo")
LOCALES = (
    "usr/lib/locale", "usr/lib/gconv", "usr/lib/*/gconv", "usr/lib64/gconv", "usr/share/i18n/charmaps",
    "etc/locale.alias", "etc/default/locale",
)  # fmt: skip
MOUNT_POINTS = ("dev", "proc", "sys", "run", "tmp", "var/tmp", "root")
"""What every runtime of containers mounts over or every program expects; a read-only root cannot make
them.
"""


def switches(given: Given) -> Found:
    """System files, certificates, time zones and locales: read when a name is looked up, a peer checked, a
    time shown; a run without network, in one zone and language, reads none of them.

    Time zones and certificates of Python's packages only where such a package keeps files or its own were
    used.
    """
    policy = given.policy
    for on, name, patterns in (
        (policy.system_files, "system_files", SYSTEM_FILES),
        (policy.certificates, "certificates", CERTIFICATES),
        (policy.zoneinfo, "zoneinfo", ZONEINFO),
        (policy.locales, "locales", LOCALES),
    ):
        if on:
            plain = (each for each in patterns if "*" not in each)
            for path in plain:
                yield from _all_of(given, path, name)
            meant = meaning(tuple(each for each in patterns if "*" in each))
            used = given.opened_packages
            for entry in given.tree:
                if entry.kind == "file" and meant(entry.path):
                    owner = given.inventory.owners.get(entry.path)
                    if owner is None or owner.startswith("apt:") or owner in used:
                        yield entry.path, Reason("system", name)


def _all_of(given: Given, name: str, switch: str) -> Found:
    """All below a path, links on the way to it followed."""
    end, hops = given.tree.resolve(name)
    if end:
        for path in (*hops, *given.below(end)):
            yield path, Reason("system", switch)


def asked(given: Given) -> Found:
    """What the user's patterns mean."""
    for pattern in given.policy.keep:
        meant = meaning((pattern,))
        for entry in given.tree:
            if meant(entry.path):
                yield entry.path, Reason("asked", pattern)


def writable(given: Given) -> Found:
    """Folders that must be there, empty or not: mount points, and those that the workload writes to."""
    for folder in (*MOUNT_POINTS, *given.policy.writable):
        end, hops = given.tree.resolve(folder)
        if end and given.directory(end):
            for path in (*hops, end):
                yield path, Reason("writable", folder)
