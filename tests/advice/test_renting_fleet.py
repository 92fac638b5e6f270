"""Devices of an instance: what the fleet holds is what its room says."""

import hypothesis.strategies as st
from hypothesis import given, settings
from renting_stage import offer

from tradewind.advice.renting.fleet import Machine
from tradewind.market.resources import Resources

SHARES = st.sampled_from((0.0, 0.2, 0.35, 0.5, 0.65, 1.0, 2.0))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(SHARES, st.integers(0, 5)), max_size=25))
def test_taking_and_freeing_in_any_order_agrees_with_the_room_and_ends_where_it_began(steps):
    machine = Machine("i0", offer("g", 1000, 1.0, gpus=4), 0.0)
    empty = machine.room
    on_it = []
    for number, (share, which) in enumerate(steps):
        if on_it and which == 0:
            machine.free(*on_it.pop())
            continue
        asked = Resources(vcpus=1, memory_gib=1, gpus=share)
        room = machine.room
        if room.fits(asked):
            machine.take(f"t{number}", asked)
            on_it.append((f"t{number}", asked))
            expected = room.without(asked)
            assert machine.room.devices == expected.devices or all(
                abs(one - other) < 1e-9
                for one, other in zip(machine.room.devices, expected.devices, strict=True)
            )
            assert machine.room.vcpus == expected.vcpus
        held = [0.0] * 4
        for name, needs in on_it:
            for device in machine.on[name]:
                held[device] += min(needs.gpus, 1.0)
        assert max(held) <= 1 + 1e-9
    while on_it:
        machine.free(*on_it.pop(0))
    assert machine.room == empty
