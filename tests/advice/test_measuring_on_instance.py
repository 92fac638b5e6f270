"""The program on an instance, in a process of its own: what it tells, in what order, what it survives."""

import ast
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from tradewind.advice.measuring import on_instance, process_trees
from tradewind.advice.measuring.keeper import End


@pytest.fixture
def store():
    """A store that takes what is put to it; `refusals` names how many puts of a name it refuses first."""
    taken, refusals = [], {}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_PUT(self):
            name, body = self.path[1:], self.rfile.read(int(self.headers["Content-Length"]))
            refusals[name] = refusals.get(name, 0) - 1
            if refusals[name] < 0:
                taken.append((name, body))
            self.send_response(200 if refusals[name] < 0 else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    server.taken, server.refusals = taken, refusals
    yield server
    server.shutdown()
    server.server_close()


def ran(store, folder, *command, program="", **more):
    links = {name: f"http://127.0.0.1:{store.server_port}/{name}" for name in ("alive", "output", "end")}
    task = {
        "command": command, "folder": str(folder), "environment": {"WHERE": "there"}, "cores": None,
        "memory": None, "limit": 20.0, "beat": 0.05, "links": links, **more,
    }  # fmt: skip
    (folder / "task.json").write_text(json.dumps(task))
    how = ["-c", program] if program else ["-m", on_instance.__name__, "task.json"]
    return subprocess.run([sys.executable, *how], cwd=folder, check=False, timeout=60).returncode


def test_it_tells_that_it_lives_then_what_was_said_and_the_end_last(store, tmp_path):
    assert ran(store, tmp_path, "sh", "-c", "echo $WHERE; sleep 0.4; exit 3") == 0
    names = [name for name, _ in store.taken]
    assert names[0] == "alive" and names[-2:] == ["output", "end"] and names.count("alive") > 1
    assert set(names[:-2]) == {"alive"}
    alive = [msgspec.json.decode(body, type=End) for name, body in store.taken if name == "alive"]
    assert alive[0].seconds == 0 and 0.05 < alive[-1].seconds < 5
    end = msgspec.json.decode(store.taken[-1][1], type=End)
    assert (end.how, end.code) == ("exited", 3) and end.seconds >= 0.4
    assert json.loads(store.taken[-1][1])["tail"] == "there\n" and store.taken[-2][1] == b"there\n"


def test_a_store_that_is_out_of_reach_for_a_while_hears_of_the_end(store, tmp_path):
    store.refusals.update(alive=10**6, output=1, end=1)
    assert ran(store, tmp_path, "true") == 0
    assert [name for name, _ in store.taken] == ["end"]


COUNTED = """
import sys
from tradewind.advice.measuring import on_instance
kills = iter((7, 8))
on_instance._memory_kills = lambda: next(kills)
sys.exit(on_instance.main("task.json"))
"""
"""The count of the kernel's kills is acted: nobody wants a machine without memory in a test."""


def test_whom_the_kernel_kills_for_want_of_memory_has_failed_for_that(store, tmp_path):
    assert ran(store, tmp_path, "sh", "-c", "exit 137", program=COUNTED) == 0
    assert msgspec.json.decode(store.taken[-1][1], type=End).how == "memory"


@pytest.mark.parametrize("module", [on_instance, process_trees], ids=["program", "trees"])
def test_it_needs_python_3_9_and_nothing_of_others(module):
    tree = ast.parse(Path(module.__file__).read_text(), feature_version=(3, 9))
    names = {
        name
        for node in ast.walk(tree)
        for name in (
            [each.name for each in node.names] if isinstance(node, ast.Import)
            else [node.module] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    ours = {name for name in names if name.startswith("tradewind")}
    assert ours <= {process_trees.__name__}
    assert {name.split(".")[0] for name in names - ours} <= sys.stdlib_module_names
