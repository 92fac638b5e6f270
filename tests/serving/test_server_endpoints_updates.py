"""What an update sees of a side in the windows of its alarms."""

from __future__ import annotations

from tradewind.serving.rollout.alarms import Seen
from tradewind.serving.server.endpoints.updates import Watch
from tradewind.serving.server.metrics.meters import SECONDS

NONE = (0,) * (len(SECONDS) + 1)


def seen(answers, errors):
    return Seen(answers, errors, (answers, *NONE[1:]))


def test_an_alarm_sees_its_own_window_only() -> None:
    watch = Watch(("errors>20% over 10s", "errors>20% over 100s"))
    assert watch.ringing(0.0, seen(0, 0)) == ()
    assert watch.ringing(5.0, seen(6, 4)) == ("errors>20% over 10s", "errors>20% over 100s")
    assert watch.ringing(14.0, seen(26, 4)) == ()
    # Of the last ten seconds alone: 4 of 14 calls, and of all of them 8 of 44.
    assert watch.ringing(24.0, seen(36, 8)) == ("errors>20% over 10s",)
    assert watch.ringing(200.0, seen(36, 8)) == ()


def test_nothing_is_kept_where_nothing_is_watched() -> None:
    watch = Watch(())
    assert watch.ringing(0.0, seen(0, 100)) == () and not watch._samples


def test_what_is_kept_is_bounded_by_the_longest_window() -> None:
    watch = Watch(("p99>50ms over 10s",))
    for turn in range(1000):
        watch.ringing(turn * 0.1, seen(turn, 0))
    assert len(watch._samples) <= 102
