"""Advisories, as OSV writes them and as far as matching, judging and telling need them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from tradewind.audit.vulnerabilities.severity import Severity, base_score, named, word
from tradewind.audit.vulnerabilities.versions import Key, Order, normal_name, order_of
from tradewind.errors import Misuse

EventKind = Literal["introduced", "fixed", "last_affected", "limit"]
EVENTS: tuple[EventKind, ...] = ("fixed", "introduced", "last_affected", "limit")
"""In the order in which events at one version are taken: what is mended there may break again there."""


class Event(Struct, frozen=True, array_like=True):
    """Where a range begins or ends."""

    kind: EventKind
    version: str


class Range(Struct, frozen=True, omit_defaults=True):
    """Versions between events."""

    events: tuple[Event, ...]
    kind: str = "ECOSYSTEM"
    """`ECOSYSTEM`, `SEMVER` or `GIT`; the events of the last are commits, which no package tells."""


class Import(Struct, frozen=True, omit_defaults=True):
    """What of a Python package is vulnerable: modules, and a name in them where one is told."""

    modules: tuple[str, ...]
    attribute: str = ""


class Advisory(Struct, frozen=True, omit_defaults=True):
    """What one advisory says of one package."""

    id: str
    ecosystem: str
    """As OSV names it: `PyPI`, `Debian:12`."""
    package: str
    """By PEP 503 for Python; in Debian's ecosystems the source package."""
    aliases: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()
    """Affected ones by name, apart from those that the ranges hold."""
    imports: tuple[Import, ...] = ()
    severity: Severity = "unrated"
    score: float | None = None
    """CVSS base score, 0 to 10."""
    summary: str = ""
    modified: str = ""
    withdrawn: str = ""
    """When it was taken back; such an advisory matches nothing."""
    references: tuple[str, ...] = ()
    checked: str = ""
    """For advisories that we keep by hand: where package and range were read."""

    @property
    def names(self) -> frozenset[str]:
        """Everything it goes by."""
        return frozenset((self.id, *self.aliases))

    @property
    def fixed(self) -> tuple[str, ...]:
        """Versions that mend it, as far as it tells."""
        return tuple(
            dict.fromkeys(
                event.version
                for each in self.ranges
                if each.kind != "GIT"
                for event in each.events
                if event.kind == "fixed"
            )
        )


class Affected(Struct, frozen=True):
    """Whether a version is affected: None where the advisory or the version does not allow to say."""

    answer: bool | None
    why: str


def affected(advisory: Advisory, version: str) -> Affected:
    """Whether `version` is affected, by the schema of OSV 1.6, section "Evaluation".

    Affected is what `versions` names or a range holds. What only ranges of commits speak of, what has neither
    range nor version, and what the order of the ecosystem cannot place is answered None.
    """
    if advisory.withdrawn:
        return Affected(False, f"withdrawn on {advisory.withdrawn[:10]}")
    order = order_of(advisory.ecosystem)
    here = None if order is None else order(version)
    for name in advisory.versions:
        if name == version or (here is not None and order is not None and order(name) == here):
            return Affected(True, f"{version} is named")
    placed, doubt = False, ""
    for each in advisory.ranges:
        order = order_of(advisory.ecosystem, each.kind)
        if order is None:
            continue
        here = order(version)
        events = [
            (() if event.version in ("0", "*") else order(event.version), event) for event in each.events
        ]
        unread = next((event.version for key, event in events if key is None), None)
        if here is None or unread is not None:
            doubt = f"{version if here is None else unread!r} is no version that can be placed"
            continue
        placed = True
        if _holds([(key, event) for key, event in events if key is not None], here):
            return Affected(True, told(each))
    if doubt:
        return Affected(None, doubt)
    if placed or (advisory.versions and here is not None):
        return Affected(False, "outside of all that is affected")
    if advisory.versions:
        return Affected(None, f"{version!r} is no version that can be placed")
    kinds = sorted({each.kind for each in advisory.ranges})
    return Affected(None, f"only ranges of {' and '.join(kinds)} are told" if kinds else "no range is told")


def told(each: Range) -> str:
    """A range in signs: `>=4.0 <4.3, >=5.0 <5.2`."""
    signs = {"introduced": ">=", "fixed": "<", "last_affected": "<=", "limit": "<"}
    text = ""
    for event in each.events:
        if event.kind == "introduced" and event.version == "0":
            continue
        between = "" if not text else ", " if event.kind == "introduced" else " "
        text += f"{between}{signs[event.kind]}{event.version}"
    return text or "all versions"


def _holds(events: Sequence[tuple[Key, Event]], here: Key) -> bool:
    limits = [(key, e) for key, e in events if e.kind == "limit"]
    if limits and not any(e.version == "*" or here < key for key, e in limits):
        return False
    inside = False
    ordered = sorted(events, key=lambda pair: (pair[0], EVENTS.index(pair[1].kind)))
    for key, event in ordered:
        if event.kind == "introduced" and here >= key:
            inside = True
        elif (event.kind == "fixed" and here >= key) or (event.kind == "last_affected" and here > key):
            inside = False
    return inside


