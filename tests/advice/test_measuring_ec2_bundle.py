"""What an instance is given: a folder as it is, a program that stands alone, a script that ends by itself."""

import io
import os
import subprocess
import sys
import tarfile

import pytest

from tradewind.advice.measuring.ec2_bundle import LARGEST, packed, task_of, user_data
from tradewind.advice.measuring.interface import Order, Room
from tradewind.errors import Misuse
from tradewind.providers.aws import requests
from tradewind.providers.aws.requests import Settings


def test_a_folder_is_packed_as_it_is_but_for_what_is_left_out(tmp_path):
    for name in ("job.py", "data/a.csv", "data/old/b.csv", ".git/config", "runs/r1/log", "deep/runs/kept"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "job.py").chmod(0o755)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("data/a.csv")
    os.mkfifo(tmp_path / "pipe")
    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path, (".git", "/runs/r*", "old")))) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    files = tmp_path / "out" / "files"
    found = {path.relative_to(files).as_posix() for path in files.rglob("*")}
    assert found == {
        "job.py",
        "data",
        "data/a.csv",
        "runs",
        "deep",
        "deep/runs",
        "deep/runs/kept",
        "empty",
        "link",
    }
    assert os.access(files / "job.py", os.X_OK) and (files / "link").read_text() == "data/a.csv"
    # The program is there whole: it starts without our package, and asks for its task.
    program = subprocess.run(
        [sys.executable, "-S", "-m", "tradewind.advice.measuring.on_instance", "no-such-task"],
        env={"PYTHONPATH": str(tmp_path / "out" / "program")}, capture_output=True, text=True, check=False,
        cwd=tmp_path,
    )  # fmt: skip
    assert "FileNotFoundError" in program.stderr and "no-such-task" in program.stderr


def test_a_folder_that_is_too_large_is_refused_before_it_is_sent(tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(2**16))
    with pytest.raises(Misuse, match="MiB packed") as told:
        packed(tmp_path, (), most=2**15)
    assert told.value.field == "folder" and "measure.leave" in told.value.fix
    assert len(packed(tmp_path, ("big",), most=2**15)) < 2**15 < LARGEST


def test_the_script_is_one_that_sh_reads_and_ec2_takes(tmp_path):
    link = (
        "https://bucket.s3.amazonaws.com/p/bundle.tar.gz?X-Amz-Signature=0&X-Amz-Security-Token=" + "t" * 2000
    )
    text = user_data(link, link.replace("bundle", "task"), 90.0)
    settings = Settings(region="r", types=("t",), image="ami-1", user_data=text)
    script = requests.user_data(settings, "run", "take")
    assert (
        script.startswith("#!/bin/sh\n") and f"fetch '{link}' bundle.tar.gz" in script and "}}" not in script
    )
    assert script.index("shutdown -P +12\n") < script.index("mktemp"), "its end is set before anything else"
    assert script.rstrip().endswith("shutdown -P now")
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_a_task_has_what_the_command_needs_and_the_links():
    order = Order("1", ("a", "b"), "/here", {"A": "1"}, Room(2.0, 5), 9.0, "stopped")
    assert task_of(order, None, {"end": "url"}, 3.0) == {
        "command": ["a", "b"], "folder": "../files", "environment": {"A": "1"}, "cores": None, "memory": 5,
        "limit": 9.0, "beat": 3.0, "links": {"end": "url"},
    }  # fmt: skip
