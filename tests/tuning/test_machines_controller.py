"""The controller of a study's machines, in virtual time, on markets made of a few lines."""

import asyncio
import itertools

import pytest
from simulated_studies import BIG, OTHER, SMALL, SPACE, START, Run, curve_of, market, on_vcpus

from tradewind import clock
from tradewind.control.advising import Advised
from tradewind.control.loop import Unrecorded
from tradewind.control.replay import replay
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse, NoCapacity, Permanent
from tradewind.estimates.outlook import NEVER, Outlook, Scenario
from tradewind.estimates.run_time import Interval
from tradewind.market.demands import Demand
from tradewind.market.leases import Ending
from tradewind.market.resources import Resources
from tradewind.providers.simulated import SimulatedProvider
from tradewind.tuning.machines import controller
from tradewind.tuning.machines.cheapest_step import CheapestStep
from tradewind.tuning.machines.modelled_trials import ModelledTrials
from tradewind.tuning.machines.one_type import OneType
from tradewind.tuning.machines.spottune import SpotTune
from tradewind.tuning.machines.work import Off
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.stopping.decay_curve import DecayCurve
from tradewind.tuning.stopping.early_curve import EarlyCurve
from tradewind.tuning.stopping.hyperband import Hyperband
from tradewind.tuning.stopping.last_value import LastValue
from tradewind.tuning.stopping.median_rule import MedianRule
from tradewind.tuning.stopping.race import Race
from tradewind.tuning.study import Study

WILD = {
    SMALL: [(n * 500, 500 + n * 700) for n in range(60)],
    OTHER: [(n * 900, 700 + n * 1000) for n in range(60)],
}
"""Slots of about half an hour, that come and go."""
PRICES = {SMALL: [(0, 0.03), (4000, 0.035)], OTHER: [(0, 0.032)]}


def test_a_calm_market_and_what_it_costs():
    run = Run(market())
    assert run.result.done and run.result.reason == "nothing is left to try" and run.whole()
    assert (run.result.leases, run.result.revocations, run.result.failures, run.result.moves) == (2, 0, 0, 0)
    # two machines side by side: 60 s to boot, 20 steps of 60 s, then one of them does the third trial; with
    # three checkpoints of 2 s each
    assert run.result.seconds == 60 + 2 * (20 * 60 + 3 * 2)
    assert run.left == () and run.endings == ["released"] * 2
    assert run.work.steps == 60 and run.work.lost_steps == 0


def test_every_run_decides_alike_and_its_journal_decides_again(tmp_path):
    runs = [
        Run(market(PRICES, WILD), policy=policy, path=tmp_path / f"{at}", trials=6, count=3, steps=60)
        for at, policy in enumerate((CheapestStep(), CheapestStep(), SpotTune(seed=3), SpotTune(seed=3)))
    ]
    for first, second in (runs[:2], runs[2:]):
        assert first.result.done and first.result.revocations > 3 and first.whole(60)
        assert first.study.digest() == second.study.digest()
        assert first.digest == second.digest
        assert first.result == second.result
    assert runs[0].digest != runs[2].digest
    for at, run in enumerate(runs[::2]):
        assert replay(tmp_path / f"{2 * at}").decisions == len(run.views)


def test_warned_nothing_is_lost_and_no_retry_is_burnt():
    run = Run(market(lives={SMALL: [(0, 760), (0, 5000)]}), trials=2)
    assert run.result.done and run.whole() and run.result.revocations == 1
    (warned,) = run.warned
    assert warned.due - warned.warned == 120
    hit = [each for each in run.study.trials if each.revocations]
    assert len(hit) == 1 and hit[0].failures == 0 and hit[0].attempt == 2 and hit[0].redone == 0
    assert run.work.lost_steps == 0 and run.work.steps == 40
    # what it cost and how long it trained are those of both attempts
    assert hit[0].seconds == 20 * 60 and hit[0].dollars > 0.03 / 3600 * (20 * 60 + 60)
    # it left at the notice: the checkpoint is of the step that was reached by then, two checkpoints before
    (requeued,) = run.of("requeued")
    assert requeued.document == {"cause": "revocation"}
    kept = [each.step for each in run.of("checkpointed") if each.sequence < requeued.sequence][-1]
    assert kept == (warned.warned - START - 60) // 60 == 9


