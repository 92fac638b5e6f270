import numpy as np
import pytest

from tradewind.data.schemas import Labels, Schema, check_labels, column_index
from tradewind.errors import Misuse


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (Schema(4), "x: features: 4 features, but the job began with 3"),
        (Schema(3, labelled=False), "x: label: no labels"),
        (Schema(3, columns=("a", "b", "d")), "x: columns: the column is 'd' where the job began with 'c'"),
        (Schema(3, classes=("n", "y")), "x: label: the classes are n, y, but the job began with numbers"),
    ],
)
def test_rows_that_do_not_continue_the_job_are_misuse(later, told):
    with pytest.raises(Misuse) as error:
        later.check_continues(Schema(3, columns=("a", "b", "c")), "x")
    assert told in str(error.value)


def test_the_same_rows_continue_the_job_sparse_or_dense():
    Schema(3, sparse=True).check_continues(Schema(3, columns=("a", "b", "c")), "x")


def test_no_labels_and_too_many_classes_are_misuse():
    def where(row):
        return f"row {row}"

    with pytest.raises(Misuse, match="label: there are none"):
        check_labels(Labels.NUMBER, None, Schema(1), "x", where)
    with pytest.raises(Misuse, match="too many classes"):
        check_labels(Labels.CLASSES, np.arange(20_000.0), Schema(1), "x", where)


def test_columns_are_found_by_name_and_number():
    assert column_index("b", ("a", "b"), "x", "f") == column_index(-1, ("a", "b"), "x", "f") == 1
    with pytest.raises(Misuse, match="Did you mean 'price'"):
        column_index("prise", ("price", "b"), "x", "f")
