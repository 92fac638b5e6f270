import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from tradewind.data.stored import StoredData
from tradewind.data.streams import open_data
from tradewind.data.tensor_files import write_tensors
from tradewind.errors import Corrupt, Misuse

X = np.arange(300.0).reshape(100, 3) % 11
Y = np.arange(100.0)


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 3), st.none() | st.integers(0, 9), st.data())
def test_a_part_goes_on_from_any_cursor(workers, size, epochs, seed, data):
    stored = open_data(X, Y)
    seen = []
    for worker in range(workers):
        part = stored.part(worker, workers, size, epochs, seed)
        whole = [batch.labels.tolist() for batch in part.batches()]
        cursor = data.draw(st.integers(0, len(whole)))
        assert len(whole) == part.length
        assert [batch.labels.tolist() for batch in part.batches(cursor)] == whole[cursor:]
        assert part.rows_before(cursor) == sum(len(rows) for rows in whole[:cursor])
        seen.extend(row for rows in whole for row in rows)
    assert sorted(seen) == sorted(Y.tolist() * epochs)


def test_a_cursor_beyond_the_data_is_misuse():
    part = open_data(X, Y).part(0, 2, 10)
    for cursor in (-1, 6):
        with pytest.raises(Misuse, match="cursor"):
            part.batches(cursor)


def test_the_digest_tells_any_change():
    digests = {
        open_data(X, Y).digest(),
        open_data(X, Y + 1).digest(),
        open_data(X + 1, Y).digest(),
        open_data(X.astype(np.float32), Y).digest(),
        open_data(X, Y, weights=Y).digest(),
        open_data(csr_matrix(X), Y).digest(),
        open_data(X[:99], Y[:99]).digest(),
    }
    assert len(digests) == 7
    assert open_data(X.copy(), Y.copy()).digest() == open_data(X, Y).digest()


@pytest.mark.parametrize("sparse", [False, True])
def test_saved_rows_are_mapped_back(tmp_path, sparse):
    data = open_data(csr_matrix(X) if sparse else X, np.where(Y > 50, "y", "n"), weights=Y, name="x")
    data.save(tmp_path / "d.safetensors")
    found = open_data(tmp_path / "d.safetensors")
    assert (found.schema, found.name, found.digest()) == (data.schema, "x", data.digest())
    assert StoredData(found.table).digest() == data.digest()
    assert len(found.head(7)) == 7


def test_a_foreign_file_is_corrupt(tmp_path):
    write_tensors(tmp_path / "x.safetensors", {"a": X}, {})
    with pytest.raises(Corrupt, match="no data that Tradewind saved"):
        StoredData.load(tmp_path / "x.safetensors")
