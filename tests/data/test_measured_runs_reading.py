"""Whichever layout a file has."""

import gzip

import pytest

from tradewind.data.measured_runs.reading import measured_runs
from tradewind.errors import Misuse

TABLE = "workload,program,configuration,per_hour,seconds,status\nw,p,c,1,2,done\n"


@pytest.mark.parametrize("how", ["plain", "zipped", "marked"])
def test_plain_zipped_or_marked(tmp_path, how):
    plain = TABLE.encode()
    content = {"plain": plain, "zipped": gzip.compress(plain), "marked": b"\xef\xbb\xbf" + plain}[how]
    (tmp_path / "runs").write_bytes(content)
    assert measured_runs(tmp_path / "runs")[0].configuration == "c"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n", "workload"),
        (b"", "workload"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"\x1f\x8b\x00", "read"),
    ],
)
def test_another_file_is_refused_by_its_name(tmp_path, content, said):
    (tmp_path / "runs.csv").write_bytes(content)
    with pytest.raises(Misuse, match=said) as caught:
        measured_runs(tmp_path / "runs.csv")
    assert caught.value.source == str(tmp_path / "runs.csv")
