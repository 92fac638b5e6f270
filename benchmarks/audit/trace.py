"""What tracing costs and whether it is complete: an import-heavy program and a service, under each tracer.

The tree is sk-serve: Debian with scikit-learn, pandas and FastAPI, made by tradewind.testing.images, or one
given by `--tree`. `imports` runs a program that imports scikit-learn, loads a model and predicts two rows.
`serving` starts uvicorn, asks it 300 times over one connection and stops it; its time is the whole of that.

`ratio` is what a tracer adds: the time over that of the same command confined in the same way (namespaces,
overlay, no network) and not traced. What the confinement costs shows beside the row `chroot`, the command in
a plain chroot with /proc, /sys and /dev/shm; the last line has each row's ratio to it as `over_chroot`.
All contenders run once a round, every second round in the opposite order; a ratio is the median of the
ratios within a round, because the machine changes over time, and the two figures behind it are the quartiles
of these: where they lie wide apart, the machine was not quiet and the wall's ratio says little. CPU is the
workload's own with what the kernel does on its account; `ours` is the CPU of this process, which asks the
service, reads what the tracer tells, and for access-times copies the tree. The time is the command's, from
its execution to its end; what a tracer takes to begin and to be read afterwards is `around`.

The slow ones, bpftrace and access-times, run in the first five rounds only. `--backends fanotify` leaves the
rest out, for many rounds in little time.

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
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tradewind.audit.tracing.backends.plain import Plain
from tradewind.audit.tracing.backends.recording import BACKENDS, trace, tracer_named
from tradewind.audit.tracing.backends.running import run_confined
from tradewind.audit.tracing.backends.services import drive
from tradewind.audit.tracing.outcome import Outcome, Recorded
from tradewind.audit.tracing.workload import SEARCHED, Ready, Request, Workload
from tradewind.audit.trees import Entry, Tree
from tradewind.errors import Misuse, Permanent
from tradewind.testing.images import sk_serve

ROUNDS, ROUNDS_FEW, ASKED = 9, 5, 300
SLOW = ("bpftrace", "access-times")
BARE, BASE = "chroot", "confined"
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


MOUNTS = (
    'mount -t proc proc "$0/proc" && mount -t sysfs -o ro sysfs "$0/sys" && mkdir -p "$0/dev/shm" && '
    'mount -t tmpfs tmpfs "$0/dev/shm" && exec chroot "$0" "$@"'
)
"""What else a program finds in a root, in a mount namespace of its own; it takes a few milliseconds."""


def chrooted(root: Path, work: Workload, scratch: Path) -> Outcome:
    """The command in a plain chroot: nothing of ours but that."""
    command = ["unshare", "--mount", "sh", "-ec", MOUNTS, str(root), *work.command]
    with tempfile.TemporaryDirectory(dir=scratch) as made:
        room = Path(made)
        with open(room / "out", "wb") as out, open(room / "err", "wb") as err:
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            # In a session of its own, as the confined are: Linux shares a busy processor out among sessions.
            process = subprocess.Popen(command, env=ENV, stdout=out, stderr=err, start_new_session=True)
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


class Took(NamedTuple):
    """What one run took, in seconds."""

    wall: float
    cpu: float
    own: float
    around: float


def middle(rows: Iterable[Took], field: str) -> float:
    """The median of one figure."""
    return float(statistics.median(getattr(each, field) for each in rows))


def quartiles(ratios: list[float]) -> str:
    """The first and the third quartile, as they are printed."""
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return f"{low:.3f}-{high:.3f}"


class Bench:
    """One workload under all contenders."""

    def __init__(self, root: Path, tree: Tree, scratch: Path, work: Workload, backends: list[str]) -> None:
        self.work = work
        self.recorded: dict[str, Recorded] = {}
        self.took: dict[str, dict[int, Took]] = {}
        self.contenders: dict[str, Callable[[], Outcome]] = {
            BARE: lambda: chrooted(root, work, scratch),
            BASE: lambda: run_confined(root, work, scratch=scratch),
        }

        def traced(name: str) -> Callable[[], Outcome]:
            def run() -> Outcome:
                self.recorded[name] = trace(root, tree, work, scratch=scratch, backend=name)
                return self.recorded[name].outcome

            return run

        self.contenders.update((name, traced(name)) for name in backends)

    def round(self, number: int) -> None:
        """Every contender once, in an order that is turned round each time."""
        names = [name for name in self.contenders if number < ROUNDS_FEW or name not in SLOW]
        for name in names if number % 2 else reversed(names):
            began, own = time.perf_counter(), time.process_time()
            try:
                outcome = self.contenders[name]()
            except Permanent as error:
                print(f"FAILED: {name}: {error}")
                continue
            total, own = time.perf_counter() - began, time.process_time() - own
            good = outcome.exit_code in (0, 143) if self.work.long_running else outcome.exit_code == 0
            if not good or outcome.problem or any(answer.status != 200 for answer in outcome.answers):
                raise SystemExit(f"{name}: {outcome.exit_code} {outcome.problem} {outcome.stderr[-500:]!r}")
            took = Took(outcome.seconds, outcome.cpu_seconds, own, total - outcome.seconds)
            self.took.setdefault(name, {})[number] = took

    def ratios(self, name: str, base: str, field: str) -> list[float]:
        """A contender's figure over the base's of the same round, round by round."""
        mine, others = self.took[name], self.took[base]
        return [getattr(mine[at], field) / getattr(others[at], field) for at in mine if at in others]

    def report(self) -> dict[str, dict[str, float]]:
        """Print the table of one workload; its figures."""
        print(f"\n{self.work.name:13}{'rounds':>6}{'wall s':>8}{'best s':>8}{'ratio':>8}{'quartiles':>14}"
              f"{'CPU s':>8}{'ratio':>8}{'quartiles':>14}{'ours s':>8}{'around s':>10}")  # fmt: skip
        figures: dict[str, dict[str, float]] = {}
        for name in self.contenders:
            if name not in self.took:
                continue
            rows = self.took[name].values()
            wall, cpu = self.ratios(name, BASE, "wall"), self.ratios(name, BASE, "cpu")
            figures[name] = {
                "ratio": round(statistics.median(wall), 3),
                "cpu_ratio": round(statistics.median(cpu), 3),
                "over_chroot": round(statistics.median(self.ratios(name, BARE, "wall")), 3),
                "cpu_over_chroot": round(statistics.median(self.ratios(name, BARE, "cpu")), 3),
                "rounds": len(rows),
            }
            wall_text, cpu_text = quartiles(wall), quartiles(cpu)
            print(f"{name:13}{len(rows):6}{middle(rows, 'wall'):8.2f}{min(each.wall for each in rows):8.2f}"
                  f"{figures[name]['ratio']:8.3f}{wall_text:>14}{middle(rows, 'cpu'):8.2f}"
                  f"{figures[name]['cpu_ratio']:8.3f}{cpu_text:>14}{middle(rows, 'own'):8.2f}"
                  f"{middle(rows, 'around'):10.2f}")  # fmt: skip
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
    parser.add_argument("--cache", type=Path, help="a folder that keeps what the recipe downloaded")
    parser.add_argument("--rounds", type=int, help=f"{ROUNDS}, or {ROUNDS_FEW} with --quick")
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
    root = arguments.tree or sk_serve(scratch / "sk-serve", cache=arguments.cache)
    tree = tree_at(root)
    names = [n for n in arguments.backends if not arguments.quick or n not in SLOW]
    backends = usable(names)
    tools = []
    for tool in filter(shutil.which, ("strace", "bpftrace")):
        said = subprocess.run([tool, "-V"], capture_output=True, text=True, check=False).stdout
        tools.append(said.partition("\n")[0])
    rounds = arguments.rounds or (ROUNDS_FEW if arguments.quick else ROUNDS)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, "
          f"{', '.join(tools)}, tradewind {version('tradewind')}; load {os.getloadavg()[0]:.1f}; "
          f"{rounds} rounds; no chance is involved; the tree is sk-serve, {len(tree)} names")  # fmt: skip
    ratio: dict[str, Any] = {}
    complete: dict[str, Any] = {}
    for name, work in workloads(ASKED).items():
        if arguments.quick and name != "imports":
            continue
        bench = Bench(root, tree, scratch, work, backends)
        bench.contenders[BASE]()  # the files come into memory
        for number in range(rounds):
            bench.round(number)
        ratio[name] = bench.report()
        complete[name] = bench.complete()
    return {
        "ratio": {
            name: {each: figures["ratio"] for each, figures in rows.items()} for name, rows in ratio.items()
        },
        "detail": ratio,
        "complete": complete,
    }


if __name__ == "__main__":
    main()
