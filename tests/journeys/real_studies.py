"""What the journeys of studies share: trials on real processes, and how things are done to them meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from paced_objective import objective

from tradewind import clock
from tradewind.control.loop import Unrecorded
from tradewind.data.trial_records import StoredTrial
from tradewind.data.trial_store import TrialStore
from tradewind.market.demands import Demand
from tradewind.market.leases import LeaseId, Revocation
from tradewind.market.resources import Resources
from tradewind.providers.local import LocalProvider
from tradewind.providers.local_leftovers import leftovers
from tradewind.runtimes.interface import Runtime
from tradewind.runtimes.processes import ProcessRuntime
from tradewind.testing.providers import START, A, B, market
from tradewind.tuning.machines import controller
from tradewind.tuning.machines.cheapest_step import CheapestStep
from tradewind.tuning.machines.process_trials import WORKER, ProcessTrials
from tradewind.tuning.search.random import RandomSearch
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.study import Study

HERE = Path(__file__).parent
STEPS = 20
SPACE = {"rate": {"low": 0.01, "high": 1.0, "log": True}}
BOOT = (sys.executable, "-m", "tradewind.runtimes.agent", "--listen", "{address}", "--warm", WORKER)
PATIENCE = 60.0
"""Seconds of the wall within which everything must have happened that is waited for."""


def small_study(folder: Path | None, driver: str = "", **options: Any) -> Study:
    """A study of four trials; in memory without a folder."""
    store = "sqlite://" if folder is None else TrialStore(folder / "study.sqlite", patience=PATIENCE)
    given = {"trials": 4, "search": RandomSearch(seed=3), "lease": 60.0, **options}
    return Study(SPACE, store=store, driver=driver, **given)


def undisturbed(folder: Path, **options: Any) -> tuple[StoredTrial, ...]:
    """The trials of the same study, run in this process with nothing done to them."""
    calm = folder / "undisturbed"
    calm.mkdir()
    set_gates(calm, {})
    study = small_study(None, **options)
    study.run(functools.partial(objective, folder=str(calm)), folder=calm)
    return study.trials


def told(trials: tuple[StoredTrial, ...]) -> list[Any]:
    """What must not depend on what was done to the machines."""
    return [
        (each.number, each.setting, each.state, each.steps, each.values, each.final, each.redone)
        for each in trials
    ]


def set_gates(folder: Path, gates: Mapping[int, int]) -> None:
    """Up to which step each trial may come, from now on; those not named may go on."""
    draft = folder / f"gates-{os.getpid()}"
    draft.write_text(json.dumps({str(number): step for number, step in gates.items()}))
    draft.rename(folder / "gates")


def did(folder: Path, number: int) -> list[int]:
    """The steps of a trial that were done, in order."""
    file = folder / f"did-{number}"
    return [int(each) for each in file.read_text().split()] if file.exists() else []


class Driver:
    """A driver of a study in this process, on leases of this machine or on `elsewhere`."""

    def __init__(
        self, folder: Path, study: Study, elsewhere: tuple[Any, Runtime] | None = None, *,
        objective: str = "objective", **arguments: Any,
    ) -> None:  # fmt: skip
        self.study = study
        self.machines = folder / f"machines-{study.driver}"
        steady = market({A: [(0, 1.0)], B: [(0, 1.0)]}, {})
        self.provider, self.runtime = elsewhere or (
            LocalProvider(steady, boot_command=BOOT, directory=self.machines), ProcessRuntime(self.machines),
        )  # fmt: skip
        self.work = ProcessTrials(
            self.runtime,
            study,
            f"{HERE / 'paced_objective.py'}:{objective}",
            folder=folder / "checkpoints",
            arguments={"folder": str(folder), **arguments},
            every=1e6,
        )

    def run(
        self, mishap: Callable[[Driver], Awaitable[None]] | None = None, speed: float = 60.0
    ) -> controller.Result:
        """Run the study to its end, while `mishap` happens to it."""

        async def main() -> controller.Result:
            goal = controller.Goal(demand=Demand(resources=Resources(vcpus=1), count=1))
            async with asyncio.timeout(2 * PATIENCE * speed):
                running = asyncio.create_task(
                    controller.run(
                        self.study, goal, CheapestStep(), self.provider, self.work, Unrecorded(), steps=STEPS
                    )
                )
                if mishap is not None:
                    happening = asyncio.ensure_future(mishap(self))
                    await asyncio.wait({running, happening}, return_when=asyncio.FIRST_COMPLETED)
                    if running.done():
                        running.result()
                    happening.result()
                return await running

        return clock.run(main(), start=START, speed=speed)

    def trial(self, number: int) -> StoredTrial | None:
        """A trial, as it is by now."""
        found = self.study.store.trials(self.study.name)
        return found[number] if number < len(found) else None

    async def reaches(self, number: int, step: int) -> None:
        """Wait until a trial has reported a step."""
        await until(lambda: (found := self.trial(number)) is not None and step in found.steps)

    def lease_of(self, number: int) -> LeaseId:
        """The lease that is held for a trial, or was used for it since."""
        on = self.work._stays
        (found,) = [lease for lease, stay in on.items() if stay.asked.number == number]
        return found

    def kill_instance(self, number: int) -> None:
        """kill -9 of the whole instance that a trial is on."""
        group = self.provider.process_group(self.lease_of(number))
        assert group is not None
        os.killpg(group, signal.SIGKILL)

    async def cut_off(self, number: int) -> None:
        """Break the connection to the instance that a trial is on, which stays."""
        (stay,) = [each for each in self.work._stays.values() if each.asked.number == number]
        await self.runtime._links[stay.lease.instance.address].close()

    async def give_notice(self, number: int, seconds: float) -> None:
        """Have the market give notice of a revocation for the instance that a trial is on."""
        lease = self.lease_of(number)
        now = clock.now()
        self.provider._holdings._foresee(Revocation(lease, now, now + seconds))
        self.provider._bell.ring()
        while lease not in {each.lease for each in await self.provider.revocations()}:
            await wall(0.01)

    def processes(self) -> dict[int, str]:
        """All that runs on its leases, with the name of what its output goes to."""
        found = {}
        for each in leftovers(self.machines):
            with contextlib.suppress(OSError):
                found[each.pid] = Path(os.readlink(f"/proc/{each.pid}/fd/1")).stem
        return found


async def wall(seconds: float) -> None:
    """Wait so long by the wall's clock."""
    await clock.sleep_until(clock.now() + seconds * clock.speed())


async def until(true: Callable[[], bool]) -> None:
    """Wait until it is."""
    elapsed = clock.stopwatch()
    while not true():
        assert elapsed() < PATIENCE, "it never came to that"
        await wall(0.05)


def main(what: str, folder: str, name: str, more: str = "{}") -> None:
    """Be another process: `drive` the study as a driver of that name, or `kill` the trial of that number."""
    if what == "drive":
        options: dict[str, Any] = json.loads(more)
        if "asha" in options:
            options["stop"] = Asha(STEPS, eta=options.pop("asha"))
        Driver(Path(folder), small_study(Path(folder), name, **options)).run()
    else:
        assert Study.open(Path(folder) / "study.sqlite").kill(int(name), "a line was clicked")


if __name__ == "__main__":
    main(*sys.argv[1:])
