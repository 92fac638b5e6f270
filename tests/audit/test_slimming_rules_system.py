import pytest
from slimming_files import closed, files_of, pip, run

from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.rules.system import asked, switches, writable

SYSTEM = {
    "etc/passwd": "p",
    "etc/ld.so.conf.d/a.conf": "a",
    "etc/localtime": "-> /usr/share/zoneinfo/Etc/UTC",
    "etc/ssl/certs/ca.crt": "-> /usr/share/ca-certificates/ca.crt",
    "usr/share/ca-certificates/ca.crt": "c",
    "usr/share/zoneinfo/Etc/UTC": "z",
    "usr/lib/locale/C.utf8/LC_CTYPE": "l",
    "usr/lib/x/gconv/U.so": "g",
    "site/certifi/cacert.pem": "c",
    "site/pytz/zoneinfo/UTC": "z",
    "site/unused/certifi/cacert.pem": "c",
    "app": "x",
}


@pytest.mark.parametrize(
    ("switch", "paths"),
    [
        ("system_files", {"etc/passwd", "etc/ld.so.conf.d/a.conf"}),
        (
            "certificates",
            {"etc/ssl/certs/ca.crt", "usr/share/ca-certificates/ca.crt", "site/certifi/cacert.pem"},
        ),
        ("zoneinfo", {"usr/share/zoneinfo/Etc/UTC"}),
        ("locales", {"usr/lib/locale/C.utf8/LC_CTYPE", "usr/lib/x/gconv/U.so"}),
    ],
)
def test_what_is_read_late_has_a_switch_each(switch, paths):
    files = files_of(SYSTEM)
    packages = (
        pip("certifi", ["site/certifi/cacert.pem"]),
        pip("unused", ["site/unused/certifi/cacert.pem"]),
    )
    first = run(opened=["app", "site/certifi/cacert.pem"] if switch == "certificates" else ["app"])
    off = {"system_files": False, "certificates": False, "zoneinfo": False, "locales": False}
    on = closed(files, first, packages=packages, **(off | {switch: True})).kept
    assert paths <= on.paths
    assert "site/unused/certifi/cacert.pem" not in on
    assert not paths & closed(files, run(opened=["app"]), packages=packages, **off).kept.paths
    assert not paths & closed(files, run(opened=["app"]), without=switches).kept.paths
    assert Reason("system", switch) in on.reasons.values()


def test_what_the_user_names_is_kept_and_a_pattern_that_means_nothing_is_told():
    files = files_of(SYSTEM)
    found = closed(files, run(), keep=("site/**/*.pem", "opt/none"), drop=("etc/passwd", "nothing/*"))
    assert {"site/certifi/cacert.pem", "site/unused/certifi/cacert.pem"} <= found.kept.paths
    assert "etc/passwd" not in found.kept
    assert found.unmatched == ("opt/none", "nothing/*")
    assert found.dropped == (), "no run touched it"
    without = closed(files, run(), keep=("app",), without=asked)
    assert "app" not in without.kept


def test_mount_points_and_folders_to_write_to_are_there_though_empty():
    files = files_of(
        {"proc": None, "tmp": None, "var/spool/jobs": None, "srv/user": None, "data": "-> /srv/user"}
    )
    found = closed(files, writable=("var/spool/jobs", "data", "gone"))
    assert {"proc", "tmp", "var/spool/jobs", "data", "srv/user"} <= found.kept.paths
    assert found.unmatched == ("gone",)
    assert not closed(files, writable=("var/spool/jobs",), without=writable).kept.paths
