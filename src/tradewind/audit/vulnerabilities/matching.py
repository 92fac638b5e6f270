"""Packages against advisories: which match, which might, and which nobody can clear."""

from __future__ import annotations

from msgspec import Struct

from tradewind.audit.packages import Inventory, Package
from tradewind.audit.vulnerabilities.advisories import Advisory, affected
from tradewind.audit.vulnerabilities.distributions import ecosystem_of
from tradewind.audit.vulnerabilities.sources import FRESH_DAYS, Database, Source, Told
from tradewind.audit.vulnerabilities.versions import normal_name


class Match(Struct, frozen=True):
    """An advisory that speaks of an installed package."""

    package: str
    """The package's key in the inventory."""
    advisory: Advisory
    certain: bool
    """Whether the installed version is affected for sure; otherwise nobody can say, and `why` tells why."""
    why: str
    sources: tuple[str, ...]
    """The sources that told it, under whatever name."""
    names: tuple[str, ...] = ()
    """All names that it goes by in them, the advisory's own first."""
    fixed: tuple[str, ...] = ()


class Matching(Struct, frozen=True):
    """What the sources say of all packages of an inventory."""

    matches: tuple[Match, ...]
    cleared: dict[str, str]
    """Packages without a match, by key, with the source that clears them."""
    unknown: dict[str, str]
    """Packages that nobody can clear, by key, with the reason; some have matches besides."""
    sources: tuple[Source, ...]
    system: str = ""
    now: float = 0.0
    most_days: float = FRESH_DAYS


def match(
    inventory: Inventory,
    database: Database,
    now: float,
    system: str = "",
    most_days: float = FRESH_DAYS,
) -> Matching:
    """What `database` says at `now` (seconds since the epoch) of the packages of `inventory`.

    `system` is the distribution in OSV's words (`distributions.distribution`). An advisory that two sources
    tell, under the same name or an alias, is one match. A source that is older than `most_days` still matches
    but no longer clears.
    """
    matches: list[Match] = []
    cleared: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for key, package in inventory.packages.items():
        ecosystem = ecosystem_of(package, system)
        mine = _matches(key, package, ecosystem, database)
        matches += mine
        name, version = spoken_of(package)
        source, why = database.cleared(
            ecosystem, normal_name(ecosystem, package.name), package.version, now, most_days
        )
        if not source and name != package.name:
            source, why = database.cleared(ecosystem, name, version, now, most_days)
        if not source:
            unknown[key] = why
        elif not mine:
            cleared[key] = source
    return Matching(tuple(matches), cleared, unknown, database.sources, system, now, most_days)


def spoken_of(package: Package) -> tuple[str, str]:
    """The name and version under which advisories speak of a package: in Debian, its source package's."""
    if package.manager != "apt" or not package.source:
        return package.name, package.version
    return package.source, package.source_version or package.version


def _matches(key: str, package: Package, ecosystem: str, database: Database) -> list[Match]:
    name, version = spoken_of(package)
    spoken: list[tuple[Told, str]] = [
        (told, version) for told in database.about(ecosystem, normal_name(ecosystem, name))
    ]
    for carried in package.carries if package.manager == "pip" else ():
        # A copy inside another package is as vulnerable; what Debian carries it mends under its own name.
        other, _, release = carried.removeprefix("pip:").partition("==")
        spoken += [(told, release) for told in database.about(ecosystem, normal_name(ecosystem, other))]
    if name != package.name:
        # Scanners and changelogs name the binary package with its own version.
        spoken += [(told, package.version) for told in database.about(ecosystem, package.name)]
    found: list[Match] = []
    for told, mine in spoken:
        verdict = affected(told.advisory, mine)
        if verdict.answer is False:
            continue
        one = Match(
            package=key,
            advisory=told.advisory,
            certain=verdict.answer is True,
            why=verdict.why
            if mine in (version, package.version)
            else f"carries {told.advisory.package} {mine}",
            sources=(told.source,),
            names=tuple(dict.fromkeys((told.advisory.id, *told.advisory.aliases))),
            fixed=told.advisory.fixed,
        )
        same = [each for each in found if set(each.names) & set(one.names)]
        for each in same:
            found.remove(each)
            one = _joined(each, one)
        found.append(one)
    return sorted(found, key=lambda each: each.advisory.id)


def _joined(first: Match, second: Match) -> Match:
    """One match of two that mean the same; the surer speaks for both, then the better rated."""
    lead, other = first, second
    if (second.certain, second.advisory.severity != "unrated") > (
        first.certain,
        first.advisory.severity != "unrated",
    ):
        lead, other = second, first
    return Match(
        package=lead.package,
        advisory=lead.advisory,
        certain=lead.certain,
        why=lead.why,
        sources=tuple(dict.fromkeys((*first.sources, *second.sources))),
        names=tuple(dict.fromkeys((*lead.names, *other.names))),
        fixed=tuple(dict.fromkeys((*lead.fixed, *other.fixed))),
    )
