"""Growth of a history: lines by year of origin, ours against git-of-theseus, and how far the figures agree.

Both count every file at samples a week apart along first parents, ours on one core beside git's own process,
git-of-theseus with its default of two processes (its fastest here: there are two cores). The history is that
of `--repository`, or else a synthetic one of `--commits` commits that is made by git fast-import: files of
some hundred lines, edits, renames, a branch merged every tenth commit. Equal means: every number in
cohorts.json, authors.json, exts.json and survival.json is the same. In real histories git-of-theseus counts
lines of binary files that are none (it splits them at more than newlines), and keeps what it was told of a
file that was changed and changed back between two samples; ours are `git blame`'s lines there too.
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
from pathlib import Path

import numpy as np

from tradewind.audit.growth.cohorts import theseus_files
from tradewind.audit.growth.history import count_growth

SEED = 3
NAMES = ("cohorts.json", "authors.json", "exts.json", "survival.json")


def made_history(folder: Path, commits: int) -> Path:
    """A synthetic repository of that many commits on main, about four a week."""
    chance = np.random.default_rng(SEED)
    stream: list[bytes] = []
    files = {f"d{k % 7}/f{k}.py": [f"line {n} of {k}" for n in range(200)] for k in range(60)}
    when, mark = 1_300_000_000, 0

    def commit(
        branch: str, parents: list[int], changed: list[str], renamed: tuple[str, str] | None = None
    ) -> int:
        nonlocal mark, when
        mark += 1
        when += 151_000
        who = f"Author {mark % 9} <a{mark % 9}@example.org> {when} +0000"
        text = [
            f"commit refs/heads/{branch}",
            f"mark :{mark}",
            f"author {who}",
            f"committer {who}",
            "data 1",
            "x",
        ]
        if parents:
            text.append(f"from :{parents[0]}")
        text += [f"merge :{each}" for each in parents[1:]]
        if renamed:
            text.append(f"R {renamed[0]} {renamed[1]}")
        stream.append(("\n".join(text) + "\n").encode())
        for name in changed:
            body = ("\n".join(files[name]) + "\n").encode()
            stream.append(f"M 644 inline {name}\ndata {len(body)}\n".encode() + body + b"\n")
        return mark

    def edit() -> str:
        name = sorted(files)[int(chance.integers(0, len(files)))]
        lines = files[name]
        for _ in range(int(chance.integers(1, 5))):
            at = int(chance.integers(0, len(lines)))
            new = [f"edit {mark} {chance.integers(0, 99)}" for _ in range(int(chance.integers(0, 8)))]
            lines[at : at + int(chance.integers(0, 7))] = new
        return name

    head = commit("main", [], sorted(files))
    while mark < commits:
        if mark % 10 == 8:
            name = f"d9/side{mark}.py"
            files[name] = [f"side {n}" for n in range(40)]
            side = commit("side", [head], [name])
            head = commit("main", [head], [edit()])
            head = commit("main", [head, side], [name])
        elif mark % 97 == 50:
            old = edit()
            new = f"d8/moved{mark}.py"
            head = commit("main", [head], [old])
            files[new] = files.pop(old)
            head = commit("main", [head], [], (old, new))
        else:
            head = commit("main", [head], [edit()])
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    subprocess.run(
        ["git", "-C", str(folder), "fast-import", "--quiet"], input=b"".join(stream), check=True
    )  # fmt: skip
    subprocess.run(["git", "-C", str(folder), "checkout", "-q", "main"], check=True)
    return folder


def apart_by(ours: list[list[int]], theirs: list[list[int]]) -> float:
    """The sum of differences of cohorts' lines over all samples, as a share of all lines."""
    both = np.array(ours, float), np.array(theirs, float)
    return float(np.abs(both[0] - both[1]).sum() / both[1].sum())


def used() -> float:
    """Seconds of processor of this process and of those that it started and that have ended."""
    return sum(
        each.ru_utime + each.ru_stime
        for each in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    """Run both, alternating, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repository", type=Path, help="A clone to count instead of the synthetic history.")
    parser.add_argument("--commits", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", default=shutil.which("git-of-theseus-analyze"), help="Its program.")
    options = parser.parse_args()
    commits, rounds = (300, 5) if options.quick else (options.commits, options.rounds)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.repository or made_history(Path(scratch) / "made", commits)
        count = ["git", "-C", str(folder), "rev-list", "--count", "HEAD"]
        total = int(subprocess.run(count, capture_output=True, text=True, check=True).stdout)
        branch = ["git", "-C", str(folder), "branch", "--show-current"]
        on = subprocess.run(branch, capture_output=True, text=True, check=True).stdout.strip()
        git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        ours: list[tuple[float, float]] = []
        theirs: list[tuple[float, float]] = []
        equal, apart = True, 0.0
        for _ in range(rounds):
            begun, before = time.perf_counter(), used()
            growth = count_growth(folder)
            ours.append((time.perf_counter() - begun, used() - before))
            if options.peer is None:
                continue
            begun, before = time.perf_counter(), used()
            out = Path(scratch) / "theirs"
            asked = ["--all-filetypes", "--quiet", "--branch", on, "--outdir", str(out), str(folder)]
            subprocess.run([options.peer, *asked], check=True, capture_output=True)
            theirs.append((time.perf_counter() - begun, used() - before))
            told = theseus_files(growth)
            found = {name: json.loads((out / name).read_text()) for name in NAMES}
            equal = equal and all(found[name] == json.loads(json.dumps(told[name])) for name in NAMES)
            apart = apart_by(told["cohorts.json"]["y"], found["cohorts.json"]["y"])
    kind = f"the history of {folder.name}" if options.repository else f"a synthetic history (seed {SEED})"
    print(f"{kind}: {total} commits, {len(growth.samples)} samples, {rounds} rounds, alternating")
    print(f"Python {platform.python_version()}, {git}, {os.cpu_count()} cores\n")
    mine = statistics.median(seconds for seconds, _ in ours)
    print(f"{'':16}{'median s':>10}{'best s':>10}{'CPU s':>10}")
    rows = [("tradewind", ours), *([("git-of-theseus", theirs)] if theirs else [])]
    for name, times in rows:
        seconds, cpu = zip(*times, strict=True)
        print(
            f"{name:16}{statistics.median(seconds):10.2f}{min(seconds):10.2f}{statistics.median(cpu):10.2f}"
        )
    figures: dict[str, object] = {"commits": total, "samples": len(growth.samples), "seconds": mine}
    if theirs:
        ratios = [t[0] / o[0] for o, t in zip(ours, theirs, strict=True)]
        figures |= {"vs_theseus": statistics.median(ratios), "figures_equal": equal, "apart": apart}
        print(
            f"\ngit-of-theseus takes {figures['vs_theseus']:.1f} times as long; "
            f"figures equal: {equal}; lines by cohort {apart:.2%} apart"
        )
    else:
        print(
            "\ngit-of-theseus is left out: it is not on PATH (pip install git-of-theseus; or --peer PROGRAM)"
        )
    print(json.dumps({"benchmark": "audit/growth", **figures}))


if __name__ == "__main__":
    main()