@pytest.mark.parametrize(
    "options", [{"notice": 0.0}, {"notice": 120.0, "heeds_notice": False}, {"notice": 1.0}]
)
def test_unwarned_it_goes_on_from_its_last_checkpoint(options):
    notice = options.pop("notice")
    there = market(lives={SMALL: [(0, 790), (0, 9000)]}, notice=notice)
    run = Run(there, trials=2, every=300.0, **options)
    assert run.result.done and run.whole() and run.result.revocations == 1
    # 12 steps by 790 s, checkpoints of 2 s after the 5th and the 10th
    assert run.work.lost_steps == 2 and run.work.steps == 42
    (hit,) = [each for each in run.study.trials if each.revocations]
    assert (hit.revocations, hit.failures, hit.attempt, hit.redone) == (1, 0, 2, 0)


def test_a_revocation_while_it_boots_and_one_without_any_checkpoint():
    run = Run(market(lives={SMALL: [(0, 30), (0, 150), (0, 9000)]}, notice=0.0), trials=3, count=3)
    assert run.result.done and run.whole() and run.result.revocations == 2
    assert run.work.lost_steps == 1 and all(each.failures == 0 for each in run.study.trials)


def test_many_revocations_burn_no_retry():
    lives = {SMALL: [(at * 400, at * 400 + 399) for at in range(100)]}
    run = Run(market(lives=lives, notice=100.0), trials=1, steps=30)
    (trial,) = run.study.trials
    assert run.whole(30) and trial.revocations > 3 * 2 and trial.failures == 0
    assert run.result.failures == 0


def test_a_spent_budget_keeps_all_and_a_greater_one_goes_on():
    store = TrialStore("sqlite://")
    first = Run(market(), Study(SPACE, trials=3, store=store), budget=0.012)
    assert not first.result.done and first.result.reason == "the budget of 0.0120 USD is spent"
    assert first.left == () and 0.012 <= first.result.cost < 0.016
    waiting = first.study.trials
    assert [each.state for each in waiting] == ["waiting"] * 2
    for each in waiting:
        assert each.checkpoint_step == each.steps[-1] < 20 and each.moves == 1 and each.failures == 0
    done = first.work.steps
    second = Run(market(), Study(SPACE, trials=3, store=store), budget=1.0)
    assert second.result.done and second.whole()
    assert done + second.work.steps == 60  # none is done twice


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"deadline": START + 730.0}, "its time is over"), ({"stop": 730.0}, "it was asked to stop")],
)
def test_an_end_by_the_clock_or_by_wish(options, reason):
    run = Run(market(), **options)
    assert not run.result.done and run.result.reason == reason and run.left == ()
    assert run.ended == START + 732  # with a checkpoint of two seconds, side by side
    assert all(each.state == "waiting" and each.checkpoint_step == 11 for each in run.study.trials)


def test_what_never_fits_is_refused_before_anything_is_rented():
    run = Run(market(), resources=Resources(vcpus=64))
    assert isinstance(run.problem, Misuse) and "demand" in str(run.problem)
    assert run.invoice.charges == () and run.study.trials == () and run.views == []


def test_without_capacity_trials_wait_and_go_on():
    run = Run(market(lives={SMALL: [(7200, 50_000), (9000, 50_000)]}), trials=2)
    assert run.result.done and run.whole()
    assert run.result.leases <= 2 and run.study.trials[0].attempt == 1
    assert 7200 + 1260 <= run.result.seconds <= 9000 + 1260 + 60
    assert len(run.views) < 200


def test_a_market_that_is_over_is_an_error_and_no_hang():
    run = Run(market(lives={SMALL: [(0, 700)]}), trials=1)
    assert isinstance(run.problem, NoCapacity)
    (trial,) = run.study.trials
    assert trial.state == "waiting" and trial.checkpoint_step is not None and run.left == ()


class Crashing(ModelledTrials):
    """What runs a trial breaks a minute after it was put on a machine, as often as `times` says."""

    times = 10**6

    def start(self, asked, lease, per_hour):
        if self.times <= 0:
            super().start(asked, lease, per_hour)
            return
        self.times -= 1

        async def crash():
            await clock.sleep_until(clock.now() + 60)
            self._changes.put_nowait(Off(asked.number, asked.claim.attempt, lease.id, "it ran out of memory"))

        self.crashes = [*getattr(self, "crashes", []), asyncio.create_task(crash())]


class CrashingTwice(Crashing):
    times = 2


def test_what_breaks_is_tried_again_and_then_has_failed():
    run = Run(market(), work=CrashingTwice, trials=1)
    assert run.result.done and run.result.failures == 2 and run.whole()
    assert run.study.trials[0].failures == 2 and run.study.trials[0].revocations == 0


class CrashingFirst(Crashing):
    """Of every trial the first two attempts break."""

    def start(self, asked, lease, per_hour):
        self.times = 1 if asked.claim.attempt <= 2 else 0
        super().start(asked, lease, per_hour)


