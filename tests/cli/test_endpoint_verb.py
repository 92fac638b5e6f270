"""`tradewind endpoint` against a server that a user started, through a kill -9 of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tradewind.cli.main import main

RUN = "import sys; from tradewind.cli.main import main; sys.exit(main())"


def times(path, factor):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])], "times",
        [value("x", TensorProto.FLOAT, ["n", 1])], [value("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.array(factor, np.float32), "factor")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return str(path)


def started(folder):
    options = ["--endpoints", str(folder), "--port", "0", "--no-grpc", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "serve", *options],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return process, json.loads(process.stdout.readline())["http"]


def told(capsys, *arguments, code=0):
    assert main(["endpoint", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def factors(url, count=20):
    body = json.dumps({"instances": [[1.0]]}).encode()
    found = []
    for _ in range(count):
        request = urllib.request.Request(f"{url}/endpoints/shop/invocations", body)
        with urllib.request.urlopen(request) as answer:
            found.append(json.loads(answer.read())["predictions"][0][0])
    return found


def test_an_endpoint_is_made_changed_listed_killed_and_deleted(tmp_path, capsys) -> None:
    two, three, five = (times(tmp_path / f"{name}.onnx", name) for name in (2, 3, 5))
    process, url = started(tmp_path / "server")
    try:
        at = ["--server", url]
        made = told(capsys, "create", "shop", f"old={two}@3", f"new={three}@1", *at)
        assert made["EndpointStatus"] == "InService"
        first = factors(url)
        assert 14 <= first.count(2.0) <= 16 and first.count(2.0) + first.count(3.0) == 20
        told(capsys, "update", "shop", "--weight", "old=0", *at)
        assert set(factors(url)) == {3.0}
        bad = told(capsys, "update", "shop", str(tmp_path / "none.onnx"), *at, code=1)
        assert "none.onnx" in bad["error"]["message"] and set(factors(url)) == {3.0}
        going = told(
            capsys, "update", "shop", five, *at, "--plan", "canary", "--size", "50", "--bake", "3600",
            "--alarm", "p50>0.1us over 3600s", "--no-wait",
        )  # fmt: skip
        assert going["EndpointStatus"] == "Updating"
        while "Baking" not in json.dumps(told(capsys, "list", *at)):
            pass
        process.kill()
        process.communicate()
        process, url = started(tmp_path / "server")
        at = ["--server", url]
        # The canary goes on where it stood; no answer is as quick as its alarm asks, and it goes back.
        assert "PendingDeploymentSummary" in json.dumps(told(capsys, "list", *at))
        while (found := told(capsys, "list", *at)["endpoints"][0])["EndpointStatus"] != "InService":
            assert set(factors(url, 4)) <= {3.0, 5.0}
        assert found["FailureReason"].startswith("alarm p50") and set(factors(url)) == {3.0}
        updated = told(capsys, "update", "shop", five, *at, "--plan", "linear", "--size", "50")
        assert [each["VariantName"] for each in updated["ProductionVariants"]] == ["AllTraffic"]
        assert set(factors(url)) == {5.0}
        assert main(["endpoint", "list", *at]) == 0
        assert capsys.readouterr().out.splitlines()[1].split() == [
            "shop", "InService", "AllTraffic", "100", "%", "1/1",
        ]  # fmt: skip
        assert told(capsys, "delete", "shop", *at) == {"deleted": "shop"}
        assert told(capsys, "list", *at) == {"endpoints": []}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["list", "--server", "http://127.0.0.1:9"], "no server answers", 1),
        (["list", "--server", "127.0.0.1"], "no URL", 2),
        (["create", "shop", "a", "b"], "NAME=ARTEFACT@WEIGHT", 2),
        (["update", "shop", "--weight", "a"], "NAME=WEIGHT", 2),
        (["update", "shop"], "nothing is to be changed", 2),
        (["update", "shop", "a", "--weight", "a=1"], "weight", 2),
    ],
)
def test_misuse_is_told(arguments, said, code, capsys) -> None:
    assert main(["endpoint", *arguments]) == code
    assert said in capsys.readouterr().err


def test_each_verb_has_help_with_an_example(capsys) -> None:
    for verb in ("create", "update", "list", "delete"):
        assert main(["endpoint", verb, "--help"]) == 0
        assert f"Example: tradewind endpoint {verb}" in capsys.readouterr().out
