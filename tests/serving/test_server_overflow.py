"""A burst on one slow replica with functions beside it, on the local host over real sockets."""

import asyncio
import textwrap
from decimal import Decimal

import numpy as np
import pytest

from function_host import Host
from tradewind import clock
from tradewind.errors import Unreachable
from tradewind.serving.batching.rules import rule
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.models.opening import Opening, open_model
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.metrics.meters import Meters
from tradewind.serving.server.overflow import Overflow, Terms
from tradewind.serving.server.replicas.functions.deployed import CallFailed, DeployedModel, Spending
from tradewind.serving.server.replicas.in_server import InServer
from tradewind.serving.server.replicas.interface import ReplicaLost

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
        overflow = Overflow(batcher, deployed, meter, objective=0.35, sample=one(1))
        replica = InServer(lambda: open_model(opening))
        await replica.open()
        batcher.join(replica)
        batcher.learn(1, 0.1)
        burst = [overflow.answer(one(value), 1, None) for value in range(5)]
        before = [each["y"].item() for each in await asyncio.gather(*burst)]
        assert before == [0, 2, 4, 6, 8] and overflow.sent == 0, "nothing is known of functions yet"
        assert not overflow.up
        assert await overflow.warm(3) == 3 and overflow.up
        assert overflow.profile.cold > 0 and 0.1 < overflow.profile.warm < 0.3, "timed by the sample"
        late = meter.late
        burst = [overflow.answer(one(value), 1, None) for value in range(6)]
        answers = [each["y"].item() for each in await asyncio.gather(*burst)]
        assert answers == [0, 2, 4, 6, 8, 10], "each answer is its caller's"
        assert 2 <= overflow.sent <= 3 and meter.late - late <= 1 < late
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
        assert overflow.returned >= 1 and meter.in_progress == 0 and overflow.calling == 0
        await batcher.close()
        await overflow.close()
        await replica.close()
        assert "slow" not in await asyncio.to_thread(host.functions.described)

    clock.run(main())


class Scripted:
    """Stands for a function: each call takes its turn of a script. What is asked of it is what the shell may
    ask of `DeployedModel`; the wire below is tested above and with the host."""

    name, concurrency = "scripted", 4

    def __init__(self, *turns):
        self.turns, self.spending, self.deleted = list(turns), Spending(calls=1), 0

    async def start(self, hold=0.0):
        return False

    async def called(self, inputs):
        self.spending.calls += 1
        self.spending.dollars += Decimal("0.25")
        turn = self.turns.pop(0) if self.turns else 0.0
        if isinstance(turn, Exception):
            raise turn
        await asyncio.sleep(turn)
        return {"y": -inputs["x"]}, False

    async def delete(self):
        self.deleted += 1

    async def close(self):
        pass


class Patient:
    """A replica that takes a second, of the clock's."""

    inline = spent = False

    async def run(self, inputs):
        await asyncio.sleep(1.0)
        return {"y": 2 * inputs["x"]}


def scripted(*turns, replicas=1, said=lambda text: None, **terms):
    """The shell over a scripted function and one replica that takes a second, with an objective of 1.5 s."""
    function = Scripted(*turns)
    meter = Meters().model("slow", "1", 1.5)
    batcher = Batcher(rule("take_all"), meter, largest=1, batched=True)
    batcher.learn(1, 1.0)
    for _ in range(replicas):
        batcher.join(Patient())
    made = Overflow(batcher, function, meter, objective=1.5, terms=Terms(**terms), said=said)
    return made, function, meter


@pytest.mark.parametrize(
    "turn",
    [ReplicaLost("the host is gone"), CallFailed("too many bytes"), 1000.0],
    ids=["lost", "failed", "hung"],
)
def test_a_call_that_comes_to_nothing_comes_back_to_the_queue(turn):
    async def main():
        overflow, _, meter = scripted(turn, standby=1)
        await overflow.warm(1)
        began = clock.now()
        first, second = await asyncio.gather(*(overflow.answer(one(value), 1, None) for value in (1, 2)))
        assert (first["y"].item(), second["y"].item()) == (2, 4), "both by the replica"
        assert (overflow.sent, overflow.returned) == (0, 1)
        assert clock.now() - began < 6.0 and meter.answers == 2
        assert meter.late == 1, "the second, whose time at the function counts"
        await overflow.close()

    clock.simulate(main())


def test_it_is_found_again_after_it_was_lost_and_forgotten_at_the_end():
    said = []

    async def main():
        overflow, function, _ = scripted(ReplicaLost("gone"), standby=1, said=said.append)
        prepared = []

        async def prepare():
            prepared.append(clock.now())
            if len(prepared) in (1, 3):
                raise Unreachable("nobody there")

        overflow.keep(prepare)
        await asyncio.sleep(5)
        assert overflow.up and len(prepared) == 2
        answers = await asyncio.gather(*(overflow.answer(one(value), 1, None) for value in (1, 2)))
        assert [each["y"].item() for each in answers] == [2, 4]
        await asyncio.sleep(5)
        assert overflow.up and len(prepared) == 4, "lost, tried in vain, and there again"
        await asyncio.sleep(1000)
        assert len(prepared) == 4, "kept warm, not made anew"
        await overflow.close()
        assert function.deleted == 1

    clock.simulate(main())
    assert sum("is up" in each for each in said) == 2 and sum("is lost" in each for each in said) == 1
    assert sum("nobody there" in each for each in said) == 2


def test_where_no_replica_is_up_functions_answer_and_are_waited_for():
    async def main():
        overflow, _, meter = scripted(20.0, replicas=0, standby=1, longest=30.0)
        await overflow.warm(1)
        answer = await overflow.answer(one(3), 1, None)
        assert answer["y"].item() == -3 and meter.answers == meter.late == 1
        with pytest.raises(Refusal) as told:
            await overflow.answer(one(3), 1, clock.now() - 1.0)
        assert told.value.kind is RefusalKind.DEADLINE_PASSED
        await overflow.close()

    clock.simulate(main())


def test_nothing_is_called_beyond_the_budget():
    said = []

    async def main():
        overflow, function, _ = scripted(standby=1, budget=0.5, said=said.append)
        await overflow.warm(1)
        for _ in range(3):
            await asyncio.gather(*(overflow.answer(one(value), 1, None) for value in (1, 2, 3)))
        assert overflow.sent == 2 and function.spending.calls == 3 and not overflow.up
        await overflow.close()

    clock.simulate(main())
    assert len(said) == 1 and "budget of $0.5" in said[0]


def test_a_burst_starts_more_environments():
    async def main():
        overflow, _, _ = scripted(1.0, 1.0, 1.0, standby=1)
        overflow._cold = 10.0
        overflow._deployed.start = started
        await overflow.warm(1)
        await asyncio.gather(*(overflow.answer(one(value), 1, None) for value in (1, 2, 3)))
        assert overflow.environments == 2
        await overflow.close()

    async def started(hold=0.0):
        return bool(hold)

    clock.simulate(main())


def test_functions_that_were_slow_once_are_tried_again():
    async def main():
        overflow, _, _ = scripted(5.0, standby=1)
        await overflow.warm(1)
        for _ in range(3):
            for _ in range(100):
                overflow._batcher.learn(1, 1.0)  # its own watch does not know the simulation's second
            await asyncio.gather(*(overflow.answer(one(value), 1, None) for value in (1, 2)))
            await asyncio.sleep(5.0)
        assert overflow.returned == 1 and overflow.sent >= 1, "slow at first, and then quick"
        await overflow.close()

    clock.simulate(main())
