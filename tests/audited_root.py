"""A root file system that runs, small and quick, with packages to audit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tradewind.audit.images.opening import open_files
from tradewind.audit.images.writing import LayerContent, write_image

WASTE = 300_000
"""Bytes that no run needs."""
_LISTS = {
    "tools": ("/bin/busybox", "/bin/cat", "/bin/sh", "/bin/sleep", "/bin/httpd", "/bin/test", "/bin/true"),
    "greeting": ("/etc/motd", "/srv/link"),
    "waste": ("/usr/share/waste/pile",),
}
_STATUS = """\
Package: tools
Status: install ok installed
Architecture: amd64
Version: 1.0-1
Description: a program of many names

Package: greeting
Status: install ok installed
Architecture: all
Version: 2.0
Depends: tools
Description: a greeting

Package: waste
Status: install ok installed
Architecture: all
Version: 3.0
Description: what nothing needs

"""
_WHEEL = {
    "PIL/__init__.py": "raise SystemExit\n",
    "pillow-9.5.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: Pillow\nVersion: 9.5.0\n",
    "pillow-9.5.0.dist-info/INSTALLER": "pip\n",
    "pillow-9.5.0.dist-info/RECORD": "PIL/__init__.py,,\npillow-9.5.0.dist-info/METADATA,,\n"
    "pillow-9.5.0.dist-info/INSTALLER,,\npillow-9.5.0.dist-info/RECORD,,\n",
}
"""A package of which advisories are known; nothing of it is run."""


def runnable_root(folder: Path) -> Path:
    """Make `folder` a root with a busybox, four packages and 300 kB that nothing needs.

    Skips, saying why, where the user is not root or there is no static busybox.
    """
    if os.geteuid() != 0:
        pytest.skip("it needs root")
    program = shutil.which("busybox", path="/bin:/usr/bin")
    if program is None or b"/ld-linux" in Path(program).read_bytes():
        pytest.skip("the package busybox-static is not installed")
    texts = {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "etc/motd": "hello\n",
        "srv/index.html": "<p>it works</p>\n",
        "var/lib/dpkg/status": _STATUS,
        "usr/share/waste/pile": "waste\n" * (WASTE // 6),
    }
    texts |= {
        f"var/lib/dpkg/info/{name}.list": "".join(f"{path}\n" for path in ("/.", *paths))
        for name, paths in _LISTS.items()
    }
    texts |= {f"usr/local/lib/python3.11/dist-packages/{name}": text for name, text in _WHEEL.items()}
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "tmp").mkdir()
    (folder / "bin").mkdir()
    shutil.copy(program, folder / "bin/busybox")
    for path in _LISTS["tools"][1:]:
        os.symlink("busybox", folder / path.strip("/"))
    os.symlink("../etc/motd", folder / "srv/link")
    return folder


def as_layout(root: Path, target: Path, reference: str = "latest") -> Path:
    """The root as an OCI layout of one layer."""
    with open_files(root) as image:
        paths = list(image.files.tree.entries)
        write_image(target, [LayerContent(image.files, paths)], reference=reference)
    return target
