"""Clients that take turns: the same order for the same seed, another for another, and nobody is forgotten."""

import pytest

from tradewind.errors import Unreachable
from tradewind.state.link import Link, Patience
from tradewind.state.messages import Ping
from tradewind.state.transport.inprocess import InProcess
from tradewind.state.transport.turns import Turns


class Echo:
    """Answers every message of one byte at once, notes whose it was, and is deaf to any other."""

    def __init__(self):
        self.order = []

    def handle(self, peer, frames):
        name = bytes(frames[0])
        if len(name) > 1:
            return []
        self.order.append(name)
        return [(peer, frames)]


def asking(name, times, heard):
    def client(channel):
        for _ in range(times):
            channel.send([name])
            while (answer := channel.receive(0.001)) is None:
                pass
            heard.append(bytes(answer[0]))
        channel.close()

    return client


def order(seed, clients=4, times=20):
    echo, heard = Echo(), []
    Turns(InProcess(echo), seed).run([asking(str(each).encode(), times, heard) for each in range(clients)])
    assert (
        sorted(heard)
        == sorted(echo.order)
        == sorted(str(each).encode() for each in range(clients) for _ in range(times))
    )
    return echo.order


def test_the_order_is_the_seeds():
    first = order(1)
    assert all(order(1) == first for _ in range(5))
    assert order(2) != first


def test_nobody_goes_on_in_step():
    """A worker may be ahead of another: asynchrony is not made round robin."""
    taken = order(3)
    ahead = {name: 0 for name in set(taken)}
    apart = 0
    for name in taken:
        ahead[name] += 1
        apart = max(apart, max(ahead.values()) - min(ahead.values()))
    assert apart > 2


def test_who_is_not_answered_holds_nobody_up_and_loses_patience():
    heard, problems = [], []

    def unheard(channel):
        link = Link(channel, Patience(ask_again=0.01, give_up=0.05))
        link.post([Ping()])
        try:
            link.answer()
        except Unreachable as problem:
            problems.append(problem)

    Turns(InProcess(Echo()), 0).run([unheard, asking(b"a", 30, heard), asking(b"b", 30, heard)])
    assert len(heard) == 60 and len(problems) == 1


@pytest.mark.parametrize("clients", [0, 1])
def test_few(clients):
    assert len(order(0, clients)) == 20 * clients
