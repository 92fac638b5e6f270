"""Trees and images to audit: a small fake root, random trees, and real ones from Debian packages and wheels.

The small ones need nothing. The real ones follow one recipe each, with every wheel pinned; they need root,
and the programs that `missing_for_images` names where they are not there.
"""

from __future__ import annotations

import hashlib
import os
import py_compile
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tradewind.data.durable_files import creating_directory, replacing
from tradewind.errors import Misuse

MOMENT = 1_600_000_000
"""When everything in a small tree was last changed, seconds since the epoch."""

QUICKLY = (
    "--dpkgopt=force-unsafe-io",
    '--customize-hook=rm "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"',
)
"""Options for a tree that may be lost until it is whole: no waiting for the disk, and no trace of that."""

PACKAGES = "usr/local/lib/python3.11/dist-packages"
"""Where pip puts packages on Debian 12, below the root."""

SERVING_WHEELS = [
    "annotated-doc==0.0.7",
    "annotated-types==0.8.0",
    "anyio==4.16.0",
    "click==8.5.1",
    "cloudpickle==3.1.2",
    "fastapi==0.165.0",
    "h11==0.16.0",
    "idna==3.20",
    "joblib==1.6.0",
    "numpy==1.26.4",
    "opentelemetry-api==1.45.2",
    "pandas==3.0.6",
    "pillow==13.0.0",
    "pydantic==2.14.3",
    "pydantic-core==2.50.4",
    "python-dateutil==4.0.0",
    "scikit-learn==1.3.0",
    "scipy==1.17.1",
    "starlette==1.10.0",
    "threadpoolctl==3.8.0",
    "typing-extensions==4.16.0",
    "typing-inspection==0.4.5",
    "tzdata==2026.6",
    "uvicorn==0.54.0",
]
"""What pip resolves `scikit-learn==1.3.0 pandas fastapi uvicorn pillow "numpy<2"` to, in November 2026.

That wheel of scikit-learn was built for NumPy 1, which its requirements do not say.
"""

VULNERABLE_WHEELS = [
    "anyio==3.7.1",
    "certifi==2023.7.22",
    "charset-normalizer==2.1.1",
    "click==8.1.7",
    "fastapi==0.95.1",
    "h11==0.14.0",
    "idna==3.4",
    "joblib==1.3.2",
    "numpy==1.25.2",
    "pillow==9.5.0",
    "pydantic==1.10.13",
    "requests==2.28.1",
    "scikit-learn==1.3.0",
    "scipy==1.11.4",
    "sniffio==1.3.0",
    "starlette==0.26.1",
    "threadpoolctl==3.2.0",
    "typing-extensions==4.8.0",
    "urllib3==1.26.16",
    "uvicorn==0.23.2",
]
"""What serves the same model with versions of which advisories are known, in code that runs and in code that
never does (Pillow, Requests)."""

TORCH_WHEELS = [
    "filelock==4.2.11",
    "fsspec==2026.9.0",
    "jinja2==3.1.6",
    "markupsafe==3.0.4",
    "mpmath==1.3.0",
    "networkx==3.6.1",
    "setuptools==84.2.1",
    "sympy==1.14.0",
    "torch==2.13.0",
    "typing-extensions==4.16.0",
]
"""What pip resolves `torch==2.13.0` to, in November 2026, where it finds the wheel without CUDA."""

PREDICT = '''\
"""Read rows from a file (JSON), or take two, and print the labels that the model gives them."""

import json
import sys
from pathlib import Path

import joblib

model = joblib.load(Path(__file__).with_name("model.joblib"))
rows = json.loads(Path(sys.argv[1]).read_text()) if len(sys.argv) > 1 else [[0.0] * 8, [1.0] * 8]
print(json.dumps({"labels": model.predict(rows).tolist(), \
"scores": model.predict_proba(rows).round(6).tolist()}))
'''

SERVE = '''\
"""Serve the model: `uvicorn serve:app --app-dir /app`."""

from pathlib import Path

import joblib
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load(Path(__file__).with_name("model.joblib"))


class Rows(BaseModel):
    rows: list[list[float]]


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/predict")
def predict(asked: Rows) -> dict[str, list]:
    return {
        "labels": model.predict(asked.rows).tolist(),
        "scores": model.predict_proba(asked.rows).round(6).tolist(),
    }
'''

_FIT = """
import joblib
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rows, labels = make_classification(400, 8, random_state=7)
model = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=7)).fit(rows, labels)
joblib.dump(model, "/app/model.joblib")
"""

TORCH_PREDICT = '''\
"""Run a small convolution net over a fixed picture and print what it says."""

import json
from pathlib import Path

import torch

net = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 26 * 26, 10)
).eval()
net.load_state_dict(torch.load(Path(__file__).with_name("model.pt"), weights_only=True))
with torch.no_grad():
    scores = net(torch.linspace(0, 1, 784).reshape(1, 1, 28, 28))[0]
print(json.dumps([round(score, 4) for score in scores.tolist()]))
'''

