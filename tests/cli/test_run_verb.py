"""`tradewind run` as a user runs it: a process, a model that answers, a kill, and the same again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from tradewind.cli.main import main

RUN = "import sys; from tradewind.cli.main import main; sys.exit(main())"
SPEC = """
name = "small"
out = "runs"
epochs = 2
batch = 20
runtime = "inline"
data = "rows.libsvm"
[learner]
kind = "LinearLearner"
loss = "logistic"
[audit]
environment = "packages"
[serve]
port = 0
grpc_port = -1
"""


@pytest.fixture
def spec(tmp_path):
    lines = [f"{'+1' if k % 5 < 2 else '-1'} {1 + k % 5}:1 7:0.5" for k in range(200)]
    (tmp_path / "rows.libsvm").write_text("\n".join(lines) + "\n")
    (tmp_path / "packages").mkdir()
    path = tmp_path / "small.toml"
    path.write_text(SPEC)
    return path


def test_a_killed_server_is_served_again_without_training_again(spec) -> None:
    runs = []
    for ending in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(
            [sys.executable, "-c", RUN, "run", str(spec), "--json"], cwd=spec.parent, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                told = process.stdout.readline()
                assert told, process.stderr.read()
                assert "http" in told, told
                url = json.loads(told)["http"]
                assert json.load(urllib.request.urlopen(f"{url}/v2/models/small"))["name"] == "small"
                process.send_signal(ending)
                rest = process.stdout.read()
                code = process.wait(30)
            finally:
                process.kill()
        runs.append(sorted(each.name for each in (spec.parent / "runs").glob("small-*")))
    assert code == 0 and runs[0] == runs[1] and len(runs[0]) == 1
    end = json.loads(rest)
    assert end["outcome"] == "done" and end["steps"] == ["train", "audit", "serve"]
    assert end["record"]["served"]["drained"] is True


def test_misuse_leaves_nothing(spec, capsys) -> None:
    assert main(["run", str(spec), "--set", "serve.prot=1"]) == 2
    assert "serve.prot" in capsys.readouterr().err
    assert not (spec.parent / "runs").exists()
