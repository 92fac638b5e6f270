"""Several runs as one: what each added to those before it, and whether the last ones still added anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tradewind.audit.packages import Inventory
from tradewind.audit.tracing.events import Operation, Run, Touched
from tradewind.audit.trees import Tree


class Added(Struct, frozen=True):
    """What one run opened that none before it had."""

    run: str
    files: int
    bytes: int
    """Hard links counted once, with those of the runs before."""
    probed: int
    """Paths that it was the first to ask for, and nobody has opened so far."""
    packages: tuple[str, ...] = ()
    """Keys of packages that it was the first to open a file of."""
    paths: tuple[str, ...] = ()


class Joined(Struct, frozen=True):
    """Several runs together."""

    touched: Touched
    added: tuple[Added, ...]
    """In the order of the runs."""
    sees: tuple[Operation, ...]
    """What every run's tracer saw; without `stat`, what was only asked for may have escaped."""
    lost: int
    """Events lost by all tracers together; with any, what was touched is only a part."""
    packages: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """By package key, the runs that opened a file of it."""

    @property
    def quiet(self) -> int:
        """How many runs at the end opened nothing new; with as many as all but the first, one was enough."""
        count = 0
        for each in reversed(self.added[1:]):
            if each.files:
                break
            count += 1
        return count

    @property
    def statement(self) -> str:
        """In words, whether more runs can be expected to open more."""
        if not self.added:
            return "Nothing was run, so nothing is known to be needed."
        total = len(self.touched.opened)
        if len(self.added) == 1:
            said = f"One run opened {total} files; whether another would open more is not known."
        elif self.quiet:
            last = "the last run" if self.quiet == 1 else f"the last {self.quiet} runs"
            said = f"{len(self.added)} runs opened {total} files, {last} nothing new: it has stopped growing."
        else:
            last_added = self.added[-1].files
            noun = "file that was" if last_added == 1 else "files that were"
            said = (
                f"{len(self.added)} runs opened {total} files, and the last still {last_added} {noun} new: "
                "it has not stopped growing, so trace more of what it is used for."
            )
        if self.lost:
            said += f" {self.lost} events were lost, so more was opened than is known."
        return said


def join_runs(runs: Sequence[Run], tree: Tree, inventory: Inventory | None = None) -> Joined:
    """What the runs touched together and what each added, in their order; by package where one is given."""
    total = Touched()
    added: list[Added] = []
    users: dict[str, list[str]] = {}
    for run in runs:
        new = run.touched.opened - total.opened
        keys = _packages(run.touched.opened, inventory)
        fresh = tuple(key for key in keys if key not in users)
        for key in keys:
            users.setdefault(key, []).append(run.header.name)
        before = tree.bytes_of(total.opened)
        asked = total.probed | total.opened
        total = total.joined(run.touched)
        added.append(
            Added(
                run=run.header.name,
                files=len(new),
                bytes=tree.bytes_of(total.opened) - before,
                probed=len(run.touched.probed - asked),
                packages=fresh,
                paths=tuple(sorted(new)),
            )
        )
    sees = set(runs[0].header.sees) if runs else set()
    for run in runs:
        sees &= set(run.header.sees)
    ordered = runs[0].header.sees if runs else ()
    return Joined(
        touched=total,
        added=tuple(added),
        sees=tuple(each for each in ordered if each in sees),
        lost=sum(run.header.lost for run in runs),
        packages=tuple((key, tuple(names)) for key, names in sorted(users.items())),
    )


def _packages(paths: Iterable[str], inventory: Inventory | None) -> tuple[str, ...]:
    if inventory is None:
        return ()
    return tuple(sorted({key for key in map(inventory.owners.get, paths) if key is not None}))
