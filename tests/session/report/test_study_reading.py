"""What a study's report reads out of its store: every number by hand, and with rules that really ran."""

import math

import msgspec
import numpy as np
import pytest
from made_studies import OFFERS, SPACE, START, curves, eventful, opened

from tradewind.data.trial_records import StoredTrial
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse
from tradewind.session.report.study.data import BECAME, LEFT, REQUEST, RULE, StudyData
from tradewind.session.report.study.reading import cost_of, study_data
from tradewind.tuning.earlier_studies import Earlier
from tradewind.tuning.search.population import PopulationTraining
from tradewind.tuning.space import Space
from tradewind.tuning.stopping.last_value import LastValue
from tradewind.tuning.study import Study


@pytest.fixture(scope="module")
def told() -> StudyData:
    return study_data(eventful(), "made")


def test_what_was_spent_and_what_stopping_saved(told) -> None:
    assert told.best == 0 and told.direction == "minimize"
    assert told.whole == 20 and "longest completed" in told.whole_from
    assert told.steps == 20 + 5 + 4 + 3 + 12
    # Trial 0 did 5 and 6 again, for its last checkpoint was at 4, and after the move 9 and 10.
    assert told.again == 4
    assert told.dollars == pytest.approx(0.24 + 0.10 + 0.0 + 0.03 + 0.12)
    assert told.seconds == pytest.approx(10 * (20 + 5 + 4 + 3 + 12))
    one, two = told.endings
    assert (one.number, one.by, one.step, one.saved_steps) == (1, RULE, 5, 15)
    assert one.reason == "at 5 of 20 steps it is behind" and one.moment == START + 150
    assert one.saved_dollars == pytest.approx(15 * 0.02), "by its own price of a step"
    assert (two.number, two.by, two.step, two.saved_steps, two.saved_dollars) == (2, REQUEST, 4, 16, None)
    assert told.saved_steps == 31 and told.saved_dollars == pytest.approx(0.30)
    longer = study_data(eventful(), "made", steps=40)
    assert longer.whole == 40 and longer.saved_steps == 31 + 2 * 20
    assert [each.revocations for each in told.trials] == [1, 0, 0, 0, 0]
    assert [each.moves for each in told.trials] == [1, 0, 0, 0, 0]
    assert told.drivers == 3 and told.notes[0].text == "a note <for> all"


def test_where_the_trials_were(told) -> None:
    life = [
        (each.what, each.started, each.ended, each.machine, each.ending)
        for each in told.stretches
        if each.number == 0
    ]
    assert life == [
        ("waiting", 0.0, 100.0, "", ""),
        ("running", 100.0, 160.0, OFFERS[0], "revocation"),
        ("waiting", 160.0, 220.0, "", ""),
        ("running", 220.0, 280.0, OFFERS[1], "move"),
        ("waiting", 280.0, 300.0, "", ""),
        ("running", 300.0, 420.0, OFFERS[2], "completed"),
    ]
    last = [(each.what, each.started, each.ended, each.ending) for each in told.stretches if each.number == 4]
    assert last == [
        ("waiting", 4.0, 130.0, ""),
        ("running", 130.0, 210.0, ""),
        ("paused", 210.0, 260.0, ""),
        ("waiting", 260.0, 290.0, ""),
        ("running", 290.0, 420.0, ""),
    ], "what runs yet runs to the last moment on record"
    endings = {each.number: each.ending for each in told.stretches}
    assert endings == {0: "completed", 1: "stopped", 2: "stopped", 3: "failed", 4: ""}
    machines = {each.name: each for each in told.machines}
    assert machines[OFFERS[0]].trials == 3 and machines[OFFERS[0]].revocations == 1
    assert machines[OFFERS[1]].seconds == pytest.approx(60 + 50)
    assert machines[OFFERS[2]].seconds_per_step == 10.0
    assert told.began == START and told.ended == START + 420.0


def test_what_is_not_a_number_is_none_and_all_of_it_is_json(told) -> None:
    assert told.trials[3].values == (1 / 4, None, 1 / 6)
    text = msgspec.json.encode(told)
    assert b"NaN" not in text and msgspec.json.decode(text, type=StudyData) == told


