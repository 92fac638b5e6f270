import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tradewind import clock
from tradewind.clock import stopwatch
from tradewind.errors import Misuse
from tradewind.market.leases import Ending
from tradewind.market.news import Ended
from tradewind.market.offers import Bid, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.providers.local import LocalProvider
from tradewind.runtimes.interface import Task, TaskState
from tradewind.runtimes.processes import ProcessRuntime
from tradewind.testing.providers import START, A, ProviderLaws, steady

AGENT = (sys.executable, "-m", "tradewind.runtimes.agent", "--listen", "{address}")
SPEED = 80.0


def alive(group: int) -> list[int]:
    """The processes of a group that are no zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def gone(groups: list[int], seconds: float = 15.0) -> bool:
    elapsed = stopwatch()
    while any(alive(group) for group in groups):
        if elapsed() > seconds:
            return False
    return True


async def wall(seconds: float) -> None:
    await clock.sleep_until(clock.now() + seconds * clock.speed())


class TestLocalProvider(ProviderLaws):
    late = 1.0 * SPEED

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def provider(self, market: RecordedMarket, command: tuple[str, ...] = AGENT, **options) -> LocalProvider:
        return LocalProvider(market, boot_command=command, directory=self.folder / "instances", **options)

    def execute(self, main: Coroutine[Any, Any, Any]) -> Any:
        return clock.run(main, start=START, speed=SPEED)

    def tell(self, market: RecordedMarket, story, *, speed: float = SPEED, **options) -> Any:
        """As `run`, with options."""

        async def main() -> None:
            provider = self.provider(market, **options)
            await provider.open()
            try:
                async with asyncio.timeout(40 * clock.speed()):
                    await story(provider)
            finally:
                await provider.close()

        return clock.run(main(), start=START, speed=speed)

    def test_a_lease_is_a_process_group_that_answers_at_its_address(self) -> None:
        async def story(provider: LocalProvider) -> None:
            leases = await provider.take(Bid(A, Terms.SPOT, count=2))
            runtime = ProcessRuntime(self.folder / "logs")
            groups = [provider.process_group(lease.id) for lease in leases]
            assert len({os.getpgid(group) for group in groups} - {os.getpgrp()}) == 2
            for lease, group in zip(leases, groups, strict=True):
                assert len(lease.instance.address) < 100
                assert (await runtime.status(lease)).pid == group
            await runtime.close()

        self.tell(steady((0, 86_000), (0, 86_000)), story)

    def test_the_market_acts_whether_or_not_anybody_waits_for_news(self) -> None:
        async def story(provider: LocalProvider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            group = provider.process_group(lease.id)
            runtime = ProcessRuntime(self.folder / "logs")
            await runtime.start(lease, Task("t", "tradewind.testing.chores", self.chore("wait")))
            # Nobody calls the provider from here on: the notice ends the task, the revocation the instance.
            assert (await runtime.next_end()).state is TaskState.DONE
            assert clock.now() >= START + 180
            assert alive(group)
            await clock.sleep_until(START + 300)
            await wall(0.1)
            assert not alive(group)
            assert provider.process_group(lease.id) is None
            await runtime.close()

        self.tell(steady((0, 300), notice=120), story)

    def test_an_unwarned_revocation_kills_in_the_middle(self) -> None:
        async def story(provider: LocalProvider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            runtime = ProcessRuntime(self.folder / "logs")
            await runtime.start(lease, Task("t", "tradewind.testing.chores", self.chore("wait")))
            end = await runtime.next_end()
            assert end.state is TaskState.LOST
            assert clock.now() >= START + 200
            (ended,) = await provider.next_news(START + 1000)
            assert ended == Ended(lease.id, START + 200, Ending.REVOKED)
            await runtime.close()

        self.tell(steady((0, 200), notice=0), story)

    def chore(self, name: str) -> dict[str, str]:
        return {"chore": name, "path": str(self.folder / "chore")}

    def test_a_notice_during_start_up_is_kept_for_the_program(self) -> None:
        async def story(provider: LocalProvider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            runtime = ProcessRuntime(self.folder / "logs")
            assert (await provider.next_news(START + 1000))[0].revocation.lease == lease.id
            await runtime.start(lease, Task("t", "tradewind.testing.chores", self.chore("wait")))
            assert (await runtime.next_end()).state is TaskState.DONE
            assert (await runtime.status(lease)).noticed
            await runtime.close()

        self.tell(steady((0, 80_000), notice=80_000), story)

    @pytest.mark.parametrize("victim", ["leader", "everybody"])
    def test_an_instance_that_dies_by_itself_has_failed_and_is_paid_for_until_then(self, victim) -> None:
        async def story(provider: LocalProvider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.ON_DEMAND))
            group = provider.process_group(lease.id)
            await wall(0.3)
            elapsed = stopwatch()
            if victim == "leader":
                os.kill(group, signal.SIGKILL)
            else:
                os.killpg(group, signal.SIGKILL)
            (ended,) = await provider.next_news(START + 80_000)
            assert elapsed() < 1.0
            assert (ended.lease, ended.ending) == (lease.id, Ending.FAILED)
            assert await provider.leases() == ()
            assert gone([group], 1.0)
            owed = await provider.invoice()
            await wall(0.1)
            assert await provider.invoice() == owed

        self.tell(steady((0, 80_000)), story)

    def test_a_program_that_leaves_has_failed(self) -> None:
        async def story(provider: LocalProvider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            (ended,) = await provider.next_news(START + 80_000)
            assert (ended.lease, ended.ending) == (lease.id, Ending.FAILED)
            assert (self.folder / "instances" / f"{lease.id}.log").read_text() == f"unix {lease.id} 1\n"

        self.tell(
            steady((0, 80_000)),
            story,
            command=(sys.executable, "-c", "print('{address}'[:4], '{lease}', '{cpu_share}')"),
        )

    def test_a_program_that_never_answers_has_failed_in_time(self) -> None:
        async def story(provider: LocalProvider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            group = provider.process_group(lease.id)
            elapsed = stopwatch()
            (ended,) = await provider.next_news(START + 80_000)
            assert (ended.lease, ended.ending) == (lease.id, Ending.FAILED)
            assert 0.4 < elapsed() < 5
            assert gone([group], 1.0)

        self.tell(steady((0, 80_000)), story, command=("sleep", "60"), patience=0.5)

    def test_release_sees_the_group_off(self) -> None:
        async def story(provider: LocalProvider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            group = provider.process_group(lease.id)
            runtime = ProcessRuntime(self.folder / "logs")
            await runtime.start(lease, Task("t", "tradewind.testing.chores", self.chore("wait")))
            while not (self.folder / "chore").exists():
                await wall(0.01)
            await provider.release(lease.id)
            # Its task has a moment to leave by itself.
            assert (await runtime.next_end()).state is TaskState.DONE
            assert [type(each) for each in await provider.next_news(START + 80_000)] == [Ended]
            while provider.process_group(lease.id) is not None:
                await wall(0.01)
            assert not alive(group)
            await runtime.close()

        self.tell(steady((0, 80_000)), story)

    def test_close_leaves_no_process_and_no_socket(self) -> None:
        groups: list[int] = []
        sockets: list[Path] = []

        async def story(provider: LocalProvider) -> None:
            leases = await provider.take(Bid(A, Terms.SPOT, count=3))
            groups.extend(provider.process_group(lease.id) for lease in leases)
            sockets.append(Path(leases[0].instance.address.removeprefix("unix:")).parent)
            runtime = ProcessRuntime(self.folder / "logs")
            await runtime.start(leases[0], Task("t", "tradewind.testing.chores", self.chore("linger")))
            await runtime.start(leases[1], Task("u", "tradewind.testing.chores", self.chore("burn")))
            assert sockets[0].exists()
            await provider.close()
            assert gone(groups, 1.0)
            await runtime.close()

        self.tell(steady(*[(0, 80_000)] * 3), story)
        assert gone(groups, 1.0)
        assert not sockets[0].exists()

    @pytest.mark.parametrize("way", ["killed", "leaves without closing"])
    def test_nothing_outlives_its_driver(self, way: str) -> None:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            *groups, sockets = driver.stdout.readline().split()
            groups = [int(group) for group in groups]
            assert all(len(alive(group)) == 3 for group in groups) and len(groups) == 2
            assert Path(sockets).exists()
            if way == "killed":
                driver.kill()
            driver.communicate("\n", timeout=20)
            assert gone(groups)
            elapsed = stopwatch()
            while Path(sockets).exists():
                assert elapsed() < 5
        finally:
            driver.kill()
            driver.communicate()

    def test_the_invoice_is_in_the_markets_time(self) -> None:
        async def story(provider: LocalProvider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.ON_DEMAND))
            await clock.sleep_until(START + 3600)
            await provider.release(lease.id)
            (ended,) = await provider.next_news(START + 80_000)
            hours = (ended.at - lease.started) / 3600
            assert hours >= 0.99
            # Three dollars an hour; whole seconds are charged.
            assert float((await provider.invoice()).total) == pytest.approx(3 * hours, abs=3 * 1.01 / 3600)

        self.tell(steady((0, 80_000)), story, speed=7200)

    @pytest.mark.parametrize(
        ("shares", "told"),
        [
            ({"c9.large": 0.25}, "0.25"),
            (lambda kind: kind.resources.vcpus / 16, "0.125"),
            ({}, "1"),
            (None, "1"),
        ],
        ids=["table", "function", "missing", "none"],
    )
    def test_the_program_is_told_its_share(self, shares, told: str) -> None:
        async def story(provider: LocalProvider) -> None:
            (lease,) = await provider.take(Bid(A, Terms.SPOT))
            command = Path(f"/proc/{provider.process_group(lease.id)}/cmdline")
            while told.encode() not in command.read_bytes().split(b"\0"):
                await wall(0.01)  # between the fork and the exec it is still ours

        self.tell(
            steady((0, 80_000)), story, command=(*AGENT, "--cpu-share", "{cpu_share}"), cpu_shares=shares
        )

    @pytest.mark.parametrize(
        ("command", "says"),
        [((), "no program"), (("/no/such/program",), "no program"), ((*AGENT, "{port}"), "port")],
    )
    def test_a_command_that_cannot_be_run_is_misuse_before_anything_is_rented(self, command, says) -> None:
        async def main() -> None:
            provider = self.provider(steady((0, 80_000)), command)
            with pytest.raises(Misuse, match=says):
                await provider.open()
            with pytest.raises(Misuse, match="not open"):
                await provider.take(Bid(A, Terms.SPOT))
            await provider.close()

        self.execute(main())
        assert not (self.folder / "instances").exists()

    def test_a_simulation_is_refused(self) -> None:
        async def main() -> None:
            with pytest.raises(Misuse, match="simulated"):
                await self.provider(steady((0, 80_000))).open()

        clock.simulate(main(), start=START)

    @pytest.mark.parametrize("share", [0.0, -1.0, float("nan")])
    def test_a_share_that_is_none_is_misuse(self, share: float) -> None:
        with pytest.raises(Misuse, match="share"):
            self.provider(steady((0, 80_000)), cpu_shares={"c9.large": share})


DRIVER = """
import sys
from pathlib import Path
from tradewind import clock
from tradewind.market.offers import Bid, Terms
from tradewind.providers.local import LocalProvider
from tradewind.runtimes.interface import Task
from tradewind.runtimes.processes import ProcessRuntime
from tradewind.testing.providers import START, A, steady

folder = Path(sys.argv[1])

async def main():
    command = (sys.executable, "-m", "tradewind.runtimes.agent", "--listen", "{address}")
    provider = LocalProvider(steady((0, 80_000), (0, 80_000)), boot_command=command, directory=folder)
    await provider.open()
    leases = await provider.take(Bid(A, Terms.SPOT, count=2))
    runtime = ProcessRuntime(folder / "logs")
    for lease in leases:
        path = folder / lease.id
        chore = {"chore": "linger", "path": str(path)}
        await runtime.start(lease, Task(lease.id, "tradewind.testing.chores", chore))
        while not path.exists():
            await clock.sleep_until(clock.now() + 1)
    sockets = Path(leases[0].instance.address.removeprefix("unix:")).parent
    print(*(provider.process_group(lease.id) for lease in leases), sockets, flush=True)
    sys.stdin.readline()

clock.run(main(), start=START, speed=80)
"""
