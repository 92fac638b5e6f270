"""kill -9 of everything there is, on real leases: what is learned is the same, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from real_runs import (
    HERE,
    SLOWLY,
    Mishaps,
    endings,
    kill,
    latest,
    learned,
    processes,
    set_pace,
    small_spec,
    train_slowly,
    undisturbed,
    write_prices,
)

from tradewind import clock
from tradewind.market.leases import Ending
from tradewind.session.spec import spec_bytes
from tradewind.session.train import resume, train
from tradewind.training.elastic import process_work
from tradewind.training.elastic.stalls import Stalls


def test_whatever_is_killed_no_bit_changes(folder, monkeypatch) -> None:
    """A worker, the state's server, a worker's lease, the state's; on instances whose clocks are wrong."""
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE / 'skewed'}")
    spec = small_spec(folder)
    expected = undisturbed(spec)
    mishaps = Mishaps(
        folder,
        [
            partial(kill, kind="worker"),
            partial(kill, kind="state"),
            partial(kill, kind="worker", group=True),
            partial(kill, kind="state", group=True),
        ],
    )
    (folder / f"wall-{os.getpid()}").unlink()
    done = train_slowly(folder, spec, mishaps)
    assert done.outcome == "done" and not mishaps.left
    assert learned(done.directory) == expected
    assert endings(Path(done.directory)).count(Ending.FAILED) == 2
    told = [float(each.read_text()) for each in folder.glob("wall-*") if each.name != f"wall-{os.getpid()}"]
    assert max(abs(each - clock.wall()) for each in told) > 100, "the clocks were not wrong"
    assert not processes(Path(done.directory))


def test_a_worker_that_hangs_is_replaced_and_no_bit_changes(folder, monkeypatch) -> None:
    """A SIGSTOP: its instance answers, its process lives, and all others wait for it."""
    monkeypatch.setattr(process_work, "Stalls", partial(Stalls, least=3.0, times=5.0))
    spec = small_spec(folder)
    expected = undisturbed(spec)
    mishaps = Mishaps(folder, [partial(kill, kind="worker", by=signal.SIGSTOP)])
    done = train_slowly(folder, spec, mishaps)
    assert done.outcome == "done" and not mishaps.left and done.revocations == 0
    assert learned(done.directory) == expected
    assert not processes(Path(done.directory))


def test_a_killed_driver_leaves_nothing_running_and_a_run_that_goes_on(folder) -> None:
    spec = small_spec(folder)
    expected = undisturbed(spec)
    (folder / "spec.json").write_bytes(spec_bytes(spec))
    set_pace(folder, SLOWLY)
    program = (
        "import sys; from pathlib import Path; from tradewind.session.spec import spec_from; "
        "from tradewind.session.train import train; train(spec_from(Path(sys.argv[1]).read_bytes()))"
    )
    driver = subprocess.Popen([sys.executable, "-c", program, str(folder / "spec.json")], cwd=folder)
    try:
        _until(lambda: driver.poll() is not None or _saved(folder) > 20)
        assert driver.poll() is None
        run = latest(folder)
        assert processes(run)
    finally:
        driver.kill()
        driver.wait()
    _until(lambda: not processes(run))
    assert 0 < _saved(folder) < 1200
    set_pace(folder, 0.0)
    done = resume(run, workers=1)
    assert done.outcome == "done" and Path(done.directory).resolve() == run.resolve()
    assert learned(run) == expected
    assert len({name for name in os.listdir(run / "logs") if name.startswith("lease-")}) >= 2


@pytest.mark.parametrize(("notice", "optimizer"), [("120s", "adagrad"), ("1s", "sgd")])
def test_all_markets_revoked_at_once_and_coming_back(folder, notice, optimizer) -> None:
    """With a notice that is long enough to drain, and with one of 17 ms that is not."""
    write_prices(folder / "prices.csv", (0, 0.3), (240, 2.0), (400, 0.3), (640, 2.0), (760, 0.3))
    provider = {
        "kind": "local",
        "history": str(folder / "prices.csv"),
        "boot": 5,
        "speed": 60,
        "notice": notice,
    }
    learner = {"kind": "paced_learner:PacedLearner", "optimizer": optimizer}
    spec = small_spec(folder, provider=provider, learner=learner)
    expected = undisturbed(spec)

    def revoked_twice(run: Path) -> bool:
        return endings(run).count(Ending.REVOKED) >= 3  # of two leases at a time

    done = train_slowly(folder, spec, Mishaps(folder, [revoked_twice]))
    assert done.outcome == "done" and done.revocations >= 3
    assert learned(done.directory) == expected


def test_revocations_while_everything_starts(folder) -> None:
    """Before an instance has answered, and while it reads the data: spot lasts half a second at a time."""
    changes = [(start + up, price) for start in range(0, 400, 40) for up, price in ((0, 0.3), (30, 2.0))]
    write_prices(folder / "prices.csv", *changes, (400, 0.3))
    provider = {
        "kind": "local",
        "history": str(folder / "prices.csv"),
        "boot": 5,
        "speed": 60,
        "notice": "5s",
    }
    spec = small_spec(folder, provider=provider, epochs=5)
    expected = undisturbed(spec)
    done = train(spec)
    assert done.outcome == "done" and done.revocations >= 2
    assert learned(done.directory) == expected


def _saved(folder: Path) -> int:
    names = [each.name for each in (folder / "runs").glob("small-*/snapshots/snapshot-*")]
    return max((int(name.removeprefix("snapshot-").partition(".")[0]) for name in names), default=0)


def _until(true) -> None:
    elapsed, nobody = clock.stopwatch(), threading.Event()
    while not true():
        assert elapsed() < 90, "it never came to that"
        nobody.wait(0.05)
