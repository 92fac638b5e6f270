"""Pages of an image's files that its recorded runs touch, measured by running them again, and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from tradewind.audit.bloat.pages import PageBloat, TouchedPages, page_bloat, prefetch_list
from tradewind.audit.bloat.touched_pages import forget, resident, touched_cold, why_not_cold
from tradewind.audit.slimming.lists import as_lines
from tradewind.audit.tracing.backends.running import run_confined
from tradewind.audit.tracing.workload import Workload
from tradewind.data.durable_files import write_durably
from tradewind.errors import Misuse
from tradewind.session.audit.exclusive import alone_in
from tradewind.session.audit.profile import Profile
from tradewind.session.audit.steps import confined_profile, scratch_in, succeeded
from tradewind.session.audit.subject import Subject

FORMAT, FILE = "tradewind-pages-1", "pages.json"


class PageRecord(Struct, frozen=True, kw_only=True):
    """What all runs of a profile together touched, by pages."""

    format: str = FORMAT
    tree: str
    """The digest of the tree."""
    workloads: tuple[Workload, ...]
    """The runs that were made."""
    exact: bool
    touched: tuple[TouchedPages, ...]
    unseen: tuple[str, ...] = ()
    """Files that the kernel told nothing of."""


def measure_pages(subject: Subject, told: Callable[[str], None] = lambda _: None) -> PageRecord:
    """Run the profile's workloads once more and ask the kernel which pages they touched; kept in the profile.

    As root on a cold copy with read-ahead off, which is exact; else on the tree as it lies, which gives an
    upper bound; `told` hears why. Permanent for a workload that fails, Misuse where there is no room.
    """
    profile = confined_profile(subject)
    subject.needs_runs()
    about = profile.about

    with alone_in(profile.folder), scratch_in(profile.folder) as scratch:

        def work(root: Path) -> None:
            for workload in about.workloads:
                succeeded(workload, run_confined(root, workload, scratch=scratch))

        root = profile.root()
        if why := why_not_cold():
            told(f"measured as the tree lies: {why}")
            forget(root)
            work(root)
            found = resident(root)
        else:
            found = touched_cold(root, work, scratch)
        record = PageRecord(
            tree=about.tree, workloads=about.workloads, exact=found.exact, touched=found.touched,
            unseen=found.unseen,
        )  # fmt: skip
        write_durably(profile.folder / FILE, msgspec.json.encode(record))
    return record


def kept_record(profile: Profile) -> PageRecord | None:
    """What was measured of the profile's runs as they are now; None where nothing was, or others were made.

    Misuse if the record is damaged.
    """
    path = profile.folder / FILE
    if not path.exists():
        return None
    try:
        record = msgspec.json.decode(path.read_bytes(), type=PageRecord)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Misuse(
            f"cannot be read ({problem})", source=str(path), fix="Measure the pages again."
        ) from None
    about = profile.about
    same = (record.format, record.tree, record.workloads) == (FORMAT, about.tree, about.workloads)
    return record if same else None


def pages_of(subject: Subject) -> PageBloat | None:
    """How much of what is kept was touched, by the last measurement; None where there is none that holds."""
    record = kept_record(subject.profile) if subject.profile is not None and subject.runs else None
    if record is None:
        return None
    kept, owners = subject.closure.kept.paths, subject.inventory.owners
    return page_bloat(subject.tree, kept, record.touched, exact=record.exact, owners=owners)


def write_prefetch(subject: Subject, path: Path) -> int:
    """Write what to fetch ahead as lines of JSON, in the order of first opening; how many stretches.

    Each is a path, an offset and a length, in bytes, of a kept file: what formats that load lazily (eStargz,
    SOCI, Nydus) take as a hint. Misuse if no pages were measured.
    """
    profile = subject.profile
    record = kept_record(profile) if profile is not None else None
    if profile is None or record is None:
        raise Misuse("no pages were measured of these runs", field="prefetch", fix="Give --pages too.")
    kept = subject.closure.kept
    found = prefetch_list([e for e in record.touched if e.path in kept], order=profile.first_opened())
    write_durably(path, b"".join(as_lines(msgspec.structs.replace(e, path=f"/{e.path}") for e in found)))
    return len(found)
