"""CSV tables of measured runs in our own layout."""

import pytest

from tradewind.data.measured_runs.reading import measured_runs
from tradewind.data.measured_runs.table import read_table, write_table
from tradewind.errors import Misuse

TEXT = """workload,program,configuration,per_hour,seconds,status,dollars,machines,family,in_mb,seen_cpu
sort-1,sort,2xm5,0.2,1800,done,,2,m5,100,0.5
sort-1,sort,1xc5,0.1,60,failed,0.5,1,c5,100,
"""


def test_what_stands_in_a_file():
    whole, failed = read_table(TEXT, "past.csv")
    assert whole.dollars == pytest.approx(0.1) and failed.dollars == 0.5
    assert whole.features == {"machines": 2.0, "family": "m5"} and whole.inputs == {"mb": 100.0}
    assert (whole.seen, failed.seen, failed.status) == ({"cpu": 0.5}, {}, "failed")


def test_written_and_read_again(tmp_path):
    runs = read_table(TEXT, "past.csv")
    write_table(tmp_path / "again.csv", runs)
    assert measured_runs(tmp_path / "again.csv") == runs


@pytest.mark.parametrize(
    ("field", "old", "new"),
    [
        ("workload", "sort-1,sort,2x", ",sort,2x"),
        ("status", "failed", "oom"),
        ("per_hour", "0.2,1800", "-0.2,1800"),
        ("seconds", "0.2,1800", "0.2,nan"),
        ("dollars", "failed,0.5", "failed,free"),
        ("in_mb", "m5,100", "m5,many"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(field, old, new):
    with pytest.raises(Misuse) as caught:
        read_table(TEXT.replace(old, new, 1), "past.csv")
    assert caught.value.field == field and caught.value.source.startswith("past.csv, line ")


def test_an_empty_table_is_refused():
    with pytest.raises(Misuse, match="no run"):
        read_table(TEXT.partition("\n")[0], "past.csv")
