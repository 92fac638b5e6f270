"""Queries counted: the classes of them, their rates, how long they are remembered."""

import pytest
from msgspec.structs import replace

from tradewind.serving.variants.scaling.interface import theta
from tradewind.serving.variants.selection.interface import Query
from tradewind.serving.variants.traffic import Traffic
from variant_makers import rated, standing

ONE = standing(rated("a"))  # 1 ms a row and 1 ms, 8 rows at most
QUERY = Query(0.1, task="t")


def rates(traffic, *always):
    return {each.query: each.rate for each in traffic.classes([ONE], always)}


def test_quick_to_grow_and_slow_to_shrink():
    traffic = Traffic()
    least = 0.01 * theta(QUERY, ONE)
    found = []
    for count in (0, 200, 200, *[0] * 12):
        for _ in range(count):
            traffic.came(QUERY)
        traffic.turn(1.0, 8)
        found.append(rates(traffic).get(QUERY, 0.0))
    assert found[0] == 0.0  # never seen
    assert found[1:3] == [200.0, 200.0]  # the first turn counts whole
    assert found[3] == pytest.approx(400 / 3)  # of its three turns, more than of the last two
    assert found[10] == pytest.approx(40.0)  # four hundred in ten turns
    assert found[11] == pytest.approx(20.0)  # the first of them is forgotten
    assert found[12:] == [least, least, least]


def test_rows_are_what_counts_and_kinds_are_powers_of_two():
    traffic = Traffic()
    for rows in (1, 3, 4, 5):
        traffic.came(replace(QUERY, rows=rows))
    traffic.turn(0.5, 6)
    assert rates(traffic) == {
        replace(QUERY, rows=1): pytest.approx(0.01 * theta(QUERY, ONE)),
        replace(QUERY, rows=4): 14.0,
        replace(QUERY, rows=6): 10.0,
    }


def test_what_nobody_asks_for_any_more_is_forgotten_but_what_is_always_there():
    traffic = Traffic(idle=10)
    traffic.came(QUERY)
    other = Query(0.2, architecture="a")
    for _ in range(11):
        traffic.turn(1.0, 8)
        assert set(rates(traffic, other)) >= {other}
    assert set(rates(traffic, other)) == {other}
    assert traffic.rate(QUERY) == 0.0


def test_what_no_variant_does_is_no_class():
    traffic = Traffic()
    traffic.came(Query(0.1, task="t", accuracy=0.99))
    traffic.came(Query(0.1, task="another"))
    traffic.turn(1.0, 8)
    assert rates(traffic) == {}


def test_a_caller_of_many_demands_does_not_make_many_classes():
    traffic = Traffic()
    for at in range(500):
        traffic.came(Query(0.1 + at / 1e4, task="t"))
    traffic.turn(1.0, 8)
    found = rates(traffic)
    assert len(found) == 48
    assert sum(traffic.rate(each) for each in found) == 500.0
