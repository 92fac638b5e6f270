"""Recorded pods: what is read of a line, and what is refused."""

import gzip

import pytest

from tradewind.data.pod_traces import pod_trace
from tradewind.errors import Misuse
from tradewind.market.resources import Resources

HEADER = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,"
    "creation_time,deletion_time,scheduled_time"
)


@pytest.fixture
def written(tmp_path):
    def write(*lines, header=HEADER):
        path = tmp_path / "pods.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return path

    return write


def test_pods_are_read_by_their_making(written):
    path = written(
        "b,6000,12288,1,460,V100M16|T4,LS,Running,30,90,40",
        "a,500,1024,8,1000,,BE,Failed,10,70.5,20",
        "c,1000,0,0,0,,,Pending,50,60,",
    )
    first, second, third = pod_trace(path)
    assert (first.name, first.resources, first.seconds) == (
        "a",
        Resources(vcpus=0.5, memory_gib=1, gpus=8),
        50.5,
    )
    assert (second.resources.gpus, second.gpu_spec, second.qos) == (0.46, "V100M16|T4", "LS")
    assert (third.seconds, third.created, third.resources.gpus) == (None, 50.0, 0.0)


def test_gzip_and_columns_in_another_order(tmp_path):
    header = "scheduled_time,deletion_time,creation_time,gpu_milli,num_gpu,memory_mib,cpu_milli,name"
    text = header + "\n2,5,1,0,0,1024,1000,x\n"
    path = tmp_path / "pods.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert pod_trace(path)[0].seconds == 3.0


@pytest.mark.parametrize(
    "line,field",
    [
        ("a,x,1,0,0,,,R,1,3,2", "cpu_milli"),
        ("a,-1,1,0,0,,,R,1,3,2", "cpu_milli"),
        ("a,1,nan,0,0,,,R,1,3,2", "memory_mib"),
        ("a,1,1,1.5,1000,,,R,1,3,2", "num_gpu"),
        ("a,1,1,2,500,,,R,1,3,2", "gpu_milli"),
        ("a,1,1,1,1001,,,R,1,3,2", "gpu_milli"),
        ("a,1,1,1,0,,,R,1,3,2", "gpu_milli"),
        ("a,1,1,0,0,,,R,,3,2", "creation_time"),
        ("a,1,1,0,0,,,R,1,1,2", "deletion_time"),
        (",1,1,0,0,,,R,1,3,2", "name"),
        ("a,1,1,0,0,,,R,1,3", "line 2"),
    ],
)
def test_a_wrong_line_is_named(written, line, field):
    with pytest.raises(Misuse, match=r"pods\.csv, line 2.*" + (field if field != "line 2" else "fields")):
        pod_trace(written(line))


def test_a_name_given_twice(written):
    with pytest.raises(Misuse, match="line 3: name"):
        pod_trace(written("a,1,1,0,0,,,R,1,3,2", "a,1,1,0,0,,,R,1,3,2"))


def test_a_file_without_moments_or_pods_or_that_is_none(written, tmp_path):
    with pytest.raises(Misuse, match="creation_time"):
        pod_trace(written("a,1,1,0,0", header="name,cpu_milli,memory_mib,num_gpu,gpu_milli"))
    with pytest.raises(Misuse, match="no pod"):
        pod_trace(written())
    with pytest.raises(Misuse, match="cannot be read"):
        pod_trace(tmp_path / "absent.csv")
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"name\n" * 100)[:-9])
    with pytest.raises(Misuse, match="cannot be read"):
        pod_trace(broken)


def test_the_recorded_trace(bench_data):
    pods = pod_trace(bench_data("gpu/openb/openb_pod_list_default.csv.gz"))
    assert len(pods) == 8152
    assert sum(pod.seconds is None for pod in pods) == 897
    assert sum(pod.resources.gpus >= 8 for pod in pods) == 44
