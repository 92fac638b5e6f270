"""Least recently used."""

from tradewind.serving.server.embeddings.least_recent import LeastRecent


def test_the_least_recent_goes():
    policy = LeastRecent(2)
    assert [policy.admit(1), policy.admit(2), policy.touch(1), policy.admit(3)] == [0, 1, 0, 1]
    assert [policy.touch(key) for key in (1, 2, 3)] == [0, -1, 1]
