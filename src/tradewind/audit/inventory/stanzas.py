"""Fields in the form of mail headers, in which dpkg and Python's packages write what they know."""

from __future__ import annotations

from collections.abc import Iterator


def stanzas(text: str) -> Iterator[dict[str, list[str]]]:
    """The fields of each paragraph by their names in lower case: their values, in order.

    Continuations are joined by line ends. Lines that are neither field nor continuation are passed over.
    """
    found: dict[str, list[str]] = {}
    last: list[str] | None = None
    for line in text.split("\n"):
        if not line:
            if found:
                yield found
            found, last = {}, None
        elif line[0] in " \t":
            if last:
                last[-1] += "\n" + line.strip()
        else:
            name, colon, value = line.partition(":")
            if colon:
                last = found.setdefault(name.lower(), [])
                last.append(value.strip())
            else:
                last = None
    if found:
        yield found


def headers(text: str) -> dict[str, list[str]]:
    """The fields of the first paragraph of `text`: the headers of a METADATA without its description."""
    head = text.replace("\r\n", "\n").lstrip("\n").partition("\n\n")[0]
    return next(stanzas(head), {})


def first(fields: dict[str, list[str]], name: str) -> str:
    """The first value of a field; empty without one."""
    values = fields.get(name)
    return values[0] if values else ""
