"""A served model as a function's package: the artefact, how it is opened, and three lines of a handler.

The same model gives the same bytes, whenever it is packed.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.serving.models.opening import Opening, told
from tradewind.serving.server.replicas.functions.handler import MODEL, OPENING

HANDLER = "serve_model.handler"
"""What a function of the package is created with."""
_SHIM = """from pathlib import Path
from tradewind.serving.server.replicas.functions.handler import opened
handler = opened(Path(__file__).parent)
"""
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def packed(opening: Opening, code: Path | None = None) -> bytes:
    """The zip of a model. `code` is a package, a file or a folder of modules that a model in Python needs.

    Misuse where the artefact is not there.
    """
    files: dict[str, Path] = {}
    if opening.path:
        path = Path(opening.path)
        if not path.exists():
            raise Misuse("there is nothing here", source=opening.path, fix="Give a model's file or folder.")
        # A learner's file is opened with the preparation that lies beside it.
        beside = path.parent / "preparation"
        if path.is_dir():
            files |= _below(path, MODEL)
            opening = replace(opening, path=MODEL)
        else:
            files[f"{MODEL}/{path.name}"] = path
            if path.suffix == ".safetensors" and beside.is_dir():
                files |= _below(beside, f"{MODEL}/preparation")
            opening = replace(opening, path=f"{MODEL}/{path.name}")
    if code is not None:
        name = code.name if (code / "__init__.py").exists() else ""
        files |= _below(code, name) if code.is_dir() else {code.name: code}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "serve_model.py", _SHIM.encode())
        _add(archive, OPENING, json.dumps(told(opening), sort_keys=True).encode())
        for name in sorted(files):
            _add(archive, name, files[name].read_bytes())
    return written.getvalue()


def _below(folder: Path, name: str) -> dict[str, Path]:
    return {
        "/".join(filter(None, (name, each.relative_to(folder).as_posix()))): each
        for each in folder.rglob("*")
        if each.is_file() and "__pycache__" not in each.parts
    }


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _LONG_AGO)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