_TORCH_FIT = """
import torch

torch.manual_seed(7)
net = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 26 * 26, 10)
)
torch.save(net.state_dict(), "/app/model.pt")
"""

_STATUS = """\
Package: demo
Status: install ok installed
Architecture: amd64
Version: 1.0-1
Depends: libdemo1 (>= 1.2)
Description: a program

Package: libdemo1
Status: install ok installed
Architecture: amd64
Source: demo-source
Version: 1.2-3
Description: its library

"""


def small_elf(interpreter: str = "", needed: Sequence[str] = (), soname: str = "") -> bytes:
    """A whole x86-64 ELF file that ends with 0 when it is run, with an interpreter and libraries if named."""
    code = bytes.fromhex("31ffb83c0000000f05")  # xor edi, edi; mov eax, 60; syscall
    strings, places = b"\0", {}
    for name in (*needed, soname):
        places[name] = len(strings)
        strings += name.encode() + b"\0"
    dynamic = bool(needed or soname)
    programs = 1 + bool(interpreter) + dynamic
    at = 64 + 56 * programs
    address = 0 if soname else 0x400000
    where_code, at = at, at + len(code)
    where_interpreter, at = at, at + len(interpreter) + 1
    where_strings, at = at, at + len(strings)
    at += -at % 8
    tags = [(1, places[name]) for name in needed] + ([(14, places[soname])] if soname else [])
    tags += [(5, address + where_strings), (10, len(strings)), (0, 0)]
    table = b"".join(struct.pack("<QQ", *tag) for tag in tags) if dynamic else b""
    size = at + len(table)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3 if soname else 2, 62, 1, address + where_code, 64, 0,
        0, 64, 56, programs, 64, 0, 0,
    )  # fmt: skip

    def program(kind: int, flags: int, start: int, count: int) -> bytes:
        return struct.pack(
            "<IIQQQQQQ", kind, flags, start, address + start, address + start, count, count, 0x1000
        )

    heads = program(1, 7, 0, size)
    if interpreter:
        heads += program(3, 4, where_interpreter, len(interpreter) + 1)
    if dynamic:
        heads += program(2, 6, at, len(table))
    body = header + heads + code + interpreter.encode() + b"\0" + strings
    return body.ljust(at, b"\0") + table


def small_root(folder: Path) -> Path:
    """Make `folder` a root file system with about 30 names in it, one of each thing that is easily got wrong.

    A static program, one with a loader and a library, a script, links to directories, a maze of links with a
    loop and with one that leads nowhere, a hard-linked pair, a file that is only ever asked for, a module
    with its compiled form, the databases of apt and of pip, a file that no package owns, an empty directory.
    """
    contents: dict[str, bytes] = {
        "usr/bin/true-static": small_elf(),
        "usr/bin/demo": small_elf("/lib64/ld-demo.so.2", ["libdemo.so.1"]),
        "usr/bin/script": b"#!/bin/true-static\necho never\n",
        "usr/lib64/ld-demo.so.2": small_elf(),
        "usr/lib/libdemo.so.1.2": small_elf(soname="libdemo.so.1"),
        "usr/lib/os-release": b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
        "usr/share/demo/data.txt": b"data\n" * 100,
        "usr/share/demo/one": b"the same\n" * 50,
        "usr/share/doc/demo/copyright": b"License: MIT\n",
        "usr/share/doc/libdemo1/copyright": b"License: MIT\n",
        "usr/lib/python3/dist-packages/demo/__init__.py": b"ANSWER = 42\n",
        "opt/demo/probe_only": b"asked for, never read\n",
        "srv/notes.txt": b"nobody's\n",
        "etc/passwd": b"root:x:0:0:root:/root:/bin/true-static\n",
        "var/lib/dpkg/status": _STATUS.encode(),
        "var/lib/dpkg/info/demo.list": _listed(
            "/usr/bin/demo /usr/bin/script /usr/bin/true-static /usr/share/demo/data.txt /usr/share/demo/one"
            " /usr/share/demo/two /usr/share/doc/demo/copyright"
            " /usr/lib/python3/dist-packages/demo/__init__.py"
        ),
        # The list says /lib64, which is a link to usr/lib64: owners are found by where files really are.
        "var/lib/dpkg/info/libdemo1:amd64.list": _listed(
            "/lib64/ld-demo.so.2 /usr/lib/libdemo.so.1 /usr/lib/libdemo.so.1.2"
            " /usr/share/doc/libdemo1/copyright"
        ),
    }
    contents |= {f"{PACKAGES}/{path}": content for path, content in _wheel().items()}
    links = {
        "bin": "usr/bin",
        "lib": "usr/lib",
        "lib64": "usr/lib64",
        "etc/os-release": "../usr/lib/os-release",
        "usr/lib/libdemo.so.1": "libdemo.so.1.2",
        "opt/maze/first": "second",
        "opt/maze/second": "deep/third",
        "opt/maze/deep/third": "/opt/maze/up/share/demo/data.txt",
        "opt/maze/up": "../../../../../usr",
        "opt/maze/loop": "pool",
        "opt/maze/pool": "loop",
        "opt/maze/nowhere": "/not/there",
    }
    for path, content in contents.items():
        where = folder / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content)
        where.chmod(0o755 if content[:4] == b"\x7fELF" or content[:2] == b"#!" else 0o644)
    for path, target in links.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target)
    os.link(folder / "usr/share/demo/one", folder / "usr/share/demo/two")
    (folder / "opt/demo/probe_only").chmod(0o755)
    (folder / "var/empty").mkdir(parents=True)
    module = folder / "usr/lib/python3/dist-packages/demo/__init__.py"
    os.utime(module, (MOMENT, MOMENT))
    py_compile.compile(
        str(module),
        str(module.parent / "__pycache__/__init__.cpython-311.pyc"),
        "/" + str(module.relative_to(folder)),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP,
    )
    # All of it, links too, so that two of these trees are the same to the second.
    for made in folder.rglob("*"):
        os.utime(made, (MOMENT, MOMENT), follow_symlinks=False)
    return folder


