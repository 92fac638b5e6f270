"""`tradewind variants` and `tradewind serve --variants`, as a user runs them: a store, a server, clients."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import boto3
import botocore.config
import numpy as np
import onnx
import pytest
import tritonclient.grpc
from onnx import TensorProto, helper, numpy_helper

from tradewind.cli.main import main

RUN = "import sys; from tradewind.cli.main import main; sys.exit(main())"
WEIGHTS = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]], np.float32)


def scoring(path, weights, given="x", outputs="scores"):
    """A model: rows [-1, 2] -> scores [-1, 3]."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", [given, "w"], [outputs])],
        "scoring",
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info(outputs, TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rows with the class that WEIGHTS say, a model that is right, and one that never says 2."""
    place = tmp_path_factory.mktemp("variants")
    x = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    told = np.column_stack([x, (x @ WEIGHTS).argmax(axis=1)])
    np.savetxt(place / "rows.csv", told, delimiter=",", header="a,b,label", comments="", fmt="%.6g")
    scoring(place / "right.onnx", WEIGHTS)
    rough = WEIGHTS.copy()
    rough[:, 2] = 0.0
    scoring(place / "rough.onnx", rough)
    return place


def ran(capsys, *arguments):
    """The exit code, and what was said as JSON."""
    code = main(["variants", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def add(capsys, folder, store, model, *options, task="sides"):
    return ran(
        capsys, "add", task, folder / f"{model}.onnx", "--data", folder / "rows.csv", "--store", store,
        "--isolation", "server", *options,
    )  # fmt: skip


def test_variants_are_measured_listed_profiled_and_removed(folder, tmp_path, capsys) -> None:
    store = tmp_path / "store.sqlite"
    code, told = add(capsys, folder, store, "right", "--precision", "fp16", "--max-batch", "4")
    assert code == 0
    variant, profile = told["variant"], told["profile"]
    assert (variant["accuracy"], variant["tested"], variant["runtime"]) == (1.0, 300, "onnxruntime")
    assert (variant["architecture"], variant["precision"]) == ("right", "fp16")
    assert profile["batches"] == [1, 2, 4] and min(profile["seconds"]) > 0
    assert profile["per_hour"] == pytest.approx(0.085 / 2)  # a core of a c5.large
    code, told = add(
        capsys, folder, store, "rough", "--name", "b", "--architecture", "net", "--rows", "100",
        "--per-hour", "2",
    )  # fmt: skip
    assert 0.3 < told["variant"]["accuracy"] < 0.95 and told["variant"]["tested"] == 100
    assert told["profile"]["per_hour"] == 2.0
    code, told = ran(capsys, "list", "--store", store)
    assert [each["variant"]["name"] for each in told["variants"]] == ["b", "right"]
    code, again = ran(
        capsys, "profile", "b", "--data", folder / "rows.csv", "--store", store, "--isolation", "server"
    )
    assert code == 0 and again["profile"]["per_hour"] == 2.0
    assert main(["variants", "list", "--store", str(store)]) == 0
    assert "right" in capsys.readouterr().out
    assert ran(capsys, "remove", "b", "--store", store)[1] == {"removed": ["b"]}
    assert ran(capsys, "remove", "sides", "--store", store)[1] == {"removed": ["right"]}
    assert ran(capsys, "list", "--store", store)[1] == {"variants": []}
    assert main(["serve", "--variants", str(store), "--port", "0", "--no-grpc"]) == 2
    assert "tradewind variants add" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--name", "right"], "there is a variant of that name"),
        (["--name", "sides"], "a task has that name"),
        (["--name", "r2", "--architecture", "right", "--label", "class"], "class"),
        (["--name", "r2", "--resource", "c5.lrge"], "c5.large"),
    ],
)
def test_what_cannot_be_registered_is_told_and_not_kept(folder, tmp_path, capsys, options, said) -> None:
    store = tmp_path / "store.sqlite"
    add(capsys, folder, store, "right")
    code, told = add(capsys, folder, store, "right", *options)
    assert code == 2 and said in told["error"]["message"]
    assert len(ran(capsys, "list", "--store", store)[1]["variants"]) == 1


def test_variants_of_a_task_take_and_give_the_same(folder, tmp_path, capsys) -> None:
    store = tmp_path / "store.sqlite"
    add(capsys, folder, store, "right")
    scoring(folder / "other.onnx", WEIGHTS, given="rows", outputs="points")
    code, told = add(capsys, folder, store, "other")
    assert code == 2 and "points" in told["error"]["message"] and told["error"]["field"] == "outputs"
    scoring(folder / "renamed.onnx", WEIGHTS, given="rows")
    assert add(capsys, folder, store, "renamed")[0] == 0
    (folder / "bad.onnx").write_bytes(b"\x80\x04N.")
    code, told = add(capsys, folder, store, "bad", task="another")
    assert code == 2 and "pickle" in told["error"]["message"]
    assert ran(capsys, "list", "--store", store, "--task", "another")[0] == 2
    assert not (tmp_path / "none.sqlite").exists()
    assert ran(capsys, "list", "--store", tmp_path / "none.sqlite")[0] == 2
    assert not (tmp_path / "none.sqlite").exists()


@pytest.fixture(scope="module")
def served(folder):
    """A server of two variants; what it said."""
    from tradewind.session.variants import ReplicaPrice, add_variant

    store = folder / "store.sqlite"
    for name, dollars in (("right", 3.0), ("rough", 1.0)):
        add_variant(
            store, "sides", folder / f"{name}.onnx", data=folder / "rows.csv", architecture="net",
            price=ReplicaPrice(per_hour=dollars), isolation="server",
        )  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", RUN, "serve", "--variants", str(store), "--json", "--port", "0",
         "--grpc-port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            told = json.loads(process.stdout.readline())
            yield process, told
        finally:
            process.kill()


def posted(url, body, **headers):
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def got(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


ROW = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [-1.0, -2.0]}]}


def test_demands_come_by_every_wire_and_answers_name_their_variant(served) -> None:
    _, told = served
    assert told["models"] == ["sides"]
    url = told["http"]
    infer = f"{url}/v2/models/sides/infer"
    assert posted(infer, ROW)[1]["parameters"] == {"variant": "rough"}
    status, said = posted(infer, {**ROW, "parameters": {"min_accuracy": 0.99, "max_latency_ms": 500}})
    assert (status, said["model_name"], said["parameters"]) == (200, "sides", {"variant": "right"})
    assert said["outputs"][0]["data"] == [-1.0, -2.0, 3.0]
    status, said = posted(infer, {**ROW, "parameters": {"min_accuracy": 0.99, "max_latency_ms": 0.001}})
    assert status == 400 and "possible are that accurate" in said["error"] and "(right)" in said["error"]
    assert posted(f"{url}/v2/models/net/infer", ROW)[1]["parameters"]["variant"] in ("right", "rough")
    assert posted(f"{url}/v2/models/right/infer", ROW)[1]["parameters"] == {"variant": "right"}
    # gRPC
    client = tritonclient.grpc.InferenceServerClient(told["grpc"])
    given = tritonclient.grpc.InferInput("x", [1, 2], "FP32")
    given.set_data_from_numpy(np.array([[-1, -2]], np.float32))
    answer = client.infer("sides", [given], parameters={"min_accuracy": "0.99"})
    assert answer.get_response().parameters["variant"].string_param == "right"
    assert client.get_model_metadata("sides").outputs[0].name == "scores"
    client.close()
    # SageMaker
    runtime = boto3.client(
        "sagemaker-runtime", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a",
        aws_secret_access_key="b", config=botocore.config.Config(retries={"max_attempts": 1}),
    )  # fmt: skip
    for more, who in (
        ({}, "rough"),
        ({"CustomAttributes": "min_accuracy=0.99; trace=7"}, "right"),
        ({"TargetVariant": "right"}, "right"),
    ):
        answer = runtime.invoke_endpoint(
            EndpointName="sides", ContentType="application/json", Body=json.dumps(ROW), **more
        )
        assert answer["InvokedProductionVariant"] == who, more
    with pytest.raises(runtime.exceptions.ModelError, match="no variant gives 1"):
        runtime.invoke_endpoint(
            EndpointName="sides", ContentType="application/json", Body=json.dumps(ROW),
            CustomAttributes="min_accuracy=1.0,max_latency_ms=0.001",
        )  # fmt: skip


def test_how_variants_stand_is_told(served) -> None:
    _, told = served
    posted(f"{told['http']}/v2/models/sides/infer", ROW)
    index = {each["name"]: each for each in posted(f"{told['http']}/v2/repository/index", {})[1]}
    assert set(index) == {"sides", "net", "right", "rough"}
    assert index["sides"]["state"] == "READY" and index["sides"]["reason"].startswith("task, answered by")
    page = json.loads(got(f"{told['http']}/v2/variants"))
    states = {each["name"]: each["state"] for each in page["variants"]}
    assert states["rough"] in ("active", "inactive") and set(states) == {"right", "rough"}
    assert page["limits"]["replicas"] == 2 * os.cpu_count() and page["dollars_per_hour"] >= 1.0
    metrics = got(f"{told['http']}/metrics")
    assert 'tradewind_task_requests_total{asked="sides",variant="rough"}' in metrics
    assert 'tradewind_variant_state{state="active",variant="rough"}' in metrics
    assert "tradewind_cost_dollars_per_hour" in metrics


def test_a_variant_is_unloaded_loaded_and_the_server_ends_at_a_signal(served) -> None:
    process, told = served
    models = f"{told['http']}/v2/repository/models"
    assert posted(f"{models}/right/unload", {})[0] == 200
    status, said = posted(
        f"{told['http']}/v2/models/sides/infer", {**ROW, "parameters": {"min_accuracy": 0.99}}
    )
    assert status == 503 and "variant 'right' was unloaded" in said["error"]
    assert posted(f"{models}/right/load", {})[0] == 200
    assert posted(f"{told['http']}/v2/models/right/infer", ROW)[0] == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert "scaling failed" not in process.stderr.read()


def test_what_was_registered_outlasts_a_kill(folder, tmp_path, capsys) -> None:
    """A registration killed on its way leaves a store that reads, with all or nothing of the variant."""
    store = tmp_path / "store.sqlite"
    add(capsys, folder, store, "right")
    arguments = ["variants", "add", "sides", str(folder / "rough.onnx"), "--data", str(folder / "rows.csv"),
                 "--store", str(store), "--isolation", "server"]  # fmt: skip
    kill = (
        "import os, signal, sys; from tradewind.serving.variants.registry import Registry; "
        "kept = Registry.add\n"
        "def add(self, *given):\n    kept(self, *given)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Registry.add = add\n" + RUN
    )
    assert subprocess.run([sys.executable, "-c", kill, *arguments], check=False).returncode == -signal.SIGKILL
    found = [each["variant"]["name"] for each in ran(capsys, "list", "--store", store)[1]["variants"]]
    assert found == ["right", "rough"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--selection", "dearest"], "cheapest_in_time"),
        (["--scaling", "guess"], "integer_program"),
        (["somewhere"], "path"),
    ],
)
def test_misuse_of_serving(folder, tmp_path, capsys, options, said) -> None:
    arguments = ["serve", *options, "--variants", str(tmp_path / "none.sqlite"), "--port", "0", "--no-grpc"]
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
