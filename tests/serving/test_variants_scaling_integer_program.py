"""The integer program: small fleets by hand, any fleet against the heuristic and against trying them all."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.serving.variants.scaling.infaas import InfaasScaling
from tradewind.serving.variants.scaling.integer_program import IntegerProgram
from tradewind.serving.variants.scaling.interface import Class, Fleet, Limit, rows_for, theta, within, worth
from tradewind.serving.variants.selection.interface import Query
from variant_makers import rated, standing

RULE = IntegerProgram()
CHEAP = rated("cheap", accuracy=0.8, per_row=0.005, fixed=0.005, price=1.0, load=2.0)
EXACT = rated("exact", accuracy=0.9, per_row=0.005, fixed=0.005, price=3.0, load=2.0)
LOW = Query(0.2, task="t", accuracy=0.7)
HIGH = Query(0.2, task="t", accuracy=0.85)


def fleet(*standings, classes, **about):
    return Fleet(standings, classes, about.pop("limits", {}), **{"headroom": 0.0, **about})


def test_rows_and_rates_by_hand():
    assert rows_for(LOW, standing(CHEAP)) == 8  # 45 ms, twice in 200
    assert theta(LOW, standing(CHEAP)) == pytest.approx(8 / 0.045)
    tight = Query(0.050, task="t")
    assert rows_for(tight, standing(CHEAP)) == 4  # 25 ms, twice in 50
    assert theta(tight, standing(CHEAP)) == pytest.approx(160.0)
    crowded = Query(0.012, task="t")  # 10 ms fit once only
    assert theta(crowded, standing(CHEAP)) == pytest.approx(50.0)
    assert theta(Query(0.009, task="t"), standing(CHEAP)) == 0.0
    assert theta(HIGH, standing(CHEAP)) == 0.0
    assert theta(LOW, standing(CHEAP, 1, slowdown=2.0)) == pytest.approx(4 / 0.045)


def test_classes_share_a_replica_where_that_is_cheaper():
    both = (standing(CHEAP), standing(EXACT))
    # 177.8 rows a second a replica. Each class alone would take one; both fit into the exact one.
    small = (Class("low", LOW, 80.0), Class("high", HIGH, 80.0))
    assert RULE.scale(fleet(*both, classes=small), None)[0].replicas == {"cheap": 0, "exact": 1}
    # 160 and 160: two exact ones cost 6 dollars, one of each 4
    large = (Class("low", LOW, 160.0), Class("high", HIGH, 160.0))
    assert RULE.scale(fleet(*both, classes=large), None)[0].replicas == {"cheap": 1, "exact": 1}
    # 10 % of headroom: 176 still fits, 15 % does not
    assert RULE.scale(fleet(*both, classes=large, headroom=0.1), None)[0].replicas == {"cheap": 1, "exact": 1}
    more = RULE.scale(fleet(*both, classes=large, headroom=0.15), None)[0].replicas
    assert more == {"cheap": 2, "exact": 1} or more == {"cheap": 1, "exact": 2}
    assert worth(fleet(*both, classes=large, headroom=0.15), more).unmet == pytest.approx(0.0, abs=1e-6)


def test_loading_is_weighed():
    old = (standing(EXACT, 1), standing(CHEAP))
    low = (Class("low", LOW, 80.0),)
    assert (
        RULE.scale(fleet(*old, classes=low, load_weight=0.9), None)[0].replicas["cheap"] == 1
    )  # 1 + 1.8 < 3
    assert (
        RULE.scale(fleet(*old, classes=low, load_weight=1.1), None)[0].replicas["exact"] == 1
    )  # 1 + 2.2 > 3


def test_what_finds_no_room_is_left_out_and_told():
    few = fleet(
        standing(CHEAP), classes=(Class("low", LOW, 300.0),), limits={"m": Limit(1, 10**9)}, headroom=0.0
    )
    found, _ = RULE.scale(few, None)
    assert found.replicas == {"cheap": 1}
    assert worth(few, found.replicas).unmet == pytest.approx(1 - 8 / 0.045 / 300)
    memory = fleet(standing(CHEAP), classes=(Class("low", LOW, 300.0),), limits={"m": Limit(9, 150)})
    assert RULE.scale(memory, None)[0].replicas == {"cheap": 1}
    with pytest.raises(Misuse, match="there is no variant"):
        RULE.scale(fleet(classes=()), None)


def test_worth_by_hand():
    one = fleet(standing(CHEAP, 1), classes=(Class("low", LOW, 100.0),), load_weight=0.5)
    found = worth(one, {"cheap": 3})
    assert (found.per_hour, found.loading, found.unmet) == (3.0, 2.0, 0.0)
    assert found.total == 5.0
    nothing = worth(one, {"cheap": 0})
    # a class counts as a thousand replicas of a dollar and two seconds at half a dollar
    assert (nothing.unmet, nothing.penalty) == (pytest.approx(1.0), pytest.approx(2000.0))


FLEETS = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from([0.7, 0.8, 0.9]), st.floats(0.001, 0.02), st.floats(0.001, 0.01),
            st.floats(0.5, 3.0), st.integers(0, 2), st.sampled_from([2, 8]), st.floats(0.0, 300.0),
        ),
        min_size=1, max_size=3,
    ),
    st.lists(
        st.tuples(st.sampled_from([0.6, 0.75, 0.85]), st.sampled_from([0.03, 0.2]), st.floats(0.0, 400.0)),
        min_size=1, max_size=3,
    ),
    st.integers(3, 5),
)  # fmt: skip


def built(rows, wanted, most):
    standings = tuple(
        standing(
            rated(
                f"v{at}", accuracy=accuracy, per_row=per_row, fixed=fixed, price=price, max_batch=largest,
                architecture="net",
            ),
            count, rate=rate if count else 0.0,
        )
        for at, (accuracy, per_row, fixed, price, count, largest, rate) in enumerate(rows)
    )  # fmt: skip
    standings = standings if sum(each.replicas for each in standings) <= most else standings[:1]
    classes = tuple(
        Class(f"c{at}", Query(latency, task="t", accuracy=floor), rate)
        for at, (floor, latency, rate) in enumerate(wanted)
    )
    return Fleet(standings, classes, {"m": Limit(most, 10**9)})


@settings(max_examples=25, deadline=None)
@given(FLEETS)
def test_it_is_never_worse_than_the_heuristic_nor_than_any_other_fleet(drawn):
    found = built(*drawn)
    plan, _ = RULE.scale(found, None)
    best = worth(found, plan.replicas).total
    assert within(found.limits, found.standings, plan.replicas)
    heuristic, _ = InfaasScaling(patience=0).scale(found, InfaasScaling().recall())
    assert set(heuristic.replicas) == set(plan.replicas) == {each.name for each in found.standings}
    assert within(found.limits, found.standings, heuristic.replicas)
    assert best <= worth(found, heuristic.replicas).total + 1e-4 * (1 + best)
    if len(found.standings) <= 2:
        names = [each.name for each in found.standings]
        most = found.limits["m"].replicas
        others = [
            worth(found, dict(zip(names, counts, strict=True))).total
            for counts in itertools.product(range(most + 1), repeat=len(names))
            if sum(counts) <= most
        ]
        assert best == pytest.approx(min(others), rel=1e-4, abs=1e-4)


def test_one_that_has_become_too_slow_for_a_query_does_nothing_of_it():
    query = Query(0.050, task="t", accuracy=0.7)  # a row alone takes 10 ms
    # Twice as slow: 20 ms for one row, twice in 50 ms; for two rows 30 ms, which go into it once only.
    assert theta(query, standing(CHEAP, 1, slowdown=2.0)) == pytest.approx(100 / 2)
    # 4.4 times: 44 ms are within nine tenths of 50; 4.6 times: they are not.
    assert theta(query, standing(CHEAP, 1, slowdown=4.4)) == pytest.approx(0.5 * 100 / 4.4)
    assert theta(query, standing(CHEAP, 1, slowdown=4.6)) == 0.0
    assert theta(query, standing(CHEAP, 1, slowdown=4.6), slowed=False) == pytest.approx(160 / 4.6)
    # A little slower is noise: what its batches take is all that changes.
    assert theta(query, standing(CHEAP, 1, slowdown=1.2)) == pytest.approx(160 / 1.2)


def test_the_plan_moves_off_one_that_is_too_slow_and_keeps_it_where_there_is_no_other():
    query = Query(0.050, task="t", accuracy=0.7)
    classes = (Class("c", query, 10.0),)
    slow = standing(CHEAP, 1, slowdown=6.0)
    plan, _ = RULE.scale(fleet(slow, standing(EXACT), classes=classes), None)
    assert plan.replicas == {"cheap": 0, "exact": 1}
    plan, _ = RULE.scale(fleet(slow, classes=classes), None)
    assert plan.replicas == {"cheap": 1}


def test_a_variant_does_nothing_of_another_tasks_queries():
    assert theta(Query(0.2, task="u"), standing(CHEAP)) == 0.0
    assert theta(Query(0.2, architecture="exact"), standing(CHEAP)) == 0.0
    assert theta(Query(0.2, variant="cheap"), standing(CHEAP)) > 0.0
