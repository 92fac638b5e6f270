"""A canary succeeds through the side-car, and the image with what it took from there does without."""

import pytest
from confined_tree import needs_root, small_root
from slimming_files import closed, run

from tradewind.audit.images.opening import open_files
from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.slimming.databases import made_files
from tradewind.audit.slimming.healing import canary
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.misses import healed, lacking_of
from tradewind.audit.slimming.writing import Part, slim_image
from tradewind.audit.tracing.backends.running import run_confined
from tradewind.audit.tracing.workload import Workload

pytestmark = pytest.mark.root


@pytest.fixture
def root(tmp_path):
    needs_root()
    where = small_root(tmp_path / "root")
    (where / "etc/second").write_text("two\n")
    return where


def test_a_canary_succeeds_through_the_side_car_and_what_it_took_is_healed(tmp_path, root):
    work = Workload("canary", ("cat", "/etc/motd", "/etc/second"), limit=20)
    with open_files(root) as image:
        inventory = take_inventory(image.files)
        first = run("first", opened=["bin/busybox", "etc/motd"], hops=["bin/cat"])

        def written(found, target):
            made = made_files(image.files, inventory, found)
            slim_image(Part(image, found, inventory, made, (first,)), target, form="folders")
            return [target / "side-car", target / "slim"]

        found = closed(image.files, first)
        rest, small = written(found, tmp_path / "one")
        scratch = tmp_path / "scratch"
        assert run_confined(small, work, scratch=scratch).stdout == b"hello\n"
        told = canary(inventory, lacking_of(found), work, [rest, small], scratch=scratch, digest="sha256:1")
        assert told.recorded.outcome.exit_code == 0 and told.recorded.outcome.stdout == b"hello\ntwo\n"
        assert [(miss.path, miss.size, miss.opened) for miss in told.misses] == [("etc/second", 4, True)]
        assert told.recorded.run.header.tree == "sha256:1"

        grown = healed(image.files, [first, told.recorded.run], told.misses, inventory)
        assert grown.kept.reasons["etc/second"] == Reason("healed", "canary")
        assert "srv/index.html" not in grown.kept
        rest, small = written(grown, tmp_path / "two")
        alone = run_confined(small, work, scratch=scratch)
        assert (alone.exit_code, alone.stdout) == (0, b"hello\ntwo\n")
        assert canary(inventory, lacking_of(grown), work, [rest, small], scratch=scratch).misses == ()
