"""The words of an explanation."""

import msgspec

from tradewind import clock
from tradewind.session.explanation_words import Alternative, Explanation, PoolLine, Story, paragraph, summary

START = clock.moment("2020-01-05T00:00:00Z")
STORY = Story(
    leases=("s1", "s2"),
    pool="p2.xlarge@us-east-1a",
    terms="spot",
    purpose="work",
    taken=START,
    price=0.27,
    per_vcpu=0.0675,
    limit=0.9,
    why="2 workers go there.",
    alternatives=(Alternative("p2.xlarge@us-east-1a", "on_demand", 0.9, 0.225),),
    warned=START + 3480,
    ended=START + 3600,
    ending="revoked",
    dropped="revoked by the provider, warned 2m before",
    held=3600.0,
    cost=0.54,
    free_hours=1.5,
    units=1234.0,
    share=0.25,
)


def test_a_story_says_when_why_and_for_how_much() -> None:
    assert paragraph(STORY) == [
        "2 leases (s1, s2): spot p2.xlarge@us-east-1a, for workers",
        "  taken   2020-01-05 00:00:00 at $0.27 an hour each (0.0675 a useful vCPU), bid $0.90",
        "  why     2 workers go there.",
        "  besides p2.xlarge@us-east-1a on demand $0.90 (0.2250)",
        "  ended   2020-01-05 01:00:00: revoked by the provider, warned 2m before, after 1h",
        "  cost    $0.54, 1.50 instance-hours free",
        "  work    1,234 units, 25.0% of all",
    ]


def test_what_is_not_known_is_left_out_and_what_is_reckoned_said() -> None:
    bare = Story(
        leases=tuple(f"s{k}" for k in range(9)),
        stretch=1,
        pool="m5.large@us-east-1a",
        terms="on_demand",
        purpose="state",
        taken=START,
        dropped="still held where the record ends",
        held=60.0,
        cost=0.02,
        reckoned=True,
    )
    assert paragraph(bare) == [
        "9 leases (s0 to s8) (resumed 1x): on demand m5.large@us-east-1a, for the servers of the state",
        "  taken   2020-01-05 00:00:00",
        "  ended   still held where the record ends, after 1m",
        "  cost    about $0.0200",
    ]


def test_a_run_at_a_glance() -> None:
    told = Explanation(
        run="adult",
        policy="cheapest_spot",
        outcome="paused",
        reason="it was asked to stop",
        started=START,
        ended=START + 7200,
        decisions=12,
        cost=0.54,
        reckoned=True,
        cost_on_demand=1.5,
        revocations=2,
        failures=0,
        free_hours=1.5,
        units=5000.0,
        redone=10.0,
        pools=(
            PoolLine(
                pool="p", terms="spot", leases=2, revoked=2, hours=2.0, free_hours=1.5, cost=0.54, share=1.0
            ),
        ),
        stories=(STORY,),
        simulated=("the market is recorded",),
    )
    assert summary(told) == [
        "adult: cheapest_spot, paused (it was asked to stop)",
        "$0.54 for 2h of market time; the same work on demand would have cost $1.50",
        "2 leases, 12 decisions, 2 revocations, 0 failures, about 1.50 free hours",
        "5,000 units of work, 10 of them lost and done again",
        "simulated: the market is recorded",
    ]
    one = msgspec.structs.replace(STORY, leases=("lease-0001",))
    assert paragraph(one)[0] == "lease-0001: spot p2.xlarge@us-east-1a, for workers"
    text = told.text()
    assert text.startswith("adult: ") and text.endswith("25.0% of all")
    assert msgspec.json.decode(msgspec.json.encode(told), type=Explanation) == told
