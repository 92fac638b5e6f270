"""Tables that others published: one row of each by hand, and the recorded files whole."""

from collections import Counter

import pytest

from tradewind.data.measured_runs.published import c3o, cherrypick, multi_cloud, scout, tensorflow
from tradewind.data.measured_runs.reading import measured_runs
from tradewind.errors import Misuse


def test_scout():
    head = "workload,config,completed,elapsed_s,datasize,framework,input_size,program\n"
    runs = scout(
        head
        + "kmeans_big_spark,10_c4.2xlarge_kmeans_x_1,True,3600,big,spark,-1,kmeans\n"
        + "kmeans_big_spark,4_r4.large_kmeans_x_1,False,126.5,big,spark,-1,kmeans\n"
        + "kmeans_big_spark,4_c4.large_kmeans_x_1,False,7200.5,big,spark,-1,kmeans\n",
        "scout.csv",
    )
    assert [run.status for run in runs] == ["done", "failed", "timed_out"]
    assert (runs[0].configuration, runs[0].program) == ("10xc4.2xlarge", "kmeans")
    assert runs[0].dollars == pytest.approx(10 * 0.398)  # the catalogue's list price
    assert runs[0].features == {"machines": 10, "vcpus": 8, "memory_gib": 15.0, "family": "c4"}


def test_cherrypick():
    head = "exp_name,num_machines,time,disk_name,disk_count,disk_cost,disk_size,vm_name,ram,cpu_count"
    row = "kmeans,10,3600,ebs,2,0.12,500,c4.2xlarge,15,8,fast,0.5"
    (run,) = cherrypick(f"{head},vm_speed,vm_cost\n{row}\n", "cp.csv")
    assert run.dollars == run.per_hour == pytest.approx(10 * (0.5 + 2 * 500 * 0.12 / 730))
    assert run.configuration == "10xc4.2xlarge+2ebs" and run.features["vm_speed"] == "fast"


def test_tensorflow():
    head = "_id/$oid,n_workers,learning_rate,batch_size,synchronism,training_time,n_ps,acc,vm_flavor"
    late, accurate, wrong = tensorflow(
        f"{head}\nx,8,0.001,16,sync,609.5,1,0.65,t2.small\nx,8,0.001,16,async,36,1,0.9,t2.small\n"
        "x,8,0.001,256,async,36,1,0.2,t2.small\n",
        "some/where/t2_cnn.csv",
    )
    assert [each.status for each in (late, accurate, wrong)] == ["timed_out", "done", "failed"]
    assert accurate.dollars == pytest.approx(10 * 0.023 * 36 / 3600) and accurate.workload == "t2_cnn"
    assert accurate.configuration == "8xt2.small 0.001/16/async"


def test_c3o():
    head = "instance_count\tmachine_type\tslots\tmemory\tdata_size_MB\tk\tgross_runtime"
    (run,) = c3o(f"{head}\n2\tm4.2xlarge\t16\t64000\t8000\t3\t1800\n", "c3o/kmeans.tsv")
    assert (run.workload, run.program) == ("kmeans data_size_MB=8000 k=3", "kmeans")
    assert run.dollars == pytest.approx(0.4) and run.inputs == {"data_size_MB": 8000.0, "k": 3.0}


def test_multi_cloud():
    head = ",provider,A_family,A_vcpu,B_family,B_vcpu,C_family,C_type,C_vcpu,nodes,workload,target_cost"
    found = multi_cloud(
        f"{head},target_runtime,status\n0,C,,,,,1,2,0,3,buzz-naive_bayes,0.02,72,ok\n"
        "1,A,0,1,,,,,,5,buzz-naive_bayes,0.02,72,Timed out.\n"
        "2,A,1,1,,,,,,5,buzz-naive_bayes,0.02,72,broken\n",
        "ibm.csv",
    )
    assert [each.status for each in found] == ["done", "timed_out", "failed"]
    assert [each.configuration for each in found] == ["3xC120", "5xA01", "5xA11"]
    assert found[0].per_hour == pytest.approx(1.0) and found[0].program == "naive_bayes"


def test_a_missing_column_and_an_unknown_type():
    with pytest.raises(Misuse) as caught:
        scout("workload,config,completed\n", "scout.csv")
    assert caught.value.field == "elapsed_s"
    with pytest.raises(Misuse, match="c9"):
        scout("workload,config,completed,elapsed_s\nkmeans,4_c9.large_x,True,5\n", "scout.csv")


def test_the_recorded_tables_whole(bench_data):
    def counts(name):
        runs = measured_runs(bench_data(f"config/{name}"))
        return dict(Counter(run.status for run in runs))

    assert counts("scout-multi-node.csv") == {"done": 781, "failed": 35, "timed_out": 12}
    assert counts("ibm-multi-cloud.csv")["done"] == 2202
    # below .85 of accuracy: 112 of 384 for the convolutional network, 43 for the recurrent one
    assert counts("lynceus/t2_cnn_intermediate_values.csv") == {"done": 272, "timed_out": 112}
    assert counts("lynceus/t2_rnn.csv") == {"done": 341, "timed_out": 43}
    assert counts("c3o/sort.tsv") == {"done": 630}
    assert sum(counts("trimtuner-cnn.csv.gz").values()) == 1440
