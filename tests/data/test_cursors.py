import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.data.cursors import Reading, check_reading
from tradewind.errors import Misuse

readings = st.builds(
    lambda rows, workers, batch, epochs, seed: [
        Reading(rows, worker, workers, batch, epochs, seed) for worker in range(workers)
    ],
    st.integers(1, 60), st.integers(1, 9), st.integers(1, 13), st.integers(1, 3),
    st.none() | st.integers(0, 99),
)  # fmt: skip


@given(readings)
def test_every_row_is_read_once_an_epoch(parts):
    seen = [[] for _ in range(parts[0].epochs)]
    for part in parts:
        for index in range(part.length):
            place = part.place(index)
            assert part.rows_before(index + 1) - part.rows_before(index) == place.stop - place.start > 0
            seen[place.epoch].extend(range(place.start, place.stop))
        assert part.rows_before(0) == 0
    assert all(sorted(rows) == list(range(parts[0].rows)) for rows in seen)


@given(readings)
def test_a_seed_alone_decides_the_order(parts):
    first = parts[0]
    if first.seed is None:
        starts = [first.place(index).start for index in range(first.per_epoch)]
        assert starts == sorted(starts)
    again = Reading(first.rows, 0, first.workers, first.batch_size, first.epochs, first.seed)
    assert [again.place(i) for i in range(first.length)] == [first.place(i) for i in range(first.length)]


def test_epochs_are_shuffled_differently():
    part = Reading(1000, 0, 1, 10, 2, seed=5)
    first, second = [[part.place(i + 100 * epoch).start for i in range(100)] for epoch in range(2)]
    assert first != second and sorted(first) == sorted(second) == list(range(0, 1000, 10))


@pytest.mark.parametrize(
    ("numbers", "field"),
    [((0, 0, 1, 1), "of"), ((0, 1, 0, 1), "batch_size"), ((0, 1, 1, 0), "epochs"), ((2, 2, 1, 1), "worker")],
)
def test_numbers_that_make_no_reading_are_misuse(numbers, field):
    with pytest.raises(Misuse) as told:
        check_reading("x", *numbers)
    assert told.value.field == field
