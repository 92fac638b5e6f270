from __future__ import annotations

import numpy as np
import pytest

from tradewind.errors import Unreachable
from tradewind.state.codec import pack
from tradewind.state.link import Link, Ousted, Patience, RolledBack
from tradewind.state.messages import Ping, Reply, Wait, header, request_of


class Scripted:
    """A server that answers each message by what the script says next; None is silence."""

    def __init__(self, *script):
        self.script, self.sent, self.reconnections = list(script), [], 0
        self.inbox = []

    def send(self, message):
        self.sent.append(request_of(message))
        answers = self.script.pop(0) if self.script else None
        self.inbox += answers or []

    def receive(self, timeout):
        return self.inbox.pop(0) if self.inbox else None

    def reconnect(self):
        self.reconnections += 1

    def close(self):
        pass


def done(number, value):
    packed, body = pack(np.array([value]))
    return [header(Reply(number, "done", [packed])), body]


def said(number, kind):
    return [header(Reply(number, kind))]


def test_silence_is_asked_about_then_sent_again():
    server = Scripted(None, None, [done(1, 5.0)])
    link = Link(server, Patience(0.0, 60))
    link.post([Wait()])
    assert link.answer()[1][0].tolist() == [5.0]
    assert [type(each.operations[0]) for each in server.sent] == [Wait, Ping, Wait]
    assert server.reconnections == 1 and not link.outstanding


def test_a_server_that_waits_is_not_bothered_with_the_whole_again():
    server = Scripted(None, [said(1, "waiting"), done(1, 1.0)])
    link = Link(server, Patience(0.0, 60))
    link.post([Wait()])
    link.answer()
    assert server.reconnections == 0 and len(server.sent) == 2


def test_old_and_broken_answers_are_passed_over():
    server = Scripted([said(7, "ousted"), [b"noise"], done(1, 2.0), done(1, 3.0)], [done(2, 4.0)])
    link = Link(server, Patience(0.0, 60))
    link.post([Wait()])
    assert link.answer()[1][0] == 2.0
    link.post([Wait()])
    assert link.answer()[1][0] == 4.0


def test_answers_are_given_in_the_order_of_the_requests():
    server = Scripted(None, [done(2, 2.0), done(1, 1.0)])
    link = Link(server, Patience(0.0, 60))
    link.post([Wait()])
    link.post([Wait()])
    assert [link.answer()[1][0][0] for _ in range(2)] == [1.0, 2.0]


def test_a_gap_after_a_lost_request_heals():
    # the first is lost, so the second is refused; then both are sent again
    server = Scripted(None, [said(2, "gap")], [said(1, "unknown")], [done(1, 1.0)], [done(2, 2.0)])
    link = Link(server, Patience(0.0, 60))
    link.post([Wait()])
    link.post([Wait()])
    assert [link.answer()[1][0][0] for _ in range(2)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "raised"), [("rolled_back", RolledBack), ("gap", RolledBack), ("ousted", Ousted)]
)
def test_refusals_are_raised(kind, raised):
    link = Link(Scripted([said(1, kind)]), Patience(0.0, 60))
    link.post([Wait()])
    with pytest.raises(raised):
        link.answer()


def test_patience_ends():
    link = Link(Scripted(), Patience(0.0, 0.0))
    link.post([Wait()])
    with pytest.raises(Unreachable):
        link.answer()
    assert not link.outstanding
