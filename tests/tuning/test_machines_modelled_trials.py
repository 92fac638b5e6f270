"""The model of training, step by step in virtual time; whole studies are in the controller's tests."""

import asyncio

import pytest
from simulated_studies import SMALL, SPACE, START, curve_of

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.tuning.machines.modelled_trials import ModelledTrials
from tradewind.tuning.machines.work import Off, Timed
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.study import Study

KIND = InstanceType(SMALL.instance_type, Resources(vcpus=1.0))


def lease(name="one"):
    return Lease(LeaseId(name), Instance(name, KIND, SMALL.zone), Terms.SPOT, clock.now())


def told(story, *, steps=10, stop=None, **options):
    """What a story makes of a study with one trial on a lease of 3.6 dollars an hour."""
    study = Study(SPACE, trials=1, stop=stop)
    work = ModelledTrials(study, curve_of(steps), lambda *_: 10.0, **options)

    async def main():
        await work.open()
        asked, on = study.ask(), lease()
        work.start(asked, on, 3.6)
        try:
            return await story(study, work, asked, on)
        finally:
            await work.close()
            await work.close()

    return study, work, clock.simulate(main(), start=START)


def test_a_whole_trial():
    async def story(study, work, asked, on):
        changes = [await work.next_change(), await work.next_change()]
        return changes, clock.now() - START

    study, work, (changes, seconds) = told(story, every=30.0, boot=60.0, checkpoint=2.0)
    (trial,) = study.trials
    assert changes == [Timed(0, 1, LeaseId("one"), 10.0), Off(0, 1, LeaseId("one"))]
    assert seconds == 60 + 10 * 10 + 3 * 2  # checkpoints after steps 3, 6 and 9
    assert trial.state == "completed" and trial.values == tuple(curve_of(10)(trial.setting))
    assert (trial.seconds, trial.dollars) == (100.0, pytest.approx(0.001 * seconds))
    assert (work.steps, work.lost_steps, work.unkept(LeaseId("one"))) == (10, 0, 0.0)


def test_it_leaves_with_a_checkpoint_and_goes_on_where_it_was():
    async def story(study, work, asked, on):
        await clock.sleep_until(START + 60 + 45)
        await work.leave(on.id)
        left = clock.now() - START
        study.requeue(asked, "elsewhere", "move")
        again = study.ask()
        work.start(again, on, 3.6)  # the same machine, which is up
        changes = [await work.next_change() for _ in range(3)]
        return left, again, changes, clock.now() - START

    study, work, (left, again, changes, ended) = told(story)
    assert left == 60 + 45 + 2 and (again.step, again.seconds) == (4, 40.0)
    assert [type(each) for each in changes] == [Timed, Timed, Off] and changes[-1].attempt == 2
    assert ended == left + 5 + 6 * 10 and work.steps == 10 and work.lost_steps == 0
    assert study.trials[0].redone == 0 and study.trials[0].seconds == 100.0


@pytest.mark.parametrize(("notice", "kept"), [(120.0, 4), (2.5, 4), (1.0, None)])
def test_a_notice_is_heeded_where_it_is_long_enough(notice, kept):
    async def story(study, work, asked, on):
        await clock.sleep_until(START + 60 + 45)
        due = clock.now() + notice
        work.warn(Revocation(on.id, clock.now(), due))
        await clock.sleep_until(due)
        work.lost(on.id)
        work.lost(on.id)
        work.warn(Revocation(on.id, due, due))
        return [each for each in await drained(work) if isinstance(each, Off)]

    study, work, offs = told(story)
    assert study.trials[0].checkpoint_step == kept
    assert offs == ([Off(0, 1, LeaseId("one"))] if kept else [])
    assert work.lost_steps == (0 if kept else 4)


async def drained(work):
    changes = []
    while True:
        try:
            changes.append(await asyncio.wait_for(work.next_change(), 0.001))
        except TimeoutError:
            return changes


def test_what_is_paused_keeps_a_checkpoint_of_its_last_step():
    class Pauses(Asha):
        def resumed(self, trials, exhausted):
            return ()

    async def story(study, work, asked, on):
        changes = [await work.next_change(), await work.next_change()]
        return changes, clock.now() - START

    study, _, (changes, ended) = told(story, stop=Pauses(10, first=4, eta=3, variant="promotion"))
    (trial,) = study.trials
    assert (trial.state, trial.checkpoint_step) == ("paused", 4)
    assert changes[-1] == Off(0, 1, LeaseId("one")) and ended == 60 + 40 + 2


def test_a_trial_that_another_driver_took_is_off():
    async def story(study, work, asked, on):
        await clock.sleep_until(START + 60 + 45)
        study.store.release(study.name, study.driver)
        study.store.claim(study.name, "thief", moment=0.0)
        await clock.sleep_until(START + 200)
        return await drained(work)

    study, _, changes = told(story)
    assert changes == [Timed(0, 1, LeaseId("one"), 10.0), Off(0, 1, LeaseId("one"))]
    assert study.trials[0].driver == "thief"


def test_a_model_that_breaks_ends_the_simulation():
    def breaks(setting):
        raise ValueError("no such curve")

    study = Study(SPACE, trials=1)
    work = ModelledTrials(study, breaks, lambda *_: 10.0)

    async def main():
        work.start(study.ask(), lease(), 1.0)
        await work.next_change()

    with pytest.raises(ValueError, match="no such curve"):
        clock.simulate(main(), start=START)


@pytest.mark.parametrize(("field", "value"), [("boot", -1.0), ("checkpoint", float("inf")), ("every", 0.0)])
def test_a_bad_argument_is_named(field, value):
    with pytest.raises(Misuse, match=field):
        ModelledTrials(Study(SPACE, trials=1), curve_of(3), lambda *_: 1.0, **{field: value})


def test_a_step_takes_time():
    study = Study(SPACE, trials=1)
    work = ModelledTrials(study, curve_of(3), lambda *_: 0.0)

    async def main():
        work.start(study.ask(), lease(), 1.0)

    with pytest.raises(Misuse, match="step_seconds"):
        clock.simulate(main(), start=START)
