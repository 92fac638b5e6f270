import gzip
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from scipy.sparse import csr_matrix

from tradewind.data import streams
from tradewind.data.stored import StoredData
from tradewind.data.streamed import StreamedData
from tradewind.data.streams import open_data
from tradewind.errors import Misuse

X = np.arange(30.0).reshape(10, 3) % 7
Y = np.arange(10.0) % 2


def rows_of(data):
    batches = list(data.part(0, 1, 4).batches())
    matrices = [batch.matrix() for batch in batches]
    dense = np.concatenate(
        [
            matrix.toarray() if batch.sparse else matrix
            for batch, matrix in zip(batches, matrices, strict=True)
        ]
    )
    return dense, np.concatenate([batch.labels for batch in batches])


def csv_file(path):
    path.write_text(
        "a,b,c,label\n" + "".join(f"{r[0]},{r[1]},{r[2]},{y}\n" for r, y in zip(X, Y, strict=True))
    )
    return path


def libsvm_file(path):
    lines = (
        f"{y} " + " ".join(f"{i + 1}:{v}" for i, v in enumerate(r) if v) + "\n"
        for r, y in zip(X, Y, strict=True)
    )
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


def parquet_file(path):
    columns = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "label": Y}
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


SOURCES = {
    "arrays": lambda p: open_data(X, Y),
    "pair": lambda p: open_data((X, Y)),
    "lists": lambda p: open_data(X.tolist(), Y.tolist()),
    "sparse": lambda p: open_data(csr_matrix(X), Y),
    "csv": lambda p: open_data(csv_file(p / "a.csv")),
    "nameless": lambda p: open_data(csv_file(p / "a"), format="csv"),
    "sniffed": lambda p: open_data(csv_file(p / "a.data")),
    "libsvm": lambda p: open_data(libsvm_file(p / "a.libsvm.gz"), features=3),
    "libsvm, sniffed": lambda p: open_data(libsvm_file(p / "a.gz")),
    "parquet": lambda p: open_data(parquet_file(p / "a.parquet")),
    "address": lambda p: open_data(f"file://{csv_file(p / 'a.csv')}"),
    "rows": lambda p: open_data([(x, y) for x, y in zip(X, Y, strict=True)]),
    "batches": lambda p: open_data([(X[:3], Y[:3]), (X[3:], Y[3:])]),
    "stream of rows": lambda p: open_data((x, y) for x, y in zip(X, Y, strict=True)),
    "stream of batches": lambda p: open_data(iter([(X[:3], Y[:3]), (X[3:], Y[3:])])),
    "stream of sparse": lambda p: open_data(iter([(csr_matrix(X[:3]), Y[:3]), (csr_matrix(X[3:]), Y[3:])])),
    "reopened": lambda p: open_data(lambda: zip(X, Y, strict=True)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_rows(name, tmp_path):
    data = SOURCES[name](tmp_path)
    assert data.schema.features == 3 and data.rows in (10, None)
    head = data.head(4)
    assert len(head) == 4
    dense, labels = rows_of(data)
    np.testing.assert_array_equal(dense, X)
    np.testing.assert_array_equal(labels, Y)


@pytest.mark.parametrize(
    ("source", "options", "told"),
    [
        (3, {}, "int is no source of data"),
        ("no/such/file.csv", {}, "no/such/file.csv: there is no such file"),
        ("adlt", {"format": "libsvm"}, "no such file"),
        (X, {"format": "cvs"}, "Did you mean 'csv'"),
        (X, {"labels": Y[:3]}, "X: y: shape (3,) for 10 rows"),
        (X, {"labels": Y, "features": 4}, "there are 3 features, not 4"),
        (X[:0], {"labels": Y[:0]}, "there are no rows"),
        (X[0], {}, "an array of 1 dimensions"),
        (np.array([["a"]]), {}, "features of type <U1"),
        (np.where(X == 3, np.nan, X), {"labels": Y}, "X: row 1: column 0: nan is not a finite number"),
        (X, {"labels": np.where(Y, np.nan, Y)}, "X: row 1: label: nan"),
        (X, {"labels": Y, "weights": -Y}, "X: weights"),
        ([], {}, "there are no rows"),
        (iter([]), {}, "there are no rows"),
        ([([1, 2], 0), ([1], 0)], {}, "row 1: 1 features where those before had 2"),
        ([(np.array([1, 2]), 0), np.array([1, 2])], {}, "row 1: no labels"),
        ([([1, 2], "a")], {}, "the label"),
    ],
)
def test_a_bad_source_is_one_clear_misuse(source, options, told):
    with pytest.raises(Misuse) as error:
        open_data(source, **options)
    assert told in str(error.value)


def test_bad_files_are_one_clear_misuse(tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    with pytest.raises(Misuse, match=r"empty\.csv: the file is empty"):
        open_data(empty)
    csv_file(tmp_path / "train.csv")
    with pytest.raises(Misuse, match=r"Did you mean 'train\.csv'"):
        open_data(tmp_path / "trian.csv")
    with pytest.raises(Misuse, match="trian"):
        open_data(csv_file(tmp_path / "x.csv"), label="trian")
    strange = tmp_path / "strange"
    strange.write_bytes(b"word\n")
    with pytest.raises(Misuse, match="neither the name nor the content"):
        open_data(strange)
    with pytest.raises(Misuse, match="this is a directory"):
        open_data(tmp_path)
    with pytest.raises(Misuse, match="go with arrays"):
        open_data(tmp_path / "x.csv", Y)
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(Misuse, match="no safetensors file"):
        open_data(tmp_path / "x.safetensors")
    with pytest.raises(Misuse, match="no names"):
        open_data(libsvm_file(tmp_path / "a.libsvm"), features=["a"])


def test_text_labels_become_classes():
    data = open_data(X, np.where(Y, "yes", "no"))
    assert data.schema.classes == ("no", "yes") and data.whole().labels.tolist() == Y.tolist()
    with pytest.raises(Misuse, match="'yes' is not among the classes"):
        open_data(X, np.where(Y, "yes", "no"), classes=("no", "maybe"))


def test_the_shipped_sample_is_adult():
    train, test = open_data("adult"), open_data("adult.test")
    assert (train.rows, test.rows) == (32561, 16281)
    assert train.schema.features == test.schema.features == 123
    assert sorted(set(train.whole().labels)) == [-1, 1]
    assert round(float((train.whole().labels > 0).mean()), 4) == 0.2408


def test_the_shipped_sample_is_the_public_one(bench_data):
    path = bench_data("learn/a9a.gz")
    assert open_data(path).digest() == open_data("adult").digest()


def test_a_file_is_parsed_once_and_again_when_it_changes(tmp_path):
    path = csv_file(tmp_path / "a.csv")
    first = open_data(path)
    assert open_data(path) is first and open_data(path, features=["a"]) is not first
    path.write_text("a,label\n1,0\n")
    assert open_data(path).rows == 1


def test_a_cache_is_mapped_by_the_next_process(tmp_path, monkeypatch):
    first = open_data("adult", cache=tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
    monkeypatch.setattr(streams, "_memo", {})
    monkeypatch.setattr(streams, "parse_libsvm", None)  # nothing is parsed
    second = open_data("adult", cache=tmp_path)
    assert second is not first and not second.whole().values.flags.owndata
    assert StoredData(second.table).digest() == first.digest()
    monkeypatch.undo()
    monkeypatch.setattr(streams, "_memo", {})
    kept = next(tmp_path.iterdir())
    kept.write_bytes(kept.read_bytes()[:1000])
    assert open_data("adult", cache=tmp_path).digest() == first.digest()


_OPEN = """
import sys
from tradewind.clock import stopwatch
from tradewind.data.streams import open_data
spent = stopwatch()
data = open_data("adult", cache=sys.argv[1])
next(data.part(0, 8, 1000).batches())
print(spent())
"""


def test_a_worker_that_joins_is_ready_at_once(tmp_path):
    open_data("adult", cache=tmp_path)
    run = subprocess.run([sys.executable, "-c", _OPEN, tmp_path], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 0.5


def test_kinds():
    assert isinstance(open_data(X, Y), StoredData)
    assert isinstance(open_data(iter([(X, Y)])), StreamedData)
