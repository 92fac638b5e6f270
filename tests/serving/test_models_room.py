"""Accounts of memory: never below zero, never above the limit, and nothing in use is proposed to go."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tradewind.serving.models.room import Room


class Accounts(RuleBasedStateMachine):
    """Against a plain model: a list in the order of use."""

    def __init__(self):
        super().__init__()
        self.room = Room(100)
        self.sizes: dict[int, int] = {}
        self.uses: dict[int, int] = {}
        self.leaving: set[int] = set()
        self.order: list[int] = []

    def touched(self, number):
        if number in self.order:
            self.order.remove(number)
        self.order.append(number)

    @rule(size=st.integers(0, 130))
    def takes_a_place_for_which_the_oldest_idle_go(self, size):
        victims = self.room.victims(size)
        idle = [each for each in self.order if not self.uses[each] and each not in self.leaving]
        free = 100 - sum(self.sizes.values())
        if victims is None:
            assert free + sum(self.sizes[each] for each in idle) < size
            with pytest.raises(ValueError):
                self.room.take(size)
            return
        assert list(victims) == idle[: len(victims)]
        assert free + sum(self.sizes[each] for each in victims) >= size
        assert not victims or free + sum(self.sizes[each] for each in victims[:-1]) < size
        for each in victims:
            self.room.leave(each)
            self.room.forget(each)
            for known in (self.sizes, self.uses):
                del known[each]
            self.order.remove(each)
        number = self.room.take(size)
        assert number not in self.sizes
        self.sizes[number], self.uses[number] = size, 1
        self.touched(number)

    @precondition(lambda self: self.sizes)
    @rule(data=st.data(), lend=st.booleans())
    def is_lent_or_given_back(self, data, lend):
        number = data.draw(st.sampled_from(sorted(self.sizes)))
        if lend:
            self.room.lend(number)
            self.uses[number] += 1
        elif self.uses[number]:
            self.uses[number] -= 1
            assert self.room.give_back(number) == self.uses[number]
        else:
            with pytest.raises(ValueError, match="more often"):
                self.room.give_back(number)
            return
        self.touched(number)

    @precondition(lambda self: self.sizes)
    @rule(data=st.data(), size=st.integers(-5, 130))
    def is_charged_another_size(self, data, size):
        number = data.draw(st.sampled_from(sorted(self.sizes)))
        others = sum(self.sizes.values()) - self.sizes[number]
        if size < 0 or others + size > 100:
            with pytest.raises(ValueError):
                self.room.resize(number, size)
        else:
            self.room.resize(number, size)
            self.sizes[number] = size

    @precondition(lambda self: self.sizes)
    @rule(data=st.data())
    def is_on_its_way_out(self, data):
        number = data.draw(st.sampled_from(sorted(self.sizes)))
        self.room.leave(number)
        self.leaving.add(number)

    @invariant()
    def the_sums_are_right(self):
        assert self.room.charged == sum(self.sizes.values())
        assert 0 <= self.room.charged <= 100 and self.room.free == 100 - self.room.charged
        for number, size in self.sizes.items():
            assert (self.room.size(number), self.room.uses(number)) == (size, self.uses[number])


Accounts.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_accounts = Accounts.TestCase


def test_a_limit_is_not_below_zero():
    with pytest.raises(ValueError, match="-1 bytes"):
        Room(-1)
    assert Room(0).victims(0) == () and Room(0).victims(1) is None
