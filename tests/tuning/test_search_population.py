"""Population-based training: who copies whom, and what becomes of the setting."""

import itertools

import pytest

from tradewind.errors import Misuse
from tradewind.tuning.interface import BECOME, GO_ON, Stopper
from tradewind.tuning.search.population import PopulationTraining
from tradewind.tuning.space import Space
from tradewind.tuning.trial import FAILED, RUNNING, Trial

SPACE = Space.of(
    {
        "rate": {"low": 1e-4, "high": 1.0, "log": True},
        "layers": {"low": 1, "high": 9},
        "kind": ["a", "b", "c"],
        "decay": {"low": 0.1, "high": 0.2, "when": {"kind": "a"}},
    }
)
SETTING = {"rate": 0.01, "layers": 3, "kind": "a", "decay": 0.15}


def rules(**arguments):
    return PopulationTraining(SPACE, 100, **{"interval": 10, "members": 10, **arguments})


def member(number, loss, *, step=10, state=RUNNING, before=None):
    steps = (step - 1, step) if before is None else (*before, step)
    return Trial(number, SETTING, state, steps, tuple([loss] * len(steps)))


def test_it_proposes_the_first_population_only():
    search, trials = rules(), []
    for number in itertools.count():
        setting = search.propose(SPACE, trials, number)
        if setting is None:
            break
        trials.append(Trial(number, setting))
    assert len(trials) == 10 and all(SPACE.fits(each.setting) for each in trials)
    assert isinstance(search, Stopper) and search.resumed(trials, True) == ()


def test_the_worst_fifth_becomes_of_the_best_fifth():
    trials = [member(n, float(n)) for n in range(10)]
    verdicts = [rules().judge(each, trials) for each in trials]
    assert [each.action for each in verdicts] == [GO_ON] * 8 + [BECOME] * 2
    for each in verdicts[8:]:
        assert each.parent in (0, 1) and SPACE.fits(each.setting)
        assert f"trial {each.parent}" in each.reason
    parents = {rules(seed=s).judge(trials[9], trials).parent for s in range(20)}
    assert parents == {0, 1}


def test_it_is_a_function_of_its_arguments():
    trials = [member(n, float(n)) for n in range(10)]
    first = rules(seed=3).judge(trials[9], trials)
    assert rules(seed=3).judge(trials[9], list(reversed(trials))) == first
    assert rules(seed=4).judge(trials[9], trials) != first


def test_only_an_interval_just_over_is_looked_at():
    trials = [member(n, float(n)) for n in range(9)]
    late = member(9, 9.0, step=13, before=(12,))
    assert rules().judge(late, [*trials, late]).action == GO_ON
    jumped = member(9, 9.0, step=13, before=(8,))
    assert rules().judge(jumped, [*trials, jumped]).action == BECOME
    done = member(9, 9.0, step=100, before=(99,))
    assert rules().judge(done, [*trials, done]).action == GO_ON


def test_a_nan_is_the_worst_and_never_a_parent():
    trials = [member(n, float("nan") if n < 2 else float(n)) for n in range(10)]
    verdicts = [rules().judge(each, trials) for each in trials]
    assert [each.action for each in verdicts] == [BECOME] * 2 + [GO_ON] * 8
    assert all(each.parent in (2, 3) for each in verdicts[:2])
    lost = [member(n, float("nan")) for n in range(10)]
    assert {rules().judge(each, lost).action for each in lost} == {GO_ON}


def test_a_lead_in_steps_does_not_count():
    ahead = Trial(0, SETTING, RUNNING, (10, 50), (9.0, 0.1))
    others = [member(n, float(n)) for n in range(1, 10)]
    # At step 10 the one ahead was as bad as the worst.
    assert rules().judge(others[8], [ahead, *others]).parent in (1, 2)


def test_the_failed_and_the_foreign_are_no_members():
    trials = [member(n, float(n)) for n in range(10)]
    best = [member(20, -1.0, state=FAILED), Trial(21, SETTING, RUNNING, (9, 10), (-1.0, -1.0), foreign="old")]
    assert rules(seed=1).judge(trials[9], [*trials, *best]).parent in (0, 1)


def test_numbers_are_perturbed_and_choices_kept():
    trials = [member(n, float(n)) for n in range(10)]
    found = [rules(anew=0.0, seed=s).judge(trials[9], trials).setting for s in range(40)]
    assert {round(each["rate"], 6) for each in found} == {0.008, 0.012}
    assert {each["layers"] for each in found} == {2, 4}
    assert {each["kind"] for each in found} == {"a"}
    assert {round(each["decay"], 6) for each in found} == {0.12, 0.18}


def test_a_quarter_is_drawn_anew_and_conditions_hold():
    trials = [member(n, float(n)) for n in range(10)]
    found = [rules(seed=s).judge(trials[9], trials).setting for s in range(200)]
    anew = sum(round(each["rate"], 6) not in (0.008, 0.012) for each in found)
    assert 30 < anew < 70
    assert {each["kind"] for each in found} == {"a", "b", "c"}
    assert all(SPACE.fits(each) for each in found)


@pytest.mark.parametrize(
    "wrong", [{"interval": 0}, {"members": 1}, {"share": 0.6}, {"share": 0.0}, {"anew": 2.0}, {"factors": ()}]
)
def test_bad_arguments_are_told(wrong):
    with pytest.raises(Misuse, match=next(iter(wrong))):
        rules(**wrong)