def test_failures_with_steps_between_them_do_not_end_the_study():
    run = Run(market(), work=CrashingFirst, trials=8, count=1)
    assert run.result.done and run.whole() and run.result.failures == 16 > controller.PATIENCE


def test_failures_one_after_another_end_the_study():
    run = Run(market(), work=Crashing, trials=100)
    assert isinstance(run.problem, Permanent) and "out of memory" in str(run.problem)
    assert run.left == () and {each.state for each in run.study.trials} <= {"failed", "waiting"}
    assert sum(each.state == "failed" for each in run.study.trials) >= 2


class Dying(SimulatedProvider):
    """Its instances die half a minute after they were taken."""

    async def take(self, bid):
        leases = await super().take(bid)

        async def die(lease):
            await clock.sleep_until(clock.now() + 30)
            self._holdings.end(lease, clock.now(), Ending.FAILED)
            self._bell.ring()

        self.deaths = [*getattr(self, "deaths", []), *(asyncio.create_task(die(each.id)) for each in leases)]
        return leases


def test_leases_that_fail_one_after_another_end_the_study():
    run = Run(market(), provider=Dying(market()))
    assert isinstance(run.problem, Permanent) and run.left == ()
    assert run.endings.count("failed") == controller.PATIENCE
    assert all(each.state == "waiting" and each.failures == 0 for each in run.study.trials)


class Raising(CheapestStep):
    def decide(self, view, memory):
        if any(each.left < 15 for each in view.placed):
            raise ZeroDivisionError("a bug")
        return super().decide(view, memory)


def test_a_rule_that_raises_leaves_nothing_rented_and_nothing_lost():
    run = Run(market(PRICES, WILD), policy=Raising(), trials=4)
    assert isinstance(run.problem, ZeroDivisionError) and run.left == ()
    assert all(each.state in ("waiting", "completed") for each in run.study.trials)
    waiting = [each for each in run.study.trials if each.state == "waiting"]
    assert any(each.steps for each in waiting)
    assert all((each.checkpoint_step or 0) == max(each.steps, default=0) for each in waiting)


def test_a_trial_that_is_killed_stops_at_its_next_step():
    async def kill(run):
        await clock.sleep_until(START + 500)
        assert run.study.kill(0, "it looks bad")

    run = Run(market(), meanwhile=kill)
    killed, *others = run.study.trials
    assert (killed.state, killed.reason, killed.steps[-1]) == ("stopped", "it looks bad", 8)
    assert run.result.done and all(each.state == "completed" for each in others)


def test_a_move_where_it_pays():
    falls = {SMALL: [(0, 0.09)], OTHER: [(0, 0.095), (1000, 0.01)]}
    run = Run(market(falls), trials=1, steps=600)
    assert run.result.done and run.result.moves == 1 and run.whole(600)
    assert run.study.trials[0].moves == 1 and run.work.lost_steps == 0
    assert (
        len(run.of("claimed")) == 2
        and len(run.of("requeued")) == 1
        and run.of("assigned")[-1].text.startswith("t9.small@xx-north-1b")
    )
    assert run.result.seconds < 600 * 60 * (1 + 1 / 150) + 300
    stays = Run(market(falls), trials=1, steps=600, policy=OneType())
    assert stays.result.moves == 0 and run.result.cost < 0.3 * stays.result.cost


def test_spottune_recycles_within_the_first_hour():
    run = Run(market(), trials=1, steps=100, policy=SpotTune())
    assert run.result.done and run.whole(100) and run.work.lost_steps == 0
    assert run.result.moves == 1 and run.result.leases == 2
    # at the end of the hour it goes straight to another machine: to boot, to restore, and the checkpoints
    assert run.result.seconds == pytest.approx(100 * 60 + 2 * 60 + 5 + 2 * (100 / 5), abs=60)
    assert all((charge.end - charge.start) <= 3600 for charge in run.invoice.charges)


RULES = {
    "none": lambda: {},
    "asha": lambda: {"stop": Asha(27)},
    "promotion": lambda: {"stop": Asha(27, variant="promotion")},
    "median": lambda: {"stop": MedianRule(27)},
    "hyperband": lambda: {"stop": Hyperband(27)},
    "early_curve": lambda: {"stop": EarlyCurve(27, theta=0.3)},
    "last_value": lambda: {"stop": LastValue(27, share=0.3)},
    "race": lambda: {"stop": Race(27, width=12)},
    "decay_curve": lambda: {"stop": DecayCurve(27)},
    "population": lambda: {"search": {"name": "pbt", "interval": 9}, "steps": 27},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 5])
