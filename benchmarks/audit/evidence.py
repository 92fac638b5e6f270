"""Which packages still have code in a slimmed image: our evidence by file, Syft, and a search by name.

The image is sk-serve-vulnerable of tradewind.testing.images: Debian 12 with python3, scikit-learn 1.3.0, and
19 other wheels, old ones of which advisories are known. It is traced by strace while it predicts and while it
serves, slimmed, and written out. The truth is counted on the written tree by this file alone: `dpkg-query -L`
and the wheels' RECORD files of the original name each package's files; a package has code if one of them that
is no record (dist-info, documentation, manuals) is a regular file of the slim tree with the original's size.

Ours answers from the inventory of the original and the list of kept paths. Syft looks at the slim tree twice:
as slimmers usually leave it, without package databases, and as ours is written, with the filtered ones. The
search by name is MMLB's: a package is there if `find -iname "*NAME*"` finds anything in the slim tree.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from packaging.utils import canonicalize_name

from tradewind.audit.images.copying import write_folder
from tradewind.audit.images.folder import Folder
from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import close
from tradewind.audit.slimming.databases import kept_files, made_files
from tradewind.audit.slimming.halves import slim_half
from tradewind.audit.tracing.backends.recording import trace
from tradewind.audit.tracing.events import Run
from tradewind.audit.tracing.workload import Ready, Request, Workload
from tradewind.audit.vulnerabilities.distributions import distribution
from tradewind.audit.vulnerabilities.evidence import Evidence, report
from tradewind.audit.vulnerabilities.matching import match
from tradewind.audit.vulnerabilities.stored import shipped
from tradewind.testing.images import missing_for_images, sk_serve_vulnerable

ROUNDS = 5
TELLING = ("usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/lintian/", "usr/share/bug/",
           "usr/share/doc-base/", "var/lib/dpkg/")  # fmt: skip
ROWS = json.dumps({"rows": [[0.0] * 8, [1.0] * 8]})
PREDICT = Workload("predict", ("python3", "/app/predict.py"))
SERVE = Workload(
    "serve",
    ("python3", "/usr/local/bin/uvicorn", "serve:app", "--app-dir", "/app", "--port", "8000"),
    long_running=True,
    ready=Ready(port=8000, path="/health"),
    requests=(
        Request("/predict", "POST", headers={"content-type": "application/json"}, body=ROWS, status=200),
    ),
)


def real(tree: Path, path: str) -> str:
    """A path below `tree` with the links on the way to it resolved there, not here."""
    parts: list[str] = []
    for part in Path(path.lstrip("/")).parent.parts:
        where = tree.joinpath(*parts, part)
        if where.is_symlink():
            target = os.readlink(where)
            parts = [] if target.startswith("/") else parts
            parts += [each for each in target.split("/") if each]
        else:
            parts.append(part)
    return "/".join([*parts, Path(path).name])


def listed(tree: Path) -> dict[str, set[str]]:
    """The files that each package's manager names and that tell more than of it, by `manager:name`."""
    database = f"--admindir={tree / 'var/lib/dpkg'}"
    query = ["dpkg-query", database, "-W", "-f", "${db:Status-Status} ${Package}\n"]
    told = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split("\n")
    found: dict[str, set[str]] = {}
    for name in (line.split()[1] for line in told if line.startswith("installed ")):
        answer = subprocess.run(
            ["dpkg-query", database, "-L", name], capture_output=True, text=True, check=True
        )
        paths = {
            real(tree, line) for line in answer.stdout.splitlines() if line.startswith("/") and line != "/."
        }
        found[f"apt:{name}"] = {path for path in paths if not path.startswith(TELLING)}
    for record in tree.glob("usr/local/lib/python3*/*-packages/*.dist-info/RECORD"):
        name = str(canonicalize_name(record.parent.name.split("-")[0]))
        with record.open(newline="") as file:
            paths = {
                os.path.relpath(os.path.normpath(record.parent.parent / row[0]), tree)
                for row in csv.reader(file)
            }
        found[f"pip:{name}"] = {path for path in paths if ".dist-info/" not in path}
    return found


def with_code(original: Path, slim: Path, owned: dict[str, set[str]]) -> set[str]:
    """The packages that have a file in the slim tree, as large as it was; an empty stand-in is none."""

    def there(path: str) -> bool:
        old, new = original / path, slim / path
        if old.is_symlink() or new.is_symlink() or not (old.is_file() and new.is_file()):
            return False
        return old.stat().st_size == new.stat().st_size

    return {key for key, paths in owned.items() if any(there(path) for path in paths)}


def by_name(slim: Path, owned: Iterable[str]) -> set[str]:
    """MMLB's search: what `find -iname "*NAME*"` finds in the slim tree."""
    names = [
        name.lower()
        for _, folders, files in os.walk(slim)
        for name in (*folders, *files)
    ]  # fmt: skip
    return {key for key in owned if any(key.partition(":")[2].lower() in name for name in names)}


def by_syft(syft: str, slim: Path) -> set[str]:
    """What Syft sees of deb and Python packages."""
    command = [syft, "scan", f"dir:{slim}", "-q", "-o", "json"]
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    ran = subprocess.run(command, capture_output=True, check=True, timeout=500, env=environment)
    kinds = {"deb": "apt", "python": "pip"}
    found = ((kinds[each["type"]], each["name"]) for each in json.loads(ran.stdout)["artifacts"]
             if each["type"] in kinds)  # fmt: skip
    return {f"{manager}:{canonicalize_name(name) if manager == 'pip' else name}" for manager, name in found}


