import csv
import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_svmlight_file

from tradewind.data.formats import parquet
from tradewind.data.formats.delimited import parse_csv
from tradewind.data.formats.libsvm import parse_libsvm
from tradewind.data.formats.numerals import (
    EXACT,
    LEFT_TO_PYTHON,
    NO_NUMBER,
    python_number,
    read_numeral,
    unpacked,
)
from tradewind.data.formats.parquet import parse_parquet
from tradewind.data.schemas import Labels
from tradewind.data.stored import StoredData
from tradewind.errors import MissingExtra, Misuse

numerals = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.from_regex(r"[+-]?[0-9]{0,4}\.?[0-9]{0,19}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.text("0123456789.eE+-_ x", max_size=8),
)


@settings(max_examples=300, deadline=None)
@given(numerals)
def test_a_numeral_is_read_as_python_reads_it(text):
    content = text.encode()
    value, how = read_numeral(np.frombuffer(content, np.uint8), 0, len(content))
    wanted = python_number(content)
    if how == EXACT:
        assert wanted is not None and value == float(text) and np.signbit(value) == np.signbit(float(text))
    else:
        assert (how == NO_NUMBER) == (wanted is None)
        assert how in (NO_NUMBER, LEFT_TO_PYTHON)


rows = st.lists(
    st.tuples(
        st.floats(-1e6, 1e6),
        st.dictionaries(
            st.integers(1, 50), st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=6
        ),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(rows, st.sampled_from(["\n", "\r\n", "\n\n", " # why\n"]))
def test_libsvm_reads_what_scikit_learn_reads(table, end):
    text = "".join(
        " ".join([repr(label), *(f"{index}:{value!r}" for index, value in sorted(row.items()))]) + end
        for label, row in table
    ).encode()
    found = parse_libsvm(text, "x", features=50)
    matrix, labels = load_svmlight_file(io.BytesIO(text), n_features=50, zero_based=False)
    np.testing.assert_array_equal(found.batch.labels, labels)
    np.testing.assert_array_equal(found.batch.matrix().toarray(), matrix.toarray().astype(np.float32))
    assert found.lines.tolist() == [1 + row * end.count("\n") for row in range(len(table))]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 1:2\nyes 1:2\n", "x: line 2: the label 'yes' is not a number"),
        ("1 1:2\n\n1 3:x\n", "x: line 3: the value of '3:x' is not a number"),
        ("1 3:\n", "x: line 1: the value of '3:' is not a number"),
        ("1 a:3\n", "x: line 1: the index of 'a:3' is not a whole number"),
        ("1 -1:3\n", "x: line 1: the index of '-1:3' is not a whole number"),
        ("1 7\n", "x: line 1: '7' is not index:value"),
        ("1 0:3\n", "x: line 1: '0:3' has index 0"),
        ("1 10:3\n1 11:1\n", "x: line 2: the index of '11:1' is too big: the data has 10 features"),
        ("1 99999999999999999999:3\n", "too big"),
        ("1 2:3 1:4\n", "x: line 1: the index of '1:4' does not ascend"),
        ("1 2:3 2:4\n", "x: line 1: the index of '2:4' does not ascend"),
        ("1 2:3\n1 2:nan\n", "x: line 2: a value is not a finite number"),
        ("-inf 2:3\n", "x: line 1: the label is not a finite number"),
        ("1 2:1e39\n", "x: line 1: a value is not a finite number"),
        ("1 2:1e999\n", "x: line 1: a value is not a finite number"),
        ("# nothing\n", "x: there are no rows"),
    ],
)
def test_bad_libsvm_is_one_clear_misuse(text, told):
    with pytest.raises(Misuse) as error:
        parse_libsvm(text.encode(), "x", features=10)
    assert told in str(error.value)


def test_libsvm_counts_features_and_takes_zero_based_indices():
    assert parse_libsvm(b"1 3:1\n0 7:1", "x").batch.features == 7
    found = parse_libsvm(b"1 0:1 3:1\n0\n", "x", zero_based=True)
    assert found.batch.features == 4 and found.batch.indices.tolist() == [0, 3]
    assert found.batch.indptr.tolist() == [0, 2, 2]
    coded = parse_libsvm(b"-1 1:1\n1 1:1\n", "x", classes=("-1", "1"))
    assert coded.batch.labels.tolist() == [0, 1] and coded.classes == ("-1", "1")


