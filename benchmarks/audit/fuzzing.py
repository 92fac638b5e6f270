"""Fuzzes every parser of the audit that reads what comes from outside, guided by coverage (atheris).

Each target is a parser with seeds and laws: nothing is raised but what its callers catch (the tree's own
errors for most), no input takes 5 s of the processor, none asks for 1 GB of memory, and what must hold of
the answer holds: archives write nothing outside of their target, packages' bytes and unowned ones sum to the
tree's, no file is clean whose loading would reach a forbidden global. Every target runs in a process of its
own, one after another, from `--seed`; a finding is counted once by its kind and place, its input is kept in
`--keep`, and fuzzing goes on.

Atheris (libFuzzer) is found on the path of Python. Where it is absent, and with `--quick`, inputs are mutated
at random without guidance, under the same laws; `--quick` runs all targets in one process.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import json
import os
import platform
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

GROUPS = ("archives", "records", "texts", "advising", "models")
SECONDS, MEMORY, LONGEST = 5, 1 << 30, 1 << 16
QUICK = 25.0
"""Seconds of fuzzing in all of --quick; the rest of its 45 is for imports and seeds."""


class TooLong(BaseException):
    """An input took all of its time; no parser catches it."""


def gathered() -> dict[str, Any]:
    """All targets by name. They are imported here, for a fuzzing process instruments what it imports."""
    modules = [importlib.import_module(f"fuzz_targets.{name}") for name in GROUPS]
    return {target.name: target for module in modules for target in module.TARGETS}


class Judge:
    """Runs one target on inputs and keeps what broke a law."""

    def __init__(self, target: Any, keep: Path) -> None:
        self.target, self.keep = target, keep
        self.executions = 0
        self.found: dict[str, str] = {}
        signal.signal(signal.SIGPROF, self._too_long)

    @staticmethod
    def _too_long(*_: object) -> None:
        raise TooLong

    def __call__(self, content: bytes) -> None:
        """One execution."""
        self.executions += 1
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            self.target.check(content)
        except TooLong as error:
            self._keep(error, content)
        except self.target.may_raise as error:
            if isinstance(error, MemoryError | RecursionError) or type(error).__name__ == "Broken":
                self._keep(error, content)
        except Exception as error:  # the law is that there is none
            self._keep(error, content)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _keep(self, error: BaseException, content: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [each for each in frames if "tradewind" in each.filename] or frames
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        # Two breaches of a law from one place are told apart by their words, without the numbers in them.
        words = re.sub(r"\d+", "", str(error))[:40] if type(error).__name__ == "Broken" else ""
        key = f"{type(error).__name__} at {place} {words}"
        if key in self.found:
            return
        self.found[key] = str(error)[:200]
        name = f"{self.target.name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        (self.keep / f"{name}.input").write_bytes(content)
        told = {"target": self.target.name, "kind": key, "message": str(error)[:300], "bytes": len(content)}
        (self.keep / f"{name}.json").write_text(json.dumps(told))


def mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    """A seed with a few changes: bytes, stretches, numbers at their edges, parts of other seeds."""
    made = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        at = chance.randrange(len(made) + 1)
        size = chance.choice((1, 1, 2, 4, 8, 32))
        match chance.randrange(6):
            case 0:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del made[at : at + size]
            case 2:
                made[at:at] = made[at : at + size] * chance.choice((1, 2, 50))
            case 3:
                edge = chance.choice((0, 1, -1, 2**31 - 1, 2**31, 2**63 - 1)) & (2**64 - 1)
                made[at : at + size] = edge.to_bytes(8, chance.choice(("little", "big")))[:size]
            case 4:
                made[at : at + size] = chance.choice(
                    (b"-1", b"9" * 5000, b"1e999", b"NaN", b"\0", b"\xff\xfe", b"null", b"[]", b"{}", b"../",
                     b"\n", b"[" * 3000, b'{"a":' * 3000, b'"', b"\\ud800")
                )  # fmt: skip
            case _:
                other = chance.choice(seeds)
                start = chance.randrange(len(other) + 1)
                made[at : at + size] = other[start : start + chance.randrange(1, 65)]
    return bytes(made[:LONGEST])


def at_random(judge: Judge, seeds: list[bytes], seconds: float, seed: int) -> None:
    """Mutate without guidance until the time is up."""
    chance = random.Random(f"{judge.target.name} {seed}")
    for each in seeds:
        judge(each)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        judge(mutated(chance, seeds))


def limit_memory() -> None:
    """No more than 1 GB beyond what the process has now."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))


def read_seeds(folder: Path) -> list[bytes]:
    """What was laid there to begin with."""
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.name.startswith("seed-")]


def fuzz_one(name: str, room: Path, keep: Path, seconds: int, seed: int) -> None:
    """The process of one target: never returns where atheris guides it."""
    told = room / "told.json"
    tempfile.tempdir = str(room)
    if importlib.util.find_spec("atheris") is None:
        target = gathered()[name]
        prepare(name, room)
        judge = Judge(target, keep)
        limit_memory()
        at_random(judge, read_seeds(room / "seeds"), seconds, seed)
        told.write_text(json.dumps({"executions": judge.executions}))
        return
    atheris: Any = importlib.import_module("atheris")  # not a dependency

    with atheris.instrument_imports(include=["tradewind"]):
        target = gathered()[name]
    prepare(name, room)
    judge = Judge(target, keep)
    (room / "corpus").mkdir()
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={LONGEST}", "-rss_limit_mb=0",
         "-malloc_limit_mb=0", "-timeout=60", "-print_final_stats=1", f"-artifact_prefix={keep}/{name}-hard-",
         str(room / "corpus"), str(room / "seeds")],
        judge,
    )  # fmt: skip
    limit_memory()
    atheris.Fuzz()


