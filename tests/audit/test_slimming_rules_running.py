from slimming_files import closed, files_of, pip, run

from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.rules.running import interpreters, late_modules, libraries
from tradewind.testing.images import small_elf

LIB = "usr/lib/x86_64-linux-gnu"


def test_the_loader_of_a_program_is_kept_with_the_links_to_it():
    files = files_of(
        {"bin/app": small_elf("/lib64/ld.so.2"), "usr/lib64/ld.so.2": small_elf(), "lib64": "-> usr/lib64"}
    )
    opened = run(opened=["bin/app"])
    found = closed(files, opened)
    assert found.kept.reasons["usr/lib64/ld.so.2"] == Reason("interpreter", "bin/app")
    assert files.tree.only(found.kept).resolve("/lib64/ld.so.2")[0] == "usr/lib64/ld.so.2"
    assert "usr/lib64/ld.so.2" not in closed(files, opened, without=interpreters).kept


def test_the_interpreter_of_a_script_is_kept_and_what_env_starts():
    files = files_of(
        {
            "app/plain": "#!/bin/dash -e\n",
            "app/env": "#! /usr/bin/env -S A=1 python3 -u\n",
            "app/text": "#!/bin/perl\n",
            "usr/bin/dash": small_elf(),
            "usr/bin/env": small_elf(),
            "usr/bin/python3": "-> python3.11",
            "usr/bin/python3.11": small_elf(),
            "bin": "-> usr/bin",
            "usr/bin/perl": small_elf(),
        },
        modes={"app/text": 0o644},
    )
    found = closed(files, run(opened=["app/plain", "app/env", "app/text"]))
    assert {"usr/bin/dash", "bin", "usr/bin/env", "usr/bin/python3", "usr/bin/python3.11"} <= found.kept.paths
    assert "usr/bin/perl" not in found.kept, "a text that nobody can start"
    lonely = closed(files, run(opened=["app/plain"]), without=interpreters)
    assert files.tree.only(lonely.kept).resolve("/bin/dash")[0] is None


def test_linked_libraries_are_kept_to_the_last_and_missing_ones_told():
    files = files_of({
        "bin/app": small_elf(needed=["libone.so.1"]), f"{LIB}/libone.so.1": "-> libone.so.1.2",
        f"{LIB}/libone.so.1.2": small_elf(needed=["libtwo.so", "libgone.so"], soname="libone.so.1"),
        f"{LIB}/libtwo.so": small_elf(soname="libtwo.so"), f"{LIB}/libother.so": small_elf(soname="o"),
    })  # fmt: skip
    opened = run(opened=["bin/app"])
    found = closed(files, opened)
    assert {f"{LIB}/libone.so.1", f"{LIB}/libone.so.1.2", f"{LIB}/libtwo.so"} <= found.kept.paths
    assert f"{LIB}/libother.so" not in found.kept
    assert found.unresolved == ((f"{LIB}/libone.so.1.2", "libgone.so"),)
    assert found.kept.chain(f"{LIB}/libtwo.so")[-1] == ("bin/app", Reason("traced", "first"))
    assert f"{LIB}/libtwo.so" not in closed(files, opened, without=libraries).kept
    assert f"{LIB}/libtwo.so" not in closed(files, opened, libraries=False).kept


def test_a_library_that_the_loader_would_not_find_is_looked_for_in_its_package():
    files = files_of(
        {
            "site/p/_c.so": small_elf(needed=["libp.so"], soname="c"),
            "site/p/lib/libp.so": small_elf(soname="libp.so"),
            "site/q/libp.so": small_elf(soname="libp.so"),
        }
    )
    mine = pip("p", ["site/p/_c.so", "site/p/lib/libp.so"])
    found = closed(files, run(opened=["site/p/_c.so"]), packages=(mine, pip("q", ["site/q/libp.so"])))
    assert "site/p/lib/libp.so" in found.kept and "site/q/libp.so" not in found.kept
    assert not found.unresolved


def test_what_libraries_load_late_is_kept_beside_them():
    files = files_of(
        {
            f"{LIB}/libc.so.6": small_elf(soname="libc.so.6"),
            f"{LIB}/libgcc_s.so.1": small_elf(soname="g"),
            f"{LIB}/libnss_dns.so.2": small_elf(soname="d"),
            f"{LIB}/libnss_hesiod.so.2": small_elf(soname="h"),
            f"{LIB}/libcrypto.so.3": small_elf(soname="c"),
            f"{LIB}/ossl-modules/legacy.so": small_elf(soname="l"),
            f"{LIB}/other/legacy.so": small_elf(soname="l"),
            "etc/nsswitch.conf": "hosts: files [NOTFOUND=return] dns # hesiod\n",
        }
    )
    opened = run(opened=[f"{LIB}/libc.so.6", f"{LIB}/libcrypto.so.3"])
    kept = closed(files, opened).kept
    assert kept.reasons[f"{LIB}/libnss_dns.so.2"] == Reason("late module", f"{LIB}/libc.so.6")
    assert {f"{LIB}/libgcc_s.so.1", f"{LIB}/ossl-modules/legacy.so"} <= kept.paths
    assert not kept.paths & {f"{LIB}/libnss_hesiod.so.2", f"{LIB}/other/legacy.so"}
    for less in (closed(files, opened, without=late_modules), closed(files, opened, late_modules=False)):
        assert f"{LIB}/libnss_dns.so.2" not in less.kept
