"""Every stage on real leases, with real notices and real kills in each of them: no bit changes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from real_runs import (
    Mishaps,
    endings,
    kill,
    learned,
    processes,
    small_spec,
    train_slowly,
    undisturbed,
    write_prices,
)

from tradewind.control.journal import Journal
from tradewind.data.model_files.layout import newest_snapshot
from tradewind.market.leases import Ending
from tradewind.session.spec import TrainSpec
from tradewind.session.stretch import Trained
from tradewind.state.control import Recovery
from tradewind.training.elastic import process_work
from tradewind.training.elastic.orders import Orders
from tradewind.training.elastic.served_state import ServedState
from tradewind.training.elastic.work import Change, Restaged

STATE = {"shards": 4, "stage3_above": 2.5}
"""Two instances make stage 2, three make stage 3."""
THREE, FOUR = ({"count": count, "instance_types": ["p2.xlarge"]} for count in (3, 4))


class Watch:
    """What the run told of who serves its state."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[Restaged] = []
        tell = Orders.tell

        def note(orders: Orders, change: Change) -> None:
            if isinstance(change, Restaged):
                self.told.append(change)
            tell(orders, change)

        monkeypatch.setattr(Orders, "tell", note)

    @property
    def stages(self) -> list[int]:
        """The stages, one after another."""
        told = [1, *(each.stage for each in self.told)]
        return [each for n, each in enumerate(told) if n == 0 or told[n - 1] != each]

    def once_in(self, stage: int, then: Callable[[Path], bool]) -> Callable[[Path], bool]:
        """A mishap that happens in a stage, two servers or more being active in 2 and 3."""

        def mishap(run: Path) -> bool:
            now = self.told[-1] if self.told else Restaged(1, ())
            ready = now.stage == stage and (stage < 3 or len(now.active) > 1)
            return ready and then(run)

        return mishap


@pytest.fixture
def watch(monkeypatch) -> Watch:
    return Watch(monkeypatch)


def leases(run: Path) -> list[int]:
    """The process groups of the instances that workers run on."""
    found = processes(run)
    working = {os.getpgid(pid) for name, pid in found.items() if name.startswith("worker")}
    return sorted(working)


def kill_half(run: Path) -> bool:
    """Half of the instances at once, two of them active servers' if there are so many."""
    serving = {os.getpgid(pid) for name, pid in processes(run).items() if name.startswith("active")}
    there = leases(run)
    if len(there) < 4 or len(serving) < 2:
        return False
    for group in sorted(serving)[:1] + [each for each in there if each not in serving][:1]:
        os.killpg(group, signal.SIGKILL)
    return True


def kill_all(run: Path) -> bool:
    there = leases(run)
    for group in there:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    return len(there) > 1


def kill_server(run: Path) -> bool:
    return kill(run, "active")


def kill_servers_lease(run: Path) -> bool:
    return kill(run, "active", group=True)


def played(folder: Path, spec: TrainSpec, mishaps: list[Callable[[Path], bool]]) -> Trained:
    """The run, after which what it learned is what it would have learned alone."""
    expected = undisturbed(spec)
    watching = Mishaps(folder, mishaps)
    done = train_slowly(folder, spec, watching)
    assert done.outcome == "done" and not watching.left
    assert learned(done.directory) == expected
    assert not processes(Path(done.directory))
    return done


def stop_an_instance(run: Path) -> bool:
    """Stopped, not dead: its connections stand, and nobody answers on them."""
    serving = [os.getpgid(pid) for name, pid in processes(run).items() if name.startswith("active")]
    os.killpg(serving[0], signal.SIGSTOP)
    return True


def test_whatever_of_the_servers_is_killed_no_bit_changes(folder, watch, monkeypatch) -> None:
    """Half of the instances at once, one that falls silent, and all of them."""
    monkeypatch.setattr(process_work, "PROBE", 0.5)
    monkeypatch.setattr(process_work, "SILENCE", 2.5)
    spec = small_spec(folder, state=STATE, workers=FOUR, epochs=40)
    mishaps = [kill_half, stop_an_instance, kill_all, lambda run: True]
    done = played(folder, spec, [watch.once_in(3, each) for each in mishaps])
    assert watch.stages[0] == 1 and 3 in watch.stages
    assert 1 in watch.stages[watch.stages.index(3) :], "all were lost: the state went home"
    assert max(each.clocks_lost for each in watch.told) <= 1
    with Journal.read(Path(done.directory) / "journal.sqlite") as journal:
        assert any("silent for" in note for note in journal.notes())


def test_a_notice_drains_the_servers_and_nothing_is_done_again(folder, watch, monkeypatch) -> None:
    """All markets are revoked with notice: home and out again, by changes alone."""
    recovered: list[object] = []
    recover = ServedState.recover

    def noted(state: ServedState, serving: Sequence[str]) -> Recovery:
        recovered.append(serving)
        return recover(state, serving)

    monkeypatch.setattr(ServedState, "recover", noted)
    write_prices(folder / "prices.csv", (0, 0.3), (480, 2.0), (900, 0.3))
    provider = {
        "kind": "local",
        "history": str(folder / "prices.csv"),
        "boot": 5,
        "speed": 60,
        "notice": "300s",  # five seconds of the wall's, on a machine that may be busy
    }
    spec = small_spec(folder, state=STATE, workers=THREE, provider=provider, epochs=40)

    def came_home_and_left_again(run: Path) -> bool:
        return watch.stages.count(1) >= 2 and watch.stages[-1] > 1

    done = played(folder, spec, [came_home_and_left_again])
    assert endings(Path(done.directory)).count(Ending.REVOKED) >= 2
    assert not recovered and not any(each.clocks_lost for each in watch.told)


def test_the_reliable_instance_is_killed_and_its_disk_is_gone(folder, watch) -> None:
    """Back to the last copy in the object store, though others served the state and have it still."""
    backup = folder / "bucket"
    state = {**STATE, "backup": f"file://{backup}"}
    spec = small_spec(folder, state=state, workers=THREE, snapshot_every="30s")

    def kill_reliable(run: Path) -> bool:
        if not list(backup.glob("*/snapshot-*/state.json")):
            return False
        shutil.rmtree(run / "snapshots")
        return kill(run, "state", group=True)

    played(folder, spec, [watch.once_in(3, kill_reliable), watch.once_in(3, lambda run: True)])
    assert watch.stages.count(3) >= 2


def test_other_modes_go_through_kills_too_and_count_no_batch_twice(folder, watch) -> None:
    spec = small_spec(
        folder, state=STATE, workers=THREE, consistency="stale_synchronous", staleness=2, epochs=20
    )
    mishaps = [watch.once_in(3, each) for each in (kill_server, kill_servers_lease, lambda run: True)]
    done = train_slowly(folder, spec, watching := Mishaps(folder, mishaps))
    assert done.outcome == "done" and not watching.left
    tables = newest_snapshot(Path(done.directory) / "snapshots")
    assert tables is not None
    rows = float(tables[1]["progress/values"].sum(axis=1)[1])
    assert rows == 20 * 1600, "a batch was counted twice, or not at all"
