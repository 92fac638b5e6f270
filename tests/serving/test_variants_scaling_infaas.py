"""INFaaS's autoscaler: golden decisions from its formulas, by hand."""

import pytest
from msgspec.structs import replace

from tradewind.serving.variants.scaling.infaas import (
    InfaasBacklog,
    InfaasScaling,
    missing,
    rate_of,
    short_of,
)
from tradewind.serving.variants.scaling.interface import Fleet, Limit
from variant_makers import rated, standing

RULE = InfaasScaling()
ONE = rated("one", per_row=0.005, fixed=0.005)
"""At batches of one 100 rows a second; at its largest, 8, 8 / 45 ms = 177.8."""


def fleet(*standings, **about):
    return Fleet(standings, (), about.pop("limits", {}), **about)


def scale(found, memory=None):
    return RULE.scale(found, memory or RULE.recall())


def test_what_a_variant_is_short_of():
    assert rate_of(standing(ONE, 2)) == pytest.approx(100.0)
    assert rate_of(standing(ONE, 2, batch=4.0)) == pytest.approx(160.0)
    assert short_of(standing(ONE, 2, rate=195.0)) == pytest.approx(5.0)  # 195 - 0.95 * 200
    gpu = rated("g", hardware="gpu", per_row=0.001, fixed=0.008, max_batch=64, load=2.0)
    assert rate_of(standing(gpu, 2, batch=3.0)) == pytest.approx(800.0)  # 32 / 40 ms
    # 1700 - 1600 + 0.0002 * 1600 * 2000 ms
    assert short_of(standing(gpu, 2, rate=1700.0)) == pytest.approx(740.0)
    assert missing(standing(gpu, 2, rate=1700.0)) == 1
    assert missing(standing(ONE, 2, rate=190.0)) == 0
    assert missing(standing(ONE, 2, rate=490.0)) == 3


def test_replicas_are_added_two_a_period_on_cpus_and_one_on_gpus():
    assert scale(fleet(standing(ONE, 2, rate=490.0)))[0].replicas == {"one": 4}
    assert scale(fleet(standing(ONE, 2, rate=195.0)))[0].replicas == {"one": 3}
    gpu = rated("g", hardware="gpu", per_row=0.001, fixed=0.008, max_batch=64, load=1e-6)
    assert scale(fleet(standing(gpu, 1, rate=3000.0)))[0].replicas == {"g": 2}


def test_an_upgrade_if_replicating_costs_over_one_and_a_half_times_as_much():
    large = rated("large", architecture="one", per_row=0.001, fixed=0.005, max_batch=16, load=1.0)
    # two more of one cost 2 s of loading, one large 1 s: it carries all of the 490 rows a second
    found, _ = scale(fleet(standing(ONE, 2, rate=490.0), standing(large)))
    assert found.replicas == {"one": 0, "large": 1} and found.unload == ("one",)
    # 2 s against 1.4 s is no 1.5 times
    dear = replace(large, profile=replace(large.profile, load=1.4))
    found, _ = scale(fleet(standing(ONE, 2, rate=490.0), standing(dear)))
    assert found.replicas == {"one": 4, "large": 0} and found.unload == ()
    # but there is no room for replicas
    full = {"m": Limit(replicas=2, memory=10**9)}
    found, _ = scale(fleet(standing(ONE, 2, rate=490.0), standing(dear), limits=full))
    assert found.replicas == {"one": 0, "large": 1}


def test_an_upgrade_never_gives_up_accuracy():
    worse = rated("w", architecture="one", per_row=0.001, max_batch=16, load=0.01, accuracy=0.89)
    assert scale(fleet(standing(ONE, 2, rate=490.0), standing(worse)))[0].replicas == {"one": 4, "w": 0}


def test_limits_are_kept():
    limits = {"m": Limit(replicas=3, memory=10**9)}
    assert scale(fleet(standing(ONE, 2, rate=490.0), limits=limits))[0].replicas == {"one": 3}
    limits = {"m": Limit(replicas=99, memory=250)}  # of 100 each
    assert scale(fleet(standing(ONE, 2, rate=490.0), limits=limits))[0].replicas == {"one": 2}


def test_one_replica_fewer_after_eleven_wishes_in_a_row():
    quiet, memory = standing(ONE, 3, rate=200.0), None  # 200 <= (3 - 1) * 100
    for _ in range(10):
        found, memory = scale(fleet(quiet), memory)
        assert found.replicas == {"one": 3}
    _, broken = scale(fleet(standing(ONE, 3, rate=201.0)), memory)
    assert broken == InfaasBacklog()
    assert scale(fleet(quiet), memory)[0].replicas == {"one": 2}
    assert InfaasScaling(patience=0).scale(fleet(quiet), InfaasBacklog())[0].replicas == {"one": 2}


def test_the_last_replica_goes_where_nothing_comes_or_to_a_smaller_batch():
    rule = InfaasScaling(patience=0)
    assert rule.scale(fleet(standing(ONE, 1)), rule.recall())[0].replicas == {"one": 0}
    assert rule.scale(fleet(standing(ONE, 1, rate=1.0)), rule.recall())[0].replicas == {"one": 1}
    small = rated("small", architecture="one", max_batch=1, per_row=0.01, fixed=0.0)
    both = fleet(standing(ONE, 1, rate=50.0), standing(small))
    assert rule.scale(both, rule.recall())[0].replicas == {"one": 0, "small": 1}
    more = fleet(standing(ONE, 1, rate=101.0), standing(small))  # small does 100; one lacks 6, and gets it
    assert rule.scale(more, rule.recall())[0].replicas["small"] == 0
