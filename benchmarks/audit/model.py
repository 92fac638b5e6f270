"""The scanner of model files and its peers: who catches what bites, who passes what does not, how fast.

Malicious files are made here, by two hands: `known_attacks`, from published classes of attacks by who wrote
the scanner, and `unseen_attacks`, by somebody who had not read it. Each makes a marker if it is loaded; all
are loaded for real first, each in a throwaway process without network, and one whose marker does not appear
is counted apart and named, with the reason that it states. Benign files are what libraries write, from seeded
synthetic data; of libraries whose list does not ship, the list is generated first, by the very command that a
user would run.

Peers (picklescan, fickling, modelscan, from their own environment, given by --peer-venv) run with their
defaults, one verdict for a file: caught, passed, or failed (an error, or a file that is skipped). Our
`undecided` is counted as failed: it never passes. Times are of the scan alone, all files in one process,
imports and lists not counted; rounds alternate between all tools, and medians are told. Without --peer-venv
the rows of the peers are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from model_corpus.benign_files import SEED, benign_files
from model_corpus.cases import Attack
from model_corpus.known_attacks import attacks as known_attacks

from tradewind.data.model_files.allowed.lists import allowed_from, shipped
from tradewind.data.model_files.inspection import Allowed
from tradewind.data.model_files.scanner import scan_file

PEERS = ("picklescan", "fickling", "modelscan")
OURS = "tradewind"
HELD_OUT = ("hmmlearn", "imblearn", "statsmodels", "surprise", "gensim", "statsforecast")
ROUNDS = 5
SMALL = 1 << 20
_COMMAND = "import sys; from tradewind.cli.main import main; sys.exit(main(sys.argv[1:]))"
_CORPUS = Path(__file__).parent / "model_corpus"


def unseen_attacks() -> list[Attack]:
    """The attacks by another hand, where they are there."""
    if importlib.util.find_spec("model_corpus.unseen_attacks") is None:
        print("model_corpus/unseen_attacks.py is missing: only the known half is measured")
        return []
    module = importlib.import_module("model_corpus.unseen_attacks")
    return list(module.attacks())


def write_attacks(folder: Path, chosen: list[tuple[str, Attack]]) -> list[tuple[str, Attack, Path, Path]]:
    """Half, attack, file and marker of each."""
    written = []
    for index, (half, attack) in enumerate(chosen):
        place = folder / f"{index:03d}"
        place.mkdir(parents=True)
        marker = folder / f"m{index:03d}"
        path = place / f"model{attack.suffix}"
        path.write_bytes(attack.make(str(marker)))
        written.append((half, attack, path, marker))
    return written


def prove(written: list[tuple[str, Attack, Path, Path]], folder: Path) -> list[str]:
    """Load each for real; the names of those that state no reason and show nothing."""
    shown = [each for each in written if each[1].load]
    room = folder / "room"
    room.mkdir()
    done = subprocess.run(
        [sys.executable, str(_CORPUS / "proving.py")],
        input=json.dumps([[str(path), attack.load, str(marker)] for _, attack, path, marker in shown]),
        capture_output=True, text=True, check=True, cwd=room, timeout=1200,
    )  # fmt: skip
    appeared = json.loads(done.stdout.splitlines()[-1])
    silent = [attack.name for (_, attack, _, _), did in zip(shown, appeared, strict=True) if not did]
    print(f"loaded for real: {len(shown)} of {len(written)}, of which {sum(appeared)} made their marker")
    for _, attack, _, _ in written:
        if not attack.load:
            print(f"  cannot be shown: {attack.name}: {attack.unshown}")
    for name in silent:
        print(f"  SHOWS NOTHING: {name}")
    return silent


def write_benign(folder: Path, step: int) -> list[tuple[str, str, bool, Path]]:
    """Name, library, tuned and file of each that could be made."""
    written, missing = [], set()
    for index, case in enumerate(benign_files()[::step]):
        place = folder / f"{index:03d}"
        place.mkdir(parents=True)
        path = place / f"model{case.suffix}"
        try:
            path.write_bytes(case.make())
        except ImportError as error:
            missing.add(f"{case.library} ({error})")
            continue
        written.append((case.name, case.library, case.tuned, path))
    for each in sorted(missing):
        print(f"LEFT OUT, not installed: benign files of {each}")
    return written


def generated_lists(folder: Path) -> Allowed:
    """What is shipped, and the lists of the libraries that are not, made now."""
    folder.mkdir()
    found = [name for name in HELD_OUT if importlib.util.find_spec(name) is not None]
    asked = [part for name in found for part in ("--make-list", name)]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _COMMAND, "audit", "model", *asked, "--lists", str(folder)],
        check=True, capture_output=True, timeout=900,
    )  # fmt: skip
    return allowed_from(folder)


def judged(paths: list[Path], allowed: Allowed) -> tuple[list[str], list[float]]:
    """Our verdicts in the words of all, and seconds of each file."""
    words = {"clean": "passed", "blocked": "caught", "undecided": "failed"}
    verdicts, seconds = [], []
    for path in paths:
        begun = time.perf_counter()
        scan = scan_file(path, allowed=allowed)
        seconds.append(time.perf_counter() - begun)
        verdicts.append(words[scan.verdict])
    return verdicts, seconds


def judged_by(peer: str, venv: Path, paths: list[Path]) -> tuple[list[str], list[float], str]:
    """A peer's verdicts, seconds and version."""
    done = subprocess.run(
        [str(venv / "bin" / "python"), str(_CORPUS / "peers.py"), peer],
        input=json.dumps([str(path) for path in paths]), capture_output=True, text=True, check=True,
        timeout=1200,
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    return told["verdicts"], told["seconds"], told["version"]


def main() -> None:
    """Make both corpora, prove the malicious one, judge all files by all tools, print a table and figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="every sixth file, one round, under 45 s")
    parser.add_argument("--peer-venv", type=Path, metavar="DIR", help="environment with the peers installed")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    rounds, step = (1, 6) if chosen.quick else (ROUNDS, 1)
    peers = PEERS if chosen.peer_venv else ()
    if not peers:
        print("LEFT OUT: picklescan, fickling and modelscan; give --peer-venv DIR")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        both = [("known", each) for each in known_attacks()] + [("unseen", each) for each in unseen_attacks()]
        malicious = write_attacks(folder / "malicious", both[::step])
        silent = prove(malicious, folder)
        benign = write_benign(folder / "benign", step)
        shipped()
        allowed = generated_lists(folder / "lists")
        paths = [path for _, _, path, _ in malicious] + [path for *_, path in benign]
        verdicts: dict[str, list[str]] = {}
        seconds: dict[str, list[list[float]]] = {name: [] for name in (OURS, *peers)}
        versions = {OURS: ""}
        for _ in range(rounds):
            verdicts[OURS], took = judged(paths, allowed)
            seconds[OURS].append(took)
            for peer in peers:
                verdicts[peer], took, versions[peer] = judged_by(peer, chosen.peer_venv, paths)
                seconds[peer].append(took)
        figures = report(malicious, benign, verdicts, seconds, versions, set(silent))
    print(
        f"Python {platform.python_version()}, {platform.machine()}, seed {SEED}, {rounds} rounds, "
        f"{len(malicious)} malicious and {len(benign)} benign files"
    )
    print(json.dumps(figures))


def report(
    malicious: list[tuple[str, Attack, Path, Path]],
    benign: list[tuple[str, str, bool, Path]],
    verdicts: dict[str, list[str]],
    seconds: dict[str, list[list[float]]],
    versions: dict[str, str],
    silent: set[str],
) -> dict[str, Any]:
    """Print the table and what went wrong; the figures."""
    count = len(malicious)
    shown = sum(bool(attack.load) for _, attack, _, _ in malicious)
    sizes = [path.stat().st_size for _, _, path, _ in malicious] + [
        path.stat().st_size for *_, path in benign
    ]
    small = [index for index, size in enumerate(sizes) if size <= SMALL]
    figures: dict[str, Any] = {}
    columns = "malicious: caught/passed/failed   benign: passed/caught/failed   ms: median    p95     max"
    print(f"{'':22}{columns}")
    for name, told in verdicts.items():
        bad, good = told[:count], told[count:]
        times = sorted(1e3 * statistics.median(each[index] for each in seconds[name]) for index in small)
        middle, high, most = statistics.median(times), times[int(len(times) * 0.95)], times[-1]
        caught, passed = bad.count("caught"), good.count("passed")
        print(
            f"{name + ' ' + versions[name]:22}{caught:17}/{bad.count('passed')}/{bad.count('failed'):<8}"
            f"{passed:19}/{good.count('caught')}/{good.count('failed'):<8}{middle:14.2f}{high:8.2f}{most:8.1f}"
        )
        prefix = "" if name == OURS else f"{name}_"
        figures[f"{prefix}caught"] = caught / count
        figures[f"{prefix}never_passed"] = (count - bad.count("passed")) / count
        figures[f"{prefix}benign_passed"] = passed / max(1, len(benign))
        figures[f"{prefix}ms_median"] = round(middle, 3)
        figures[f"{prefix}ms_p95"] = round(high, 3)
        figures[f"{prefix}ms_max"] = round(most, 3)
    mine = verdicts[OURS]
    for half in ("known", "unseen"):
        rows = [index for index, each in enumerate(malicious) if each[0] == half]
        if rows:
            figures[f"caught_{half}"] = sum(mine[index] == "caught" for index in rows) / len(rows)
    new = [index for index, each in enumerate(benign) if not each[2]]
    if new:
        figures["benign_passed_untuned"] = sum(mine[count + index] == "passed" for index in new) / len(new)
    figures |= {"malicious": count, "benign": len(benign), "shown": shown - len(silent)}
    for (half, attack, _, _), verdict in zip(malicious, mine, strict=False):
        if verdict != "caught":
            print(f"  malicious and {verdict}: {attack.name} ({half})")
    for (name, library, _, _), verdict in zip(benign, mine[count:], strict=True):
        if verdict != "passed":
            print(f"  benign and {verdict}: {name} ({library})")
    return figures


if __name__ == "__main__":
    main()