def test_points_lie_where_their_axes_say(told) -> None:
    by_name = dict(zip([axis.name for axis in told.axes], told.axes, strict=True))
    assert [axis.name for axis in told.axes] == ["rate", "layers", "optimizer", "momentum"]
    assert by_name["rate"].log and by_name["layers"].whole and not by_name["momentum"].log
    assert by_name["optimizer"].labels == ("sgd", "adam", "ftrl")
    assert by_name["momentum"].condition == "optimizer = sgd"
    rate, layers, optimizer, momentum = told.trials[0].point
    assert rate == pytest.approx(2 / 3) and layers == pytest.approx(0.5)
    assert optimizer == pytest.approx(0.5) and momentum is None
    assert told.trials[1].point[3] == pytest.approx(0.5 / 0.99)


def test_a_forecast_is_for_what_is_not_at_its_end() -> None:
    told = study_data(curves(24), "made")
    for each in told.trials:
        assert (each.predicted is None) == (each.state == "completed")
        if each.predicted is not None:
            assert each.predicted.low <= each.predicted.expected <= each.predicted.high
            assert each.predicted.expected < each.values[-1], "a falling loss goes on falling"
    mirrored = study_data(curves(24, direction="maximize"), "made")
    for one, other in zip(told.trials, mirrored.trials, strict=True):
        assert other.final == (None if one.final is None else -one.final)
        if one.predicted is not None:
            assert other.predicted.low == pytest.approx(-one.predicted.high)
            assert other.predicted.expected == pytest.approx(-one.predicted.expected)
            assert other.predicted.high == pytest.approx(-one.predicted.low)
    assert mirrored.best == told.best and mirrored.frontier == told.frontier


def test_nothing_on_the_frontier_is_beaten() -> None:
    store, chance = opened(), np.random.default_rng(0)
    for number in range(40):
        setting = SPACE.setting(chance.random(len(SPACE)))
        cost, loss = (float(each) for each in chance.random(2))
        store.insert("made", StoredTrial(number, setting, "completed", (1,), (loss,), loss, cost))
    told = study_data(store, "made")
    done = told.trials
    beaten = {
        one.number
        for one in done
        if any(other.final <= one.final and other.dollars < one.dollars for other in done)
    }
    assert set(told.frontier) == {each.number for each in done} - beaten and len(told.frontier) > 2
    costs = [cost_of(done[at], told.cost) for at in told.frontier]
    assert told.cost == "dollars" and costs == sorted(costs)
    assert told.progress[-1].best == told.progress[-1].reported == done[told.best].final
    assert told.progress[-1].dollars == pytest.approx(told.dollars)


@pytest.mark.parametrize(("completed", "of"), [(2, "final values of the 15"), (5, "at step 8 of the 30")])
def test_importance_is_of_what_most_trials_came_to(completed, of) -> None:
    told = study_data(curves(30, completed=completed), "made")
    assert of in told.importance_of
    shares = {axis.name: share.mean for axis, share in zip(told.axes, told.importance.shares, strict=True)}
    assert max(shares, key=shares.__getitem__) == "rate"


def test_too_few_trials_say_nothing_of_importance(told) -> None:
    assert told.importance is None and "1 of 10 that it takes" in told.importance_of


def test_the_best_so_far_is_told_as_money_goes() -> None:
    store = opened()
    for values, final in (((5.0, 3.0), 4.0), ((6.0, math.nan), None), ((2.0, 3.5), 3.5)):
        store.add("made", {"rate": 0.01, "layers": 3, "optimizer": "adam"}, moment=1.0)
        claim = store.claim("made", "d", moment=1.0)
        for at, value in enumerate(values):
            store.report(claim, at + 1, value, dollars=1.0 + at, seconds=10.0 * at, moment=1.0)
        store.finish(claim, "failed" if final is None else "completed", final, dollars=3.0, moment=1.0)
    told = study_data(store, "made").progress
    assert [(each.dollars, each.reported, each.best) for each in told] == [
        (1.0, 5.0, None),
        (2.0, 3.0, None),
        (3.0, 3.0, 4.0),
        (7.0, 2.0, 4.0),
        (9.0, 2.0, 3.5),
        (9.0, 2.0, 3.5),
    ]
    assert told[-1].steps == 6 and told[-1].seconds == 30.0


