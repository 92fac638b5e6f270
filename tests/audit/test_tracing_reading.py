"""Events to what was touched: links resolved, and each kind of touch in its own set."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.audit.tracing.events import Event
from tradewind.audit.tracing.reading import read_events
from tradewind.audit.trees import Entry, Tree

TREE = Tree(
    [
        Entry("usr", "directory"),
        Entry("usr/bin", "directory"),
        Entry("usr/bin/sh", "file", 4),
        Entry("usr/bin/env", "file", 4),
        Entry("bin", "link", target="usr/bin"),
        Entry("bash", "link", target="/bin/sh"),
        Entry("dangling", "link", target="nowhere"),
        Entry("proc", "directory"),
    ]
)


def touched(*events: tuple, written=()):
    return read_events([Event(0.0, 1, op, path, ok) for op, path, ok in events], TREE, written)


def test_links_on_the_way_are_told_apart_from_what_they_lead_to():
    read = touched(("open", "/bash", True), ("execute", "/bin/../bin/env", True))
    assert read.opened == {"usr/bin/sh", "usr/bin/env"}
    assert read.hops == {"bash", "bin"}


def test_a_file_that_is_opened_later_is_not_only_probed():
    read = touched(
        ("stat", "/usr/bin/sh", True), ("open", "/usr/bin/sh", True), ("stat", "/usr/bin/env", True)
    )
    assert read.opened == {"usr/bin/sh"} and read.probed == {"usr/bin/env"}


def test_directories_are_listed_or_probed():
    read = touched(("open", "/bin", True), ("stat", "/usr", True), ("list", "/", True))
    assert read.listed == {"usr/bin"} and read.probed == {"usr", "usr/bin"} and not read.opened


def test_what_is_not_there_is_missed_and_what_may_not_be_opened_is_probed():
    read = touched(("open", "/none", False), ("open", "/usr/bin/sh", False), ("open", "/usr/bin/sh/x", False))
    assert read.missed == {"/none", "/usr/bin/sh/x"} and read.probed == {"usr/bin/sh"} and not read.opened


def test_what_the_run_made_is_written_and_not_missed():
    read = touched(
        ("write", "/new", True),
        ("open", "/new", True),
        ("write", "/usr/bin/sh", True),
        ("stat", "/out", False),
        written=("out",),
    )
    assert read.written == {"new", "usr/bin/sh", "out"}
    assert read.probed == {"usr/bin/sh"} and not read.missed and not read.opened


def test_a_link_that_is_read_counts_though_it_leads_nowhere():
    read = touched(("readlink", "/dangling", True), ("stat", "/dangling", False))
    assert "dangling" in read.hops and read.missed == {"/dangling"}


def test_modules_are_names_and_our_own_mounts_are_nothing():
    read = touched(
        ("import", "json", True), ("import", "simplejson", False), ("open", "/proc/self/maps", True)
    )
    assert read.modules == {"json"} and not read.opened | read.probed | read.missed


PATHS = st.sampled_from(
    ["/bash", "/bin/sh", "/usr/bin/env", "/bin", "/x", "/usr/../bin/sh", "/dangling", "/"]
)
EVENTS = st.lists(
    st.tuples(st.sampled_from(["open", "execute", "stat", "readlink", "list", "write"]), PATHS, st.booleans())
)


@given(EVENTS, EVENTS)
@settings(max_examples=40, deadline=None)
def test_more_events_never_touch_less_and_everything_touched_is_in_the_tree(first, second):
    less, more = touched(*first), touched(*first, *second)
    assert less.opened <= more.opened and less.hops <= more.hops and less.listed <= more.listed
    assert less.probed <= more.probed | more.opened
    for each in (more.opened, more.probed, more.listed, more.hops):
        assert all(path in TREE for path in each)
    assert not more.opened & more.probed
