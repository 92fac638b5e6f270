"""Unpacking an image or an archive into a directory: nothing gets outside of it.

The container is read as a tree first (`opening`), which refuses absolute paths, `..`, ways through links that
an archive makes itself, members that are there twice, and whatever is more than the limits; then the tree is
written (`copying`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tradewind.audit.images.copying import Copied, Devices, write_folder
from tradewind.audit.images.limits import Limits
from tradewind.audit.images.opening import open_files


def unpack(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    reference: str = "",
    limits: Limits | None = None,
    devices: Devices = "skip",
    scratch: str | os.PathLike[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Copied:
    """Make `target`, which must not be there yet, the tree of the image at `source`; see `open_files`.

    Set-user-ID programs and those with capabilities are kept and told, device nodes skipped and told unless
    `devices` says otherwise. Misuse as `open_files` and `write_folder` tell; nothing is left then.
    """
    with open_files(source, reference=reference, limits=limits, scratch=scratch, progress=progress) as image:
        return write_folder(image.files, image.files.tree.entries, Path(target), devices=devices)
