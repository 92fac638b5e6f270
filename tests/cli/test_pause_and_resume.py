"""Ctrl-C on a run with real workers: it pauses, says how to go on, and goes on to the end."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.errors import TradewindError

COMMAND = [sys.executable, "-c", "import sys; from tradewind.cli.main import main; sys.exit(main())"]
SPEC = """
name = "adult"
epochs = 30
batch = 100
[learner]
kind = "LinearLearner"
loss = "logistic"
[data]
path = "adult"
test = "adult.test"
[workers]
count = 2
[provider]
kind = "local"
boot = 10
"""


def rows_done(out: Path) -> float:
    """How many rows the run in the folder `out` has read, as its journal says."""
    for journal in out.glob("*/journal.sqlite"):
        try:
            with closing(Journal.read(journal)) as reading:
                samples = reading.samples()
        except TradewindError:
            return 0.0  # it is just being made
        return samples[-1].done if samples else 0.0
    return 0.0


@pytest.mark.timeout(110)
def test_pause_and_resume(tmp_path):
    (tmp_path / "adult.toml").write_text(SPEC)
    out = tmp_path / "runs"
    started = subprocess.Popen(
        [*COMMAND, "train", "adult.toml"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        elapsed = clock.stopwatch()
        while rows_done(out) == 0 and started.poll() is None and elapsed() < 60:
            with pytest.raises(subprocess.TimeoutExpired):
                started.wait(0.2)
        os.kill(started.pid, signal.SIGINT)
        told, errors = started.communicate(timeout=40)
    finally:
        started.kill()
    assert started.returncode == 1, errors
    assert "paused" in told and "go on with: tradewind resume runs/adult-" in told, told + errors
    (folder,) = [each for each in out.iterdir() if each.is_dir() and not each.is_symlink()]
    before = rows_done(out)
    resumed = subprocess.run(
        [*COMMAND, "resume", "latest", "--workers", "1", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    result = json.loads(resumed.stdout)
    assert resumed.returncode == 0 and result["outcome"] == "done", resumed.stderr
    assert Path(result["directory"]).resolve() == folder.resolve()
    assert 0 < before < rows_done(out)
    assert result["quality"] > 0.84 and (folder / "report.html").exists()
