import itertools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.data.schemas import Labels
from tradewind.data.streamed import StreamedData
from tradewind.data.streams import open_data
from tradewind.errors import Misuse, Temporary

X = np.arange(200.0).reshape(100, 2)
Y = np.arange(100.0)


def chunks(sizes):
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(X):
            return
        yield X[at : at + size], Y[at : at + size]
        at += size


def labels(batches):
    return [batch.labels.tolist() for batch in batches]


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.integers(1, 5),
    st.integers(1, 40),
    st.integers(1, 99),
)
def test_blocks_do_not_depend_on_how_the_rows_came(sizes, workers, size, head):
    stored = open_data(X, Y)
    for data, epochs in ((open_data(chunks(sizes)), 1), (open_data(lambda: chunks(sizes)), 2)):
        assert data.head(head).labels.tolist() == Y[:head].tolist()
        for worker in range(workers):
            found = labels(data.part(worker, workers, size, epochs).batches())
            assert found == labels(stored.part(worker, workers, size, epochs).batches())


def test_a_source_that_reopens_goes_on_from_any_cursor():
    data = open_data(lambda: chunks([7]))
    whole = labels(data.part(1, 3, 10, 2).batches())
    for cursor in range(len(whole) + 1):
        assert labels(data.part(1, 3, 10, 2).batches(cursor)) == whole[cursor:]


def test_a_stream_goes_back_over_its_last_batches_and_no_further():
    data = open_data(chunks([7]))
    part = data.part(0, 2, 5)
    first = labels(itertools.islice(part.batches(), 8))
    for cursor in (4, 6, 8):
        assert labels(itertools.islice(data.part(0, 2, 5).batches(cursor), 8 - cursor)) == first[cursor:]
    for cursor in (0, 3, 9):
        with pytest.raises(Misuse, match="the stream stands at 8 and keeps the last 4"):
            data.part(0, 2, 5).batches(cursor)
    other = labels(data.part(1, 2, 5).batches())
    rest = labels(part.batches(8))
    assert sorted(row for rows in first + rest + other for row in rows) == Y.tolist()


def test_parts_read_a_stream_at_once_and_nothing_is_lost_or_doubled():
    data = open_data(chunks([3, 8]))
    data.ahead = 2
    found = [[] for _ in range(4)]

    def read(worker):
        found[worker] = labels(data.part(worker, 4, 3).batches())

    readers = [threading.Thread(target=read, args=(worker,)) for worker in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(30)
    assert found == [labels(open_data(X, Y).part(worker, 4, 3).batches()) for worker in range(4)]


def test_a_part_that_nobody_reads_is_told():
    data = StreamedData(chunks([5]), "x")
    data.ahead, data.patience = 3, 0.01
    with pytest.raises(Temporary, match="x: worker 1 of 2 has stopped reading"):
        list(data.part(0, 2, 5).batches())


def test_an_endless_stream_is_read_as_it_comes():
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield [float(number)], 0.0

    data = open_data(endless())
    part = data.part(0, 1, 10)
    assert part.length is None and data.rows is None
    batches = part.batches()
    assert next(batches).dense.ravel().tolist() == [float(number) for number in range(10)]
    assert len(taken) == 10 and part.rows_before(3) == 30


def test_bad_rows_in_the_midst_are_told_by_their_number():
    def bad(row):
        return open_data(itertools.chain(zip(X[:20], Y[:20], strict=True), [row]), name="x")

    for row, told in (
        (([1.0], 0.0), "x: row 20: 1 features where those before had 2"),
        (([1.0, np.nan], 0.0), "x: row 20: column 1: nan is not a finite number"),
        (([1.0, 1.0], np.inf), "x: row 20: label: inf is not a finite number"),
        (([1.0, 1.0], "a"), "x: row 20: label: the label"),
        (np.ones(2), "x: row 20: no labels where|x: row 20: no labels"),
    ):
        data = bad(row)
        with pytest.raises(Misuse, match=told):
            list(data.part(0, 1, 4).batches())


def test_what_a_stream_cannot_do_is_misuse():
    data = open_data(chunks([5]))
    for options, told in (({"epochs": 2}, "passes once, not 2 times"), ({"seed": 1}, "cannot be shuffled")):
        with pytest.raises(Misuse, match=told):
            data.part(0, 1, 5, **options)
    data.part(0, 2, 5)
    with pytest.raises(Misuse, match="read by 2 workers in batches of 5"):
        data.part(0, 3, 5)
    with pytest.raises(Misuse, match="after reading began"):
        data.head(3)


def test_labels_of_a_stream_are_checked_as_far_as_they_are_known():
    data = open_data(iter([(X[:5], Y[:5])]))
    data.check_labels(Labels.NUMBER)
    with pytest.raises(Misuse, match="third class"):
        data.check_labels(Labels.BINARY)
    one = open_data(iter([(X[:5], np.zeros(5))]))
    one.check_labels(Labels.BINARY)
    assert one.digest() == open_data(iter([(X[:1], np.zeros(1))])).digest()
