"""The laws of advisors: what must hold of every next probe and every belief, whatever is known.

A test class of `AdvisorLaws` with an `advisor` of its own runs them all; hypothesis makes the views up.
"""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tradewind.advice.configuration.interface import AdvisingView, Advisor, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.recommendation import recommended
from tradewind.advice.configuration.replayed import replayed
from tradewind.advice.configuration.runs import Corpus, Run
from tradewind.advice.configuration.space import Configuration, ConfigurationSpace
from tradewind.market.measured_runs import DONE, FAILED, STOPPED, TIMED_OUT
from tradewind.testing.policies import LAW

ADVISING_LAW = settings(LAW, max_examples=8)
"""A view may need several models fitted."""
OBJECTIVES = (
    Objective(),
    Objective("run_time"),
    Objective("cost", deadline=900.0),
    Objective("run_time", deadline=400.0),
)
_MACHINES = {"small": (2, 4.0, 0.1), "large": (8, 16.0, 0.4), "memory": (4, 32.0, 0.3)}


def space_of(chance: np.random.Generator) -> ConfigurationSpace:
    """Up to twelve clusters, or one, or some of which nothing is known but prices."""
    if chance.random() < 0.2:
        return ConfigurationSpace(
            tuple(Configuration(f"c{at}", 0.1 + at, {}) for at in range(int(chance.integers(1, 4))))
        )
    all_ = [
        Configuration(
            f"{count}x{kind}", count * price,
            {"machines": count, "vcpus": vcpus, "memory_gib": memory, "family": kind},
        )
        for kind, (vcpus, memory, price) in _MACHINES.items()
        for count in (1, 2, 4, 8)
    ]  # fmt: skip
    many = int(chance.choice((1, 2, 6, 12)))
    return ConfigurationSpace(tuple(all_[int(at)] for at in sorted(chance.permutation(12)[:many])))


def runs_of(space: ConfigurationSpace, chance: np.random.Generator, failing: float = 0.3) -> dict[int, Run]:
    """A run of one workload on each configuration, some of which fail or are ended; some tell metrics."""
    level, tells = float(np.exp(chance.normal(6, 1))), chance.random() < 0.5
    found = {}
    for number, each in enumerate(space.configurations):
        seconds = float(level * np.exp(chance.normal(0, 0.5)) / each.per_hour**0.7)
        status = DONE if chance.random() >= failing else str(chance.choice((FAILED, TIMED_OUT, STOPPED)))
        metrics = (
            {"cpu_user": float(chance.random()), "await_ms": float(9 * chance.random())} if tells else {}
        )
        found[number] = Run(number, seconds, seconds * each.per_hour / 3600, status, metrics)
    return found


def corpus_of(space: ConfigurationSpace, chance: np.random.Generator) -> Corpus:
    """Three other workloads, one of them with repeats and gaps; or none."""
    if chance.random() < 0.3:
        return Corpus()
    whole = {f"other-{at}": tuple(runs_of(space, chance).values()) for at in range(2)}
    patchy = [run for run in runs_of(space, chance).values() if chance.random() < 0.5]
    return Corpus({**whole, "patchy": (*patchy, *patchy)})


@st.composite
def advising_views(draw: st.DrawFn) -> AdvisingView:
    """Any view: none, some or all tried, failures among them, with and without a corpus and limits."""
    return view_of(draw(st.integers(0, 1 << 30)))


def view_of(number: int) -> AdvisingView:
    """The view of this number."""
    chance = np.random.default_rng(number)
    space = space_of(chance)
    runs = runs_of(space, chance, failing=float(chance.choice((0.0, 0.3, 1.0))))
    tried = chance.permutation(len(space))[: int(chance.integers(0, len(space) + 1))]
    budget = float(chance.choice((0.05, 1.0, 20.0))) if chance.random() < 0.4 else None
    return AdvisingView(
        space,
        OBJECTIVES[int(chance.integers(len(OBJECTIVES)))],
        tuple(runs[int(at)] for at in tried),
        corpus_of(space, chance),
        int(chance.integers(len(space))) if chance.random() < 0.5 else None,
        float(chance.choice((1.0, 10.0, 1000.0))),
        budget,
        7200.0 if chance.random() < 0.3 else None,
        int(chance.integers(100)),
    )