cells = st.one_of(st.floats(allow_nan=False, allow_infinity=False).map(repr), st.integers().map(str))
labels = st.text('abc,"é \n', min_size=1, max_size=4).filter(lambda text: text.strip())


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.tuples(labels, *[cells] * width), min_size=1, max_size=8)
    ),
    st.sampled_from([",", ";", "\t"]),
    st.booleans(),
)
def test_csv_reads_what_was_written(table, delimiter, header):
    names = ['kind, of "label"', *(f"f{place}" for place in range(len(table[0]) - 1))]
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows(
        ([names] if header else []) + [list(row) for row in table]
    )
    wanted = [[float(cell) for cell in row[1:]] for row in table]
    if any(abs(cell) == float("inf") for row in wanted for cell in row):
        return
    label = names[0] if header else 0
    found = parse_csv(file.getvalue().encode(), "x", label=label, header=header, delimiter=delimiter)
    assert found.batch.dense.tolist() == wanted
    assert [found.classes[code] for code in found.batch.labels] == [row[0].strip() for row in table]
    assert found.columns == (tuple(names[1:]) if header else ())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"])
)
def test_csv_with_and_without_quotes_is_the_same(table, end):
    plain = "a,b,label" + end + "".join(",".join(row) + end for row in table)
    quoted = '"a",b,label' + end + "".join(f'"{row[0]}",{row[1]},{row[2]}{end}' for row in table)
    try:
        one = parse_csv(plain.encode(), "x")
    except Misuse as error:
        with pytest.raises(Misuse) as other:
            parse_csv(quoted.encode(), "x")
        assert str(other.value) == str(error)
        return
    two = parse_csv(quoted.encode(), "x")
    np.testing.assert_array_equal(one.batch.dense, two.batch.dense)
    np.testing.assert_array_equal(one.batch.labels, two.batch.labels)
    np.testing.assert_array_equal(one.lines, two.lines)
    assert (one.columns, one.classes) == (two.columns, two.classes)


BAD_ROWS = [
    ("1,2\n", "x: line 3: 2 cells where there are 3 columns"),
    ("1,2,0,4\n", "x: line 3: 4 cells where there are 3 columns"),
    ("1,two,0\n", "x: line 3: column 'b': 'two' is not a number"),
    ("1,,0\n", "x: line 3: column 'b': the cell is empty"),
    (",1,0\n", "x: line 3: column 'a': the cell is empty"),
    ("1, NaN,0\n", "x: line 3: column 'b': not a finite number"),
    ("1,-inf,0\n", "x: line 3: column 'b': not a finite number"),
    ("1,1e999,0\n", "x: line 3: column 'b': not a finite number"),
    ("1,2,\n", "x: line 3: column 'label': the label is missing"),
    ("1,2,nan\n", "x: line 3: column 'label': the label 'nan' is not a finite number"),
]


@pytest.mark.parametrize(("row", "told"), BAD_ROWS)
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_bad_csv_row_is_one_clear_misuse(row, told, quote):
    with pytest.raises(Misuse) as error:
        parse_csv(f"{quote}a{quote},b,label\n1,2,0\n{row}3,4,1\n".encode(), "x")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("a,b,lable\n1,2,3\n", {}, "x: label: there is no column 'label'. Did you mean 'lable'?"),
        ("1,2,3\n", {"label": 3}, "x: label: there is no column 3"),
        ("1,2,3\n", {"header": False}, "no line of names"),
        ("a,label\n1,2\n", {"features": ["b"]}, "x: features: there is no column 'b'"),
        ("a,label\n1,2\n", {"features": ["a", "a"]}, "taken twice"),
        ("a,label\n1,2\n", {"features": 2}, "there are 1 feature columns, not 2"),
        ("a,a,label\n1,2,3\n", {"features": ["a"]}, "two columns are called 'a'"),
        ("label\n1\n", {}, "no feature column"),
        ("a,label\n", {}, "there are no rows"),
        ("a,w,label\n1,-1,3\n", {"weight": "w"}, "column 'w': -1.0 is no weight"),
        ('a,label\n1,"2\n', {}, "unexpected end of data"),
        ("a,label\n1,2\n", {"delimiter": ",,"}, "no delimiter"),
    ],
)
def test_bad_csv_is_one_clear_misuse(text, options, told):
    with pytest.raises(Misuse) as error:
        parse_csv(text.encode(), "x", **options)
    assert told in str(error.value)


