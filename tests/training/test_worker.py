"""A logical worker: where it goes on, when it leaves, and what it does when it was replaced or set back."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.state.client import StateClient
from tradewind.state.engine import Engine
from tradewind.state.messages import Message
from tradewind.state.server import Server
from tradewind.state.snapshot import snapshot_of
from tradewind.state.transport.inprocess import InProcess, InProcessChannel
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state
from tradewind.training.worker import learn

BATCHES = 6
"""Of the one worker there is."""


def rows() -> Any:
    chance = np.random.default_rng(2)
    x = chance.normal(size=(BATCHES * 5, 4)).astype(np.float32)
    return open_data(x, (x[:, 1] > 0).astype(float))


DATA = rows()
PART = DATA.part(0, 1, 5)


class Told(LinearLearner):
    """Notes the batches that it is given, and does something before one of them."""

    def __init__(self, before: int = -1, does: Any = None) -> None:
        super().__init__(optimizer="sgd")
        self.before, self.does = before, does
        self.given = 0

    def update(self, state: Any, stream: Iterator[Any], synchronized: bool) -> None:
        def noted() -> Iterator[Any]:
            for batch in stream:
                if self.given == self.before:
                    self.before = -1
                    self.does()
                self.given += 1
                yield batch

        super().update(state, noted(), synchronized)


def served(consistency: str = "bulk_synchronous") -> tuple[Engine, InProcess]:
    job = Job(
        learner=learner_of(LinearLearner(optimizer="sgd")), data={}, parts=1, batch=5, consistency=consistency
    )
    engine = fresh_state(job, LinearLearner(optimizer="sgd"), DATA)
    return engine, InProcess(Server(engine))


def weights(engine: Engine) -> bytes:
    return engine.table("weights").read(None).tobytes()


def whole() -> bytes:
    engine, hub = served()
    learn(Told(), PART, 0, hub.channel())
    return weights(engine)


class Closing(InProcessChannel):
    """Notes whether it was let go of."""

    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("consistency", ["bulk_synchronous", "stale_synchronous", "asynchronous"])
def test_to_the_end_and_leaves(consistency) -> None:
    engine, hub = served(consistency)
    channel, algorithm = Closing(hub), Told()
    learn(algorithm, PART, 0, channel)
    assert engine.finished and algorithm.given == BATCHES and channel.closed


def test_asked_to_leave_it_ends_its_batch_and_gives_the_worker_back() -> None:
    engine, hub = served()
    first = Told()
    learn(first, PART, 0, hub.channel(), lambda: first.given == 2)
    (record,) = engine.workers()
    assert first.given == 2 and record["clock"] == 2
    assert not record["hosted"] and not record["left"]
    second = Told()
    learn(second, PART, 0, hub.channel())
    assert second.given == BATCHES - 2 and engine.finished and weights(engine) == whole()


def test_asked_before_it_began_it_does_nothing() -> None:
    engine, hub = served()
    algorithm = Told()
    learn(algorithm, PART, 0, hub.channel(), lambda: True)
    assert algorithm.given == 0 and engine.workers()[0]["clock"] == 0 and not engine.finished


def test_asked_to_leave_at_its_end_it_has_finished() -> None:
    engine, hub = served()
    algorithm = Told()
    learn(algorithm, PART, 0, hub.channel(), lambda: algorithm.given >= BATCHES)
    assert engine.finished


@pytest.mark.parametrize("consistency", ["bulk_synchronous", "asynchronous"])
def test_replaced_it_stops_silently_and_its_last_pushes_count_for_nothing(consistency) -> None:
    engine, hub = served(consistency)
    other = StateClient([hub.channel()], 0)
    first, channel = Told(3, other.host), Closing(hub)
    learn(first, PART, 0, channel)
    # Asynchronous, a batch's end is told with the next one's first word.
    reached = 3 if consistency == "bulk_synchronous" else 2
    assert not engine.finished and engine.workers()[0]["clock"] == reached and channel.closed
    learn(Told(), PART, 0, hub.channel())
    assert engine.finished and weights(engine) == whole()


def test_given_up_it_stops() -> None:
    engine, hub = served()
    learn(Told(2, lambda: engine.forsake(0)), PART, 0, hub.channel())
    assert engine.finished and engine.workers()[0]["clock"] == 2


def test_set_back_it_begins_again_from_where_the_state_stands() -> None:
    """The server was replaced by one from an older snapshot, in the middle of the worker's fifth batch."""
    engine, hub = served()
    learn(Told(), PART, 0, hub.channel(), _after(2))
    arrays, header = engine.snapshot().plain()
    saved = snapshot_of({name: array.copy() for name, array in arrays.items()}, header)

    def replace() -> None:
        hub.server = Server(Engine.restore(saved))

    algorithm = Told(3, replace)
    learn(algorithm, PART, 0, hub.channel())
    later = hub.server.engine
    assert later.finished and weights(later) == whole()
    # Three batches, the fourth whose pushes were refused, and then all but the two that were saved.
    assert algorithm.given == 3 + 1 + (BATCHES - 2)


def _after(batches: int):
    calls = 0

    def leaving() -> bool:
        nonlocal calls
        calls += 1
        return calls > batches

    return leaving


def test_what_is_wrong_with_the_rows_is_raised_and_the_channel_let_go_of() -> None:
    engine, hub = served()
    wrong = open_data(np.ones((10, 3), np.float32), np.zeros(10)).part(0, 1, 5)
    channel = Closing(hub)
    with pytest.raises(Misuse, match="features"):
        learn(Told(), wrong, 0, channel)
    assert channel.closed and not engine.finished


def test_messages_carry_no_moment() -> None:
    """Clocks of instances may be wrong by any amount: nobody is told what they say."""
    engine, hub = served()
    seen: list[bytes] = []

    class Listening(InProcessChannel):
        def send(self, message: Message) -> None:
            seen.append(bytes(message[0]))
            super().send(message)

    learn(Told(), PART, 0, Listening(hub))
    assert engine.finished and len(seen) > BATCHES

    def floats(value: Any) -> bool:
        if isinstance(value, dict):
            return any(map(floats, value.values()))
        return any(map(floats, value)) if isinstance(value, list) else isinstance(value, float)

    assert not any(floats(msgspec.msgpack.decode(each)) for each in seen)
