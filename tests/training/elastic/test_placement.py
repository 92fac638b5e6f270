"""Which instance hosts which logical workers."""

from hypothesis import given
from hypothesis import strategies as st

from tradewind.market.leases import LeaseId
from tradewind.training.elastic.placement import place

A, B, C, D = (LeaseId(name) for name in "abcd")
EIGHT = range(8)


def test_equal_instances_share_equally() -> None:
    assert [len(each) for each in place({}, {A: 1.0, B: 1.0}, EIGHT).values()] == [4, 4]


def test_twice_the_speed_gets_twice_the_workers() -> None:
    placed = place({}, {A: 2.0, B: 1.0, C: 1.0}, EIGHT)
    assert [len(placed[lease]) for lease in (A, B, C)] == [4, 2, 2]


def test_a_loss_moves_only_what_was_lost() -> None:
    before = place({}, {A: 1.0, B: 1.0, C: 1.0}, EIGHT)
    after = place(before, {A: 1.0, B: 1.0}, EIGHT)
    assert set(before[A]) <= set(after[A]) and set(before[B]) <= set(after[B])


def test_a_newcomer_takes_from_the_fullest() -> None:
    before = place({}, {A: 1.0, B: 1.0}, EIGHT)
    after = place(before, {A: 1.0, B: 1.0, C: 1.0}, EIGHT)
    assert len(after[C]) == 2 and all(len(after[lease]) == 3 for lease in (A, B))


def test_who_lost_its_host_goes_back_to_the_one_before() -> None:
    """Scale-down: the data is still read where it was read before."""
    before = {A: (0, 1, 2, 3), B: (4, 5, 6, 7)}
    wider = place(before, {A: 1.0, B: 1.0, C: 1.0, D: 1.0}, EIGHT)
    former = {worker: (lease,) for lease, those in before.items() for worker in those}
    assert place(wider, {A: 1.0, B: 1.0}, EIGHT, former) == before
    assert place(wider, {A: 1.0, B: 1.0}, EIGHT) != before, "nothing would have been shown"


def test_the_latest_of_the_former_hosts_comes_first_and_those_that_are_gone_do_not_count() -> None:
    assert place({}, {A: 1.0, B: 1.0}, [0], {0: (A, B)})[B] == (0,)
    assert place({}, {A: 1.0, B: 1.0}, [0], {0: (B, A, C)})[A] == (0,)


def test_nobody_goes_back_where_that_would_make_others_wait() -> None:
    former = {worker: (A,) for worker in EIGHT}
    placed = place({}, {A: 1.0, B: 1.0}, EIGHT, former)
    assert [len(each) for each in placed.values()] == [4, 4]


def test_nobody_to_host() -> None:
    assert place({A: (1, 2)}, {}, EIGHT) == {}


leases = st.sampled_from([LeaseId(name) for name in "abcdef"])


@given(
    st.dictionaries(leases, st.frozensets(st.integers(0, 15), max_size=8)),
    st.dictionaries(leases, st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=1),
    st.frozensets(st.integers(0, 15)),
    st.dictionaries(st.integers(0, 15), st.lists(leases, max_size=3)),
)
def test_everyone_is_hosted_once_and_no_move_helps(current, speeds, workers, former) -> None:
    seen: set[int] = set()
    disjoint = {}
    for lease, those in current.items():
        disjoint[lease] = tuple(sorted(those - seen))
        seen |= those
    placed = place(disjoint, speeds, sorted(workers), former)
    assert sorted(each for those in placed.values() for each in those) == sorted(workers)
    slowest = max(len(those) / speeds[lease] for lease, those in placed.items())
    assert all((len(those) + 1) / speeds[lease] >= slowest for lease, those in placed.items())
    assert place(placed, speeds, sorted(workers), former) == placed
    unplaced = sum(each not in seen for each in workers)
    if not unplaced:
        assert placed == place(disjoint, speeds, sorted(workers))
