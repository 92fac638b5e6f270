"""Traces, recorded runs, workloads, policies, proofs, git's patches and pages of an index."""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from fuzz_targets.target import Broken, Target

from tradewind.audit.growth.indexes import distributions_at
from tradewind.audit.growth.patches import patches
from tradewind.audit.growth.releases import releases
from tradewind.audit.slimming.policy import meaning, read_policy
from tradewind.audit.tracing.backends.audit_hook import AuditHook
from tradewind.audit.tracing.backends.recorded import read_recorded
from tradewind.audit.tracing.bpftrace_text import BpftraceText
from tradewind.audit.tracing.events import Event
from tradewind.audit.tracing.reading import read_events
from tradewind.audit.tracing.strace_text import StraceText
from tradewind.audit.tracing.workload import Workload
from tradewind.audit.trees import Entry, Tree
from tradewind.audit.verification.comparing import Bounds, Difference
from tradewind.audit.verification.proof import Check, Proof, Side, proof_bytes, read_proof, sealed
from tradewind.errors import Misuse

_TREE = Tree([Entry("a", "directory"), Entry("a/b", "file"), Entry("l", "link", target="a"),
              Entry("srv", "directory")])  # fmt: skip
_STRACE = rb"""12  1.900000 chdir("/srv") = 0
12  2.000000 access("/.marker", F_OK) = -1 ENOENT (No such file or directory)
12  2.100000 execve("/bin/sh", ["s"...], 0x7ffd /* 3 vars */) = 0
12  2.300000 openat(AT_FDCWD</srv>, "lib/../x", O_RDONLY|O_CLOEXEC) = 3</srv/x>
12  2.310000 newfstatat(3</srv/x>, "", {st_mode=S_IFREG|0644}, AT_EMPTY_PATH) = 0
12  2.400000 newfstatat(5</a,"b\74>, "c", {st_mode=S_IFREG|0644}, 0) = 0
12  2.600000 vfork( <unfinished ...>
13  2.800000 execve("bin/true", ["t"...], 0x7ffd /* 38 vars */ <unfinished ...>
12  2.900000 <... vfork resumed>) = 13
13  3.000000 <... execve resumed>) = 0
13  3.100000 openat(AT_FDCWD</usr>, "caf\303\251\x41", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</usr/x>
13  3.300000 rename("a", "/b") = 0
13  3.350000 symlinkat("a", AT_FDCWD, "b") = 0
12  3.400000 +++ superseded by execve in pid 13 +++
[pid 12]  3.700000 fchdir(3</usr>) = 0
12  3.800000 +++ killed by SIGKILL +++
"""
_BPFTRACE = b"""tradewind is watching
1000000000 5 5 14 -100 0 1099511627776 /bin/sh|
1000000001 5 5 14 0 0 0 -|
1000000002 5 5 1 -100 0 3 lib|
1000000003 5 5 5 3 0 0 x|
1000000006 5 5 17 0 0 6 -|
1000000008 6 6 16 3 0 0 -|
1000000009 6 7 1 -100 577 4 new
line|
1000000010 5 5 13 -100 0 0 /usr|
Lost 3 events
"""
_A, _B = b"a" * 40, b"b" * 40
_LOG = b"""commit:%(a)s

:100644 100644 %(a)s %(b)s M\tapp.py
:100644 100644 %(a)s %(b)s R100\told name\t"n\\303\\251w\\"name"
:100644 000000 %(a)s %(b)s D\tgone
:100644 120000 %(a)s %(b)s T\tkind

diff --git a/app.py b/app.py
@@ -2,2 +2 @@ def f():
-a
-b
+c
@@ -9 +10 @@
-last
\\ No newline at end of file
+end
\\ No newline at end of file
diff --git a/old name b/n
diff --git a/gone b/gone
@@ -1,3 +0,0 @@
-1
-2
-3
diff --git a/kind b/kind
@@ -1 +0,0 @@
-1
diff --git a/kind b/kind
@@ -0,0 +1 @@
+1
commit:%(b)s
""" % {b"a": _A, b"b": _B}
_RUN = b"""{"format":"tradewind-trace-1","name":"r","backend":"strace","command":["a"],"tree":"t"}
{"ts":0.0,"pid":1,"op":"open","path":"/a/b","ok":true,"exe":""}
{"ts":0.1,"pid":1,"op":"write","path":"/l/\\udcff","ok":false,"exe":"/a"}
"""
_FILES = [
    {"filename": "a-1.0-py3-none-any.whl", "size": 1, "upload-time": "2024-01-01T00:00:00Z"},
    {"filename": "a-1.0-1-cp311-cp311-manylinux_2_17_x86_64.whl", "size": 2, "yanked": "no"},
    {"filename": "a-2.0rc1.tar.gz", "size": 3},
]
_PAGE: dict[str, Any] = {"meta": {"api-version": "1.1"}, "name": "a", "files": _FILES}


