"""Queries: what is refused, what is feasible, what would be possible."""

import pytest
from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.serving.variants.selection.cheapest_in_time import CheapestInTime
from tradewind.serving.variants.selection.infaas import InfaasSelection
from tradewind.serving.variants.selection.interface import Impossible, Query, feasible, named, refused
from variant_makers import rated, standing

QUICK = rated("quick", accuracy=0.8, per_row=0.001, fixed=0.001)
EXACT = rated("exact", accuracy=0.95, per_row=0.010, fixed=0.010, max_batch=2, architecture="deep")
ALL = [standing(QUICK), standing(EXACT)]
RULES = [InfaasSelection(cpu_from=0.0), InfaasSelection(), CheapestInTime()]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (Query(0.1), "task"), (Query(0.1, task="t", variant="quick"), "task"),
        (Query(0.0, task="t"), "latency"), (Query(float("inf"), task="t"), "latency"),
        (Query(0.1, task="t", accuracy=1.1), "accuracy"), (Query(0.1, task="t", rows=0), "rows"),
        (Query(0.1, task="t", confidence=1.0), "confidence"), (Query(0.1, task="u"), "task"),
        (Query(0.1, architecture="depe"), "architecture"), (Query(0.1, variant="exac"), "variant"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rule", RULES)
def test_a_query_that_makes_no_sense_is_refused_by_the_field(rule, query, field):
    with pytest.raises(Misuse) as caught:
        rule.choose(query, ALL, rule.recall())
    assert caught.value.field == field


def test_by_task_architecture_and_variant():
    assert [each.name for each in named(Query(1.0, task="t"), ALL)] == ["quick", "exact"]
    assert [each.name for each in named(Query(1.0, architecture="deep"), ALL)] == ["exact"]
    assert [each.name for each in named(Query(1.0, variant="quick"), ALL)] == ["quick"]


def test_confidence_asks_more_of_latency_and_accuracy():
    noisy = rated("a", accuracy=0.9, per_row=0.001, fixed=0.001, deviation=0.001)
    assert feasible(Query(0.0021, task="t", accuracy=0.9), noisy)
    assert not feasible(Query(0.0021, task="t", accuracy=0.9, confidence=0.9), noisy)
    assert feasible(Query(0.0033, task="t", accuracy=0.9, confidence=0.9), noisy)  # 2 ms + 1.2816 ms
    tested = replace(noisy, variant=replace(noisy.variant, tested=100))
    assert not feasible(Query(0.1, task="t", accuracy=0.9, confidence=0.9), tested)
    assert feasible(Query(0.1, task="t", accuracy=0.85, confidence=0.9), tested)


@pytest.mark.parametrize("rule", RULES)
def test_what_cannot_be_is_refused_with_what_could(rule):
    found, _ = rule.choose(Query(0.015, task="t", accuracy=0.9), ALL, rule.recall())
    assert isinstance(found, Impossible)
    assert found.within_latency.variant == "quick" and found.within_latency.accuracy == 0.8
    assert found.with_accuracy.variant == "exact" and found.with_accuracy.latency == pytest.approx(0.020)
    assert found.reason == (
        "no variant gives 0.9 within 15 ms; possible are within that time 0.8 (quick)"
        " and that accurate 20 ms (exact)"
    )


def test_neither_is_possible():
    found = refused(Query(0.0001, task="t", accuracy=0.99), ALL)
    assert found.within_latency is None and found.with_accuracy is None
    assert found.reason.endswith("neither is possible")
    found = refused(Query(1.0, task="t", rows=9), ALL)
    assert found.reason == "no variant takes 9 rows at once; at most 8 fit"
