"""Where advisories come from, how old they are, and which packages a source answers for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

from msgspec import Struct

from tradewind.audit.vulnerabilities.advisories import Advisory

FRESH_DAYS = 30.0
"""Days after which a source is too old to clear a package, unless the caller says otherwise."""


class Source(Struct, frozen=True, omit_defaults=True):
    """One collection of advisories, with the date it speaks of."""

    name: str
    kind: Literal["shipped", "imported", "changelogs"] = "imported"
    as_of: str = ""
    """What it knows up to, in ISO 8601: its newest record, or when a scan was made. Empty: nobody knows."""
    covers: tuple[str, ...] = ()
    """Ecosystems in which a package without an advisory had none known then; empty for a mere selection."""
    examined: tuple[tuple[str, str, str], ...] = ()
    """(ecosystem, package, version) that it answers for one by one, as the result of another scanner does."""
    records: int = 0
    digest: str = ""
    """SHA-256 of the file, in hexadecimal."""
    origin: str = ""
    licence: str = ""
    trouble: str = ""
    """Why it could not be asked or read; then it clears nothing, and nor does anybody else in its place."""

    def days(self, now: float) -> float | None:
        """Its age at `now` (seconds since the epoch), in days; None if it has no date."""
        moment = moment_of(self.as_of)
        return None if moment is None else max(0.0, (now - moment) / 86_400)


class Told(Struct, frozen=True):
    """An advisory and the name of the source that told it."""

    advisory: Advisory
    source: str


class Database:
    """Sources and their advisories, to be asked by ecosystem and package."""

    def __init__(self, contents: Iterable[tuple[Source, Iterable[Advisory]]]) -> None:
        self.sources: tuple[Source, ...] = ()
        self.advisories: dict[tuple[str, str], tuple[Told, ...]] = {}
        found: dict[tuple[str, str], list[Told]] = {}
        for source, advisories in contents:
            self.sources += (source,)
            for each in advisories:
                found.setdefault((each.ecosystem, each.package), []).append(Told(each, source.name))
        self.advisories = {key: tuple(told) for key, told in found.items()}

    def with_source(self, source: Source, advisories: Iterable[Advisory] = ()) -> Database:
        """This and one more source, which comes last."""
        mine = {each.name: each for each in self.sources}
        held: dict[str, list[Advisory]] = {name: [] for name in mine}
        for told in (each for several in self.advisories.values() for each in several):
            held[told.source].append(told.advisory)
        return Database([*((mine[name], held[name]) for name in mine), (source, advisories)])

    def about(self, ecosystem: str, package: str) -> tuple[Told, ...]:
        """What is told of a package; of `Debian:12` also what is told of all of `Debian`."""
        return tuple(
            told for each in _lineage(ecosystem) for told in self.advisories.get((each, package), ())
        )

    @cached_property
    def examined(self) -> Mapping[tuple[str, str, str], tuple[Source, ...]]:
        """Who answered for a package of a version, by ecosystem, package and version."""
        found: dict[tuple[str, str, str], tuple[Source, ...]] = {}
        for source in self.sources:
            for each in source.examined:
                found[each] = (*found.get(each, ()), source)
        return found

    def cleared(
        self, ecosystem: str, package: str, version: str, now: float, most_days: float = FRESH_DAYS
    ) -> tuple[str, str]:
        """Which source can say that a package without advisories has none; or nothing, and why none can.

        It must cover the ecosystem or have examined this very package, have a date, and be no older than
        `most_days` at `now`; and none can while another that may know more cannot be read.
        """
        for source in self.sources:
            if source.trouble and (not source.covers or _covers(source, ecosystem)):
                return "", f"{source.name}: {source.trouble}"
        asked = [each for each in self.sources if _covers(each, ecosystem) and not each.trouble]
        asked += [
            source
            for each in _lineage(ecosystem)
            for source in self.examined.get((each, package, version), ())
            if not source.trouble
        ]
        if not asked:
            return "", f"no source tells all about {ecosystem or 'this kind of package'}"
        oldest = ""
        for source in asked:
            days = source.days(now)
            if days is None:
                oldest = oldest or f"{source.name} has no date"
            elif days <= most_days:
                return source.name, ""
            else:
                oldest = f"{source.name} ends {days:.0f} days ago, on {source.as_of[:10]}"
        return "", oldest


def moment_of(text: str) -> float | None:
    """Seconds since the epoch of a date in ISO 8601, in UTC where it does not say; None if it is none."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def newest(dates: Iterable[str]) -> str:
    """The latest of dates in ISO 8601, as it was written; empty if there is none."""
    dated = [(moment, text) for text in dates if (moment := moment_of(text)) is not None]
    return max(dated)[1] if dated else ""


def _lineage(ecosystem: str) -> tuple[str, ...]:
    """An ecosystem and all that hold it, nearest first: `Ubuntu:24.04:LTS`, `Ubuntu:24.04`, `Ubuntu`."""
    parts = ecosystem.split(":")
    return tuple(":".join(parts[:count]) for count in range(len(parts), 0, -1))


def _covers(source: Source, ecosystem: str) -> bool:
    return bool(ecosystem) and any(each in source.covers for each in _lineage(ecosystem))