def _listed(paths: str) -> bytes:
    """The lines of a package's list: its files, and every directory above them, as dpkg writes them."""
    lines = ["/."]
    for path in paths.split():
        above = [str(each) for each in reversed(Path(path).parents) if str(each) != "/"]
        lines += [line for line in (*above, path) if line not in lines]
    return ("\n".join(lines) + "\n").encode()


def _wheel() -> dict[str, bytes]:
    """A package as pip installs it, by path below the directory of packages."""
    content = {
        "wheely/__init__.py": b"import json\n",
        "wheely/tests/test_wheely.py": b"def test_it(): pass\n" * 20,
        "wheely-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: wheely\nVersion: 1.0\n"
        b"Requires-Dist: absent\n",
        "wheely-1.0.dist-info/INSTALLER": b"pip\n",
        "wheely-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
        "wheely-1.0.dist-info/REQUESTED": b"",
    }
    content["wheely-1.0.dist-info/RECORD"] = (
        "".join(f"{path},,{len(each)}\n" for path, each in content.items())
        + "wheely-1.0.dist-info/RECORD,,\n"
    ).encode()
    return content


def random_tree(chance: random.Random, folder: Path, entries: int = 20) -> Path:
    """Make `folder` a tree of that many names as chance has it: files, directories, both kinds of links.

    Names may hold blanks, letters of other scripts and bytes that are no text; links may lead anywhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    directories, files = [folder], list[Path]()
    odd = os.fsdecode(b"odd\xff\xfe")
    alphabet = ["a", "b", "lib.so.1", "name with blanks", "ünï", ".hidden", odd, "x" * 120]
    for number in range(entries):
        path = chance.choice(directories) / f"{chance.choice(alphabet)}{number}"
        match chance.choices(["file", "directory", "link", "hard"], [5, 3, 3, 2])[0]:
            case "directory":
                path.mkdir()
                directories.append(path)
                continue
            case "link":
                known = [str(each.relative_to(folder)) for each in (*directories, *files)]
                path.symlink_to(
                    chance.choice([*known, "/nowhere", "..", path.name, "/" + chance.choice(known)])
                )
                continue
            case "hard" if files:
                os.link(chance.choice(files), path, follow_symlinks=False)
            case _:
                path.write_bytes(chance.randbytes(chance.choice([0, 1, 511, 512, 513, 3000])))
                path.chmod(chance.choice([0o644, 0o755, 0o600, 0o4755, 0o2711]))
                os.utime(path, (MOMENT, MOMENT + number))
        files.append(path)
    return folder


def missing_for_images() -> str:
    """Why the real images cannot be built here; empty if they can."""
    if os.geteuid() != 0:
        return "only root can build a root file system"
    absent = [name for name in ("mmdebstrap", "chroot", "tar", "zstd") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def py_min(folder: Path, *, cache: Path | None = None) -> Path:
    """Make `folder` a minimal Debian 12 with Python 3.11, about 260 MB: 35 s, 2 s from the cache."""
    return _built(folder, cache, "py-min", (), {}, "")


def sk_serve(folder: Path, *, cache: Path | None = None) -> Path:
    """Make `folder` an image that serves a scikit-learn model, about 620 MB: 70 s, 5 s from the cache.

    `python3 /app/predict.py [ROWS.json]` prints predictions; `uvicorn serve:app --app-dir /app` serves them
    over HTTP (GET /health, POST /predict with {"rows": [[8 numbers], ...]}). Pandas and Pillow are there and
    never used.
    """
    return _built(folder, cache, "sk-serve", SERVING_WHEELS, {"predict.py": PREDICT, "serve.py": SERVE}, _FIT)


def sk_serve_vulnerable(folder: Path, *, cache: Path | None = None) -> Path:
    """Make `folder` the same service of old wheels, without pandas, about 530 MB; see VULNERABLE_WHEELS."""
    app = {"predict.py": PREDICT, "serve.py": SERVE}
    return _built(folder, cache, "sk-serve-vulnerable", VULNERABLE_WHEELS, app, _FIT)


def torch_cpu(folder: Path, *, cache: Path | None = None) -> Path:
    """Make `folder` an image that runs a small torch net by `python3 /app/predict.py`, about 1.1 GB.

    The wheel without CUDA must be where pip looks: the public index has one with it under that version.
    """
    return _built(folder, cache, "torch-cpu", TORCH_WHEELS, {"predict.py": TORCH_PREDICT}, _TORCH_FIT)


def _built(
    folder: Path, cache: Path | None, name: str, wheels: Sequence[str], app: dict[str, str], fit: str
) -> Path:
    """Build one recipe into `folder`, which must not be there yet, or take it from the cache."""
    if why := missing_for_images():
        raise Misuse(f"cannot build {name}: {why}", fix="Run as root, with mmdebstrap and zstd installed.")
    recipe = hashlib.sha256("\n".join([*wheels, *app.values(), fit]).encode()).hexdigest()[:12]
    kept = cache / f"{name}-{recipe}.tar.zst" if cache else None
    with creating_directory(folder) as partial:
        if kept and kept.exists():
            _run(["tar", "-C", str(partial), "--xattrs", "--xattrs-include=*", "--numeric-owner",
                  "-p", "--zstd", "-xf", str(kept)])  # fmt: skip
        else:
            partial.rmdir()
            with tempfile.TemporaryDirectory(dir=folder.parent) as staged, ThreadPoolExecutor(1) as beside:
                fetching = beside.submit(_fetch, Path(staged), wheels)
                _run(["mmdebstrap", "--variant=minbase", "--quiet", *QUICKLY,
                      "--include=python3,python3-venv,python3-pip,ca-certificates",
                      "bookworm", str(partial)])  # fmt: skip
                fetching.result()
                _install(partial, Path(staged))
            _furnish(partial, app, fit)
            if kept:
                with replacing(kept) as draft:
                    _run(["tar", "-C", str(partial), "--xattrs", "--xattrs-include=*", "--numeric-owner",
                          "-I", "zstd -1 -T0", "-cf", str(draft), "."])  # fmt: skip
    return folder


def _fetch(staged: Path, wheels: Sequence[str]) -> None:
    """Let pip put wheels into an empty directory, compiled if its own Python is the image's."""
    if not wheels:
        return
    same = sys.version_info[:2] == (3, 11)
    _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(staged),
          "--root-user-action=ignore", "--implementation", "cp", "--python-version", "3.11",
          "--only-binary", ":all:", *([] if same else ["--no-compile"]), *wheels])  # fmt: skip


