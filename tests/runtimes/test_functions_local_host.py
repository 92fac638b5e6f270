"""A host as a child: started, found dead and started again, ended with everything that was its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from function_host import until, zipped
from tradewind import clock
from tradewind.errors import Misuse, Temporary
from tradewind.runtimes.functions.client import Functions
from tradewind.runtimes.functions.limits import Limits
from tradewind.runtimes.functions.local_host import LocalHost


def test_it_answers_its_owner_alone_and_leaves_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def main():
        host = LocalHost(Limits(concurrency=2, unreserved=0))
        url = await host.start()
        assert await host.start() == url and host.pid is not None
        functions = Functions(url, token=host.token, longest=10.0)
        functions.deploy("echo", zipped("def handler(event, context): return event"), "app.handler")
        assert functions.call("echo", b"7").payload == b"7"
        stranger = Functions(url)
        with pytest.raises(Misuse, match="security token"):
            stranger.call("echo", b"7")
        stranger.close()
        os.kill(host.pid, signal.SIGKILL)
        until(lambda: host.pid is None)
        with pytest.raises(Temporary):
            functions.call("echo", b"7")
        functions.close()
        assert await host.start() and len(list(tmp_path.iterdir())) == 1, "the folder of the first is gone"
        pid = host.pid
        await host.close()
        await host.close()
        assert host.pid is None and not Path(f"/proc/{pid}").exists()

    clock.run(main())
    assert not list(tmp_path.iterdir())


def test_one_that_does_not_come_up_is_told_of(monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    async def main():
        with pytest.raises(Temporary, match="did not start"):
            await LocalHost().start()

    clock.run(main())


def test_it_ends_with_whoever_holds_its_standard_input(tmp_path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tradewind.runtimes.functions.host.server", "--root", str(tmp_path / "host"),
         "--with-parent"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline().startswith(b"http://") and (tmp_path / "host").is_dir()
    process.stdin.close()
    assert process.wait(10) == 0 and not (tmp_path / "host").exists()
    process.stdout.close()
