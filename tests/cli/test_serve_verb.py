"""`tradewind serve` as a user runs it: a process, real clients, a signal."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

import tradewind as tw
from tradewind.cli.main import main

RUN = "import sys; from tradewind.cli.main import main; sys.exit(main())"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 5))
    learned = tw.LinearClassifier().fit(rows, rows[:, 0] > 0)
    folder = tmp_path_factory.mktemp("models") / "sign"
    tw.export(learned.model_, folder, format="safetensors")
    return folder


@pytest.fixture
def served(model, request):
    """A server that is up: its process and what it said."""
    options = getattr(request, "param", [])
    with subprocess.Popen(
        [sys.executable, "-c", RUN, "serve", str(model), "--json", "--port", "0",
         "--grpc-port", "0", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_a_learned_model_answers_over_both_wires_and_ends_at_a_signal(served) -> None:
    process, told = served
    assert told["models"] == ["sign/1"] and told["seconds"] > 0
    rows = np.array([[3, 0, 0, 0, 0], [-3, 0, 0, 0, 0]], np.float32)
    found = []
    for kind, address in (
        (tritonclient.http, told["http"].removeprefix("http://")),
        (tritonclient.grpc, told["grpc"]),
    ):
        client = kind.InferenceServerClient(address)
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("sign")
        metadata = client.get_model_metadata("sign")
        (spec,) = metadata["inputs"] if isinstance(metadata, dict) else metadata.inputs
        name = spec["name"] if isinstance(spec, dict) else spec.name
        datatype = spec["datatype"] if isinstance(spec, dict) else spec.datatype
        given = kind.InferInput(name, [2, 5], datatype)
        given.set_data_from_numpy(rows if datatype == "FP32" else rows.astype(np.float64))
        answer = client.infer("sign", [given])
        outputs = metadata["outputs"] if isinstance(metadata, dict) else metadata.outputs
        first = outputs[0]["name"] if isinstance(outputs[0], dict) else outputs[0].name
        found.append(answer.as_numpy(first).tolist())
        client.close()
    assert found[0] == found[1] and found[0][0] != found[0][1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert "SIGTERM" in process.stderr.read()


@pytest.mark.parametrize("served", [["--token", "secret"]], indirect=True)
def test_with_a_token_only_health_is_open(served) -> None:
    _, told = served
    for path, status in (("/v2/health/ready", 200), ("/ping", 200), ("/v2", 401), ("/metrics", 401)):
        assert _status(told["http"] + path) == status
        assert _status(told["http"] + path, "secret") == 200


def test_over_tls_both_wires_want_the_certificate(model, tmp_path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", chain,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    options = ["--certificate", str(chain), "--key", str(key)]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, "serve", str(model), "--json", "--port", "0",
         "--grpc-port", "0", *options],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            told = json.loads(process.stdout.readline())
            trusting = ssl.create_default_context(cafile=chain)
            with urllib.request.urlopen(told["http"] + "/v2/health/ready", context=trusting) as answer:
                assert told["http"].startswith("https://") and answer.status == 200
            client = tritonclient.grpc.InferenceServerClient(
                told["grpc"], ssl=True, root_certificates=str(chain)
            )
            assert client.is_server_ready()
            client.close()
            with pytest.raises(urllib.error.URLError):
                urllib.request.urlopen(told["http"] + "/v2/health/ready")
        finally:
            process.kill()


def _status(url, token=None):
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "token"),
        (["--slo", "fast"], "p99<50ms"),
        (["--memory", "much"], "512MiB"),
        (["--batching", "slak"], "slack"),
        (["--certificate", "nowhere.pem"], "certificate"),
        (["--policy", "spothedge"], "p99<50ms"),
        (["--policy", "spothedge", "--slo", "p99<50ms", "--certificate", "a.pem"], "TLS"),
        (["--policy", "spothege", "--slo", "p99<5s"], "spothedge"),
    ],
)
def test_misuse_is_told_before_anything_listens(model, options, said, capsys) -> None:
    assert main(["serve", str(model), "--port", "0", "--grpc-port", "0", *options]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_model_is_refused(tmp_path, capsys) -> None:
    assert main(["serve", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.")
    assert main(["serve", str(tmp_path / "model.pkl"), "--port", "0", "--no-grpc"]) == 2
    assert "pickle" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(model, served, capsys) -> None:
    _, told = served
    port = told["http"].rpartition(":")[2]
    assert main(["serve", str(model), "--port", port, "--no-grpc"]) == 2
    assert port in capsys.readouterr().err
    os.kill(served[0].pid, 0)
