"""Loads malicious files for real, each in a process that ends at once, and says which markers appeared.

Started by the benchmark with a JSON list of [file, load, marker] on its standard input, in an empty folder,
without network where the machine allows that, and with limits on memory, processor time and the size of
files. What the files do is to make one marker.
"""

# ruff: noqa: PLC0415
from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SECONDS = 10


def _unpickle(content: bytes) -> Any:
    import pickle

    return pickle.loads(content)


def _row(content: bytes) -> None:
    import io
    import pickle

    file = io.BytesIO(content)
    while file.tell() < len(content):
        pickle.load(file)


def _joblib(content: bytes) -> None:
    import io

    import joblib

    joblib.load(io.BytesIO(content))


def _numpy(content: bytes) -> None:
    import io

    import numpy as np

    loaded = np.load(io.BytesIO(content), allow_pickle=True)
    for name in getattr(loaded, "files", ()):
        loaded[name]


def _torch(content: bytes) -> None:
    from pathlib import Path

    import torch

    path = Path("model.pt")
    path.write_bytes(content)
    torch.load(path, weights_only=False)


def _zip_member(content: bytes) -> bytes:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(archive.namelist()[0])


def _tar_member(content: bytes) -> bytes:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        file = archive.extractfile(archive.getmembers()[0])
        assert file is not None
        return file.read()


def _load(content: bytes, how: str) -> None:
    import bz2
    import gzip
    import lzma
    import zlib

    last: dict[str, Callable[[bytes], Any]] = {
        "pickle": _unpickle, "pickles": _row, "rows": _row, "joblib": _joblib, "numpy": _numpy,
        "torch": _torch,
    }  # fmt: skip
    unfold: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress, "bz2": bz2.decompress, "xz": lzma.decompress, "zlib": zlib.decompress,
        "zip": _zip_member, "tar": _tar_member,
    }  # fmt: skip
    for step in how.split():
        if step in last:
            last[step](content)
            return
        content = unfold[step](content)
    _unpickle(content)


def _child(file: str, how: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))
    with open(file, "rb") as opened:
        content = opened.read()
    try:
        _load(content, how)
    finally:
        os._exit(0)


def _appeared(file: str, how: str, marker: str) -> bool:
    child = os.fork()
    if not child:
        _child(file, how)
    end = time.monotonic() + _SECONDS
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() >= end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.005)
    wait = time.monotonic() + 1.0
    while not os.path.lexists(marker) and time.monotonic() < wait:
        time.sleep(0.01)  # what the child started may still be at it
    return os.path.lexists(marker)


def main() -> None:
    """Read what to load, load it, and write which markers appeared."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    warnings.simplefilter("ignore")
    import joblib  # once, for all the forks
    import numpy as np
    import torch

    assert joblib and np and torch
    torch.set_num_threads(1)
    print(json.dumps([_appeared(*each) for each in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
