"""Slimming of an image that serves a model: how much goes, and whether it runs the same.

The image is a Debian tree made by tradewind.testing.images (minbase, Python 3.11, pinned wheels, a model
fitted in it): `--image sk-serve` has scikit-learn, pandas, FastAPI, uvicorn and Pillow, `--image torch-cpu`
the wheel of PyTorch without CUDA. `--tree DIR` takes one that is made already. One command is profiled,
`python3 /app/predict.py`, confined and without network, under the default tracer; strace traces it once more,
as the reference of what was touched. Then halves are written as folders, and the same command runs on the
original and on each of them, in turns. Commands that were never profiled run on the original, on the slim
half, and on the slim half with its side-car.

Rows: `ours` under the default policy; `ours, sourceless`, which leaves out the sources that no run opened;
`ours, strace`, the default policy over the reference; `touched`, all that was opened or asked for and the
links on the way, which is what MMLB (POMACS 2024) and Cimplifier keep; `opened`, what was opened only, as a
tracer by fanotify or by times of access alone has it. The last two are such rules over our reference trace,
with the loader of programs added, not those programs.

The traced closure is the bytes of the files that strace saw opened or asked for. `degree` is Definition 3.2
of MMLB in bytes, each file once; what we make ourselves counts against us. It cannot exceed `traced_degree`
by much while sources are kept. Outputs are equal if exit code, standard output and standard error are. Runs
are timed by the wall; a ratio of medians below 1 is a faster slim image.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tradewind.audit.images.copying import write_folder
from tradewind.audit.images.opening import Image, open_files
from tradewind.audit.images.writing import LayerContent, write_image
from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import Closure, close
from tradewind.audit.slimming.databases import keeping, kept_files, made_files
from tradewind.audit.slimming.halves import side_car, slim_half
from tradewind.audit.slimming.kept import Kept, Reason
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.slimming.writing import Part, slim_image
from tradewind.audit.tracing.backends.recording import trace
from tradewind.audit.tracing.backends.running import run_confined
from tradewind.audit.tracing.events import Run
from tradewind.audit.tracing.outcome import Outcome
from tradewind.audit.tracing.workload import Workload
from tradewind.testing.images import sk_serve, torch_cpu

ROUNDS = 5
ENVIRONMENT = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PREDICT = Workload("predict", ("python3", "/app/predict.py"), env=ENVIRONMENT)


def python(name: str, code: str) -> Workload:
    """A command of one line of Python."""
    return Workload(name, ("python3", "-c", code), env=ENVIRONMENT)


SHELL = Workload("shell", ("sh", "-c", "ls /etc | sort | head -n 40; perl -e 'print 6*7'"), env=ENVIRONMENT)


class Recipe(NamedTuple):
    """An image, and commands that are never profiled in it."""

    make: Callable[..., Path]
    unprofiled: tuple[Workload, ...]


RECIPES = {
    "sk-serve": Recipe(sk_serve, (
        python("import-pandas", "import pandas; print(pandas.__version__)"),
        python("draw", "from PIL import Image; print(Image.new('L', (4, 4), 7).resize((2, 2)).tobytes())"),
        SHELL,
        python("service", "import sys; sys.path.append('/app'); import serve; print(serve.app.title)"),
    )),
    "torch-cpu": Recipe(torch_cpu, (
        python("graph", "import networkx; print(sorted(networkx.path_graph(4).edges))"),
        python("symbols", "import sympy; print(sympy.integrate(sympy.Symbol('x') ** 2))"),
        SHELL,
        python("train", "import torch; x = torch.ones(3, requires_grad=True); w = torch.nn.Linear(3, 1);"
                        "torch.optim.SGD(w.parameters(), 0.1).zero_grad(); (x * x).sum().backward();"
                        "print(x.grad.tolist(), torch.utils.data.DataLoader(range(4), 2).batch_size)"),
    )),
}  # fmt: skip


def outcome_of(outcome: Outcome) -> tuple[int, bytes, bytes, str]:
    return outcome.exit_code, outcome.stdout, outcome.stderr, outcome.problem


LOADER = re.compile(r"(.*/)?ld-linux[^/]*")


def bare(image: Image, paths: set[str], rule: str) -> Closure:
    """Only these paths, and the loader of programs, which no tracer of system calls sees."""
    paths = paths | {entry.path for entry in image.files.tree if LOADER.fullmatch(entry.path)}
    reasons = {path: Reason(rule) for path in sorted(paths)}
    reasons |= {e.path: Reason(rule) for e in image.files.tree if e.kind == "link" and "/" not in e.path}
    return Closure(Kept(image.files.tree, reasons), placeholders={}, moved={})


def closures(image: Image, inventory: Inventory, own: Run, reference: Run) -> dict[str, Closure]:
    seen, files = reference.touched, image.files
    return {
        "ours": close(files, [own], inventory),
        "ours, sourceless": close(files, [own], inventory, Policy(sources="sourceless")),
        "ours, strace": close(files, [reference], inventory),
        "touched": bare(image, set(seen.opened | seen.probed | seen.hops), "touched"),
        "opened": bare(image, set(seen.opened | seen.hops), "opened"),
    }


def row(name: str, values: Sequence[Any]) -> None:
    print(f"{name:26}" + "".join(f"{each!s:>13}" for each in values), flush=True)


def measured(
    image: Image, tree: Path, scratch: Path, unprofiled: Sequence[Workload], quick: bool
) -> dict[str, Any]:
    inventory = take_inventory(image.files)
    whole = image.files.tree.bytes
    began = time.perf_counter()
    own = trace(tree, image.files.tree, PREDICT, scratch=scratch)
    traced_in = time.perf_counter() - began
    reference = trace(tree, image.files.tree, PREDICT, scratch=scratch, backend="strace")
    seen = reference.run.touched
    traced = image.files.tree.bytes_of(seen.opened | seen.probed)
    print(
        f"  profiled by {own.run.header.backend} in {traced_in:.1f} s, by strace as reference; "
        f"{len(seen.opened):,} files opened, {len(seen.probed):,} paths only asked for"
    )
    began = time.perf_counter()
    found = closures(image, inventory, own.run, reference.run)
    if quick:
        del found["ours, strace"], found["touched"]
    print(f"  the closures in {time.perf_counter() - began:.1f} s")
    roots: dict[str, Path] = {"original": tree}
    sizes: dict[str, int] = {}
    for name, closure in found.items():
        made = made_files(image.files, inventory, closure) if name.startswith("ours") else {}
        half = slim_half(image.files, closure, made)
        sizes[name] = half.tree.bytes
        roots[name] = scratch / name.replace(", ", "-")
        write_folder(half, list(half.tree.entries), roots[name])
    rest = side_car(image.files, found["ours"])
    write_folder(
        rest, [e.path for e in rest.tree if e.kind not in ("socket", "device")], scratch / "side-car"
    )
    took: dict[str, list[float]] = {name: [] for name in roots}
    results: dict[str, list[Outcome]] = {name: [] for name in roots}
    for _ in range(ROUNDS):
        for name, root in roots.items():
            outcome = run_confined(root, PREDICT, scratch=scratch)
            took[name].append(outcome.seconds)
            results[name].append(outcome)
    expected = outcome_of(results["original"][0])
    equal = {name: all(outcome_of(each) == expected for each in results[name]) for name in roots}
    print(f"\n{ROUNDS} rounds in turns; {whole / 1e6:.1f} MB in the original, {traced / 1e6:.1f} MB traced.")
    row("", ["kept MB", "of traced", "degree", "files", "equal", "median s", "ratio"])
    medians = {name: statistics.median(values) for name, values in took.items()}
    row(
        "original",
        [
            f"{whole / 1e6:.1f}",
            "",
            "0.000",
            f"{len(image.files.tree):,}",
            equal["original"],
            f"{medians['original']:.2f}",
            "1.00",
        ],
    )
    for name, closure in found.items():
        row(
            name,
            [
                f"{sizes[name] / 1e6:.1f}",
                f"{sizes[name] / traced:.3f}",
                f"{1 - sizes[name] / whole:.3f}",
                f"{len(list(closure.kept)):,}",
                equal[name],
                f"{medians[name]:.2f}",
                f"{medians[name] / medians['original']:.2f}",
            ],
        )
    for name in roots:
        if not equal[name]:
            last = results[name][0].stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            print(f"  {name} breaks: exit code {results[name][0].exit_code}, {' '.join(last)[:150]}")
    print("\nNever profiled, on the slim half alone and with its side-car:")
    row("", ["original", "alone", "side-car", "equal"])
    through = {}
    for workload in unprofiled:
        there = run_confined(tree, workload, scratch=scratch)
        alone = run_confined(roots["ours"], workload, scratch=scratch)
        both = run_confined([scratch / "side-car", roots["ours"]], workload, scratch=scratch)
        through[workload.name] = outcome_of(there) == outcome_of(both) and there.exit_code == 0
        row(
            workload.name,
            [
                f"exit {there.exit_code}",
                f"exit {alone.exit_code}",
                f"exit {both.exit_code}",
                through[workload.name],
            ],
        )
    packages = keeping(inventory, kept_files(found["ours"]))
    return {
        "degree": round(1 - sizes["ours"] / whole, 4),
        "outputs_equal": equal["ours"],
        "kept_mb": round(sizes["ours"] / 1e6, 1),
        "tree_mb": round(whole / 1e6, 1),
        "traced_mb": round(traced / 1e6, 1),
        "traced_degree": round(1 - traced / whole, 4),
        "kept_vs_traced": round(sizes["ours"] / traced, 4),
        "side_car_works": all(through.values()),
        "unprofiled": len(through),
        "degree_sourceless": round(1 - sizes["ours, sourceless"] / whole, 4),
        "sourceless_equal": equal["ours, sourceless"],
        "sourceless_vs_traced": round(sizes["ours, sourceless"] / traced, 4),
        "touched_only_equal": equal.get("touched"),
        "opened_only_equal": equal["opened"],
        "run_ratio": round(medians["ours"] / medians["original"], 3),
        "packages_kept": len(packages),
        "packages": len(inventory.packages),
        "backend": own.run.header.backend,
    }


def packed(image: Image, tree: Path, scratch: Path) -> dict[str, Any]:
    """Both images written as OCI layouts, zstd, one layer: what is pulled."""
    inventory = take_inventory(image.files)
    own = trace(tree, image.files.tree, PREDICT, scratch=scratch)
    closure = close(image.files, [own.run], inventory)
    part = Part(image, closure, inventory, made_files(image.files, inventory, closure), (own.run,))
    began = time.perf_counter()
    told = slim_image(part, scratch / "image", packing="zstd")
    slim_seconds = time.perf_counter() - began
    paths = [e.path for e in image.files.tree if e.kind not in ("socket", "device")]
    whole = write_image(scratch / "whole", [LayerContent(image.files, paths)], packing="zstd")
    print(
        f"\nAs OCI layouts (zstd): {whole.bytes / 1e6:.1f} MB before, {told.packed / 1e6:.1f} MB after, "
        f"side-car {told.side_car_packed / 1e6:.1f} MB; "
        f"slim, side-car and original written in {slim_seconds:.1f} s."
    )
    return {"packed_mb": round(told.packed / 1e6, 1), "packed_before_mb": round(whole.bytes / 1e6, 1)}


def main() -> None:
    """Print the tables and one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="three closures, no OCI layouts")
    parser.add_argument("--image", choices=RECIPES, default="sk-serve", help="which of the recipes")
    parser.add_argument("--tree", type=Path, help="a root file system of the recipe; made where absent")
    parser.add_argument("--cache", type=Path, help="a folder that keeps what the recipe downloaded")
    parser.add_argument("--scratch", type=Path, help="a folder with 4 GB of room, not on an overlay")
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, Linux {platform.release()}; the image is {arguments.image}."
    )
    scratch = Path(tempfile.mkdtemp(prefix="tradewind-slim-", dir=arguments.scratch))
    try:
        recipe = RECIPES[arguments.image]
        tree = arguments.tree or recipe.make(scratch / "tree", cache=arguments.cache)
        with open_files(tree) as image:
            figures = measured(image, tree, scratch / "work", recipe.unprofiled, arguments.quick)
            if not arguments.quick:
                figures |= packed(image, tree, scratch / "packed")
        told = {"benchmark": "audit/slim", "image": arguments.image, "quick": arguments.quick}
        print(json.dumps(told | figures))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
