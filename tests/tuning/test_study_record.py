"""A history as rules see it: less is better, nothing is infinitely good, and heirs are known."""

from __future__ import annotations

import math

import pytest

from tradewind.data.trial_records import FINISHED, NOTED, REPORTED, Event
from tradewind.tuning.study_record import StudyRecord, in_place_of
from tradewind.tuning.trial import COMPLETED, FAILED


class History:
    def __init__(self) -> None:
        self.events = [Event(1, "created", moment=100.0)]

    def add(self, kind: str, number: int | None = None, **about) -> Event:
        if kind == "added":
            about["document"] = {"setting": {"x": number}}
        if kind == FINISHED:
            about["document"] = {"state": about.pop("state", COMPLETED)}
        self.events.append(Event(len(self.events) + 1, kind, number, **about))
        return self.events[-1]


def test_losses_are_less_the_better_and_never_infinitely_good():
    history = History()
    history.add("added", 0)
    for step, value in enumerate((1.0, math.inf, -math.inf, math.nan)):
        history.add(REPORTED, 0, step=step, value=value)
    history.add(FINISHED, 0, value=3.0)
    for sign, expected in (
        (1.0, [1.0, math.inf, math.nan, math.nan]), (-1.0, [-1.0, math.nan, math.inf, math.nan]),
    ):  # fmt: skip
        record = StudyRecord(sign)
        record.follow(history.events, 0.0)
        view = record.views()[0]
        assert [*view.losses] == pytest.approx(expected, nan_ok=True) and view.final == sign * 3.0
        assert record.views()[0] is view, "made once"


def test_time_begins_with_the_first_event():
    record = StudyRecord(1.0)
    assert record.passed(5.0) == 0.0
    record.follow([], 7.0)
    record.follow(History().events, 50.0)
    assert record.passed(103.0) == 3.0 and record.passed(90.0) == 0.0
    untimed = StudyRecord(1.0)
    untimed.follow([Event(1, "created")], 50.0)
    assert untimed.passed(53.0) == 3.0


def test_only_failures_after_the_last_that_did_not_count():
    history = History()
    for number in range(6):
        history.add("added", number)
    record = StudyRecord(1.0)
    record.follow(history.events, 0.0)
    ends = [(3, FAILED), (0, COMPLETED), (5, FAILED), (1, FAILED)]
    for number, state in ends:
        record.follow([history.add(FINISHED, number, state=state, text=f"reason {number}")], 0.0)
    assert record.hopeless(3) == "" and record.hopeless(None) == ""
    assert record.hopeless(2) == "2 trials failed one after another, the last for: reason 1"
    later = StudyRecord(1.0)
    later.follow(history.events, 0.0)
    assert later.hopeless(1) == "", "what failed before it began, it does not count"


def test_what_became_of_a_trial_and_what_notes_say_is_known():
    history = History()
    history.add("added", 0)
    history.add("added", 1, text=in_place_of(0, "it was: worst"))
    history.add(NOTED, document={"said": "mind this"})
    history.add(NOTED, document={"said": 5})
    record = StudyRecord(1.0)
    record.follow(history.events, 0.0)
    assert record.heirs == {0: "it was: worst"} and record.said == ["mind this"]