def from_osv(record: Mapping[str, Any], source: str = "") -> tuple[Advisory, ...]:
    """The advisories of one OSV record (schema 1.x): one for each package that it names.

    Raises Misuse, naming `source` and the field, if it is no such record.
    """
    identifier = _text(record, "id", source)
    if not identifier:
        raise Misuse("an OSV record has an id", source=source, field="id")
    entries = _list(record, "affected", source)
    by_package: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for entry in entries:
        package = entry.get("package") if isinstance(entry, Mapping) else None
        if not isinstance(package, Mapping):
            continue  # Of commits alone, without a package: nothing that an inventory could hold.
        ecosystem, name = _text(package, "ecosystem", source), _text(package, "name", source)
        by_package.setdefault((ecosystem, normal_name(ecosystem, name)), []).append(entry)
    return tuple(
        _of_package(record, identifier, ecosystem, name, entries, source)
        for (ecosystem, name), entries in by_package.items()
    )


def _of_package(
    record: Mapping[str, Any],
    identifier: str,
    ecosystem: str,
    name: str,
    entries: Sequence[Mapping[str, Any]],
    source: str,
) -> Advisory:
    ranges = tuple(_range(each, source) for entry in entries for each in _list(entry, "ranges", source))
    score, severity = _rated(record, entries, source)
    specific = record.get("database_specific")
    advisory = Advisory(
        id=identifier,
        ecosystem=ecosystem,
        package=name,
        aliases=tuple(str(each) for each in _list(record, "aliases", source)),
        ranges=ranges,
        imports=tuple(
            Import(tuple(str(m) for m in _list(each, "modules", source)), str(each.get("attribute") or ""))
            for entry in entries
            for each in _list(entry.get("ecosystem_specific") or {}, "imports", source)
            if isinstance(each, Mapping)
        ),
        severity=severity,
        score=score,
        summary=_summary(record),
        modified=_text(record, "modified", source),
        withdrawn=_text(record, "withdrawn", source),
        references=_references(record, source),
        checked=str(specific.get("checked") or "") if isinstance(specific, Mapping) else "",
    )
    named_ones = dict.fromkeys(str(v) for entry in entries for v in _list(entry, "versions", source))
    # Most lists of versions only spell out the ranges; what the ranges hold need not be kept twice.
    holding = [_placed(each, order) for each in ranges if (order := order_of(ecosystem, each.kind))]
    rest = tuple(v for v in named_ones if not any(holds(v) for holds in holding))
    return advisory if not rest or advisory.withdrawn else _with_versions(advisory, rest)


def _placed(each: Range, order: Order) -> Callable[[str], bool]:
    """Whether a version is for sure in a range, with the range's own versions placed once for all."""
    events = [(() if e.version in ("0", "*") else order(e.version), e) for e in each.events]
    known = [(key, event) for key, event in events if key is not None]
    if len(known) < len(events):
        return lambda _: False

    def holds(version: str) -> bool:
        here = order(version)
        return here is not None and _holds(known, here)

    return holds


def _with_versions(advisory: Advisory, versions: tuple[str, ...]) -> Advisory:
    fields = {name: getattr(advisory, name) for name in advisory.__struct_fields__}
    return Advisory(**{**fields, "versions": versions})


def _range(each: object, source: str) -> Range:
    if not isinstance(each, Mapping):
        raise Misuse("a range is an object", source=source, field="affected.ranges")
    events = []
    for event in _list(each, "events", source):
        for kind in EVENTS:
            if isinstance(event, Mapping) and kind in event:
                events.append(Event(kind, str(event[kind])))
    return Range(tuple(events), _text(each, "type", source) or "ECOSYSTEM")


def _rated(
    record: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], source: str
) -> tuple[float | None, Severity]:
    rated = [*_list(record, "severity", source)]
    for entry in entries:
        rated += _list(entry, "severity", source)
    scores = [base_score(str(each.get("score", ""))) for each in rated if isinstance(each, Mapping)]
    score = max((each for each in scores if each is not None), default=None)
    if score is not None:
        return score, word(score)
    specific = record.get("database_specific")
    return None, named(str(specific.get("severity", ""))) if isinstance(specific, Mapping) else "unrated"


def _summary(record: Mapping[str, Any]) -> str:
    """The summary, or the first sentence of the details, at most 160 characters of one line."""
    text = " ".join(str(record.get("summary") or record.get("details") or "").split())
    first, stop, _ = text.partition(". ")
    text = first + stop.strip() if stop else text
    return text if len(text) <= 160 else text[:159] + "…"


def _references(record: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """The two that tell most: an advisory before a fix before anything else."""
    rank = {"ADVISORY": 0, "FIX": 1, "WEB": 2}
    pairs = [
        (rank.get(str(each.get("type")), 3), str(each.get("url")))
        for each in _list(record, "references", source)
        if isinstance(each, Mapping) and each.get("url")
    ]
    return tuple(dict.fromkeys(url for _, url in sorted(pairs, key=lambda pair: pair[0])))[:2]


def _text(record: Mapping[str, Any], field: str, source: str) -> str:
    value = record.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Misuse("must be text", source=source, field=field)
    return value


def _list(record: object, field: str, source: str) -> list[Any]:
    value = record.get(field) if isinstance(record, Mapping) else None
    if value is None:
        return []
    if not isinstance(value, list):
        raise Misuse("must be a list", source=source, field=field)
    return value
