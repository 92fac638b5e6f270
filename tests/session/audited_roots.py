"""A small root with runs that were never made, for whoever tells of an audit."""

from tradewind.audit.images.opening import open_files
from tradewind.audit.tracing.events import Event, Run, RunHeader
from tradewind.audit.tracing.outcome import Outcome, Recorded
from tradewind.audit.tracing.reading import read_events
from tradewind.audit.tracing.workload import Workload
from tradewind.session.audit.profile import profile_of
from tradewind.testing.images import small_root

OPENED = {
    "first": ("/usr/bin/demo", "/usr/lib/python3/dist-packages/demo/__init__.py"),
    "second": ("/usr/bin/demo", "/usr/share/demo/data.txt"),
}


def profiled(folder):
    """The root at `folder/root` and a profile of two runs of it at `folder/profile`."""
    root = small_root(folder / "root")
    with open_files(root) as image:
        profile = profile_of(folder / "profile", image)
        for name, paths in OPENED.items():
            events = tuple(Event(0.1 * n, 7, "open", path) for n, path in enumerate(paths))
            header = RunHeader(
                "tradewind-trace-1", name, "strace", ("/usr/bin/demo", name), image.digest, 0, 0.5,
                ("open", "execute", "stat", "readlink"),
            )  # fmt: skip
            run = Run(header, read_events(events, image.files.tree))
            profile.keep(Recorded(run, Outcome(0, b"", b""), events), Workload(name, header.command))
    return root, profile
