"""Missing values in files: refused by name, kept as NaN, or filled; and columns of text."""

import numpy as np
import pytest

from tradewind.algorithms.mixing import text_numbers
from tradewind.data.streams import open_data
from tradewind.errors import Misuse

SIGNS = ["", "?", "NA", "n/a", "NaN", "nan", "null", "NULL", "None", " "]


@pytest.fixture
def write(tmp_path):
    def to(text: str, name: str = "rows.csv") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return to


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_missing_cell_of_a_csv_file(write, sign, place, quoted) -> None:
    cells = ["5", "6", "7"]
    cells[place] = sign
    label = '"1"' if quoted else "1"
    path = write(f"label,a,b,c\n{label},2,3,4\n0,{','.join(cells)}\n")
    with pytest.raises(Misuse, match=rf"line 3: column '{'abc'[place]}'"):
        open_data(path)
    kept = open_data(path, missing="keep").head(2).dense
    assert np.isnan(kept[1, place]) and np.isnan(kept).sum() == 1
    assert open_data(path, missing="mean").head(2).dense[1, place] == kept[0, place]


def test_what_is_neither_a_number_nor_missing_is_refused_in_any_way(write) -> None:
    for text, what in (
        ("a,label\nred,1\n", "'red' is not a number"),
        ("a,label\ninf,1\n", "not a finite number"),
        ('a,label\n-Infinity,"1"\n', "not a finite number"),
        ("a,label\n1,NA\n2,1\n", "line 2: column 'label': the label is missing"),
        ("a,label\n1\n", "1 cells"),
    ):
        with pytest.raises(Misuse, match=what):
            open_data(write(text), missing="keep")
    for text in (
        "a,w,label\n1,NaN,1\n",
        "a,w,label\n1,inf,1\n",
        'a,w,label\n1,nan,"1"\n',
        "a,label,w\n1,1,\n",
    ):
        with pytest.raises(Misuse, match="w"):
            open_data(write(text), weight="w", missing="keep")


def test_a_missing_value_of_a_libsvm_file(write) -> None:
    path = write("1 1:2 3:nan\n0 1:3 2:1\n", "rows.libsvm")
    with pytest.raises(Misuse, match="line 1: a value is not a finite number"):
        open_data(path)
    kept = open_data(path, missing="keep").head(2).matrix().toarray()
    assert np.isnan(kept[0, 2]) and np.isnan(kept).sum() == 1
    assert open_data(path, missing="mean").head(2).matrix().toarray()[0, 2] == 0.0
    with pytest.raises(Misuse, match="not a finite number"):
        open_data(write("1 1:inf\n", "other.libsvm"), missing="keep")


def test_nulls_of_a_parquet_file(tmp_path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    columns = {"a": [1.0, None, 3.0], "n": [4, 5, None], "city": ["Rome", None, "Oslo"], "label": [0, 1, 0]}
    parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(Misuse, match="row 1: column 'a'"):
        open_data(path, features=["a", "n"])
    kept = open_data(path, missing="keep", categories=["city"]).head(3).dense
    rome, oslo, empty = text_numbers(["Rome", "Oslo", ""])
    assert np.array_equal(kept, [[1, 4, rome], [np.nan, 5, empty], [3, np.nan, oslo]], equal_nan=True)
    text = open_data(path, features=["city"], categories=["city"]).head(3).dense
    assert text[:, 0].tolist() == text_numbers(["Rome", "", "Oslo"]).tolist()


@pytest.mark.parametrize("quoted", [False, True])
def test_columns_of_text_become_numbers(write, quoted) -> None:
    city = '"New York, NY"' if quoted else "New York"
    path = write(f"city,size,label\n{city},3,1\n Zürich ,4,0\n,5,1\n3,6,0\n")
    with pytest.raises(Misuse, match="line 2: column 'city'"):
        open_data(path)
    found = open_data(path, categories=["city"]).head(4).dense
    names = [city.strip('"'), "Zürich", "", "3"]
    assert found[:, 0].tolist() == text_numbers(names).tolist() and found[:, 1].tolist() == [3, 4, 5, 6]
    for way in ("keep", "mean"):
        kept = open_data(path, categories=["city"], missing=way).head(4).dense
        assert np.array_equal(kept, found), "an empty cell of text is a category, not a gap"
    with pytest.raises(Misuse, match="'label' is no feature"):
        open_data(path, categories=["label"])
    with pytest.raises(Misuse, match="Did you mean 'city'"):
        open_data(path, categories=["ctiy"])


def test_the_last_cell_of_text_may_be_empty(write) -> None:
    path = write("size,city,label\n1,a,0\n", "ok.csv")
    assert open_data(path, categories=[1]).head(1).dense[0, 1] == text_numbers(["a"])[0]
    path = write("label,size,city\n0,1,\n1,2,b\n", "last.csv")
    assert (
        open_data(path, categories=["city"]).head(2).dense[:, 1].tolist() == text_numbers(["", "b"]).tolist()
    )


def test_arrays_and_streams() -> None:
    x = np.array([[1.0, np.nan], [3.0, 4.0]])
    with pytest.raises(Misuse, match=r"row 0: column 1: nan.*missing='mean'"):
        open_data(x)
    assert np.isnan(open_data(x, missing="keep").head(2).dense[0, 1])
    for given in (lambda: iter([x]), iter([x])):
        assert np.isnan(open_data(given, missing="keep").head(2).dense[0, 1])
    with pytest.raises(Misuse, match="row 0: column 1"):
        open_data(iter([x]))
    with pytest.raises(Misuse, match="row 1: label"):
        open_data(x, np.array([1.0, np.nan]), missing="keep")
    with pytest.raises(Misuse, match="inf is not a finite number"):
        open_data(np.array([[np.inf]]), missing="keep")
    with pytest.raises(Misuse, match="Did you mean 'mean'"):
        open_data(x, missing="means")
    with pytest.raises(Misuse, match="categories= goes with files"):
        open_data(x, missing="keep", categories=[0])


def test_a_column_without_a_value_is_filled_with_zero() -> None:
    x = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert open_data(x, missing="mean").head(2).dense.tolist() == [[1.0, 0.0], [3.0, 0.0]]