def _strace(content: bytes) -> None:
    for marker in ("", "/.marker"):
        _absolute(StraceText(marker).read(content.splitlines(keepends=True)))


def _bpftrace(content: bytes) -> None:
    _absolute(BpftraceText("/srv").read(content.splitlines(keepends=True)))


def _absolute(told: Any) -> None:
    events: list[Event] = list(told)
    for event in events:
        if not event.path.startswith("/"):
            raise Broken(f"{event.path!r} is told as a path")
    touched = read_events(events, _TREE)
    if any(path not in _TREE for path in touched.opened | touched.probed):
        raise Broken("something is opened that the tree does not have")


class _File:
    """One file, written anew each time."""

    def __init__(self) -> None:
        room = tempfile.TemporaryDirectory()
        self.held, self.path = room, Path(room.name) / "file"

    def holding(self, content: bytes) -> Path:
        self.path.write_bytes(content)
        return self.path


_files: list[_File] = []


def _file(content: bytes) -> Path:
    if not _files:
        _files.append(_File())
    return _files[0].holding(content)


def _recorded(content: bytes) -> None:
    header, events, _ = read_recorded(_file(content))
    read_events(events, _TREE)
    msgspec.json.encode(header)


def _hooked(content: bytes) -> None:
    hook = AuditHook()
    hook._file = open(_file(content), "r+b")  # noqa: SIM115 -- closed below
    try:
        read_events(hook.finish().events, _TREE)
    finally:
        hook.close()


def _given(content: bytes) -> Any:
    """A document as it comes from TOML, which holds no lone surrogates."""
    if re.search(rb"\\u[dD][89a-fA-F]", content):
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _workload(content: bytes) -> None:
    try:
        workload = msgspec.convert(_given(content), Workload)
    except msgspec.ValidationError:
        return
    workload.check("fuzzed")


def _policy(content: bytes) -> None:
    document = _given(content)
    if isinstance(document, dict):
        policy = read_policy(document)
        for patterns in (policy.keep, policy.drop, policy.writable):
            meaning(patterns)("usr/lib/python3/site-packages/a.py")


def _proof(content: bytes) -> None:
    proof = read_proof(content, "fuzzed")
    if read_proof(proof_bytes(proof), "again") != proof:
        raise Broken("a proof is not read back as it was written")


def _proofs() -> list[bytes]:
    side = Side(0, "sha256:a", ("200 sha256:c",), {"/o": "sha256:d"}, 1.5)
    checks = (Check("w", ("run",), 0, side, side, (Difference("stdout", "1", "2"),)),)
    proof = Proof(made="2026-01-01T00:00:00Z", tradewind="1", original="a", slim="b", removed="c", policy="p",
                  bounds=Bounds(), checks=checks)  # fmt: skip
    return [proof_bytes(sealed(proof))]


def _patches(content: bytes) -> None:
    whole = [(each.commit, [str(change) for change in each.changes]) for each in patches([content])]
    pieces = [content[at : at + 64] for at in range(0, len(content), 64)]
    try:
        again = [(each.commit, [str(change) for change in each.changes]) for each in patches(pieces)]
    except Misuse as error:
        raise Broken(f"read whole, not in pieces: {error}") from None
    if whole != again:
        raise Broken("read otherwise in pieces than whole")


def _page(content: bytes) -> None:
    for each in releases(distributions_at(str(_file(content)), "a"), "a"):
        if each.chosen.size < 0:
            raise Broken(f"{each} has less than nothing")


_WORKLOAD = {
    "name": "w", "command": ["a"], "env": {"A": "b"}, "long_running": True,
    "ready": {"port": 80, "log": "a+"}, "requests": [{"path": "/x", "headers": {"a": "b"}}],
    "inputs": [{"source": "/a", "path": "/b"}],
}  # fmt: skip
TARGETS = (
    Target("strace-text", _strace, lambda: [_STRACE], ()),
    Target("bpftrace-text", _bpftrace, lambda: [_BPFTRACE], ()),
    Target("recorded-run", _recorded, lambda: [_RUN, gzip.compress(_RUN, mtime=0)]),
    Target(
        "audit-hook-lines", _hooked,
        lambda: [b'[1.0, 2, "open", "/a/b", true, "/p"]\n[1.5, 2, "import", "os", true, ""]\n'], (),
    ),
    Target("workload", _workload, lambda: [json.dumps(_WORKLOAD).encode()]),
    Target("policy", _policy, lambda: [b'{"keep": ["**/a*", "usr/?"], "drop": ["b"]}']),
    Target("proof", _proof, _proofs),
    Target("git-patches", _patches, lambda: [_LOG]),
    Target("index-page", _page, lambda: [json.dumps(_PAGE).encode()]),
)  # fmt: skip
