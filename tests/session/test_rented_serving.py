"""What is refused before anything is rented; the rest is in the journeys."""

from __future__ import annotations

import json
import threading
import urllib.request

import pytest

from tradewind.errors import Misuse
from tradewind.market.decisions import Decision
from tradewind.serving.server.front import Address
from tradewind.session import rented_serving
from tradewind.session.rented_serving import Renting, serve_rented

MODEL = """
import time

class Slow:
    signature = {"inputs": {"x": ["FP64", [-1]]}, "outputs": {"y": ["FP64", [-1]]}}

    def predict(self, inputs):
        time.sleep(0.01)
        return {"y": inputs["x"]}
"""


@pytest.mark.parametrize(
    ("renting", "words"),
    [
        ({"policies": "tradewind"}, "policies|unknown"),
        ({"provider": {"kind": "local", "speed": "fast"}}, "speed"),
        ({"policy": "tradwind"}, "tradewind"),
        ({"policy": "knative", "policy_options": {"leest": 2}}, "least"),
    ],
)
def test_a_renting_that_is_none(tmp_path, renting, words) -> None:
    with pytest.raises(Misuse, match=words):
        serve_rented("tests:Nothing", slo="p99<1s", renting={"out": str(tmp_path), **renting})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("slo", "renting", "words"),
    [("p99<5ms", {}, "by itself"), ("p99<1s", {"instance_types": ("huge",)}, "does not sell huge")],
)
def test_what_cannot_be_kept_is_not_rented(tmp_path, monkeypatch, slo, renting, words) -> None:
    (tmp_path / "slowly.py").write_text(MODEL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = Renting(out=str(tmp_path / "runs"), **renting)
    with pytest.raises(Misuse, match=words):
        serve_rented("slowly:Slow", slo=slo, renting=asked, address=Address(http_port=0, grpc_port=None))
    assert not (tmp_path / "runs").exists()


def test_policies_without_functions_do_not_overflow() -> None:
    made = rented_serving._policy_of(Renting(policy="mark", least=2, policy_options={"headroom": 1.5}))
    assert (made.name, made.overflow, made.least) == ("mark", False, 2)
    assert made.options == {"headroom": 1.5, "overflow": False}


class Nothing:
    """A policy whose machines never come."""

    name, overflow, forecaster = "nothing", False, ""

    def recall(self) -> None:
        return None

    def decide(self, view, memory):
        return Decision((), "Functions will do.", view.now + 3600.0), None


def test_functions_answer_while_no_machine_is_up(tmp_path, monkeypatch) -> None:
    (tmp_path / "quickly.py").write_text(MODEL.replace("Slow", "Quick"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    stop, found = threading.Event(), []

    def ask(address: str) -> None:
        try:
            tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [4.0]}
            sent = json.dumps({"inputs": [tensor]}).encode()
            for _ in range(3):
                with urllib.request.urlopen(f"{address}/v2/models/Quick/infer", sent, timeout=20) as answer:
                    found.append(json.loads(answer.read())["outputs"][0]["data"])
            with urllib.request.urlopen(f"{address}/metrics", timeout=20) as answer:
                page = answer.read().decode()
            found.append('tradewind_function_requests_total{model="Quick",outcome="answered"' in page)
        finally:
            stop.set()

    served = serve_rented(
        "quickly:Quick", slo="p99<3s", overflow={"standby": 1, "memory": 512}, stop=stop,
        renting={
            "provider": {"kind": "local", "speed": 60.0}, "policy": Nothing(), "out": str(tmp_path / "runs"),
        },
        address=Address(http_port=0, grpc_port=None),
        ready=lambda listening: threading.Thread(target=ask, args=(listening.http,), daemon=True).start(),
    )  # fmt: skip
    assert found == [[4.0]] * 3 + [True]
    assert served.drained and served.result.requests == 3 and served.functions.answered == 3
    assert served.functions.dollars > 0 and served.functions.calls >= 4
