"""What earlier studies had shown: copied whole, in parts that every database takes, and put on one scale."""

from __future__ import annotations

import math

import pytest

from tradewind.data.trial_records import NOTED, Event, StoredTrial
from tradewind.tuning.earlier_studies import MARK, Earlier, EarlierStudies, copied, on_scale
from tradewind.tuning.space import Space
from tradewind.tuning.trial import COMPLETED, FAILED, PAUSED, RUNNING, STOPPED, WAITING, Trial

SPACE = Space.of({"x": {"low": 0.0, "high": 1.0}, "word": ["é", "b"]})


def stored(number: int, state: str = COMPLETED, x: float = 0.5, **about) -> StoredTrial:
    return StoredTrial(number, {"word": "é", "x": x}, state, **about)


def events(documents) -> list[Event]:
    return [Event(at + 1, NOTED, text=MARK, document=each) for at, each in enumerate(documents)]


def test_a_copy_is_what_was_copied():
    trials = [
        stored(0, steps=(1, 3), values=(2.0, math.nan), final=1.5, dollars=0.25, seconds=9.0),
        stored(1, RUNNING, steps=(1,), values=(math.inf,)),
        stored(2, PAUSED, steps=(2,), values=(4.0,)),
        stored(3, WAITING),
        stored(4, FAILED, reason="it broke"),
        stored(5, x=7.0, final=1.0),
        stored(6, x=8.0, final=1.0),
    ]
    studies = EarlierStudies()
    studies.follow(events(copied(Earlier("old", identical=True), trials, -1.0, SPACE)))
    begun = studies.known["old"]
    assert [(each.number, each.state) for each in begun.trials] == [
        (0, COMPLETED), (1, STOPPED), (2, STOPPED), (4, FAILED),
    ]  # fmt: skip
    first, running = begun.trials[:2]
    assert list(first.setting.items()) == [("x", 0.5), ("word", "é")]
    assert first.steps == (1, 3) and first.losses[0] == -2.0 and math.isnan(first.losses[1])
    assert (first.final, first.dollars, first.seconds) == (-1.5, 0.25, 9.0)
    assert running.losses == (-math.inf,)
    assert all(each.foreign == "old" and each.identical for each in begun.trials)
    assert begun.left_out == 2 and "x: 7.0 is outside" in begun.why
    assert begun.said == (
        "4 trials of 'old', with the same data and algorithm, count; 2 outside the space left out "
        "(x: 7.0 is outside. Give a number from 0.0 to 1.0)"
    )


def test_a_large_copy_comes_in_parts_and_counts_when_all_are_there():
    steps = tuple(range(200))
    trials = [stored(n, steps=steps, values=tuple(n / (1 + step) for step in steps)) for n in range(50)]
    documents = copied(Earlier("old"), trials, 1.0, SPACE)
    assert len(documents) > 20 and all(len(str(each).encode()) < 30_000 for each in documents)
    studies, arriving = EarlierStudies(), events(documents)
    for event in arriving[:-1]:
        studies.follow([event])
        assert not studies.trials and not studies.known
    studies.follow(arriving[-1:])
    assert [each.losses for each in studies.trials] == [each.values for each in trials]


def test_of_copies_that_differ_the_first_that_is_whole_counts():
    steps = tuple(range(2000))
    early = copied(Earlier("old"), [stored(0, steps=steps, values=(1.0,) * 2000)], 1.0, SPACE)
    late = copied(Earlier("old"), [stored(0, steps=steps, values=(2.0,) * 2000)], 1.0, SPACE)
    again = copied(Earlier("old"), [stored(0, steps=steps, values=(1.0,) * 2000)], 1.0, SPACE)
    assert early == again and len(early) == len(late) > 1
    studies = EarlierStudies()
    # one that was killed after its first part, another whole, and the first one's remainder by a third
    studies.follow(events([early[0], *late[:-1], *again[:-1], late[-1], again[-1]]))
    assert studies.trials[0].losses[0] == 2.0 and len(studies.known) == 1
    other = EarlierStudies()
    other.follow(events([early[0], *late[:-1], *again, late[-1]]))
    assert other.trials[0].losses[0] == 1.0


def test_a_copy_of_nothing_is_one_too():
    studies = EarlierStudies()
    studies.follow(events(copied(Earlier("old"), [], 1.0, SPACE)))
    assert studies.known["old"].trials == () and "0 trials of 'old', with other data" in (
        studies.known["old"].said
    )


def done(number: int, loss: float, foreign: str = "", identical: bool = False) -> Trial:
    return Trial(
        number, {}, COMPLETED, (1,), (2 * loss,), loss, foreign=foreign, identical=identical
    )  # fmt: skip


def test_losses_of_other_data_come_on_this_studys_scale():
    own = [done(n, 1.0 + n / 10) for n in range(9)]
    other = [done(n, 5000.0 + 100 * n, "old") for n in range(9)]
    moved = on_scale(other, own)
    assert [each.final for each in moved] == pytest.approx([each.final for each in own])
    assert moved[3].losses == pytest.approx((2 * 5300 / 1000 - (5400 / 1000 - 1.4),))
    same = [done(n, 5000.0 + 100 * n, "like", identical=True) for n in range(9)]
    assert on_scale(same, own) == same
    # where this study has not shown enough, one with the same data tells the scale
    assert [each.final for each in on_scale([*same, *other], own[:2])[9:]] != [each.final for each in other]


@pytest.mark.parametrize(
    ("foreign", "own"),
    [
        ([done(n, 9.0 * n, "old") for n in range(9)], [done(n, n) for n in range(4)]),
        ([done(n, 9.0 * n, "old") for n in range(4)], [done(n, n) for n in range(9)]),
        ([done(n, 9.0, "old") for n in range(9)], [done(n, n) for n in range(9)]),
        ([done(n, 9.0 * n, "old") for n in range(9)], [done(n, 1.0) for n in range(9)]),
        ([done(n, math.nan, "old") for n in range(9)], [done(n, n) for n in range(9)]),
    ],
)
def test_what_tells_no_scale_moves_nothing(foreign, own):
    assert repr(on_scale(foreign, own)) == repr(foreign)
