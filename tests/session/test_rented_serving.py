"""What is refused before anything is rented; the rest is in the journeys."""

from __future__ import annotations

import pytest

from tradewind.errors import Misuse
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
