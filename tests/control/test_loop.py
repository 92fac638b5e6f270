"""The loop: observe, decide, record, act, wait."""

import pytest
from msgspec import Struct

from tradewind import clock
from tradewind.control.loop import Outcome, drive
from tradewind.errors import Misuse
from tradewind.market.decisions import Decision


class Tick(Struct, frozen=True):
    now: float
    level: int


class Every:
    name = "every"

    def __init__(self, seconds=10.0):
        self.seconds = seconds

    def recall(self):
        return 0

    def decide(self, view, memory):
        return Decision((), f"decision {memory}", view.now + self.seconds), memory + 1


class Fails(Every):
    name = "fails"

    def decide(self, view, memory):
        if memory == 3:
            raise ZeroDivisionError("no such price")
        return super().decide(view, memory)


class Ticking:
    """A world that ends after `count` views and keeps what happened in order."""

    def __init__(self, count, log):
        self.count, self.log = count, log

    async def observe(self):
        self.count -= 1
        self.log.append("observe")
        return Tick(clock.now(), self.count) if self.count >= 0 else None

    async def perform(self, decision):
        self.log.append("perform")
        return (Outcome(problem="none"),)

    async def news(self, decision):
        self.log.append("news")
        await clock.sleep_until(decision.wake_at)


class Listing:
    def __init__(self, log):
        self.log, self.rows, self.outcomes = log, [], []

    def record(self, view, memory, decision, recalled):
        self.log.append("record")
        self.rows.append((view.now, memory, decision.reason, recalled))

    def record_outcomes(self, outcomes):
        self.log.append("outcomes")
        self.outcomes.append(outcomes)


def test_a_decision_is_on_record_before_it_is_carried_out():
    log = []
    listing = Listing(log)
    clock.simulate(drive(Every(), Ticking(2, log), listing), start=100.0)
    once = ["observe", "record", "perform", "outcomes", "news"]
    assert log == [*once, *once, "observe"]
    assert listing.rows == [(100.0, 0, "decision 0", 1), (110.0, 1, "decision 1", 2)]
    assert listing.outcomes == [(Outcome(problem="none"),)] * 2


@pytest.mark.parametrize("seconds", [0.0, -5.0, float("inf"), float("nan")])
def test_a_decision_that_would_stand_still_names_the_policy(seconds):
    log = []
    with pytest.raises(Misuse, match=r"policy every: wake_at: .* finite moment later") as caught:
        clock.simulate(drive(Every(seconds), Ticking(5, log), Listing(log)))
    assert caught.value.field == "wake_at"
    assert "record" not in log and "perform" not in log


def test_an_error_tells_the_story_so_far():
    log = []
    with pytest.raises(ZeroDivisionError) as caught:
        clock.simulate(drive(Fails(), Ticking(9, log), Listing(log)))
    notes = caught.value.__notes__
    assert notes[0] == "policy fails was deciding at 1970-01-01T00:00:30Z"
    assert notes[1:] == [f"  1970-01-01T00:00:{10 * at:02}Z it had said: decision {at}" for at in range(3)]


def test_decisions_without_end_at_one_moment_are_an_error():
    class Restless(Ticking):
        async def news(self, decision):
            pass

    log = []
    with pytest.raises(Misuse, match="times at one moment"):
        clock.simulate(drive(Every(), Restless(10**6, log), Listing(log)))
    assert log.count("perform") < 2000
