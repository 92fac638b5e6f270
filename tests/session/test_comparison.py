"""Policies compared on recorded markets: the same starts, nothing dropped, nobody below the bound."""

import multiprocessing

import msgspec
import pytest
from small_specs import HEADER, spec_of, write_files

from tradewind.errors import Misuse
from tradewind.session import comparison
from tradewind.session.assembly import goal_of, market_of, modelled_work, policy_of
from tradewind.session.comparison import compare
from tradewind.session.report.comparison_data import CLAIRVOYANT, CLAIRVOYANT_PAYING, Comparison
from tradewind.session.spec import PolicySpec, TrainSpec, make_spec
from tradewind.session.trials import trial
from tradewind.training.view import Progress

HOURS = 3600.0
POLICIES = ("cheapest_spot", "checkpoint_restart")


def job(**changes) -> TrainSpec:
    """Four GPU workers on the demo's market, where machines are taken away."""
    document = {
        "learner": {"kind": "LinearLearner"},
        "data": "nowhere",
        "deadline": "2h",
        "workers": {"count": 4, "instance_types": ["p2.xlarge"]},
        "provider": {"kind": "simulated", "history": "demo"},
    }
    return make_spec({**document, **changes})


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Comparison:
    page = tmp_path_factory.mktemp("pages") / "c.html"
    made = compare(job(), POLICIES, work=14.0, startup=120.0, starts=4, to=page)
    assert page.read_text().startswith("<!doctype html>")
    return made


def test_every_policy_from_every_start(told) -> None:
    assert told.policies == (*POLICIES, "on_demand", CLAIRVOYANT, CLAIRVOYANT_PAYING)
    assert len(told.starts) == 4 == len(set(told.starts)) and list(told.starts) == sorted(told.starts)
    assert [(each.start, each.policy) for each in told.trials] == [
        (start, name) for start in told.starts for name in told.policies
    ]
    assert [line.policy for line in told.lines] == list(told.policies)
    for line in told.lines:
        assert line.starts == 4 == line.done + line.refused + line.unfinished
    assert told.work == pytest.approx(14.0) and told.startup == 120.0 and not told.interrupted
    assert any(each.revocations for each in told.trials), "the demo's market takes machines away"


def test_nobody_pays_less_than_the_bound(told) -> None:
    least = {each.start: each for each in told.trials if each.policy == CLAIRVOYANT}
    paying = {each.start: each for each in told.trials if each.policy == CLAIRVOYANT_PAYING}
    for each in told.trials:
        if each.policy in ("cheapest_spot", "on_demand") and each.outcome == "done" and not each.late:
            assert each.bound == least[each.start].cost <= each.cost
    for start, bound in least.items():
        assert 0 < bound.cost <= paying[start].cost + 1e-9
        assert bound.attained is None or bound.attained >= bound.cost
    assert told.attained is None or told.attained >= 1.0


def test_a_trial_is_the_run_by_itself(told) -> None:
    """One of them again, by hand: the same policy, market and work from the same moment."""
    spec = job(policy="cheapest_spot", provider={"kind": "simulated", "history": "demo", "boot": "2m"})
    market, _ = market_of(spec.provider)
    policy = policy_of(spec)
    start = told.timeline.start
    measured = Progress(0.0, 14.0 * HOURS, 0.0, 1.0, 120.0)
    alone = trial(market, goal_of(spec, start), policy, modelled_work(spec, policy, measured), start)
    (found,) = (each for each in told.trials if (each.policy, each.start) == ("cheapest_spot", start))
    assert (found.cost, found.seconds, found.leases) == (alone.cost, alone.seconds, alone.leases)
    assert found.work == pytest.approx(14.0)


def test_one_start_is_told_lease_by_lease(told) -> None:
    shown = told.timeline
    assert shown.start in told.starts and shown.deadline == shown.start + 2 * HOURS
    assert [lane.policy for lane in shown.lanes] == [*POLICIES, "on_demand"]
    for lane in shown.lanes:
        (found,) = (e for e in told.trials if (e.policy, e.start) == (lane.policy, shown.start))
        assert lane.cost == found.cost and lane.ended == pytest.approx(shown.start + found.seconds)
        assert sum(held.count for held in lane.held) == found.leases
        lost = sum(held.count for held in lane.held if held.ending == "revoked")
        assert lost == found.revocations
        assert all(shown.start <= held.started <= held.ended <= lane.ended + 1e-6 for held in lane.held)
    assert sum(each.revocations for each in told.trials if each.start == shown.start), shown.chosen
    assert shown.prices and "revoked" in shown.chosen


def test_the_same_question_gets_the_same_answer(told) -> None:
    """In this process as over two; fewer starts are some of the same."""
    again = compare(job(), POLICIES, work=14.0, startup=120.0, starts=2, jobs=1)
    assert set(again.starts) < set(told.starts)
    assert again.trials == tuple(each for each in told.trials if each.start in again.starts)
    other = compare(job(), ["on_demand"], work=14.0, starts=1, jobs=1, seed=1)
    assert other.starts[0] not in told.starts and other.seed == 1
    assert other.policies[:2] == ("on_demand", CLAIRVOYANT), "on demand is there once"


