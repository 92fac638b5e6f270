"""kill -9 of a server at every step that an endpoint's life keeps: the next server comes to the same end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

STORIES = ("canary", "linear", "rolling", "rolling back", "broken", "weights", "life")


@pytest.fixture(scope="module")
def told():
    # A kill, unlike a power cut, leaves what was written; so memory does for a disk, and is quicker.
    memory, here = Path("/dev/shm"), Path(__file__).parent
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        done = subprocess.run(
            [sys.executable, str(here / "killed_updates.py"), folder, *STORIES],
            env=os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{here.parent}"},
            capture_output=True, text=True, timeout=110, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {each["story"]: each for each in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize(("story", "config", "factors", "writes"), [
    ("canary", "two", {3.0}, 5), ("linear", "two", {3.0}, 6), ("rolling", "two", {3.0}, 5),
    ("rolling back", "one", {2.0}, 3), ("broken", "one", {2.0}, 2), ("weights", "one", {2.0, 3.0}, 2),
])  # fmt: skip
def test_wherever_it_is_killed_an_update_ends_alike(told, story, config, factors, writes) -> None:
    found = told[story]
    end = found["end"]
    assert (end["status"], end["config"], set(end["answers"])) == ("InService", config, factors)
    assert end["left"] == [False, False, False] and end["share"] == 0.0
    assert ("alarm" in end["failure"]) == (story == "rolling back")
    assert ("broken.onnx" in end["failure"]) == (story == "broken")
    assert end["models"] == sorted(f"shop.{name}.{end['generation']}" for name, *_ in end["variants"])
    # Fewer steps may be kept where one look saw two of them.
    assert found["writes"] >= writes and {number for number, *_ in found["ends"]} == {
        *range(1, found["writes"] + 1)
    }
    assert sum(died for _, _, died, _ in found["ends"]) >= len(found["ends"]) / 2
    for number, how, _, after in found["ends"]:
        assert after == end, (number, how)


def test_wherever_it_is_killed_nothing_is_left_of_what_was_deleted(told) -> None:
    found = told["life"]
    # Two models, two configurations, the endpoint, its being in service, its deletion in two steps.
    assert found["writes"] == 8 and found["end"]["refused"] == "NOT_FOUND" and found["end"]["models"] == []
    assert [kind for kind, _ in found["end"]["kept"]] == [*["endpoint-config"] * 2, *["model"] * 2]
    assert all(died for _, _, died, _ in found["ends"]) and len(found["ends"]) == 8
    for number, how, _, after in found["ends"]:
        assert after == found["end"], (number, how)