def test_every_rule_of_stopping_ends_its_study_through_revocations(rule, count):
    study = Study(SPACE, trials=12, **RULES[rule]())
    run = Run(market(PRICES, WILD), study, count=count, steps=27)
    assert run.result.done and run.left == ()
    states = {each.state for each in study.trials}
    assert states <= {"completed", "stopped"} and "completed" in states
    assert all(each.failures == 0 for each in study.trials)
    curve = curve_of(27)
    for each in study.trials:
        if each.parent is None:
            assert each.values == tuple(curve(each.setting)[: len(each.values)])
    # one after the other, machines that come and go change nothing of what is decided, but for a population:
    # a trial of it begins with its parent's last checkpoint
    if count == 1 and rule != "population":
        calm = Study(SPACE, trials=12, **RULES[rule]())
        assert Run(market(), calm, count=1, steps=27).result.done
        assert [(each.setting, each.state, each.steps) for each in study.trials] == [
            (each.setting, each.state, each.steps) for each in calm.trials
        ]


def test_two_drivers_share_a_study(tmp_path):
    studies = [
        Study(SPACE, trials=9, stop=Asha(20), store=TrialStore(tmp_path / "trials"), driver=name)
        for name in ("a", "b")
    ]
    works = [ModelledTrials(each, curve_of(20), on_vcpus(60.0)) for each in studies]
    there = market(PRICES, WILD)

    async def main():
        goal = controller.Goal(demand=Demand(resources=Resources(vcpus=1), count=2))
        return await asyncio.gather(
            *(
                controller.run(
                    study, goal, CheapestStep(), SimulatedProvider(there), work, Unrecorded(), steps=20
                )
                for study, work in zip(studies, works, strict=True)
            )
        )

    results = clock.simulate(main(), start=START)
    assert all(each.done for each in results) and all(work.steps > 0 for work in works)
    trials = studies[0].trials
    assert len(trials) == 9 and {each.state for each in trials} <= {"completed", "stopped"}
    assert studies[1].trials == trials
    drivers = {}
    for event in studies[0].store.history("study"):
        if event.kind == "claimed":
            drivers.setdefault(event.driver, set()).add(event.number)
    assert set(drivers) == {"a", "b"}
    assert sum(work.steps - work.lost_steps for work in works) == sum(len(each.steps) for each in trials)


@pytest.mark.parametrize("policy", [CheapestStep(), SpotTune(), OneType(), OneType("fastest", "on_demand")])
def test_what_trials_cost_is_what_is_billed_but_for_idle_machines(policy):
    there = market({**PRICES, BIG: [(0, 0.3)]}, on_demand=(SMALL, BIG), notice=120.0)
    run = Run(there, policy=policy, trials=5, count=3, steps=60)
    spent, billed = run.study.dollars, run.result.cost
    assert run.result.done and 0 < spent <= billed * (1 + 1e-9)
    assert spent > 0.9 * billed
    assert float(run.invoice.total) == pytest.approx(billed)
    assert run.samples[-1].spent == pytest.approx(billed) and run.samples[-1].done == 300


def test_speeds_are_measured_and_better_choices_follow():
    # the big one is eight times as fast on paper for nine times the money; for these trials twenty times
    there = market({SMALL: [(0, 0.03)], BIG: [(0, 0.27)]}, on_demand=())
    run = Run(there, trials=6, count=1, steps=60, work=_TwentyFold)
    first, last = run.study.trials[0].offer, run.study.trials[-1].offer
    assert run.result.done
    assert "t9.small" in first
    view = run.views[-1][0]
    assert view.seconds[str(run.study.trials[-1].number)][view.types.index("t9.small")] == pytest.approx(60.0)
    assert last


class _TwentyFold(ModelledTrials):
    def __init__(self, study, curve, step_seconds, **options):
        super().__init__(study, curve, lambda _, kind: 3.0 if kind == "t9.big" else 60.0, **options)


class Foretells:
    """A forecaster that says of the other zone that it will be revoked, and keeps what it was asked."""

    name, refresh = "foretells", 1800.0

    def __init__(self):
        self.asked = []

    def outlook(self, now, offers, held=()):
        self.asked.append((now, held))
        pools = tuple(each.pool for each in offers if each.terms.revocable)
        revoked = tuple(((0.9,),) if pool == OTHER else ((0.0,),) for pool in pools)
        never = Scenario(1.0, tuple((NEVER,) for _ in pools), tuple((0.1,) for _ in pools))
        return Outlook(now, pools, (0.01,), (3600.0,), revoked, (0.0,), (never,))


