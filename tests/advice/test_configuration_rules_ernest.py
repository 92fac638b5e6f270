import numpy as np
import pytest
from configurations import clusters, measured, world

from tradewind.advice.configuration.interface import AdvisingView
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.recommendation import recommended
from tradewind.advice.configuration.replayed import replayed
from tradewind.advice.configuration.rules.ernest import Ernest
from tradewind.advice.configuration.runs import Corpus
from tradewind.testing.advisors import AdvisorLaws

SPACE = clusters((1, 2, 3, 4, 6, 8, 12, 16))


def ernests(needs=0.0):
    """Runs as Ernest's model has them, and failures where memory in all is short."""
    found = {}
    for number, each in enumerate(SPACE.configurations):
        machines, vcpus = each.features["machines"], each.features["vcpus"]
        cores = machines * vcpus
        if machines * each.features["memory_gib"] < needs:
            found[number] = measured(number, 60.0, "failed", SPACE)
        else:
            found[number] = measured(number, 30 + 4000 / cores + 0.8 * cores, space=SPACE)
    return found


def searched(truth, **fields):
    objective = fields.pop("objective", Objective())
    return replayed(Ernest(), AdvisingView(SPACE, objective, **fields), truth)


def test_from_nine_runs_it_foretells_every_size_of_three_kinds() -> None:
    truth = ernests()
    known, why = searched(truth)
    assert len(known.runs) == 9 and "9 runs" in why
    told = Ernest().predict(known)
    seconds = np.array([truth[number].seconds for number in range(len(SPACE))])
    assert told.seconds == pytest.approx(seconds, rel=0.05)
    assert (told.feasible > 0.9).mean() > 0.9


@pytest.mark.parametrize("minimize", ["cost", "run_time"])
def test_what_it_recommends_is_near_the_best(minimize) -> None:
    truth = ernests(needs=24.0)
    objective = Objective(minimize)
    known, _ = searched(truth, objective=objective)
    said = recommended(known, Ernest())
    least = min(objective.value(run) for run in truth.values() if run.whole)
    assert said is not None and truth[said.configuration].whole
    assert objective.value(truth[said.configuration]) < 1.1 * least


def test_less_memory_than_failed_is_not_believed_in() -> None:
    truth = ernests(needs=24.0)
    known, _ = searched(truth)
    told = Ernest().predict(known)
    assert any(not run.whole for run in known.runs)
    for run in known.runs:
        here = SPACE[run.configuration].features
        smaller = [
            number
            for number, each in enumerate(SPACE.configurations)
            if each.features["family"] == here["family"] and each.features["machines"] <= here["machines"]
        ]
        assert run.whole or (told.feasible[smaller] < 0.5).all()


def test_kinds_that_were_not_run_are_not_recommended() -> None:
    told = Ernest(kinds=1).predict(replayed(Ernest(kinds=1), AdvisingView(SPACE, Objective()), ernests())[0])
    families = [each.features["family"] for each in SPACE.configurations]
    trusted = {family for family, feasible in zip(families, told.feasible, strict=True) if feasible > 0.5}
    assert len(trusted) == 1


def test_other_workloads_are_not_looked_at() -> None:
    corpus = Corpus({"w": tuple(world(SPACE).values())})
    truth = ernests()
    assert searched(truth)[0].runs == searched(truth, corpus=corpus)[0].runs


def test_a_budget_ends_it() -> None:
    known, why = searched(ernests(), budget=0.05)
    assert "budget" in why.lower() or "left of" in why
    assert len(known.runs) < 9


class TestLaws(AdvisorLaws):
    def advisor(self):
        return Ernest()
