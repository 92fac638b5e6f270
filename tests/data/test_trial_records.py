"""Events make trials; documents are compared by the field."""

import math

import pytest

from tradewind.data.trial_records import (
    Event,
    Trials,
    as_json,
    difference,
    digest,
    joined,
    same,
    split,
)
from tradewind.errors import Misuse

HISTORY = [
    Event(1, "created"),
    Event(2, "added", 0, document={"setting": {"rate": 0.1}, "parent": None, "seen": 1}),
    Event(3, "claimed", 0, 1, driver="one"),
    Event(4, "assigned", 0, 1, value=0.5, text="m4.large in us-east-1a"),
    Event(5, "reported", 0, 1, step=10, value=0.9, dollars=0.1, seconds=5.0),
    Event(6, "reported", 0, 1, step=20, value=math.nan, dollars=0.2, seconds=10.0),
    Event(7, "checkpointed", 0, 1, step=20, text="there/20"),
    Event(8, "requeued", 0, 1, text="taken", document={"cause": "revocation"}, dollars=0.25),
    Event(9, "claimed", 0, 2, driver="two"),
    Event(10, "redone", 0, 2, step=20, value=0.7),
    Event(11, "reported", 0, 2, step=15, value=0.8),
    Event(12, "noted", 0, 2, text="goes on"),
    Event(13, "stop_wanted", 0, 2, text="by hand"),
    Event(14, "finished", 0, 2, value=0.6, text="enough", document={"state": "stopped"}, seconds=12.0),
]


def test_a_trial_is_what_its_events_say():
    trials = Trials()
    trials.follow(HISTORY)
    found = trials[0]
    assert (found.state, found.final, found.reason, found.driver) == ("stopped", 0.6, "enough", "")
    assert found.steps == (10, 15, 20) and found.values[:2] == (0.9, 0.8) and math.isnan(found.values[2])
    assert (found.dollars, found.seconds) == (0.25, 12.0)
    assert (found.revocations, found.failures, found.redone, found.attempt) == (1, 0, 1, 2)
    assert (found.checkpoint_step, found.checkpoint) == (20, "there/20")
    assert (found.offer, found.seconds_per_step) == ("m4.large in us-east-1a", 0.5)
    assert (found.stop_wanted, found.sequence) == ("by hand", 14)


def test_trials_as_of_any_event_are_those_of_the_events_up_to_it():
    growing = Trials()
    for at, event in enumerate(HISTORY, 1):
        growing.follow([event])
        fresh = Trials()
        fresh.follow(HISTORY[:at])
        assert repr(growing.all()) == repr(fresh.all())
        assert growing.sequence == at
    early = Trials()
    early.follow(HISTORY[:5])
    assert early[0].steps == (10,) and early[0].state == "running" and len(early) == 1


def test_an_event_that_is_missing_shows():
    trials = Trials()
    trials.follow(HISTORY[:3])
    with pytest.raises(Misuse, match="event 5 does not come after event 3"):
        trials.follow(HISTORY[4:])
    with pytest.raises(Misuse, match="there is no trial 7"):
        trials[7]


def test_the_digest_sees_order_and_values_but_not_who_and_where():
    whole = digest({"a": 1}, HISTORY)
    assert whole == digest({"a": 1}, list(HISTORY)) != digest({"a": 2}, HISTORY)
    other = [
        Event(3, "claimed", 0, 1, driver="another"),
        Event(7, "checkpointed", 0, 1, step=20, text="elsewhere/20"),
    ]
    moved = [next((new for new in other if new.sequence == old.sequence), old) for old in HISTORY]
    assert moved != HISTORY and digest({"a": 1}, moved) == whole
    for at, changed in (
        (4, Event(5, "reported", 0, 1, step=10, value=0.9000001, dollars=0.1, seconds=5.0)),
        (5, Event(6, "reported", 0, 1, step=20, value=math.inf, dollars=0.2, seconds=10.0)),
        (7, Event(8, "requeued", 0, 1, text="taken", document={"cause": "failure"}, dollars=0.25)),
    ):
        assert digest({"a": 1}, [*HISTORY[:at], changed, *HISTORY[at + 1 :]]) != whole
    assert digest({"a": 1}, HISTORY[:-1]) != whole


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"a": 1, "b": {"c": (1, 2)}}, None),
        ({"a": 1}, {"a": 2}, "a"),
        ({"a": 1}, {"a": True}, "a"),
        ({"a": 1}, {"a": 1.0}, "a"),
        ({"a": 1}, {"a": 1, "b": None}, "b"),
        ({"a": 1, "b": 2}, {"a": 1}, "b"),
        ({"space": {"rate": {"low": 0.1}}}, {"space": {"rate": {"low": 0.2}}}, "space.rate.low"),
        ({"space": {"kind": ["a", "b"]}}, {"space": {"kind": ["a", "c"]}}, "space.kind[1]"),
        ({"space": {"kind": ["a", "b"]}}, {"space": {"kind": ["a"]}}, "space.kind"),
    ],
)
def test_the_first_field_that_differs_is_named(before, after, field):
    assert difference(before, after) == field


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"rate": math.nan}, "setting.rate"),
        ({"deep": {"rate": [1, math.inf]}}, "setting.deep.rate"),
        ({"what": object()}, "setting"),
        ({1: "one"}, "setting"),
    ],
)
def test_what_json_cannot_say_is_refused_by_name(document, field):
    with pytest.raises(Misuse, match=field.replace(".", r"\.")):
        as_json(document, "setting")


def test_what_json_says_reads_back():
    assert as_json({"a": 0.1, "b": [True, None, "x"], "c": 2**70 + 1}, "setting")


@pytest.mark.parametrize("value", [None, 0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, 5e-324])
def test_a_number_is_put_together_as_it_was(value):
    kept, odd = split(value)
    assert kept is None or math.isfinite(kept)
    again = joined(kept, odd)
    assert again is value if value is None else same(again, value)
    assert not same(0.0, math.nan) and not same(math.inf, -math.inf)