def scored(found: set[str], truth: set[str]) -> tuple[float, float]:
    """Recall and precision."""
    right = len(found & truth)
    return right / max(1, len(truth)), right / max(1, len(found))


def plain_keys(keys: Iterable[str]) -> set[str]:
    """Keys without the folder of a second installation."""
    return {key.partition("@")[0] for key in keys}


def row(name: str, found: set[str], truth: set[str], seconds: float | None) -> dict[str, Any]:
    """Print a line and give its figures."""
    recall, precision = scored(found, truth)
    took = "" if seconds is None else f"{seconds:10.3f}"
    right, wrong = len(found & truth), len(found - truth)
    figures = f"{len(found):8}{right:8}{wrong:8}{recall:9.3f}{precision:11.3f}{took}"
    print(f"{name:44}{figures}", flush=True)
    return {"found": len(found), "recall": round(recall, 4), "precision": round(precision, 4)}


def recorded(root: Path, tree: Any, scratch: Path, quick: bool) -> list[Run]:
    """What predicting and, unless quick, serving touch."""
    found = []
    for workload in (PREDICT,) if quick else (PREDICT, SERVE):
        told = trace(root, tree, workload, scratch=scratch, backend="strace")
        if told.outcome.problem or (not workload.long_running and told.outcome.exit_code):
            sys.exit(f"{workload.name} failed: {told.outcome.problem or told.outcome.stderr!r}")
        found.append(told.run)
    return found


def vulnerabilities(inventory: Inventory, kept: set[str], runs: list[Run], system: str) -> dict[str, int]:
    """Print what is proved of each advisory before and after, and give the counts."""
    matching = match(inventory, shipped(), time.time(), system)
    told = report(Evidence(inventory, kept, runs), matching)
    print("\nadvisories of the shipped databases, before and after")
    for each in told.findings:
        print(f"  {each.package:20} {each.id:22} {each.before:18} {each.after or '':18} {each.why}")
    unknown = sum(each.state == "unknown" for each in told.unanswered)
    print(f"  {unknown} packages that still have code are cleared by nobody")
    return {**{state: count for state, count in told.counts.items()}, "unanswered": unknown}


def main() -> None:
    """Print the tables and one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="one workload, Syft on one tree only")
    parser.add_argument("--tree", type=Path, help="a tree of that recipe; it is built if this is not given")
    parser.add_argument("--cache", type=Path, help="a folder that keeps what the recipe downloaded")
    parser.add_argument("--peer", default=shutil.which("syft"), help="the path of Syft")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evidence-") as folder:
        scratch = Path(folder)
        tree = arguments.tree
        if tree is None:
            missing = missing_for_images()
            if missing:
                sys.exit(f"the image cannot be built: {missing}")
            tree = sk_serve_vulnerable(scratch / "tree", cache=arguments.cache)
        measure(tree, scratch, arguments.peer, arguments.quick)


def measure(tree: Path, scratch: Path, peer: str | None, quick: bool) -> None:
    """Trace, slim, write, and compare."""
    version = "absent"
    if peer:
        version = subprocess.run(
            [peer, "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; Syft: {version}"
    )
    with Folder(tree) as files:
        inventory = take_inventory(files)
        system = distribution(files)
        runs = recorded(tree, files.tree, scratch / "runs", quick)
        closure = close(files, runs, inventory)
        kept = kept_files(closure)
        made = made_files(files, inventory, closure)
        half = slim_half(files, closure, made)
        slim, bare = scratch / "slim", scratch / "bare"
        write_folder(half, list(half.tree.entries), slim)
        telling = {path for package in inventory.packages.values() for path in package.records}
        write_folder(files, [path for path in closure.kept if path not in telling], bare)
        owned = listed(tree)
        truth = with_code(tree, slim, owned)
        print(f"{len(inventory.packages)} packages, {len(owned)} by dpkg-query and RECORD; {len(kept)} paths "
              f"kept, {len(truth)} packages have code in the slim tree\n")  # fmt: skip
        print(f"{'':44}{'found':>8}{'right':>8}{'wrong':>8}{'recall':>9}{'precision':>11}{'seconds':>10}")
        took, found = [], set()
        for _ in range(ROUNDS):
            began = time.perf_counter()
            found = plain_keys(Evidence(inventory, kept, runs).retained())
            took.append(time.perf_counter() - began)
        ours = row("ours, by file", found, truth, median(took))
        for key in sorted(found ^ truth):
            print(f"  differs: {key}")
        peers = {"by_name": row("search by name (MMLB)", by_name(bare, owned), truth, None)}
        if peer:
            trees = {"syft_bare": ("Syft, without package databases", bare)}
            if not quick:
                trees["syft_ours"] = ("Syft, with the databases that ours keeps", slim)
            for name, (label, where) in trees.items():
                began = time.perf_counter()
                seen = by_syft(peer, where)
                peers[name] = row(label, seen, truth, time.perf_counter() - began)
                if len(seen ^ truth) <= 5:
                    print(*(f"  differs: {key}" for key in sorted(seen ^ truth)), sep="\n")
        else:
            print("SYFT IS ABSENT: its rows are left out; give it with --peer PATH")
        states = vulnerabilities(inventory, kept, runs, system)
    print(json.dumps({"recall": ours["recall"], "precision": ours["precision"], "packages": len(truth),
                      "peers": peers, "states": states, "quick": quick}))  # fmt: skip


if __name__ == "__main__":
    main()
