"""Throughputs as others published them."""

import gzip
import json

import pytest

from tradewind.data.recorded_throughputs import throughputs
from tradewind.errors import Misuse


def test_the_published_file_reads_as_plain_json_does(bench_data) -> None:
    path = bench_data("spot/gpu-throughputs.json")
    plain = json.loads(path.read_text())
    read = throughputs(path)
    assert set(read.devices) == set(plain)
    for device, jobs in plain.items():
        assert set(read.jobs(device)) == set(jobs)
        for job, rates in jobs.items():
            assert read.alone(device, job) == rates["null"]
            for other, pair in rates.items():
                if other != "null":
                    assert read.together(device, job, other) == (None if pair == [0, 0] else tuple(pair))


def test_gzip_is_seen_by_its_content(tmp_path) -> None:
    path = tmp_path / "rates.json"
    path.write_bytes(gzip.compress(b'{"k80": {"lm": {"null": 4, "lm": [1, 1]}}}'))
    assert throughputs(path).together("k80", "lm", "lm") == (1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "no table"),
        ('{"k80": {}}', "k80: no table"),
        ('{"k80": {"lm": {"lm": [1, 1]}}}', r"k80\.lm: .*own throughput"),
        ('{"k80": {"lm": {"null": -1}}}', r"k80\.lm\.null: -1 is no throughput"),
        ('{"k80": {"lm": {"null": NaN}}}', "nan is no throughput"),
        ('{"k80": {"lm": {"null": 1, "x": [1]}}}', r"k80\.lm\.x: .*no pair"),
    ],
)
def test_whatever_is_wrong_is_told_with_its_field(tmp_path, text, words) -> None:
    path = tmp_path / "rates.json"
    path.write_text(text)
    with pytest.raises(Misuse, match=words):
        throughputs(path)