def test_a_forecast_enters_the_view_and_is_renewed(tmp_path):
    forecaster = Foretells()
    run = Run(market(PRICES), forecaster=forecaster, path=tmp_path / "journal", steps=60)
    assert run.result.done and replay(tmp_path / "journal").decisions == len(run.views)
    # once steps are measured, the dearer zone: what the provider ends in its first hour is free
    assert forecaster.asked[1][1] == (OTHER, OTHER)
    moments = [now for now, _ in forecaster.asked]
    assert len(moments) > 1 and all(b - a >= 1800 for a, b in itertools.pairwise(moments))
    unforetold = Run(market({SMALL: [(0, 0.03)], OTHER: [(0, 0.032)]}), steps=60)
    assert {each.pool for view, _ in unforetold.views for each in view.market.leases} == {SMALL}


def test_what_nobody_runs_is_stopped_at_once_and_never_rented_for():
    async def kill(run):
        await clock.sleep_until(START + 100)
        assert run.study.kill(0)

    run = Run(market(lives={SMALL: [(7200, 50_000)]}), trials=2, count=1, meanwhile=kill)
    first, second = run.study.trials
    assert run.result.done and second.state == "completed"
    assert first.state == "stopped" and len(first.steps) <= 1


def test_a_pool_that_gives_notice_is_not_taken_again_before_it_is_over():
    """It would give notice to the next lease at the same moment, and so on for ever."""
    run = Run(
        market({SMALL: [(0, 0.03), (3000, 0.5), (6000, 0.03)]}, boot=0.0),
        policy=SpotTune(),
        trials=2,
        steps=100,
    )
    assert run.result.done and run.result.leases == 5
    assert all(each.state == "completed" and each.failures == 0 for each in run.study.trials)


class Record:
    """What earlier runs tell, and what is told of this one."""

    def __init__(self, **seconds):
        self.known, self.took_there, self.ends = seconds, [], []

    def seconds(self, workload, machine_type, machines, rows):
        value = self.known.get(machine_type.removeprefix("t9."))
        return None if value is None else Interval(value / 2, value, value * 2)

    def probability(self, workload, machine_type, machines, rows):
        failed = [whole for name, whole, _ in self.ends if name == machine_type]
        return None if not failed else (0.9 if all(failed) else 0.1)

    def took(self, workload, machine_type, machines, rows, seconds, expected):
        self.took_there.append((machine_type, seconds, expected and expected.expected))

    def ended(self, workload, machine_type, machines, rows, whole, expected):
        self.ends.append((machine_type, whole, expected))


def test_a_type_that_was_faster_in_earlier_runs_is_taken_at_once_and_what_comes_is_told():
    there = market({SMALL: [(0, 0.03)], BIG: [(0, 0.27)]}, on_demand=())
    plain = Run(there, trials=2, count=1)
    assert {each.offer.partition("@")[0] for each in plain.study.trials} == {"t9.small"}
    record = Record(small=60.0, big=3.0)
    run = Run(there, trials=2, count=1, advised=Advised("job", record, record, record))
    assert run.result.done and "as earlier runs took" in run.views[0][1].reason
    assert run.views[0][0].foretold == ("t9.big", "t9.small")
    assert record.took_there[0] == ("t9.big", pytest.approx(7.5), 3.0), (
        "once a type, beside what was expected"
    )
    assert len(record.took_there) == len({name for name, _, _ in record.took_there})


class ShortOnSmall(ModelledTrials):
    """A trial on the small machine runs out of memory after a minute."""

    def start(self, asked, lease, per_hour):
        if lease.instance.type.name != "t9.small":
            super().start(asked, lease, per_hour)
            return

        async def crash():
            await clock.sleep_until(clock.now() + 60)
            claim = asked.claim
            self._changes.put_nowait(Off(asked.number, claim.attempt, lease.id, "MemoryError: 3 GiB"))

        self.crashes = [*getattr(self, "crashes", []), asyncio.create_task(crash())]


def test_a_type_on_which_a_trial_ran_out_of_memory_is_not_tried_again():
    there = market({SMALL: [(0, 0.03)], BIG: [(0, 0.27)]}, on_demand=())
    without = Run(there, trials=2, count=1, work=ShortOnSmall)
    assert {each.state for each in without.study.trials} == {"failed"}
    record = Record()
    run = Run(there, trials=2, count=1, work=ShortOnSmall, advised=Advised("job", record, record, record))
    assert run.result.done and run.result.failures == 1
    assert {each.state for each in run.study.trials} == {"completed"}
    assert record.ends == [("t9.small", False, None), ("t9.big", True, None)]
    said = [decision.reason for _, decision in run.views]
    assert any("on t9.small is believed to end whole with probability 0.10 only" in each for each in said)
