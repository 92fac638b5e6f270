"""What tracing costs and whether it is complete: an import-heavy program and a service, under each tracer.

The tree is sk-serve: Debian with scikit-learn, pandas and FastAPI, made by tradewind.testing.images, or one
given by `--tree`. `imports` runs a program that imports scikit-learn, loads a model and predicts two rows.
`serving` starts uvicorn, asks it 300 times over one connection and stops it; its time is the whole of that.

`ratio` is the wall time over that of the same command in a plain chroot, untraced, so it holds what the
confinement (namespaces, overlay) costs too; that alone is the row `confined`. CPU beside it is the workload's
own, with what the kernel does on its account. All contenders alternate within a round; the table has medians
and the best of all rounds. The time is the command's, from its execution to its end; what a tracer takes to
begin and to be read afterwards is `around`, where copying a tree for `access-times` is left out of the ratio
as it is of every run.

`complete` compares what each saw with what strace saw of the same program: files opened by strace that it
missed, and files that it saw beyond. The ELF loader is opened by the kernel, which strace cannot see. What is
only asked for is compared where the tracer can see it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tradewind.audit.tracing.backends.plain import Plain
from tradewind.audit.tracing.backends.recording import BACKENDS, trace, tracer_named
from tradewind.audit.tracing.backends.running import run_confined
from tradewind.audit.tracing.backends.services import drive
from tradewind.audit.tracing.outcome import Outcome, Recorded
from tradewind.audit.tracing.workload import SEARCHED, Ready, Request, Workload
from tradewind.audit.trees import Entry, Tree
from tradewind.errors import Misuse, Permanent
from tradewind.testing.images import sk_serve

ROUNDS, ROUNDS_QUICK, ASKED = 7, 5, 300
BODY = json.dumps({"rows": [[0.1 * at for at in range(8)], [1.0] * 8]})
ENV = {"PATH": SEARCHED, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def workloads(asked: int) -> dict[str, Workload]:
    """The two workloads of sk-serve."""
    port = 18_080
    serve = ("python3", "/usr/local/bin/uvicorn", "serve:app", "--app-dir", "/app", "--port", str(port))
    post = Request("/predict", "POST", {"Content-Type": "application/json"}, BODY)
    return {
        "imports": Workload("imports", ("python3", "/app/predict.py"), env=ENV),
        "serving": Workload(
            "serving", serve, env=ENV, long_running=True, ready=Ready(port=port, path="/health"),
            requests=(post,) * asked,
        ),
    }  # fmt: skip


def tree_at(root: Path) -> Tree:
    """The names below a directory; sizes and owners play no part here."""
    found = []
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            where = os.path.relpath(path, root)
            if os.path.islink(path):
                found.append(Entry(where, "link", target=os.readlink(path)))
            else:
                found.append(Entry(where, "directory" if name in folders else "file"))
    return Tree(found)


def chrooted(root: Path, work: Workload, scratch: Path) -> Outcome:
    """The command in a plain chroot: nothing of ours but that."""
    with tempfile.TemporaryDirectory(dir=scratch) as made:
        room = Path(made)
        with open(room / "out", "wb") as out, open(room / "err", "wb") as err:
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            process = subprocess.Popen(["chroot", str(root), *work.command], env=ENV, stdout=out, stderr=err)
        plain = Plain(process, room)
        answers, ended, problem = drive(plain, work) if work.long_running else ((), plain.wait(300), "")
        took = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        code = 1 if ended is None else ended.code
        return Outcome(code, (room / "out").read_bytes(), (room / "err").read_bytes(), answers,
                       seconds=took, cpu_seconds=cpu, problem=problem)  # fmt: skip


def usable(names: list[str]) -> list[str]:
    """Those of the backends that work here; the others are left out loudly."""
    found = []
    for name in names:
        try:
            tracer_named(name)
            found.append(name)
        except Misuse as error:
            print(f"LEFT OUT: {name}: {error}")
    return found


class Bench:
    """One workload under all contenders."""

    def __init__(self, root: Path, tree: Tree, scratch: Path, work: Workload, backends: list[str]) -> None:
        self.work = work
        self.recorded: dict[str, Recorded] = {}
        self.wall: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}
        self.around: dict[str, list[float]] = {}
        self.contenders: dict[str, Callable[[], Outcome]] = {
            "chroot": lambda: chrooted(root, work, scratch),
            "confined": lambda: run_confined(root, work, scratch=scratch),
        }

        def traced(name: str) -> Callable[[], Outcome]:
            def run() -> Outcome:
                self.recorded[name] = trace(root, tree, work, scratch=scratch, backend=name)
                return self.recorded[name].outcome

            return run

        self.contenders.update((name, traced(name)) for name in backends)

    def round(self) -> None:
        """Every contender once."""
        for name, run in self.contenders.items():
            began = time.perf_counter()
            try:
                outcome = run()
            except Permanent as error:
                print(f"FAILED: {name}: {error}")
                continue
            total = time.perf_counter() - began
            good = outcome.exit_code in (0, 143) if self.work.long_running else outcome.exit_code == 0
            if not good or outcome.problem or any(answer.status != 200 for answer in outcome.answers):
                raise SystemExit(f"{name}: {outcome.exit_code} {outcome.problem} {outcome.stderr[-500:]!r}")
            self.wall.setdefault(name, []).append(outcome.seconds)
            self.cpu.setdefault(name, []).append(outcome.cpu_seconds)
            self.around.setdefault(name, []).append(total - outcome.seconds)

    def report(self) -> dict[str, dict[str, float]]:
        """Print the table of one workload; its figures."""
        print(f"\n{self.work.name:12}{'median s':>10}{'best s':>9}{'ratio':>8}{'best':>8}"
              f"{'CPU s':>9}{'ratio':>8}"
              f"{'around s':>10}")  # fmt: skip
        figures: dict[str, dict[str, float]] = {}
        for name, wall in self.wall.items():
            # Each round against the untraced of the same round, because the machine changes over time.
            ratios = [mine / base for mine, base in zip(wall, self.wall["chroot"], strict=False)]
            cpu = [mine / base for mine, base in zip(self.cpu[name], self.cpu["chroot"], strict=False)]
            best = min(wall) / min(self.wall["chroot"])
            figures[name] = {
                "ratio": round(statistics.median(ratios), 3),
                "ratio_best": round(best, 3),
                "cpu_ratio": round(statistics.median(cpu), 3),
            }
            print(f"{name:12}{statistics.median(wall):10.3f}{min(wall):9.3f}{figures[name]['ratio']:8.3f}"
                  f"{best:8.3f}"
                  f"{statistics.median(self.cpu[name]):9.3f}{figures[name]['cpu_ratio']:8.3f}"
                  f"{statistics.median(self.around[name]):10.2f}")  # fmt: skip
        return figures

    def complete(self) -> dict[str, dict[str, Any]]:
        """Print what each saw beside strace; its figures."""
        if "strace" not in self.recorded:
            print("LEFT OUT: the comparison with strace, which is not here")
            return {}
        full = self.recorded["strace"].run.touched
        figures: dict[str, dict[str, Any]] = {}
        print(f"\n{self.work.name}: strace saw {len(full.opened)} opened, {len(full.probed)} only asked for")
        for name, recorded in self.recorded.items():
            seen = recorded.run.touched
            missed, beyond = sorted(full.opened - seen.opened), sorted(seen.opened - full.opened)
            asked = (
                sorted(full.probed - seen.probed - seen.opened)
                if "stat" in recorded.run.header.sees
                else None
            )
            figures[name] = {
                "opened": len(seen.opened), "missed": len(missed), "beyond": len(beyond),
                "asked_missed": None if asked is None else len(asked), "lost": recorded.run.header.lost,
            }  # fmt: skip
            asks = (
                "does not see what is only asked for" if asked is None else f"missed {len(asked)} asked for"
            )
            print(f"  {name:12} opened {len(seen.opened)}: missed {len(missed)} {missed[:2]}, "
                  f"beyond {len(beyond)} "
                  f"{beyond[:2]}; {asks}; lost {recorded.run.header.lost}")  # fmt: skip
        return figures


def main() -> None:
    """Print the tables and one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--quick", action="store_true", help="imports only, five rounds, without the slow ones"
    )
    parser.add_argument("--tree", type=Path, help="the root of sk-serve; made anew where left out")
    parser.add_argument("--scratch", type=Path, help="a directory for what the runs write")
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS))
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("it needs root: a chroot, fanotify, and access times are root's")
    scratch = Path(tempfile.mkdtemp(prefix="trace-", dir=arguments.scratch))
    try:
        print(json.dumps(measure(arguments, scratch)))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """All tables; the figures."""
    root = arguments.tree or made_tree(scratch / "sk-serve")
    tree = tree_at(root)
    names = [n for n in arguments.backends if not arguments.quick or n not in ("bpftrace", "access-times")]
    backends = usable(names)
    tools = []
    for tool in filter(shutil.which, ("strace", "bpftrace")):
        said = subprocess.run([tool, "-V"], capture_output=True, text=True, check=False).stdout
        tools.append(said.partition("\n")[0])
    rounds = ROUNDS_QUICK if arguments.quick else ROUNDS
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, "
          f"{', '.join(tools)}, tradewind {version('tradewind')}; load {os.getloadavg()[0]:.1f}; "
          f"{rounds} rounds; no chance is involved; the tree is sk-serve, {len(tree)} names")  # fmt: skip
    ratio: dict[str, Any] = {}
    complete: dict[str, Any] = {}
    for name, work in workloads(ASKED).items():
        if arguments.quick and name != "imports":
            continue
        bench = Bench(root, tree, scratch, work, backends)
        bench.contenders["chroot"]()  # the files come into memory
        for _ in range(rounds):
            bench.round()
        ratio[name] = bench.report()
        complete[name] = bench.complete()
    return {
        "ratio": {
            name: {each: figures["ratio"] for each, figures in rows.items()} for name, rows in ratio.items()
        },
        "detail": ratio,
        "complete": complete,
    }


def made_tree(where: Path) -> Path:
    """sk-serve, made anew."""
    sk_serve(where)
    return where


if __name__ == "__main__":
    main()
