"""From the events of a run to what it touched of its tree."""

from __future__ import annotations

from collections.abc import Iterable

from tradewind.audit.tracing.events import Event, Touched
from tradewind.audit.trees import Tree

NOT_OURS = ("/proc", "/sys", "/dev")
"""What a confined run gets anew, whatever the tree has there."""


def read_events(events: Iterable[Event], tree: Tree, written: Iterable[str] = ()) -> Touched:
    """What a run's events come to, as paths in the tree with links resolved.

    `written` are paths, relative to the root, that the run is known to have made or changed, from the layer
    that took them. A file that was only written to counts as probed if the tree had it: it had to be there.
    An event that failed though the tree has its path (no permission, no directory) counts as probed too.
    """
    reader = _Reader(tree, written)
    for event in events:
        reader.take(event)
    return reader.touched()


class _Reader:
    def __init__(self, tree: Tree, written: Iterable[str]) -> None:
        self.tree = tree
        self.written = set(written)
        self.opened: set[str] = set()
        self.probed: set[str] = set()
        self.listed: set[str] = set()
        self.hops: set[str] = set()
        self.missed: set[str] = set()
        self.modules: set[str] = set()
        self._resolved: dict[str, tuple[str | None, tuple[str, ...]]] = {}

    def take(self, event: Event) -> None:
        """Count one event."""
        path = event.path
        if event.op == "import":
            if event.ok:
                self.modules.add(path)
            return
        if any(path == each or path.startswith(each + "/") for each in NOT_OURS):
            return
        found, hops = self._resolve(path)
        self.hops.update(hops)
        if event.op == "readlink" or (found is None and event.ok):
            # A link that is read, or asked for itself, may well lead nowhere.
            self._take_link(path)
        if found is None:
            if event.op == "write" and event.ok:
                self.written.add(path.strip("/"))
            elif not event.ok and path.strip("/") not in self.written:
                self.missed.add(path)
            return
        self._take_found(event, found)

    def _take_found(self, event: Event, found: str) -> None:
        entry = self.tree.get(found)
        if event.op == "write":
            if event.ok:
                self.written.add(found)
            if entry is not None:
                self.probed.add(found)
        elif entry is None or entry.kind == "directory":
            if found and event.ok and event.op in ("list", "open"):
                self.listed.add(found)
            if entry is not None:
                self.probed.add(found)
        elif event.ok and event.op in ("open", "execute", "map"):
            self.opened.add(found)
        else:
            self.probed.add(found)

    def _take_link(self, path: str) -> None:
        folder, _, name = path.rstrip("/").rpartition("/")
        where, hops = self._resolve(folder or "/")
        self.hops.update(hops)
        if where is None:
            return
        link = f"{where}/{name}".strip("/")
        entry = self.tree.get(link)
        if entry is not None and entry.kind == "link":
            self.hops.add(link)
            self.probed.add(link)

    def _resolve(self, path: str) -> tuple[str | None, tuple[str, ...]]:
        known = self._resolved.get(path)
        if known is None:
            known = self._resolved[path] = self.tree.resolve(path)
        return known

    def touched(self) -> Touched:
        """All that was counted."""
        return Touched(
            opened=frozenset(self.opened),
            probed=frozenset(self.probed - self.opened),
            listed=frozenset(self.listed),
            written=frozenset(self.written),
            hops=frozenset(self.hops),
            missed=frozenset(self.missed),
            modules=frozenset(self.modules),
        )
