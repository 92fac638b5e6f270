"""Plain text: tables, notes, vocabularies, which run nothing; and scripts and code, which would.

The last resort of recognition: a text that is neither JSON nor a template nor anything with a magic number.
"""

from __future__ import annotations

import re

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats import templates
from tradewind.data.model_files.inspection import Inspection, Reading, Source

RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "text-code", "blocked",
            "The file is a script or Python code; a loader that trusts the repository would run it.",
            "Read it, and import it yourself if you trust it.",
        ),
        Rule(
            "text-requirements", "note",
            "The file asks for packages to be installed from an address or a folder.",
            "Install from an index that you trust.",
        ),
    )
}  # fmt: skip
_CODE = re.compile(
    rb"^(?:#!|<\?php|[ \t]*(?:import [A-Za-z_][\w.]*(?: as \w+)?[ \t]*(?:[;,#].*)?$"
    rb"|from [A-Za-z_.][\w.]* import [\w(*]|(?:async )?def \w+\(.*|class [A-Z_]\w*(?:\(.*\))?:"
    rb"|exec[ \t]*\(|eval[ \t]*\(|__import__[ \t]*\(|if __name__))",
    re.M,
)
_FENCED = re.compile(rb"^(```+|~~~+)[\w+-]*[ \t]*\r?\n.*?^\1[ \t]*$", re.M | re.S)
_FETCHED = re.compile(
    rb"^(?:-e |--(?:extra-)?index-url|--find-links|git\+|[\w.-]+ ?@ ?(?:git|https?|file)\b)", re.M
)
_CHUNK = 1 << 20
_SHORT = 9
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"


def recognises(source: Source) -> bool:
    """Whether the first bytes are UTF-8 without control characters."""
    start = source.read(0, 4096)
    return bool(start) and _text(start, whole=source.size <= 4096)


def _text(content: bytes, whole: bool) -> bool:
    if content.translate(None, _CONTROL) != content:
        return False
    for cut in (0, 1, 2, 3):
        try:
            content[: len(content) - cut].decode()
        except UnicodeDecodeError:
            if whole:
                return False
        else:
            return True
    return False


def _prose(content: bytes) -> bytes:
    """A text without its fenced examples, as model cards have them.

    A line that is a fence alone is no Python, unless it stands in a string of several lines: where such a
    string may begin, nothing is left out.
    """
    left = _FENCED.sub(lambda match: b"\n" * match[0].count(b"\n"), content)
    return content if b"'''" in left or b'"""' in left else left


def inspect(source: Source, inspection: Inspection) -> None:
    """Tell whether a text is code, or is no text behind its beginning."""
    at = 0
    kept = b""
    if source.size < _SHORT and b"\n" not in source.read(0, source.size):
        inspection.found(_CUT, f"a text of {source.size} bytes", source=source, offset=0)
        return
    template = False
    while at < source.size:
        content = source.read(at, _CHUNK)
        inspection.spend(opcodes=len(content) >> 10)
        if content.translate(None, _CONTROL) != content:
            inspection.found(_BINARY, "control characters behind a text", source=source, offset=at)
            return
        template = template or b"{%" in content
        found = _CODE.search(_prose(kept + content) if source.size <= _CHUNK else kept + content)
        if found:
            inspection.found(
                RULES["text-code"], "a script or code", source=source, offset=at - len(kept) + found.start(),
                preview=found[0].decode("utf-8", "replace"),
            )  # fmt: skip
            return
        fetched = _FETCHED.search(content)
        if fetched and source.size < _CHUNK:
            inspection.found(
                RULES["text-requirements"], "packages from an address", source=source, offset=fetched.start(),
                preview=fetched[0].decode("utf-8", "replace"),
            )  # fmt: skip
        kept = content[-200:]
        at += len(content)
    if template and source.size < _CHUNK * 4:
        templates.inspect(source, inspection)


_BINARY = Rule(
    "text-binary", "undecided", "The file begins as text and goes on as something else.",
    "Find out what wrote it.",
)  # fmt: skip
_CUT = Rule(
    "text-cut", "undecided", "So short a text may be the beginning of anything that was cut off.",
    "Fetch the file again.",
)  # fmt: skip
READING = Reading(
    "text", recognises, inspect, {**RULES, _BINARY.id: _BINARY, _CUT.id: _CUT, **templates.RULES}
)