class AdvisorLaws:
    """Subclass it and return an advisor from `advisor`; each law is a test."""

    def advisor(self) -> Advisor:
        """The advisor under test, made anew."""
        raise NotImplementedError

    @ADVISING_LAW
    @given(advising_views())
    def test_law_1_equal_arguments_give_equal_answers(self, view: AdvisingView) -> None:
        """Asked twice, of an advisor made anew from its own fields; and the view is left as it was."""
        advisor = self.advisor()
        before = copy.deepcopy(view)
        said, believed = advisor.next(view), advisor.predict(view)
        again = type(advisor)(**_fields(advisor))
        assert advisor.next(before) == said == again.next(before)
        for one, other in zip(_arrays(believed), _arrays(again.predict(before)), strict=True):
            assert np.array_equal(one, other)
        assert view == before and np.array_equal(view.space.rows, before.space.rows)

    @ADVISING_LAW
    @given(advising_views())
    def test_law_2_a_probe_is_new_and_can_be_paid(self, view: AdvisingView) -> None:
        """Of the space, not tried, believed to cost no more than is left, for a reason; else words."""
        advisor = self.advisor()
        said = advisor.next(view)
        assert len(said.reason) > 3
        if isinstance(said, Stop):
            assert said.reason.endswith(".")
            return
        assert isinstance(said, Probe) and 0 <= said.configuration < len(view.space)
        assert type(said.configuration) is int and said.configuration not in view.probed
        assert said.limit is None or 0 < said.limit < math.inf
        if view.budget is not None:
            seconds = float(advisor.predict(view).seconds[said.configuration])
            seconds = min(seconds, said.limit or math.inf)
            cost = seconds * view.space[said.configuration].per_hour / 3600
            assert view.spent < view.budget and view.spent + cost <= view.budget * (1 + 1e-9)

    @ADVISING_LAW
    @given(advising_views())
    def test_law_3_beliefs_have_a_shape_and_are_numbers(self, view: AdvisingView) -> None:
        """(n,) each, finite; deviations and seconds above zero, probabilities from 0 to 1."""
        advisor = self.advisor()
        for known in (view, replace(view, runs=()), replace(view, runs=view.runs[:1])):
            believed = advisor.predict(known)
            for each in _arrays(believed):
                assert each.shape == (len(view.space),) and np.isfinite(each).all()
            assert (believed.deviations > 0).all() and (believed.seconds > 0).all()
            assert believed.feasible.min() >= 0 and believed.feasible.max() <= 1
            for run in known.runs:
                if not known.objective.met(run):
                    assert believed.feasible[run.configuration] < 0.5

    @ADVISING_LAW
    @given(st.integers(0, 1 << 30))
    def test_law_4_a_search_ends_and_can_be_taken_up_from_its_record(self, number: int) -> None:
        """After as many probes as there are configurations at most; each prefix gives the same next."""
        view, truth = _beginning(number)
        advisor = self.advisor()
        end, why = replayed(advisor, view, truth)
        assert why.endswith(".") and len(end.probed) == len(end.runs) <= len(view.space)
        middle = replace(end, runs=end.runs[: len(end.runs) // 2])
        assert replayed(self.advisor(), middle, truth) == (end, why)

    @ADVISING_LAW
    @given(st.integers(0, 1 << 30))
    def test_law_5_what_is_recommended_works_or_says_that_it_may_not(self, number: int) -> None:
        """Nothing that failed or was too late; and it is compared with what runs now, if that works."""
        view, truth = _beginning(number)
        view = replace(view, current=len(view.space) - 1)
        advisor = self.advisor()
        end, _ = replayed(advisor, view, truth)
        advice = recommended(end, advisor)
        if advice is None:
            return
        assert all(end.objective.met(run) for run in end.runs if run.configuration == advice.configuration)
        assert advice.measured or advice.warnings
        assert math.isfinite(advice.value) and advice.low <= advice.value <= advice.high
        tried = [run for run in end.runs if run.configuration == view.current]
        if not tried and advice.configuration != view.current:
            assert any("runs now, was not tried" in each for each in advice.warnings)
        assert advice.saving is not None or (tried and not end.objective.met(tried[0]))

    @ADVISING_LAW
    @given(st.integers(0, 1 << 30))
    def test_law_6_where_all_failed_nothing_is_recommended(self, number: int) -> None:
        """And no advisor goes on for ever."""
        view, _ = _beginning(number)
        truth = runs_of(view.space, np.random.default_rng(number), failing=1.0)
        every = replace(view, runs=tuple(truth.values()))
        advisor = self.advisor()
        assert isinstance(advisor.next(every), Stop)
        assert recommended(every, advisor) is None

    @ADVISING_LAW
    @given(st.integers(0, 1 << 30))
    def test_law_7_one_configuration_and_one_observation(self, number: int) -> None:
        """It is tried or not; once it was, that is the end, and it is recommended if it works."""
        view, truth = _beginning(number)
        space = ConfigurationSpace(view.space.configurations[:1])
        alone = AdvisingView(space, Objective(), seed=number % 7)
        advisor = self.advisor()
        said = advisor.next(alone)
        assert isinstance(said, Stop) or said.configuration == 0
        done = replace(alone, runs=(replace(truth[0], status=DONE),))
        assert isinstance(advisor.next(done), Stop)
        advice = recommended(done, advisor)
        assert advice is not None and advice.configuration == 0 and advice.measured


def _beginning(number: int) -> tuple[AdvisingView, dict[int, Run]]:
    """A search that has not begun, with a budget or none, and the runs that it will meet."""
    view = replace(view_of(number), runs=())
    chance = np.random.default_rng((number, 1))
    return view, runs_of(view.space, chance)


def _fields(advisor: Advisor) -> dict[str, Any]:
    """The arguments that it was made with, by the fields of the same names."""
    return {name: getattr(advisor, name) for name in inspect.signature(type(advisor)).parameters}


def _arrays(believed: Prediction) -> tuple[Array, ...]:
    return believed.logs, believed.deviations, believed.feasible, believed.seconds
