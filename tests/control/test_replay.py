"""Deciding again: equal bytes, or a loud error."""

import pytest

from tradewind.control.journal import Journal
from tradewind.control.loop import Outcome
from tradewind.control.records import header_for
from tradewind.control.replay import rebuild, replay
from tradewind.errors import Diverged, Misuse
from tradewind.market.decisions import Decision
from tradewind.market.views import View


class Doubling:
    name = "doubling"

    def __init__(self, factor=2.0):
        self.factor = factor

    def recall(self):
        return None

    def decide(self, view, memory):
        return Decision((), "again", view.now + self.factor), memory


class Mended(Doubling):
    """The same policy as a later version has it: one answer is another."""

    def decide(self, view, memory):
        if view.now == 40.0:
            return Decision((), "otherwise", view.now + self.factor), memory
        return super().decide(view, memory)


HOME = f"{__name__}:Doubling"


def write(path, policy, moments):
    with Journal(path, header_for(policy, View), commit_every=7) as journal:
        for moment in moments:
            view = View(float(moment), (), ())
            decision, recalled = policy.decide(view, None)
            journal.record(view, None, decision, recalled)
            journal.record_outcomes((Outcome(),))


def test_every_decision_is_made_again(tmp_path):
    path = tmp_path / "journal.sqlite"
    write(path, Doubling(3.0), range(150))
    again = replay(path, {HOME: Doubling})
    with Journal.read(path) as reading:
        assert again.digest == reading.summary().digest
    assert (again.decisions, again.header.arguments) == (150, {"factor": 3.0})


def test_each_stretch_has_its_own_policy(tmp_path):
    path = tmp_path / "journal.sqlite"
    write(path, Doubling(3.0), range(5))
    write(path, Doubling(4.0), range(5, 9))
    assert replay(path, {HOME: Doubling}).decisions == 9


def test_the_first_difference_is_told_with_both_answers(tmp_path):
    path = tmp_path / "journal.sqlite"
    write(path, Doubling(), range(100))
    with pytest.raises(Diverged) as caught:
        replay(path, {HOME: Mended})
    text = str(caught.value)
    assert "row 40 at 1970-01-01T00:00:40Z" in text and "decision of doubling" in text
    assert '"reason":"otherwise"' in text and '"reason":"again"' in text


def test_another_memory_is_a_difference_too(tmp_path):
    class Remembers(Doubling):
        def decide(self, view, memory):
            return super().decide(view, memory)[0], 1

    path = tmp_path / "journal.sqlite"
    write(path, Doubling(), range(3))
    with pytest.raises(Diverged, match="the memory of doubling is 1 now and was null"):
        replay(path, {HOME: Remembers})


def test_a_policy_of_others_must_be_given(tmp_path):
    path = tmp_path / "journal.sqlite"
    write(path, Doubling(), range(3))
    with pytest.raises(Misuse, match="not part of Tradewind"):
        replay(path)


def test_arguments_that_the_class_no_longer_takes_are_told():
    header = header_for(Doubling(), View, version="0.0.1")

    class Shrunk:
        pass

    with pytest.raises(Misuse, match=r"cannot be made .* Replay with Tradewind 0\.0\.1"):
        rebuild(header, {HOME: Shrunk})
