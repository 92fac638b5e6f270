"""Published traces of jobs."""

import gzip

import numpy as np
import pytest

from tradewind.data.job_traces import job_trace
from tradewind.errors import Misuse

PHILLY = """timestamp,duration,num_gpus,gpu_time,cluster
2017-10-09 07:01:55,66.0,1,66.0,11cb48
2017-10-09 06:13:03,2951.0,2,5902.0,6214e9
2017-10-09 06:13:04,0.0,1,0.0,6214e9
2017-10-09 06:13:03,12.0,4,48.0,11cb48
"""
CHRONUS = """job_id,user,num_gpu,submit_time,iterations,model_name,duration
0,vc_a,1,8555,5049,vgg16,747
1,vc_b,8,832,296,mobilenet_v2,98
"""


def written(tmp_path, text, name="jobs.csv"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_jobs_come_in_order_of_arrival(tmp_path):
    trace = job_trace(written(tmp_path, PHILLY))
    assert trace.name == "jobs"
    assert trace.arrival.tolist() == [0.0, 0.0, 2932.0]
    assert trace.duration.tolist() == [2951.0, 12.0, 66.0]
    assert trace.gpus.tolist() == [2, 4, 1]
    assert trace.tenant == ("6214e9", "11cb48", "11cb48")


def test_moments_in_seconds_and_gzip(tmp_path):
    trace = job_trace(written(tmp_path, CHRONUS, "mix.csv.gz"))
    assert trace.name == "mix" and trace.arrival.tolist() == [0.0, 7723.0]
    assert trace.gpus.tolist() == [8, 1] and trace.tenant == ("vc_b", "vc_a")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("66.0,1", "long,1"), r"line 2: duration: 'long'"),
        (lambda text: text.replace("2951.0", "-1"), r"line 3: duration: '-1'"),
        (
            lambda text: text.replace("\n2017", "\n\n2017", 1).replace("2951.0,2", "2951.0,1.5"),
            r"line 4: num_gpus: '1.5'",
        ),
        (lambda text: text.replace("2017-10-09 07:01:55", "soon"), r"line 2: timestamp: 'soon'"),
        (lambda text: text.replace(",11cb48\n", "\n", 1), r"line 2: 4 fields, not 5"),
        (lambda text: text.replace("duration", "length"), r"line 1.*no job trace"),
        (lambda text: text.splitlines()[0], "no record"),
        (lambda text: "\n".join(text.splitlines()[i] for i in (0, 3)), "no job that ran"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, told):
    with pytest.raises(Misuse, match=told):
        job_trace(written(tmp_path, change(PHILLY)))


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(Misuse, match="cannot be read"):
        job_trace(tmp_path / "none.csv")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(PHILLY.encode())[:40])
    with pytest.raises(Misuse, match="cannot be read"):
        job_trace(tmp_path / "cut.csv.gz")
    (tmp_path / "odd.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misuse, match="no text"):
        job_trace(tmp_path / "odd.csv")


def test_the_recorded_traces(bench_data):
    philly = job_trace(bench_data("gpu/philly.csv"))
    assert len(philly.arrival) > 80_000 and (np.diff(philly.arrival) >= 0).all()
    assert philly.gpus.max() > 1 and philly.duration.min() > 0
    assert len(job_trace(bench_data("gpu/chronus/trace_job_Philly_MIX1.csv.gz")).arrival) > 30_000
