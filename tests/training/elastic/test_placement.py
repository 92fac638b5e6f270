"""Which instance hosts which logical workers."""

from hypothesis import given
from hypothesis import strategies as st

from tradewind.market.leases import LeaseId
from tradewind.training.elastic.placement import place

A, B, C = LeaseId("a"), LeaseId("b"), LeaseId("c")
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


def test_nobody_to_host() -> None:
    assert place({A: (1, 2)}, {}, EIGHT) == {}


leases = st.sampled_from([LeaseId(name) for name in "abcdef"])


@given(
    st.dictionaries(leases, st.frozensets(st.integers(0, 15), max_size=8)),
    st.dictionaries(leases, st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=1),
    st.frozensets(st.integers(0, 15)),
)
def test_everyone_is_hosted_once_and_no_move_helps(current, speeds, workers) -> None:
    seen: set[int] = set()
    disjoint = {}
    for lease, those in current.items():
        disjoint[lease] = tuple(sorted(those - seen))
        seen |= those
    placed = place(disjoint, speeds, sorted(workers))
    assert sorted(each for those in placed.values() for each in those) == sorted(workers)
    slowest = max(len(those) / speeds[lease] for lease, those in placed.items())
    assert all((len(those) + 1) / speeds[lease] >= slowest for lease, those in placed.items())
    assert place(placed, speeds, sorted(workers)) == placed
