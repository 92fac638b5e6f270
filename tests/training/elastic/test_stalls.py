"""When a batch hangs: by the longest so far, and only where nobody else is waited for."""

from tradewind.training.elastic.stalls import Stalls


def test_a_batch_is_given_twenty_times_the_longest_and_a_minute_at_least():
    stalls = Stalls()
    assert stalls.bound == 60.0
    stalls.look({"a": 0}, 0.0)
    stalls.look({"a": 1}, 9.0)
    assert stalls.bound == 180.0
    assert not stalls.look({"a": 1}, 9.0 + 180.0)
    assert stalls.look({"a": 1}, 9.0 + 180.5) == ["a"]


def test_who_waits_for_another_is_not_suspected():
    stalls = Stalls(least=1.0, times=2.0)
    stalls.look({"slow": 3, "fast": 5}, 0.0)
    assert stalls.look({"slow": 3, "fast": 5}, 2.0) == ["slow"]


def test_the_time_between_rounds_is_no_batch():
    """A task that has arrived is not in a batch; it begins anew with the next round."""
    stalls = Stalls(least=1.0, times=2.0)
    stalls.look({"a": 0}, 0.0)
    stalls.look({}, 0.5)
    stalls.look({"a": 1}, 100.0)
    assert stalls.bound == 1.0
    assert not stalls.look({"a": 1}, 100.9)


def test_who_was_suspected_gets_twice_the_time():
    stalls = Stalls(least=1.0, times=2.0)
    stalls.look({"a": 0}, 0.0)
    assert stalls.look({"a": 0}, 1.1) == ["a"]
    assert not stalls.look({"b": 0}, 1.2)
    assert not stalls.look({"b": 0}, 3.1)
    assert stalls.look({"b": 0}, 3.3) == ["b"]
    assert stalls.bound == 4.0
