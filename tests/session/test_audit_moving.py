"""Pulls are timed by unpacking for real; what is downloaded and paid is computed from sizes."""

import random

import pytest
from audited_roots import profiled

from tradewind.errors import Misuse
from tradewind.session.audit.moving import DAYS, Fleet, moving, times_of
from tradewind.session.audit.slim_folder import slim_folder
from tradewind.session.audit.steps import slim
from tradewind.session.audit.subject import open_subject


@pytest.fixture
def slimmed(tmp_path):
    (tmp_path / "root/srv").mkdir(parents=True)
    (tmp_path / "root/srv/weights").write_bytes(random.Random(1).randbytes(200_000))
    root, profile = profiled(tmp_path)
    with open_subject(str(root), profile.folder) as subject:
        slim(subject, tmp_path / "slim")
        slim(subject, tmp_path / "folders", form="folders")
        yield subject


def test_a_pull_of_the_slim_image_moves_fewer_bytes(slimmed, tmp_path):
    before = sorted(path.name for path in (tmp_path / "profile").iterdir())
    found = times_of(slimmed, tmp_path / "slim", Fleet(megabits=(0.01,)))
    (line,) = found.lines
    # At ten kilobits a second the unpacking does not count.
    assert line.after[1] < line.before[0] and line.unit == "seconds" and line.what.endswith("0.01 Mbit/s")
    assert "2 times each" in found.notes[0] and "packed here as one layer" in found.notes[1]
    assert sorted(path.name for path in (tmp_path / "profile").iterdir()) == before
    with pytest.raises(Misuse, match="holds no layout"):
        moving(str(tmp_path / "root"), slim_folder(tmp_path / "folders", ""), tmp_path)


def test_a_month_of_a_fleet_by_hand(slimmed, tmp_path):
    fleet = Fleet(
        megabits=(0.01, 8.0), replicas=4, pulls_a_day=2.0, transfer_price=90.0, instance_price=3.6,
    )  # fmt: skip
    (tmp_path / "scratch").mkdir()
    found = moving(str(tmp_path / "root"), slim_folder(tmp_path / "slim", ""), tmp_path / "scratch", fleet)
    slow, _, transfer, waiting, whole = found.lines
    pulls = 4 * 2 * DAYS
    # At 10 kbit/s a byte takes 0.8 ms, so that the seconds of a pull tell the bytes of it.
    assert transfer.before[0] == pytest.approx(slow.before[0] / 0.8e-3 * pulls * 90e-9, rel=0.05)
    assert waiting.before == pytest.approx([seconds * pulls * 0.001 for seconds in slow.before])
    for at in (0, 1):
        assert whole.after[at] == pytest.approx(transfer.after[at] + waiting.after[at])
    assert transfer.given == "$90 for each GB pulled" and transfer.after < transfer.before
    assert any("4 instances" in note and "243.5 pulls" in note for note in found.notes)
    assert found.notes[-1] == "Not counted, for no price was given: disk, store."


@pytest.mark.parametrize(
    ("fleet", "said"),
    [
        (Fleet(replicas=1), "--transfer-price: a month needs"),
        (Fleet(disk_price=0.1), "--replicas: a month needs"),
        (Fleet(replicas=1, disk_price=-1.0), "--disk-price: -1.0 cannot be"),
        (Fleet(megabits=(0.0,)), "--megabits: 0.0 cannot be"),
        (Fleet(replicas=1, store_price=0.0, pulls_a_day=float("inf")), "--pulls-a-day: inf cannot be"),
    ],
    ids=["no price", "no instances", "below nothing", "no bandwidth", "without end"],
)
def test_a_fleet_that_cannot_be_is_misuse(fleet, said):
    with pytest.raises(Misuse, match=said):
        fleet.check()
