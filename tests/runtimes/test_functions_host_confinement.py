"""What a confined process cannot do; each in a process of its own, for nothing of it can be undone."""

import subprocess
import sys

import pytest

BEGIN = """
import os, resource, socket, sys
from tradewind.runtimes.functions.host.confinement import die_with, limit_memory, refuse_inbound
"""


def told(code):
    command = [sys.executable, "-c", BEGIN + code]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return ran.returncode, ran.stdout.split()


def test_nobody_can_connect_to_it_nor_to_what_it_starts():
    code = """
print(refuse_inbound())
for family, where in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, b"\\0tradewind-confined")):
    with socket.socket(family) as door:
        door.bind(where)
        try:
            door.listen()
            print("listens")
        except PermissionError:
            print("refused")
sys.stdout.flush()
child = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()"
print(os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", child]))
"""
    assert told(code) == (0, ["True", "refused", "refused", "1"])


def test_it_can_still_connect_to_others():
    code = """
door = socket.create_server(("127.0.0.1", 0))
refuse_inbound()
with socket.create_connection(door.getsockname()) as out:
    print(door.accept()[1] == out.getsockname())
"""
    assert told(code) == (0, ["True"])


def test_twice_its_memory_cannot_be_asked_for():
    code = """
limit_memory(128)
held = bytearray(100 << 20)
try:
    more = bytearray(256 << 20)
except MemoryError:
    print("refused")
"""
    assert told(code) == (0, ["refused"])


@pytest.mark.parametrize(("parent", "status"), [("os.getppid()", 0), ("os.getppid() + 1", 1)])
def test_a_parent_that_is_gone_already_is_noticed(parent, status):
    assert told(f"die_with({parent})")[0] == status
