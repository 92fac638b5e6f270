"""Descendants of a process, and what they hold together."""

import os
import subprocess
import sys

from tradewind.advice.measuring.process_trees import descendants, held


def test_children_and_theirs_are_found_and_the_dead_are_not():
    shell = subprocess.Popen(["sh", "-c", "sleep 20 & echo up; wait"], stdout=subprocess.PIPE)
    try:
        assert shell.stdout is not None and shell.stdout.readline() == b"up\n"
        below = descendants(os.getpid())
        (inner,) = descendants(shell.pid)
        assert {shell.pid, inner} <= below
        os.kill(inner, 9)
        shell.wait()
        assert not {shell.pid, inner} & descendants(os.getpid())
    finally:
        shell.kill()
        shell.stdout.close()


def test_shared_memory_counts_once():
    code = (
        "import os, time, sys; held = bytearray(b'x') * (32 << 20)\n"
        "child = os.fork()\nif child: print(child, flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        together = held({parent.pid, child})
        assert held({parent.pid}) > 32 << 20 and 32 << 20 < together < 56 << 20
        parent.kill()
        os.kill(child, 9)
    assert held(set()) == 0