def _install(root: Path, staged: Path) -> None:
    """Put what pip fetched where the image's own pip would have, without running anything of the image."""
    packages = root / PACKAGES
    for each in staged.iterdir():
        each.rename(packages / each.name)
    # pip leaves scripts beside the packages, for its own interpreter, and records them where they are not.
    scripts = root / "usr/local/bin"
    renewed: dict[str, str] = {}
    for script in sorted((packages / "bin").glob("*")):
        body = script.read_bytes().partition(b"\n")[2]
        content = b"#!/usr/bin/python3\n" + body
        (scripts / script.name).write_bytes(content)
        (scripts / script.name).chmod(0o755)
        renewed[f"../../bin/{script.name},"] = f"../../../bin/{script.name},,{len(content)}"
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for record in packages.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines()
        record.write_text(
            "".join(next((renewed[k] for k in renewed if line.startswith(k)), line) + "\n" for line in lines)
        )


def _furnish(root: Path, app: dict[str, str], fit: str) -> None:
    """Write the application and let the image's own Python make its model."""
    if not app:
        return
    (root / "app").mkdir()
    for name, text in app.items():
        (root / "app" / name).write_text(text)
    # One thread, so that the model is the same on every machine.
    environment = ["/usr/bin/env", "-i", "OMP_NUM_THREADS=1", "HOME=/tmp"]
    _run(["chroot", str(root), *environment, "/usr/bin/python3", "-B", "-c", fit])


def _run(command: Sequence[str]) -> None:
    """Run a program to its end; Misuse with what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise Misuse(f"{command[0]} failed: {' / '.join(said)}", fix="Check the mirrors it needs.")
