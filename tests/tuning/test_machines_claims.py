import pytest
from machine_views import lease
from simulated_studies import SPACE, START

from tradewind import clock
from tradewind.data.trial_records import FAILURE, REVOCATION
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse
from tradewind.tuning.machines.claims import MOST_FAILURES, Claims
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.study import Study


@pytest.fixture
def study():
    return Study(SPACE, trials=3, store=TrialStore("sqlite://"))


def on_a_clock(story):
    """Runs a story in virtual time."""

    async def main():
        return await story()

    return clock.simulate(main(), start=START)


def test_it_claims_as_many_as_may_run_and_says_when_others_run_the_rest(study):
    claims = Claims(study, 2)
    claims.ask()
    assert sorted(claims.held) == [0, 1] and not claims.others_run and claims.placed == 0
    other = Claims(Study(SPACE, trials=3, store=study.store, driver="other"), 5)
    other.ask()
    assert sorted(other.held) == [2] and not other.others_run
    late = Claims(Study(SPACE, trials=3, store=study.store, driver="late"), 1)
    late.ask()
    assert late.held == {} and late.others_run


def test_only_a_trial_that_waits_can_be_given_a_machine(study):
    async def story():
        claims = Claims(study, 1)
        claims.ask()
        assert claims.waiting("trial 0") == 0
        asked = claims.place(0, lease("l"))
        assert claims.on("l") == 0 and claims.placed == 1
        assert claims.stored(0).offer == "small@a spot"
        for purpose in ("trial 0", "trial 7", "work", "trial"):
            with pytest.raises(Misuse, match="purpose"):
                claims.waiting(purpose)
        assert claims.current(0, asked.claim.attempt) is claims.held[0]
        assert claims.current(0, asked.claim.attempt + 1) is None
        claims.note(claims.held[0], 12.5)
        assert claims.stored(0).seconds_per_step == 12.5

    on_a_clock(story)


def test_given_back_it_waits_or_has_failed_often_enough(study):
    async def story():
        claims = Claims(study, 1)
        for times in range(1, MOST_FAILURES + 3):
            claims.ask()
            cause = REVOCATION if times <= 2 else FAILURE
            claims.place(0, lease("l"))
            await clock.sleep_until(START + 10 * times)
            claims.give_back(0, "why", cause)
            assert claims.idle_since == {"l": START + 10 * times} and claims.on("l") is None
        found = claims.stored(0)
        assert (found.state, found.revocations, found.failures) == ("failed", 2, MOST_FAILURES - 1)

    on_a_clock(story)


def test_what_is_over_or_anothers_is_only_forgotten(study):
    async def story():
        claims = Claims(study, 2)
        claims.ask()
        study.tell(claims.held[0].asked, 0.5)
        claims.give_back(0, "late", REVOCATION)
        study.store.release(study.name, study.driver)
        study.store.claim(study.name, "thief", moment=0.0)
        claims.give_back(1, "late", REVOCATION)
        assert claims.held == {}
        assert [claims.stored(at).state for at in (0, 1)] == ["completed", "running"]
        assert claims.stored(1).driver == "thief" and claims.stored(1).revocations == 0

    on_a_clock(story)


def test_what_somebody_wants_stopped_does_not_wait_again(study):
    async def story():
        claims = Claims(study, 3)
        claims.ask()
        claims.place(0, lease("l"))
        study.kill(0, "it looks bad")
        claims.give_back(0, "its machine is going", REVOCATION)
        claims.place(1, lease("l"))
        claims.stop(1, "so does this")
        assert [claims.stored(at).state for at in (0, 1)] == ["stopped", "stopped"]
        assert [claims.stored(at).reason for at in (0, 1)] == ["it looks bad", "so does this"]
        assert claims.placed == 0 and sorted(claims.held) == [2]

    on_a_clock(story)


def test_a_trial_that_pauses_and_goes_on_before_that_was_heard_leaves_its_machine():
    class GoesOn(Asha):
        def resumed(self, trials, exhausted):
            return tuple(each.number for each in trials if each.state == "paused")

    study = Study(SPACE, trials=1, stop=GoesOn(9, first=3, variant="promotion"))

    async def story():
        claims = Claims(study, 2)
        claims.ask()
        asked = claims.place(0, lease("l"))
        assert study.report(asked, 3, 1.0, keep=lambda: None).action == "pause"
        claims.ask()
        assert claims.held[0].lease is None and claims.placed == 0
        assert claims.current(0, asked.claim.attempt) is None

    on_a_clock(story)
