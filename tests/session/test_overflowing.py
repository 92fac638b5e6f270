"""What may be asked for with --overflow, and what is left of servers that are gone.

A server with functions is tested in `serving/test_server_function_relief.py`."""

import asyncio
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
from click.testing import CliRunner

from function_host import Host, zipped
from tradewind import clock
from tradewind.cli.serve import command
from tradewind.errors import Misuse
from tradewind.serving.batching.rules import rule
from tradewind.serving.models.opening import Opening, open_model
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.function_relief import PREFIX, Bill
from tradewind.serving.server.metrics.meters import Meters
from tradewind.session.cleaning import driver_name
from tradewind.session.overflowing import Overflowing, in_words, overflowing, relief_for, swept

TRIPLES = """
class Triples:
    signature = {"inputs": {"x": ["FP64", [-1]]}, "outputs": {"y": ["FP64", [-1]]}}

    def predict(self, inputs):
        return {"y": 3 * inputs["x"]}
"""


def test_what_is_asked_for() -> None:
    assert overflowing("functions") == Overflowing()
    assert overflowing("functions:http://127.0.0.1:9001").where == "http://127.0.0.1:9001"
    told = {
        "where": "aws",
        "role": "arn:aws:iam::1:role/r",
        "memory": "1024",
        "budget": "2.5",
        "layers": "a,b",
    }
    asked = overflowing(told)
    assert (asked.memory, asked.budget, asked.layers) == (1024, 2.5, ("a", "b"))
    assert overflowing(asked) is asked


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("lambda", "functions:aws"),
        ("functions:nowhere", "no address"),
        ("functions:aws", "role"),
        ({"memroy": 1}, "memroy"),
        ({"memory": "much"}, "memory"),
        ({"memory": 64}, "128 to 10240"),
        ({"timeout": 901}, "timeout"),
        ({"concurrency": 0}, "concurrency"),
        ({"standby": 17}, "standby"),
        ({"budget": 0}, "budget"),
        ({"late": -1}, "late"),
    ],
)
def test_what_cannot_be(asked, words) -> None:
    with pytest.raises(Misuse, match=words):
        overflowing(asked)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["m.onnx", "--overflow", "lambda"], "nothing to overflow to"),
        (["m.onnx", "--function", "memory=1024"], "goes with --overflow"),
        (["m.onnx", "--overflow", "functions", "--function", "memory"], "is no field"),
        (["--variants", "v.db", "--overflow", "functions"], "no store of variants"),
    ],
)
def test_the_command_line_says_what_is_wrong(options, words) -> None:
    told = CliRunner().invoke(command, options, standalone_mode=False)
    assert isinstance(told.exception, Misuse) and words in str(told.exception)


def test_a_bill_in_words_says_what_is_simulated() -> None:
    bill = Bill(answered=3, returned=1, calls=9, cold=2, dollars=Decimal("0.0000126"))
    here, there = in_words(bill, True), in_words(bill, False)
    assert "$0.000013 as Lambda's price list would charge; the functions were simulated" in here
    assert "simulated" not in there and "answered 3 requests (1 came back" in there


def test_functions_that_servers_left_elsewhere_are_deleted_and_no_others(tmp_path, monkeypatch) -> None:
    host = Host(tmp_path / "host", "--plain")
    try:
        gone = _gone()
        package = zipped("def handler(event, context): return event")
        whose = {
            f"{PREFIX}left": f"tradewind overflow of {gone}",
            f"{PREFIX}living": f"tradewind overflow of {driver_name()}",
            f"{PREFIX}other": "somebody's own",
            "left": f"tradewind overflow of {gone}",
        }
        for name, description in whose.items():
            host.functions.deploy(name, package, "app.handler", description=description)
        assert host.functions.described() == whose
        said = []
        relief = relief_for(overflowing({"where": host.url, "standby": 1, "memory": 512}), said.append)
        assert said == [f"deleted the function {PREFIX}left, which a server that is gone left"]
        assert swept(host.functions) == ()
        assert set(host.functions.described()) == set(whose) - {f"{PREFIX}left"}
        clock.run(answered_at(relief, tmp_path, monkeypatch))
        assert set(host.functions.described()) == set(whose) - {f"{PREFIX}left"}, "its own is deleted"
        said.clear()
    finally:
        assert host.end() == 0
    relief_for(overflowing(f"functions:{host.url}"), said.append)
    assert "cannot be listed" in said[0], "nobody there: a server starts all the same"


async def answered_at(relief, folder, monkeypatch) -> None:
    """A model's function behind an address answers where no replica does."""
    (folder / "tripling.py").write_text(TRIPLES)
    monkeypatch.syspath_prepend(str(folder))
    meter = Meters().model("triples", "1", 5.0)
    batcher = Batcher(rule("take_all"), meter, largest=1, batched=True)
    opening = Opening(python="tripling:Triples")
    made = relief.relief("triples", "1", opening, open_model(opening).signature, batcher, meter, 5.0)
    while not made.up:
        await asyncio.sleep(0.05)
    found = await made.answer({"x": np.array([2.0])}, 1, None)
    assert found["y"].tolist() == [6.0] and relief.bill().answered == 1
    await made.close()
    await relief.close()
    assert relief.bill().answered == 1 and relief.bill().dollars > 0, "kept when the model is closed"


def _gone() -> str:
    """The name of a driver of this machine and boot that is gone."""
    told = subprocess.run(
        [sys.executable, "-c", "from tradewind.session.cleaning import driver_name; print(driver_name())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return told.stdout.strip()