def test_a_rule_that_pauses_and_leaves_behind() -> None:
    study = Study({"x": {"low": 0.0, "high": 1.0}}, trials=8, stop=LastValue(10, share=0.3, top=2))

    def objective(trial) -> float:
        for step in range(trial.step + 1, 11):
            trial.report(step, trial["x"] + 1 / step, dollars=0.1 * step)
            trial.checkpoint(step, "here")
        return trial["x"]

    study.run(objective)
    before = study.digest()
    told = study_data(study.store, "study")
    stopped = [each for each in told.trials if each.state == "stopped"]
    assert len(stopped) == 6 and {each.by for each in told.endings} == {LEFT}
    assert told.whole == 10 and told.saved_steps == 80 - told.steps
    assert told.saved_dollars == pytest.approx(0.1 * told.saved_steps)
    assert {each.reason for each in told.endings} == {
        "at 3 of 10 steps it is compared with the others; it was left behind"
    }, "why it was paused, and that it never went on"
    assert all(told.began < each.moment < told.ended for each in told.endings), "when it was paused"
    assert told.best == study.best.number and told.digest == before
    assert study.digest() == before, "who reads writes nothing"


def test_a_trial_that_goes_on_as_another_saved_nothing() -> None:
    space = Space.of({"x": {"low": -1.0, "high": 1.0}})
    rule = PopulationTraining(space, 10, interval=3, members=6)
    study = Study(space, search=rule, stop=rule)

    # All members go side by side, as the rule wants it.
    asked, reached = [study.ask() for _ in range(6)], [0] * 6
    while min(reached) < 10:
        for at, trial in enumerate(asked):
            if reached[at] < 10:
                reached[at] += 1
                if study.report(trial, reached[at], trial["x"] ** 2).action == "become":
                    asked[at] = study.ask()
                    reached[at] = asked[at].step
                else:
                    study.checkpoint(trial, reached[at], "here")
    for trial in asked:
        study.tell(trial, trial["x"] ** 2)
    told = study_data(study.store, "study")
    became = [each for each in told.endings if each.by == BECAME]
    children = [each for each in told.trials if each.parent is not None]
    assert became and len(became) == len(children) == len(told.endings)
    assert told.saved_steps == 0 and told.saved_dollars is None
    assert all(each.began > 0 and each.steps[0] == each.began + 1 for each in children)
    assert all(each.ran == len(each.steps) for each in told.trials)


def test_earlier_studies_are_told_and_are_not_its_trials() -> None:
    space = {"x": {"low": 0.0, "high": 1.0}}
    before = Study(space, name="before", trials=3)
    before.run(lambda trial: trial["x"])
    study = Study(space, trials=2, store=before.store, earlier=[Earlier("before", identical=True)])
    study.run(lambda trial: trial["x"])
    told = study_data(study.store, "study")
    assert len(told.trials) == 2 and not told.notes
    assert told.earlier == ("3 trials of 'before', with the same data and algorithm, count",)


def test_a_driver_that_is_gone() -> None:
    store = opened()
    store.add("made", {"rate": 0.01, "layers": 3, "optimizer": "adam"}, moment=START)
    claim = store.claim("made", "one", moment=START, lease=10.0)
    for step in range(1, 6):
        store.report(claim, step, 1.0 / step, moment=START + step)
    store.claim("made", "two", moment=START + 30)
    told = study_data(store, "made")
    assert told.trials[0].gone == 1 and told.drivers == 2 and told.again == 5
    assert [(each.what, each.ending) for each in told.stretches][1] == ("running", "gone")


def test_studies_with_little_in_them() -> None:
    empty = study_data(opened(), "made")
    assert (empty.trials, empty.best, empty.whole, empty.began) == ((), None, 0, None)
    bare = opened(space=None)
    bare.insert("made", StoredTrial(0, {"x": 1}, "completed", (1, 2), (3.0, math.inf), 2.0))
    told = study_data(bare, "made")
    assert told.axes == () and "no space" in told.importance_of and told.best == 0
    assert told.trials[0].values == (3.0, None) and told.trials[0].last == 2.0
    assert told.cost == "steps" and told.frontier == (0,)
    with pytest.raises(Misuse, match="there is no study"):
        study_data(TrialStore("sqlite://"), "made")