def prepare(name: str, room: Path) -> None:
    """Give the scanner's targets the malicious files."""
    if name.startswith("scan-"):
        models = importlib.import_module("fuzz_targets.models")
        models.bad[:] = [path.read_bytes() for path in sorted(room.glob("bad-*"))]


def lay_seeds(target: Any, room: Path) -> None:
    """Write a target's seeds, and for the scanner the malicious files that it calls what they are."""
    (room / "seeds").mkdir(parents=True)
    seeds = target.seeds()
    for number, content in enumerate(seeds):
        if len(content) <= LONGEST:
            (room / "seeds" / f"seed-{number:04d}").write_bytes(content)
    if target.name.startswith("scan-"):
        models = importlib.import_module("fuzz_targets.models")
        known = {content: name for name, content in models.attacks()}
        for number, content in enumerate(each for each in seeds if each in known):
            if models.scan_bytes(content).verdict == "clean":
                print(f"FOUND: {known[content]}: a malicious file of the corpus is clean as it is")
            elif len(content) > 16:
                (room / f"bad-{number:04d}").write_bytes(content)


def run_apart(target: Any, room: Path, keep: Path, seconds: int, seed: int) -> dict[str, Any]:
    """One target in a process of its own; how far it came."""
    lay_seeds(target, room)
    command = [sys.executable, __file__, "--one", target.name, str(room), "--keep", str(keep)]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=seconds + 180)
        text, code = (done.stderr + done.stdout).decode("utf-8", "replace"), done.returncode
    except subprocess.TimeoutExpired as error:
        text, code = (error.stderr or b"").decode("utf-8", "replace"), -1
    told = room / "told.json"
    units = re.findall(r"stat::number_of_executed_units: (\d+)", text) or re.findall(r"^#(\d+)", text, re.M)
    count = json.loads(told.read_text())["executions"] if told.exists() else int(units[-1]) if units else 0
    coverage = re.findall(r"cov: (\d+)", text)
    if code:
        (keep / f"{target.name}-hard.txt").write_text(text[-20_000:])
    return {
        "executions": count, "coverage": int(coverage[-1]) if coverage else None, "ended": code,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def run_together(targets: list[Any], room: Path, keep: Path, seed: int) -> dict[str, dict[str, Any]]:
    """All targets in this process, unguided, a short time each."""
    rows = {}
    for target in targets:
        lay_seeds(target, room / target.name)
    limit_memory()
    for target in targets:
        prepare(target.name, room / target.name)
        judge = Judge(target, keep)
        began = time.monotonic()
        at_random(judge, read_seeds(room / target.name / "seeds"), QUICK / len(targets), seed)
        took = round(time.monotonic() - began, 1)
        rows[target.name] = {"executions": judge.executions, "coverage": None, "ended": 0, "seconds": took}
    return rows


def main() -> None:
    """Fuzz the targets one after another; print a table and one line of figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=30, metavar="N", help="fuzzing of each target (30)")
    parser.add_argument("--target", action="append", default=[], metavar="NAME", help="only this; may repeat")
    parser.add_argument("--seed", type=int, default=8, help="of all chance (8)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where inputs that broke a law are kept")
    parser.add_argument("--quick", action="store_true", help="unguided, all targets in under 45 s")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "ROOM"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        fuzz_one(chosen.one[0], Path(chosen.one[1]), chosen.keep, chosen.seconds, chosen.seed)
        return
    guided = importlib.util.find_spec("atheris") is not None
    if not guided:
        print("LEFT OUT: guidance by coverage: atheris is not here (pip install atheris): mutated at random")
    targets = gathered()
    wanted = [targets[name] for name in chosen.target] if chosen.target else list(targets.values())
    rows: dict[str, dict[str, Any]] = {}
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        # What targets lay down goes away with it, for a process that libFuzzer ends cleans nothing up.
        tempfile.tempdir = made
        keep = chosen.keep or Path(made) / "kept"
        keep.mkdir(parents=True, exist_ok=True)
        print(f"{'target':22}{'executions':>12}{'coverage':>10}{'findings':>10}{'s':>8}")
        if chosen.quick:
            rows = run_together(wanted, Path(made), keep, chosen.seed)
        for target in wanted:
            if not chosen.quick:
                room = Path(made) / target.name
                rows[target.name] = run_apart(target, room, keep, chosen.seconds, chosen.seed)
                shutil.rmtree(room)
            row = rows[target.name]
            broken = [
                json.loads(path.read_text()) for path in sorted(keep.glob(f"{target.name}-????????.json"))
            ]
            row["findings"] = len(broken) + bool(row["ended"])
            coverage = "-" if row["coverage"] is None else row["coverage"]
            print(f"{target.name:22}{row['executions']:12,}{coverage:>10}{row['findings']:10}{row['seconds']:8.1f}",
                  flush=True)  # fmt: skip
            for each in broken:
                print(f"  FOUND: {each['kind']}: {each['message'][:160]}")
            if row["ended"]:
                print(f"  FOUND: the process ended with {row['ended']}")
    try:
        with_version = version("atheris") if guided and not chosen.quick else ""
    except PackageNotFoundError:
        with_version = "of an unknown version"
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, seed {chosen.seed}, "
          f"{'atheris ' + with_version if with_version else 'unguided'}")  # fmt: skip
    print(json.dumps({
        "benchmark": "audit/fuzzing", "guided": bool(with_version), "targets": len(rows),
        "executions": sum(row["executions"] for row in rows.values()),
        "findings": sum(row["findings"] for row in rows.values()), "by_target": rows,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
