import os
import shutil
from pathlib import Path

import pytest
from slimming_files import closed, run

from tradewind.audit.images.opening import open_files
from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.slimming.databases import made_files
from tradewind.audit.slimming.healing import canary, heal
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.writing import Part, slim_image
from tradewind.audit.tracing.backends.running import run_confined
from tradewind.audit.tracing.workload import Workload
from tradewind.testing.images import small_elf

BUSYBOX = shutil.which("busybox")
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts an overlay, which root may"),
    pytest.mark.skipif(BUSYBOX is None, reason="runs busybox, which is not installed"),
]


@pytest.fixture
def root(tmp_path):
    """A root with one static program of many names, and files for it to read."""
    where = tmp_path / "root"
    for folder in ("bin", "etc", "proc", "dev", "tmp", "sys"):
        (where / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, where / "bin/busybox")
    for name in ("cat", "sh"):
        (where / f"bin/{name}").symlink_to("busybox")
    (where / "etc/first").write_text("one\n")
    (where / "etc/second").write_text("two\n")
    (where / "etc/third").write_text("three\n")
    (where / "bin/other").write_bytes(small_elf())
    return where


def cat(name, *paths):
    return Workload(name, ("/bin/cat", *paths), limit=20)


def test_a_canary_succeeds_through_the_side_car_and_what_it_took_is_healed(tmp_path, root):
    scratch = Path(tmp_path / "scratch")
    with open_files(root) as image:
        inventory = take_inventory(image.files)
        first = run("first", opened=["bin/busybox", "etc/first"], hops=["bin/cat"])
        found = closed(image.files, first)
        part = Part(image, found, inventory, made_files(image.files, inventory, found), (first,))
        slim_image(part, tmp_path / "one", form="folders")
        slim, rest = tmp_path / "one/slim", tmp_path / "one/side-car"
        alone = run_confined(slim, cat("alone", "/etc/first", "/etc/second"), scratch=scratch)
        assert alone.exit_code == 1 and alone.stdout == b"one\n"
        good = canary(part, cat("good", "/etc/first"), [rest, slim], scratch=scratch)
        assert good.recorded.outcome.exit_code == 0 and good.misses == ()

        def write(each, target):
            return slim_image(each, target, form="folders")

        healed = heal(
            part,
            [cat("canary", "/etc/first", "/etc/second")],
            [rest, slim],
            tmp_path / "two",
            scratch=scratch,
            write=write,
        )
        assert healed.canaries[0].recorded.outcome.stdout == b"one\ntwo\n"
        assert [(miss.path, miss.size, miss.opened) for miss in healed.misses] == [("etc/second", 4, True)]
        assert healed.part.closure.kept.reasons["etc/second"] == Reason("healed", "canary")
        assert healed.written is not None and "etc/third" not in healed.part.closure.kept
        again = run_confined(
            tmp_path / "two/slim", cat("again", "/etc/first", "/etc/second"), scratch=scratch
        )
        assert again.exit_code == 0 and again.stdout == b"one\ntwo\n"
        nothing = heal(
            healed.part, [cat("canary", "/etc/second")], [rest, slim], tmp_path / "three", scratch=scratch
        )
        assert nothing.written is None and nothing.part is healed.part and not (tmp_path / "three").exists()
