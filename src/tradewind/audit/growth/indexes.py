"""Reads what an index or a folder tells of a project's releases."""

from __future__ import annotations

import json
import struct
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from tradewind.audit.growth.releases import Distribution, listed
from tradewind.errors import Misuse, Unreachable

_JSON = "application/vnd.pypi.simple.v1+json"
_LARGEST = 64 << 20
"""Bytes of a project's page."""


def distributions_at(place: str, project: str, *, timeout: float = 20.0) -> list[Distribution]:
    """The files of a project at `place`: an index's URL, a saved page of one (PEP 691), or a folder of files.

    Raises Unreachable if the index does not answer, Misuse if it speaks no JSON or the place is not there.
    """
    if place.startswith(("https://", "http://")):
        return _asked(f"{place.rstrip('/')}/{project}/", timeout)
    path = Path(place)
    if path.is_dir():
        return [_measured(each) for each in sorted(path.iterdir()) if each.is_file()]
    try:
        return listed(json.loads(path.read_bytes()), place)
    except (OSError, ValueError, RecursionError) as error:
        raise Misuse(
            f"this cannot be read ({error})", source=place,
            fix="Give an index's URL, its page in JSON (PEP 691), or a folder of wheels.",
        ) from None  # fmt: skip


def _asked(url: str, timeout: float) -> list[Distribution]:
    request = urllib.request.Request(url, headers={"Accept": _JSON})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            kind = answer.headers.get_content_type()
            body = answer.read(_LARGEST + 1)
    except urllib.error.HTTPError as error:
        raise Misuse(f"the index answers {error.code}", source=url, fix="Check the project's name.") from None
    except OSError as error:
        raise Unreachable(f"{url} does not answer: {error}") from None
    if kind != _JSON or len(body) > _LARGEST:
        raise Misuse(
            f"the index answers {kind}, which holds no sizes", source=url, fix=f"Ask one that speaks {_JSON}."
        )
    try:
        return listed(json.loads(body), url)
    except (ValueError, RecursionError) as error:
        raise Misuse(f"the index answers what is no JSON ({error})", source=url) from None


def _measured(path: Path) -> Distribution:
    """A file of a folder; a wheel is looked into for its unpacked size and the date of its newest file."""
    size = path.stat().st_size
    if path.suffix != ".whl":
        return Distribution(path.name, size)
    try:
        with zipfile.ZipFile(path) as wheel:
            return Distribution(path.name, size, unpacked=sum(each.file_size for each in wheel.infolist()))
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise Misuse(f"this is no wheel ({error})", source=str(path)) from None
