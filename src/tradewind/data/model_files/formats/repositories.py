"""A model's folder as a whole: what no single file shows.

Scanning a folder judges each file by itself; here is what lies between them: tensors of ONNX models in files
that are links, missing or shared with elsewhere; shards that an index names; code that a configuration would
have loaded; and raw bytes that only a neighbour explains.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats import onnx, tensor_bundle
from tradewind.data.model_files.formats.file_names import astray
from tradewind.data.model_files.formats.json_text import parsed
from tradewind.data.model_files.formats.wire import Malformed
from tradewind.data.model_files.inspection import Inspection, Source

RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "repository-code",
            "blocked",
            "The folder brings Python or native code; a loader that trusts the repository would run it.",
            "Read it, and import it yourself if you trust it.",
        ),
        Rule(
            "repository-link",
            "blocked",
            "A file that a model names is a link, or is one file with another: its bytes come from "
            "elsewhere.",
            "Copy the file itself into the folder.",
        ),
        Rule(
            "repository-missing",
            "undecided",
            "A file that a model names is not there, or is shorter than the model says.",
            "Fetch the whole model.",
        ),
        Rule(
            "repository-requirements",
            "note",
            "The folder asks for packages, which its publisher chose.",
            "Install only what you know.",
        ),
    )
}
_CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".ps1", ".bat", ".exe", ".ipynb", ".pth.py")
_MOST = 10_000
_JSON = 16 << 20


def inspect_folder(folder: Path, inspection: Inspection) -> None:
    """Tell what only the folder shows; its files are judged by who scans each."""
    for path in _files(folder):
        source = Source(b"", path.relative_to(folder).as_posix())
        name = path.name.lower()
        if name.endswith(_CODE):
            _tell("repository-code", f"the folder brings {source.name}", source, inspection)
        if name in ("requirements.txt", "setup.py", "pyproject.toml", "environment.yml"):
            _tell(
                "repository-requirements",
                f"the folder asks for packages by {source.name}",
                source,
                inspection,
            )
        for named, size, offset, _ in _named(path, inspection):
            _neighbour(path.parent, named, size, offset, source, inspection)


def raw_files(folder: Path, inspection: Inspection) -> frozenset[Path]:
    """Files of raw numbers by a neighbour's word: TensorFlow's shards, and tensors of ONNX models."""
    found = set()
    for path in _files(folder):
        for named, _, _, raw in _named(path, inspection):
            if raw and not astray(named):
                found.add(path.parent / named)
    return frozenset(each for each in found if each.is_file() and not each.is_symlink())


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for place, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            count += 1
            if count > _MOST:
                return
            path = Path(place, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _named(path: Path, inspection: Inspection) -> Iterator[tuple[str, int, int, bool]]:
    """Files that a file names beside itself, their least bytes, where that is said, whether they are raw."""
    if path.name.endswith(".index.json") and path.stat().st_size <= _JSON:
        try:
            weights = parsed(path.read_bytes(), _JSON).get("weight_map", {})
        except (ValueError, AttributeError):
            return
        if isinstance(weights, dict):
            yield from (
                (each, 0, 0, False)
                for each in sorted({each for each in weights.values() if isinstance(each, str)})
            )
        return
    with path.open("rb") as file:
        source = Source(file, path.name)
        if tensor_bundle.recognises(source):
            stem = path.name.removesuffix(".index")
            try:
                sizes = tensor_bundle.shard_sizes(source, inspection)
            except (Malformed, IndexError):
                return
            count = max(sizes, default=0) + 1
            for number, size in sorted(sizes.items()):
                yield f"{stem}.data-{number:05d}-of-{count:05d}", size, 0, True
        elif onnx.recognises(source):
            for each in onnx.external_files(source, inspection):
                yield each.location, 0, each.offset, True


def _neighbour(
    folder: Path, name: str, size: int, offset: int, source: Source, inspection: Inspection
) -> None:
    if astray(name):
        return  # told where the file itself is judged
    target = folder / name
    try:
        about = target.lstat()
    except OSError:
        _tell(
            "repository-missing",
            f"{name!r}, which {source.name} names, is not there",
            source,
            inspection,
            offset,
        )
        return
    inside = target.resolve().is_relative_to(folder.resolve())
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1 or not inside:
        what = "one file with another" if stat.S_ISREG(about.st_mode) and inside else "a link"
        _tell(
            "repository-link", f"{name!r}, which {source.name} names, is {what}", source, inspection, offset
        )
    elif about.st_size < size:
        _tell(
            "repository-missing", f"{name!r} has {about.st_size} of {size} bytes", source, inspection, offset
        )


def _tell(rule: str, text: str, source: Source, inspection: Inspection, offset: int | None = None) -> None:
    inspection.found(RULES[rule], text, source=source, offset=offset, name=source.name)