def test_forecasts_end_where_the_trial_starts(monkeypatch) -> None:
    asked = []
    genuine = comparison.forecaster_of

    def spy(name, history, until):
        asked.append((name, until))
        return genuine(name, history, until)

    monkeypatch.setattr(comparison, "forecaster_of", spy)
    told = compare(job(), ["cheapest_spot"], work=5.0, starts=2, jobs=1, forecaster="base_rate")
    assert {until for _, until in asked} == set(told.starts)
    assert {name for name, _ in asked} == {"base_rate"}


def test_without_refunds_nothing_is_free(told) -> None:
    plain = compare(job(), ["cheapest_spot"], work=14.0, startup=120.0, starts=4, refunds=False)
    assert CLAIRVOYANT_PAYING not in plain.policies
    for kind, bound in (("cheapest_spot", "cheapest_spot"), (CLAIRVOYANT_PAYING, CLAIRVOYANT)):
        free = {each.start: each.cost for each in told.trials if each.policy == kind}
        paid = {each.start: each.cost for each in plain.trials if each.policy == bound}
        assert free.keys() == paid.keys()
        if kind == "cheapest_spot":
            assert all(paid[start] >= free[start] - 1e-9 for start in free)
            assert any(paid[start] > free[start] + 1e-6 for start in free)
        else:
            assert paid == pytest.approx(free, rel=1e-3)


def test_who_refuses_is_counted_with_the_reason() -> None:
    told = compare(job(budget=0.05), POLICIES, work=14.0, starts=2, jobs=1)
    for line in told.lines[:3]:
        assert (line.refused, line.done, line.missed) == (2, 0, 0) and line.cost is None
        assert sum(count for _, count in line.reasons) == 2
        assert all("budget" in reason for reason, _ in line.reasons)
    assert all(each.cost == 0 and each.leases == 0 for each in told.trials if each.outcome == "refused")
    assert all(lane.outcome == "refused" and not lane.held for lane in told.timeline.lanes)


def test_without_a_deadline_the_bound_is_over_the_slowest(tmp_path) -> None:
    spec = msgspec.structs.replace(job(), deadline=None)
    told = compare(spec, ["cheapest_spot"], work=10.0, starts=3, jobs=1)
    for start in told.starts:
        mine = {each.policy: each for each in told.trials if each.start == start}
        assert mine[CLAIRVOYANT].cost <= min(mine["cheapest_spot"].cost, mine["on_demand"].cost)
        assert mine[CLAIRVOYANT].seconds <= max(mine["cheapest_spot"].seconds, mine["on_demand"].seconds) + 1
    assert all(line.missed == 0 for line in told.lines)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_leaves_what_is_there(jobs) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    told = compare(job(), ["cheapest_spot"], work=5.0, starts=6, jobs=jobs, told=interrupt)
    assert told.interrupted and len(told.starts) == 2 and told.asked == 6 and told.timeline is None
    assert all(line.starts == 2 for line in told.lines)
    assert not multiprocessing.active_children()

    def at_once(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(job(), ["cheapest_spot"], work=5.0, starts=6, jobs=jobs, told=at_once)


def test_the_job_is_that_of_the_data(tmp_path) -> None:
    """400 rows, three times; two machines of four vCPUs, whose price never changes."""
    write_files(tmp_path)
    rows = [f"us-east-1a,p2.xlarge,2020-02-{day:02}T00:00:00Z,0.3" for day in range(1, 29)]
    (tmp_path / "prices.csv").write_text(HEADER + "\n".join(rows) + "\n")
    spec = spec_of(tmp_path, provider={"kind": "simulated", "history": str(tmp_path / "prices.csv")})
    told = compare(spec, ["cheapest_spot"], rate=0.01, starts=2, jobs=1)
    assert told.rate == 0.01 and told.work == pytest.approx(1200 / 0.01 / HOURS)
    (ours, *_) = told.trials
    # 8 vCPUs at 0.01 rows a second each do 1200 rows in 15000 s, after a start-up of a minute.
    assert ours.outcome == "done" and ours.seconds == pytest.approx(15060.0)
    measured = compare(spec, ["cheapest_spot"], starts=1, jobs=1)
    assert measured.rate > 100 and "measured" in " ".join(measured.real)
    again = msgspec.structs.replace(spec, policy=PolicySpec(name="on_demand"))
    assert compare(again, rate=0.01, starts=1, jobs=1).policies[0] == "on_demand", (
        "the spec's policy is first"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"policies": ["cheapest_spott"]}, "Did you mean 'cheapest_spot'"),
        ({"forecaster": "empiric"}, "Did you mean 'empirical'"),
        ({"history": "dem"}, "no recorded market 'dem'"),
        ({"starts": 0}, "starts"),
        ({"jobs": 0}, "jobs"),
        ({"work": -1.0}, "work"),
        ({"work": float("nan")}, "work"),
        ({"work": 1.0, "rate": 0.0}, "rate"),
        ({"startup": -5.0}, "startup"),
        ({"work": 900.0}, "a smaller job"),
    ],
)
def test_what_is_wrong_is_told_before_the_first_trial(arguments, words) -> None:
    def never(done: int, total: int) -> None:
        raise AssertionError("a trial has begun")

    with pytest.raises(Misuse, match=words):
        compare(job(), **{"work": 5.0, "told": never, **arguments})
