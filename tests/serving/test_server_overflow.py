"""A burst on one slow replica with functions beside it, on the local host over real sockets."""

import asyncio
import textwrap

import numpy as np
import pytest

from function_host import Host
from tradewind import clock
from tradewind.serving.batching.rules import rule
from tradewind.serving.calls import Refusal
from tradewind.serving.models.opening import Opening, open_model
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.metrics.meters import Meters
from tradewind.serving.server.overflow import Overflow
from tradewind.serving.server.replicas.functions.deployed import DeployedModel
from tradewind.serving.server.replicas.in_server import InServer

SLOW = textwrap.dedent(
    '''
    import time

    class Slow:
        """Doubles, and takes its time."""
        signature = {"inputs": {"x": ["FP64", [-1, 1]]}, "outputs": {"y": ["FP64", [-1, 1]]}}

        def predict(self, inputs):
            if inputs["x"][0, 0] == -1:
                raise ValueError("minus one")
            time.sleep(0.1)
            return {"y": 2 * inputs["x"]}
    '''
)


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path / "host", "--plain", concurrency=3, unreserved=0)
    yield host
    assert host.end() == 0


def one(value):
    return {"x": np.array([[float(value)]])}


def test_what_would_be_late_goes_to_functions_and_everyone_is_answered(host, tmp_path, monkeypatch):
    code = tmp_path / "slow_function.py"
    code.write_text(SLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    opening = Opening(python="slow_function:Slow")

    async def main():
        deployed = DeployedModel(host.functions, "slow", concurrency=3, patience=0.2)
        await deployed.deploy(opening, code=code, memory=512)
        meter = Meters().model("slow", "1", 0.35)
        batcher = Batcher(rule("take_all"), meter, largest=1, batched=True)
        overflow = Overflow(batcher, deployed, meter, largest=1, objective=0.35)
        replica = InServer(lambda: open_model(opening))
        await replica.open()
        batcher.join(replica)
        batcher.learn(1, 0.1)
        burst = [overflow.answer(one(value), 1, None) for value in range(5)]
        before = [each["y"].item() for each in await asyncio.gather(*burst)]
        assert before == [0, 2, 4, 6, 8] and overflow.sent == 0, "nothing is known of functions yet"
        assert await overflow.warm(3) == 3 and overflow.profile.cold > overflow.profile.warm > 0
        late = meter.late
        burst = [overflow.answer(one(value), 1, None) for value in range(6)]
        answers = [each["y"].item() for each in await asyncio.gather(*burst)]
        assert answers == [0, 2, 4, 6, 8, 10], "each answer is its caller's"
        assert 2 <= overflow.sent <= 3 and meter.late - late <= 2 <= late
        # Alone, a request stays; what the model raises on is told by a function too.
        sent = overflow.sent
        await overflow.answer(one(4), 1, None)
        assert overflow.sent == sent
        burst = [overflow.answer(one(value), 1, None) for value in (1, 2, 3, 4, -1)]
        *_, failed = await asyncio.gather(*burst, return_exceptions=True)
        assert isinstance(failed, Refusal) and "minus one" in str(failed)
        # Where functions are taken from it, all come back to the replica.
        host.functions.reserve("slow", 0)
        burst = [overflow.answer(one(value), 1, None) for value in range(4)]
        assert [each["y"].item() for each in await asyncio.gather(*burst)] == [0, 2, 4, 6]
        assert overflow.returned >= 1 and meter.in_progress == 0
        await batcher.close()
        await replica.close()
        await deployed.close()

    clock.run(main())