def test_csv_finds_its_header_and_takes_columns_by_name_or_number():
    text = b"a,b,c\n1,2,3\n4,5,6\n"
    named = parse_csv(text, "x", label="c", features=["b"], weight="a")
    assert named.batch.dense.tolist() == [[2], [5]] and named.columns == ("b",)
    assert named.batch.weights.tolist() == [1, 4] and named.batch.labels.tolist() == [3, 6]
    assert parse_csv(text, "x", label=-1).columns == ("a", "b")
    bare = parse_csv(b"1,2,x\n4,5,y\n", "x", label=-1)
    assert bare.batch.dense.tolist() == [[1, 2], [4, 5]] and bare.classes == ("x", "y") and bare.columns == ()
    assert parse_csv(b"1,2\n", "x", label=None).batch.labels is None
    assert parse_csv(b"1,y\n", "x", label=1, classes=("x", "y")).batch.labels.tolist() == [1]
    with pytest.raises(Misuse, match="'z' is not among the classes"):
        parse_csv(b"1,z\n", "x", label=1, classes=("x", "y"))


def parquet_of(**columns):
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def test_parquet_reads_numbers_and_classes():
    found = parse_parquet(
        parquet_of(a=[1, 2], b=[True, False], label=["n", "y"], w=[0.5, 1.0]), "x", weight="w"
    )
    assert found.batch.dense.tolist() == [[1, 1], [2, 0]] and found.columns == ("a", "b")
    assert found.classes == ("n", "y") and found.batch.labels.tolist() == [0, 1]
    assert found.batch.weights.tolist() == [0.5, 1.0]
    assert parse_parquet(parquet_of(a=[1, 2], b=[3, 4]), "x", label="b").batch.labels.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"a": [1.0, None], "label": [1, 2]}, "x: row 1: column 'a': the cell is empty"),
        ({"a": ["u", "v"], "label": [1, 2]}, "x: column 'a': string is no kind of number"),
        ({"a": [1.0, float("nan")], "label": [1, 2]}, "x: row 1: a: nan is not a finite number"),
        ({"a": [1.0, 2.0], "labels": [1, 2]}, "there is no column 'label'. Did you mean 'labels'?"),
        ({"a": [], "label": []}, "there are no rows"),
    ],
)
def test_bad_parquet_is_one_clear_misuse(columns, told):
    with pytest.raises(Misuse) as error:
        parse_parquet(parquet_of(**columns), "x")
    assert told in str(error.value)


def test_damaged_parquet_and_absent_pyarrow(monkeypatch):
    with pytest.raises(Misuse, match="not a whole Parquet file"):
        parse_parquet(parquet_of(a=[1])[:-20], "x")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"tradewind\[parquet\]"):
        parquet.parse_parquet(b"", "x")


def test_gzip_is_unpacked_and_a_cut_one_is_misuse():
    packed = gzip.compress(b"1 1:2\n" * 1000)
    assert unpacked(packed, "x") == b"1 1:2\n" * 1000
    for bad in (packed[:-9], packed[:20], packed[:30] + b"\0\0\0" + packed[33:]):
        with pytest.raises(Misuse, match="x: the gzip data is damaged or cut off"):
            unpacked(bad, "x")
    with pytest.raises(Misuse, match="x: the file is empty"):
        unpacked(b" \n", "x")


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("a,label\n1,x\n1,y\n", Labels.NUMBER, "line 2: label: 'x' is text, not a number"),
        ("a,label\n1,0\n1,1\n1,0\n1,7\n", Labels.BINARY, "line 5: label: 7 is a third class"),
        ("a,label\n1,x\n1,y\n1,z\n", Labels.BINARY, "line 4: label: 'z' is a third class"),
        ("a,label\n1,3\n1,3\n", Labels.BINARY, "label: all are 3; there is nothing to tell apart"),
        ("a,label\n1,3\n1,3\n", Labels.CLASSES, "nothing to tell apart"),
        ("a,label\n1,3\n1,3.5\n1,4\n", Labels.CLASSES, "line 3: label: 3.5 is no class"),
    ],
)
def test_labels_of_a_wrong_kind_are_misuse(text, kind, told):
    data = StoredData(parse_csv(text.encode(), "x"))
    with pytest.raises(Misuse) as error:
        data.check_labels(kind)
    assert told in str(error.value)


def test_labels_of_a_right_kind_pass():
    data = StoredData(parse_csv(b"a,label\n1,-1\n1,1\n", "x"))
    for kind in Labels:
        data.check_labels(kind)
