"""What is refused before anything is rented; the rest is in the journeys."""

from __future__ import annotations

import json
import re
import threading
import urllib.request
from pathlib import Path

import pytest

from tradewind.control.replay import replay
from tradewind.data.prediction_log import RUN_TIME, PredictionLog
from tradewind.data.runs import DONE, RUNNING, RunIndex
from tradewind.errors import Misuse
from tradewind.market.decisions import Decision
from tradewind.serving.provisioning.fleet import Fleet
from tradewind.serving.provisioning.interface import FunctionProfile, FunctionUse
from tradewind.serving.server.front import Address
from tradewind.session import rented_serving
from tradewind.session.known_feasibilities import KeptOutcomes
from tradewind.session.rented_serving import JOURNAL, Renting, serve_rented
from tradewind.session.report.endpoint.page import endpoint_page
from tradewind.session.report.endpoint.reading import endpoint_data

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


def test_a_policy_that_can_reckons_with_functions_where_there_are_some() -> None:
    assert rented_serving._policy_of(Renting(policy="mark"), True).overflow
    asked = Renting(policy="mark", policy_options={"overflow": False})
    assert not rented_serving._policy_of(asked, True).overflow
    assert not rented_serving._policy_of(Renting(policy="tradewind"), True).overflow


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
    assert served.result.functions > 0 and served.result.overflowed == 3


class OnceCalled:
    """A policy that takes a machine once functions were called, and keeps what it was told of them."""

    name, overflow, forecaster = "once_called", True, ""

    def __init__(self) -> None:
        self.seen: list[tuple[FunctionUse, FunctionProfile | None]] = []

    def recall(self) -> None:
        return None

    def decide(self, view, memory):
        assert view.overflowed is not None
        self.seen.append((view.overflowed, view.function))
        take = not view.market.leases and view.overflowed.requests > 0
        actions = (Fleet(view).ways[0].take(1),) if take else ()
        return Decision(actions, "It is dear." if actions else "Functions will do.", view.now + 60.0), None


def test_the_dollars_of_functions_are_in_the_view_the_journal_and_on_the_page(tmp_path, monkeypatch) -> None:
    """Real replicas and a real function host: functions answer first, then the machine that was taken."""
    (tmp_path / "quicker.py").write_text(MODEL.replace("Slow", "Quicker"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    stop, policy, asked, listed = threading.Event(), OnceCalled(), [], []

    def ask(address: str) -> None:
        tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [4.0]}
        sent = json.dumps({"inputs": [tensor]}).encode()
        try:
            for _ in range(300):
                with urllib.request.urlopen(f"{address}/v2/models/shop/infer", sent, timeout=20) as answer:
                    answer.read()
                with urllib.request.urlopen(f"{address}/metrics", timeout=20) as answer:
                    found = re.search(
                        r"tradewind_function_requests_total.*answered.* (\d+)", answer.read().decode()
                    )
                asked.append(int(found[1]))
                line = RunIndex(tmp_path / "runs").find("shop")
                if len(asked) > 12 and asked[-10] == asked[-1] and line.endpoint.replicas:
                    listed.append((line.state, line.endpoint.replicas, line.endpoint.url == address))
                    return
                stop.wait(0.1)
        finally:
            stop.set()

    served = serve_rented(
        "quicker:Quicker", name="shop", slo="p99<3s", overflow={"standby": 1, "memory": 512}, stop=stop,
        renting={
            "provider": {"kind": "local", "speed": 60.0}, "policy": policy, "out": str(tmp_path / "runs"),
        },
        address=Address(http_port=0, grpc_port=None),
        ready=lambda listening: threading.Thread(target=ask, args=(listening.http,), daemon=True).start(),
    )  # fmt: skip
    result, bill = served.result, served.functions
    assert asked[-10] == asked[-1] < len(asked), "the machine answers in the end"
    assert (result.overflowed, result.requests, result.leases) == (asked[-1], len(asked), 1)
    assert result.function_calls <= bill.calls and 0 < result.functions <= float(bill.dollars)
    assert result.cost > result.functions
    assert any(use.requests and use.dollars and function for use, function in policy.seen)
    line = RunIndex(tmp_path / "runs").find("shop")
    assert listed == [(RUNNING, 1, True)] and (line.state, line.cost) == (DONE, result.cost)
    assert (line.quality, line.metric, line.endpoint.replicas) == (result.share, "in time", 0)
    data = endpoint_data(line.directory)
    functions = data.functions
    assert (functions.requests, functions.calls) == (asked[-1], result.function_calls)
    assert float(functions.dollars) == pytest.approx(result.functions)
    tariff = functions.tariff
    owed = functions.gb_seconds * tariff.per_gb_second + functions.calls * tariff.per_call
    assert result.functions == pytest.approx(owed)
    page = endpoint_page(data)
    assert "Who answered, and for how much" in page and f"${functions.dollars:.7f}" in page
    assert "functions were processes of a host on this machine" in page
    assert (
        replay(Path(served.directory) / JOURNAL, {"test_rented_serving:OnceCalled": OnceCalled}).decisions
        == result.decisions
    )


def test_a_type_is_reckoned_by_earlier_runs_and_the_operator_is_told(tmp_path, monkeypatch) -> None:
    (tmp_path / "promptly.py").write_text(MODEL.replace("Slow", "Prompt"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    renting = Renting(out=str(tmp_path / "runs"), policy=Nothing())
    kind = "p3.2xlarge"
    log = PredictionLog(tmp_path / "runs" / "index.sqlite")
    workload = f"rented {rented_serving._called('promptly:Prompt', renting.provider)}"
    KeptOutcomes(log, ()).took(workload, kind, 1, 1.0, 0.1, None)
    told, stop, profiles = [], threading.Event(), []
    made = rented_serving._Serving._endpoint

    def noted(self, opened):
        profiles.extend(made(self, opened).profiles)
        self._used.add(kind)
        self._keep_service(0.09, 50.0)  # too few to tell
        self._keep_service(0.12, 500.0)
        stop.set()
        return made(self, opened)

    monkeypatch.setattr(rented_serving._Serving, "_endpoint", noted)
    serve_rented(
        "promptly:Prompt", slo="p99<3s", renting=renting, stop=stop, said=told.append,
        address=Address(http_port=0, grpc_port=None),
    )  # fmt: skip
    (known,) = (each for each in profiles if each.foretold is not None)
    others = [each for each in profiles if each.foretold is None]
    assert known.instance_type == kind and known.service == pytest.approx(0.1)
    assert known.foretold[0] < known.rate < known.foretold[1] and others
    assert known.rate * known.service == pytest.approx(others[0].rate * others[0].service)
    assert any(text.startswith(f"{kind}: ") and "not by any measurement now" in text for text in told)
    tracked = log.tracked(RUN_TIME, workload)
    assert tracked.count == 1 and tracked.error == pytest.approx(abs(0.1 - 0.12) / 0.12)
