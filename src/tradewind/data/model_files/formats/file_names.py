"""Names of other files inside a model file: which of them stay in the model's own folder."""

from __future__ import annotations

import re

_DRIVE = re.compile(r"^[A-Za-z]:")
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


def astray(name: str) -> str:
    """Why a relative name may lead out of its folder, as half a sentence; empty if it stays inside.

    What any system reads as a separator counts, for a model is made on one system and opened on another.
    """
    if not name or not name.strip():
        return "is empty"
    if any(ord(each) < 32 or ord(each) == 127 for each in name):
        return "has control characters"
    if name.startswith(("/", "\\", "~")):
        return "is absolute"
    if _DRIVE.match(name) or _ADDRESS.match(name):
        return "names a drive or an address"
    parts = re.split(r"[/\\]", name)
    if ".." in parts:
        return "climbs out of its folder"
    if any(part.rstrip(" .") != part and part != "." for part in parts):
        return "has a part that ends in a dot or a space, which some systems drop"
    return ""
