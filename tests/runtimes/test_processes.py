import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tradewind import clock
from tradewind.errors import Misuse, Unreachable
from tradewind.market.leases import Lease
from tradewind.runtimes.interface import Task, TaskState
from tradewind.runtimes.processes import ProcessRuntime
from tradewind.testing.runtimes import RuntimeLaws, leased


class TestProcessRuntime(RuntimeLaws):
    @pytest.fixture(autouse=True)
    def agents(self) -> Iterator[None]:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        with tempfile.TemporaryDirectory(prefix="tw-", ignore_cleanup_errors=True) as self.sockets:
            yield
            for process in self.processes.values():
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                process.stdin.close()

    def runtime(self, patience: float = 20.0) -> ProcessRuntime:
        return ProcessRuntime(self.folder / "logs", patience=patience)

    def instance(self, *options: str) -> Lease:
        name = str(len(self.processes))
        address = f"unix:{self.sockets}/{name}"
        command = [sys.executable, "-m", "tradewind.runtimes.agent", "--listen", address, *options]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # as a provider does
        try:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return leased(name, address)

    def unreachable(self) -> Lease:
        return leased("nobody", f"unix:{self.sockets}/nobody")

    def signal(self, lease: Lease, number: signal.Signals) -> None:
        os.killpg(self.processes[lease.id].pid, number)

    def test_output_and_traceback_go_to_the_log(self) -> None:
        async def story(runtime: ProcessRuntime) -> None:
            await runtime.start(self.instance(), self.chore("t", "raise", text="no luck"))
            assert (await runtime.next_end()).state is TaskState.FAILED
            log = (self.folder / "logs" / "t.log").read_text()
            assert log.startswith("doing raise\n") and log.endswith("ValueError: no luck\n")

        self.run(story)

    def test_an_agent_that_listens_but_never_answers_is_unreachable(self) -> None:
        async def story(runtime: ProcessRuntime) -> None:
            async def mute(reader, writer):
                await reader.read()
                writer.close()

            server = await asyncio.start_unix_server(mute, f"{self.sockets}/mute")
            with pytest.raises(Unreachable, match="did not answer within"):
                await runtime.start(leased("mute", f"unix:{self.sockets}/mute"), self.chore("t", "return"))
            assert await self.is_silent(runtime, 0.1)
            server.close()

        self.run(story, patience=0.3)

    def test_a_start_that_is_given_up_is_not_started(self) -> None:
        async def story(runtime: ProcessRuntime) -> None:
            lease = self.instance()
            await runtime.start(lease, self.chore("first", "return"))
            await runtime.next_end()
            self.signal(lease, signal.SIGSTOP)
            starting = asyncio.create_task(runtime.start(lease, self.chore("t", "wait")))
            await clock.sleep_until(clock.now() + 0.2 * clock.speed())
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            self.signal(lease, signal.SIGCONT)
            assert await self.is_silent(runtime, 0.5)
            assert (await runtime.status(lease)).tasks == ()

        self.run(story)

    def test_an_instance_that_dies_before_it_accepts_is_unreachable(self) -> None:
        async def story(runtime: ProcessRuntime) -> None:
            lease = self.instance()
            await runtime.status(lease)
            self.signal(lease, signal.SIGSTOP)
            starting = asyncio.create_task(runtime.start(lease, self.chore("t", "return")))
            await clock.sleep_until(clock.now() + 0.1 * clock.speed())
            self.signal(lease, signal.SIGKILL)
            with pytest.raises(Unreachable):
                await starting
            assert await self.is_silent(runtime, 0.1)

        self.run(story)

    def test_an_instance_that_was_killed_is_unreachable_at_once(self) -> None:
        async def story(runtime: ProcessRuntime) -> None:
            lease = self.instance()
            await runtime.status(lease)
            self.signal(lease, signal.SIGKILL)
            self.processes[lease.id].wait()
            elapsed = clock.stopwatch()
            with pytest.raises(Unreachable):
                await runtime.start(lease, self.chore("t", "return"))
            assert elapsed() < 5
            assert await self.is_silent(runtime, 0.1)

        self.run(story)

    @pytest.mark.parametrize("name", ["", ".", "../t", "a/b", "a\nb"])
    def test_a_name_that_is_no_file_name_is_misuse(self, name: str) -> None:
        async def story(runtime: ProcessRuntime) -> None:
            with pytest.raises(Misuse, match="no name for a file"):
                await runtime.start(self.unreachable(), Task(name, "m", {}))

        self.run(story)

    def test_a_lease_of_a_simulation_is_misuse(self) -> None:
        async def story(runtime: ProcessRuntime) -> None:
            with pytest.raises(Misuse, match="no address of an agent"):
                await runtime.start(leased("simulated", ""), self.chore("t", "return"))

        self.run(story)

    def test_a_connection_that_breaks_takes_its_tasks_along(self) -> None:
        async def story(runtime: ProcessRuntime) -> None:
            lease = self.instance()
            await runtime.start(lease, self.chore("t", "linger"))
            pid = int(await self.begun("t"))
            second = self.runtime()
            await second.start(lease, self.chore("u", "wait"))
            await self.begun("u")
            # The first connection is cut as a crash of its owner would cut it.
            next(iter(runtime._links.values()))._writer.transport.abort()
            end = await runtime.next_end()
            assert (end.task, end.state) == ("t", TaskState.LOST)
            while (await second.status(lease)).tasks != ("u",):
                await clock.sleep_until(clock.now() + 0.01 * clock.speed())
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
            await second.close()

        self.run(story)

    def test_logs_folder_is_made_when_first_needed(self) -> None:
        assert not Path(self.folder / "logs").exists()
        self.test_output_and_traceback_go_to_the_log()
