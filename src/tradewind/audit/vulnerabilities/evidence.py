"""What an image proves about each vulnerability, before and after slimming: five states, with the paths.

A package's *code* is every file of it that is no record of the manager; whoever has a library without a
package database has the library. The compiled twin of a source file in `__pycache__` is code of its owner.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Literal

from msgspec import Struct

from tradewind.audit.packages import Inventory
from tradewind.audit.tracing.events import Run, Touched, joined
from tradewind.audit.vulnerabilities.advisories import Advisory
from tradewind.audit.vulnerabilities.matching import Match, Matching
from tradewind.audit.vulnerabilities.severity import Severity

State = Literal["removed", "metadata-only", "present-untouched", "present-loaded", "unknown"]
"""removed: no file of what is vulnerable is left. metadata-only: nothing but the manager's records is left.
present-untouched: its files are there and no run opened one. present-loaded: a run opened or imported one.
unknown: no one can say; never a pass."""
Scope = Literal["package", "modules"]
PARTIAL = ("audit-hook",)
"""Tracers that see what the interpreter opens and not what C libraries and the loader do."""
MOST_PATHS = 20
"""Paths that a finding shows at most."""

_COMPILED = re.compile(r"(?P<stem>[^/]+)\.(?:cpython|pypy)-?\d+(?:\.opt-\d)?\.pyc")
_EXTENSION = re.compile(r"\.(?:[^./]+\.)?(?:so|pyd)$|\.pyc?$")


class Remains(Struct, frozen=True):
    """What of a package is in a tree."""

    code: tuple[str, ...]
    """Its files that are no records, in order; links are not among them: where they lead is what counts."""
    records: tuple[str, ...]

    @property
    def state(self) -> Literal["code", "metadata-only", "removed"]:
        """`code` if any of its code is there."""
        return "code" if self.code else "metadata-only" if self.records else "removed"


class Finding(Struct, frozen=True):
    """One vulnerability of one package, and what is proved of it."""

    package: str
    """The package's key."""
    name: str
    version: str
    manager: str
    id: str
    names: tuple[str, ...]
    severity: Severity
    score: float | None
    before: State
    after: State | None
    """None where nothing was slimmed."""
    scope: Scope
    """Whether the modules that the advisory names were looked for, or the package as a whole."""
    paths: tuple[str, ...]
    """What proves the last state, at most MOST_PATHS: what was opened, else what is there."""
    files: int
    """How many such paths there are."""
    why: str
    affected: str
    """The range, or the version, that holds the installed one."""
    fixed: tuple[str, ...]
    sources: tuple[str, ...]
    summary: str = ""
    references: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Where it stands in the end."""
        return self.before if self.after is None else self.after


class Unanswered(Struct, frozen=True):
    """A package of which nobody can say whether it has vulnerabilities besides those that are found."""

    package: str
    why: str
    before: Literal["metadata-only", "removed", "unknown"]
    after: Literal["metadata-only", "removed", "unknown"] | None

    @property
    def state(self) -> Literal["metadata-only", "removed", "unknown"]:
        """Where it stands in the end: what is gone has no vulnerability, whoever knows of it."""
        return self.before if self.after is None else self.after


class Evidence:
    """An inventory, what is kept of its tree, and what runs touched.

    `kept` are the original's paths whose content is in the slim tree (`slimming.databases.kept_files`;
    neither placeholders nor filtered databases are), or None where nothing was slimmed; `runs` are recorded
    runs, of which none means that nobody can say what is loaded.
    """

    def __init__(
        self, inventory: Inventory, kept: Collection[str] | None = None, runs: Iterable[Run] = ()
    ) -> None:
        self.inventory = inventory
        self.kept = None if kept is None else frozenset(kept)
        self.runs = tuple(runs)
        self.touched: Touched = joined(self.runs)
        self.blind = blind(self.runs)

    @cached_property
    def _compiled(self) -> dict[str, tuple[str, ...]]:
        """The compiled twins of each source file, by its path."""
        found: dict[str, list[str]] = {}
        for entry in self.inventory.tree:
            source = source_of(entry.path)
            if source is not None and entry.kind == "file":
                found.setdefault(source, []).append(entry.path)
        return {path: tuple(twins) for path, twins in found.items()}

    @cached_property
    def _whole(self) -> dict[str, Remains]:
        tree = self.inventory.tree
        found: dict[str, Remains] = {}
        for key, package in self.inventory.packages.items():
            records = set(package.records)
            code = {path for path in package.files if path not in records and _is_file(tree.get(path))}
            code.update(
                twin
                for path in package.files
                if path not in records
                for twin in self._compiled.get(path, ())
                if self.inventory.owners.get(twin, key) == key
            )
            found[key] = Remains(
                tuple(sorted(code)), tuple(sorted(path for path in records if _is_file(tree.get(path))))
            )
        return found

    def remains(self, key: str, slim: bool = True) -> Remains:
        """What of a package is in the slim tree; in the original without one, or if `slim` is False.

        Hard links are one file: if another name of it is kept, so is the file.
        """
        whole = self._whole[key]
        if self.kept is None or not slim:
            return whole
        return Remains(self._left(whole.code), self._left(whole.records))

    def _left(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        assert self.kept is not None
        tree, names = self.inventory.tree, self.inventory.tree.names
        return tuple(
            path
            for path in paths
            if path in self.kept or any(o in self.kept for o in names.get(tree.entries[path].node, ()))
        )

    def retained(self) -> tuple[str, ...]:
        """The packages that still have code, in order: what a scanner of package databases should see."""
        return tuple(key for key in self.inventory.packages if self.remains(key).code)

    def finding(self, match: Match) -> Finding:
        """What is proved about a match."""
        package = self.inventory.packages[match.package]
        scope, whole = self._scope(match.package, match.advisory)
        before, paths, why = self._state(match, whole, slim=False)
        after: State | None = None
        if self.kept is not None:
            after, paths, why = self._state(match, whole, slim=True)
        return Finding(
            package=match.package,
            name=package.name,
            version=package.version,
            manager=package.manager,
            id=match.advisory.id,
            names=match.names,
            severity=match.advisory.severity,
            score=match.advisory.score,
            before=before,
            after=after,
            scope=scope,
            paths=paths[:MOST_PATHS],
            files=len(paths),
            why=why,
            affected=match.why,
            fixed=match.fixed,
            sources=match.sources,
            summary=match.advisory.summary,
            references=match.advisory.references,
        )

    def _scope(self, key: str, advisory: Advisory) -> tuple[Scope, tuple[str, ...]]:
        """The code that is vulnerable: of the named modules where they are found, else all of the package."""
        code = self._whole[key].code
        modules = {name for each in advisory.imports for name in each.modules}
        if modules and self.inventory.packages[key].manager == "pip":
            named = tuple(path for path in code if module_names(path) & modules)
            # A module that no file of the package answers to is the advisory's business, not a proof.
            if named and all(any(m in module_names(path) for path in named) for m in modules):
                return "modules", named
        return "package", code

    def _state(
        self, match: Match, scope: tuple[str, ...], *, slim: bool
    ) -> tuple[State, tuple[str, ...], str]:
        remains = self.remains(match.package, slim)
        there = self._left(scope) if slim and self.kept is not None else scope
        if not remains.code:
            if remains.records:
                return "metadata-only", remains.records, "only the manager's records of it are there"
            return "removed", (), "none of its files is there"
        if not there:
            return "removed", (), "the modules that are vulnerable are not there, others of the package are"
        if not match.certain:
            return "unknown", there, f"whether {match.package} is affected cannot be said: {match.why}"
        loaded = self._loaded(there)
        if loaded:
            return "present-loaded", loaded, f"a run opened {len(loaded)} of its {len(there)} files"
        if self.blind:
            return "unknown", there, f"its code is there; whether it is loaded cannot be said: {self.blind}"
        return "present-untouched", there, f"no run opened any of its {len(there)} files"

    def _loaded(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        opened, modules = self.touched.opened, self.touched.modules
        tree, names = self.inventory.tree, self.inventory.tree.names
        return tuple(
            path
            for path in paths
            if path in opened
            or any(other in opened for other in names.get(tree.entries[path].node, ()))
            or (modules and not modules.isdisjoint(module_names(path)))
        )

    def unanswered(self, key: str, why: str) -> Unanswered:
        """A package that nobody clears: unknown as long as there is code of it."""
        before = self.remains(key, slim=False).state
        after = None if self.kept is None else self.remains(key).state
        return Unanswered(
            key,
            why,
            "unknown" if before == "code" else before,
            "unknown" if after == "code" else after,
        )


class Report(Struct, frozen=True):
    """All that is known of the vulnerabilities of an image."""

    findings: tuple[Finding, ...]
    unanswered: tuple[Unanswered, ...]
    cleared: int
    """Packages that have no finding and that a source clears."""
    matching: Matching

    @property
    def counts(self) -> dict[State, int]:
        """Findings by their last state."""
        order: tuple[State, ...] = (
            "present-loaded",
            "present-untouched",
            "unknown",
            "metadata-only",
            "removed",
        )
        return {state: sum(each.state == state for each in self.findings) for state in order}


def report(evidence: Evidence, matching: Matching) -> Report:
    """What is proved about every match, worst first, and every package that nobody clears."""
    states: tuple[State, ...] = ("present-loaded", "unknown", "present-untouched", "metadata-only", "removed")
    levels: tuple[Severity, ...] = ("critical", "high", "unrated", "medium", "low", "none")
    findings = sorted(
        (evidence.finding(each) for each in matching.matches),
        key=lambda each: (states.index(each.state), levels.index(each.severity), each.package, each.id),
    )
    unanswered = tuple(evidence.unanswered(key, why) for key, why in matching.unknown.items())
    return Report(tuple(findings), unanswered, len(matching.cleared), matching)


def blind(runs: Collection[Run]) -> str:
    """Why these runs do not prove that what they did not open is not loaded; empty if they do."""
    if not runs:
        return "no run is recorded"
    for run in runs:
        header = run.header
        if header.lost:
            return f"the run {header.name!r} lost {header.lost} events"
        if "open" not in header.sees or header.backend in PARTIAL:
            return f"the tracer {header.backend!r} of the run {header.name!r} does not see all that is opened"
    return ""


def source_of(path: str) -> str | None:
    """The source file that a compiled one in `__pycache__` is of; None for any other path."""
    folder, _, name = path.rpartition("/")
    above, _, last = folder.rpartition("/")
    found = _COMPILED.fullmatch(name) if last == "__pycache__" else None
    if found is None:
        return None
    return f"{above}/{found['stem']}.py" if above else f"{found['stem']}.py"


def module_names(path: str) -> frozenset[str]:
    """The dotted names that a file may be imported by; `x/__init__.py` stands for `x`.

    Below `site-packages` or `dist-packages` that is one; elsewhere every tail of the path, as a tree does not
    tell where Python looks.
    """
    plain = source_of(path) or path
    if not _EXTENSION.search(plain):
        return frozenset()
    parts = _EXTENSION.sub("", plain).split("/")
    if parts[-1] == "__init__":
        parts.pop()
    for at in range(len(parts) - 1, -1, -1):
        if parts[at] in ("site-packages", "dist-packages"):
            return frozenset({".".join(parts[at + 1 :])} if at + 1 < len(parts) else ())
    return frozenset(".".join(parts[at:]) for at in range(len(parts)))


def _is_file(entry: object) -> bool:
    return getattr(entry, "kind", "") == "file"
