import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.runtimes import cpu_share
from tradewind.runtimes.cpu_share import CHECK, Cgroup, DutyCycle, Unpaced, cpu_seconds, pace


class Machine:
    """Tasks that burn whatever they are given, on a clock of our own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.spent: dict[int, float] = {}
        self.stopped: set[int] = set()

    def send(self, pid: int, number: signal.Signals) -> None:
        if number is signal.SIGSTOP:
            self.stopped.add(pid)
        else:
            assert number is signal.SIGCONT
            self.stopped.discard(pid)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for pid in self.spent.keys() - self.stopped:
            self.spent[pid] += seconds

    def pacer(self, share: float) -> DutyCycle:
        # /proc counts in hundredths of a second.
        return DutyCycle(
            share,
            spent=lambda pid: int(self.spent[pid] * 100) / 100,
            send=self.send,
            elapsed=lambda: self.now,
        )


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.05, 1.9), tasks=st.integers(1, 3))
def test_tasks_together_spend_their_share(share: float, tasks: int) -> None:
    machine = Machine()
    pacer = machine.pacer(share)
    for pid in range(tasks):
        machine.spent[pid] = 5.0
        pacer.join(pid)
    while machine.now < 30:
        wait = pacer.tick()
        assert wait is not None and wait >= 0
        machine.pass_by(max(wait, 0.001))
    used = (sum(machine.spent.values()) - 5.0 * tasks) / machine.now
    # A tick of slack: it may end in the middle of a turn.
    assert used == pytest.approx(min(share, tasks), abs=0.01 + tasks * CHECK / 30)


def test_an_idle_task_saves_up_little() -> None:
    machine = Machine()
    pacer = machine.pacer(0.5)
    machine.spent[1] = 0.0
    pacer.join(1)
    machine.now = 1000.0
    pacer.tick()
    machine.pass_by(0.2)
    pacer.tick()
    assert machine.stopped == {1}


def test_hurry_lets_all_run_and_the_share_holds_again() -> None:
    machine = Machine()
    pacer = machine.pacer(0.1)
    machine.spent[1] = 0.0
    pacer.join(1)
    machine.pass_by(1.0)
    pacer.tick()
    assert machine.stopped == {1}
    pacer.hurry()
    assert machine.stopped == set()
    machine.pass_by(0.1)
    assert pacer.tick() == pytest.approx(0.9, rel=0.2)
    assert machine.stopped == {1}
    pacer.close()
    assert machine.stopped == set()


def test_a_task_that_joins_is_let_run_and_one_that_left_is_forgotten() -> None:
    machine = Machine()
    pacer = machine.pacer(0.1)
    assert pacer.tick() is None
    machine.spent = {1: 0.0, 2: 0.0}
    pacer.join(1)
    machine.pass_by(0.5)
    pacer.tick()
    assert machine.stopped == {1}
    pacer.join(2)
    assert machine.stopped == set()
    pacer.leave(1)
    pacer.leave(2)
    assert pacer.tick() is None


def test_cpu_seconds_grow_while_this_process_works() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) < before + 0.03:
        sum(range(1000))
    assert cpu_seconds(2**22 + 1) == 0.0


def test_no_share_or_the_whole_machine_is_unpaced() -> None:
    assert isinstance(pace(None), Unpaced)
    assert isinstance(pace(os.cpu_count()), Unpaced)
    assert Unpaced().tick() is None


def test_a_delegated_cgroup_is_used_and_swept(tmp_path) -> None:
    # Plain files in the place of the kernel's: what we write to which is ours, what it does with it is not.
    memberships = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((row[3:] for row in memberships if row.startswith("0::")), None)
    if own is None:
        assert Cgroup.create(0.25, tmp_path) is None
        return
    parent = tmp_path / own.strip("/")
    parent.mkdir(parents=True, exist_ok=True)
    assert Cgroup.create(0.25, tmp_path) is None
    (parent / "cgroup.subtree_control").write_text("memory\n")
    assert Cgroup.create(0.25, tmp_path) is None
    (parent / "cgroup.subtree_control").write_text("cpu memory\n")
    dead, living = parent / "tradewind-4194305", parent / "tradewind-1"
    dead.mkdir()
    living.mkdir()
    group = Cgroup.create(0.25, tmp_path)
    assert group is not None and group.method == "cgroup" and group.tick() is None
    assert (living.exists(), dead.exists()) == (True, False)
    folder = parent / f"tradewind-{os.getpid()}"
    assert (folder / "cpu.max").read_text() == "25000 100000"
    group.join(77)
    assert (folder / "cgroup.procs").read_text() == "77"


def test_where_no_cgroup_is_ours_the_duty_cycle_is_used(monkeypatch) -> None:
    monkeypatch.setattr(cpu_share.Cgroup, "create", classmethod(lambda *_: None))
    assert isinstance(pace(0.01), DutyCycle)
