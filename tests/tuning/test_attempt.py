import math

import pytest

from tradewind.data.trial_records import Claim
from tradewind.errors import Misuse
from tradewind.tuning import attempt as module
from tradewind.tuning.attempt import Asked, Attempt, Left, Over, Place
from tradewind.tuning.interface import GO_ON, PAUSE, STOP, Verdict
from tradewind.tuning.study import Study


class Hears:
    """Whom an attempt tells, with the verdicts that it gives."""

    def __init__(self, verdicts=None):
        self.verdicts, self.reports, self.kept = dict(verdicts or {}), [], []

    def report(self, trial, step, value, *, dollars=None, seconds=None, keep=None):
        self.reports.append((step, value, dollars, seconds))
        verdict = self.verdicts.get(step, Verdict(GO_ON))
        if verdict.action == PAUSE:
            keep()
        return verdict

    def checkpoint(self, trial, step, place):
        self.kept.append((step, place))


@pytest.fixture
def elapsed(monkeypatch):
    """Seconds of the wall, as the test sets them."""
    watch = {"now": 0.0}
    monkeypatch.setattr(module, "stopwatch", lambda: lambda: watch["now"])
    return watch


ASKED = Asked(3, {"x": 0.5, "kind": "a"}, Claim(1, 3, 2, "me"), 4, "there", dollars=1.0, seconds=100.0)


def test_what_an_objective_is_given():
    trial = Attempt(Hears(), ASKED)
    assert (trial.number, trial.setting, trial.step, trial.place) == (3, ASKED.setting, 4, "there")
    assert trial["x"] == 0.5
    with pytest.raises(Misuse, match="kind"):
        trial["kin"]


def test_dollars_and_seconds_are_those_of_all_attempts(elapsed):
    hears = Hears()
    trial = Attempt(hears, ASKED, Place(per_second=0.01, speed=60.0))
    elapsed["now"] = 10.0
    trial.report(5, 0.3)
    trial.report(6, 0.2, dollars=7.0, seconds=8.0)
    assert hears.reports == [(5, 0.3, pytest.approx(1.1), 700.0), (6, 0.2, 7.0, 8.0)]
    free = Hears()
    Attempt(free, ASKED).report(5, 0.3)
    assert free.reports == [(5, 0.3, None, 110.0)]


def test_a_verdict_ends_the_objective_where_it_stands():
    trial = Attempt(Hears({6: Verdict(STOP, "place 3 of 3")}), ASKED)
    trial.report(5, 0.3)
    with pytest.raises(Over, match="place 3 of 3"):
        trial.report(6, 0.3)


def saved(path):
    path.write_text(path.name)


def test_checkpoints_now_and_then_and_before_a_pause(tmp_path, elapsed):
    hears = Hears({9: Verdict(PAUSE)})
    trial = Attempt(hears, ASKED, Place(folder=tmp_path, every=60.0))
    trial.keep(saved)
    for step, now in ((5, 30.0), (6, 61.0), (7, 90.0), (8, 122.0)):
        elapsed["now"] = now
        trial.report(step, 0.1)
    with pytest.raises(Over):
        trial.report(9, 0.1)
    assert [step for step, _ in hears.kept] == [6, 8, 9]
    # files of the step and the attempt, whole, and nothing half-written beside them; the latest two stay
    assert [place for _, place in hears.kept] == [str(tmp_path / f"trial-3-{step}-2") for step in (6, 8, 9)]
    assert all(each.read_text() for each in tmp_path.iterdir())
    assert {each.name for each in tmp_path.iterdir()} == {"trial-3-8-2", "trial-3-9-2"}


def test_checkpoints_that_others_may_begin_with_stay(tmp_path, elapsed):
    parents = tmp_path / "trial-1-4-1"
    parents.write_text("another trial's")
    began = Asked(3, {"x": 0.5}, Claim(1, 3, 1, "me"), 4, str(parents))
    for tidy, left in ((True, {"trial-1-4-1", "trial-3-7-1", "trial-3-8-1"}), (False, 4)):
        folder = tmp_path if tidy else tmp_path / "untidy"
        folder.mkdir(exist_ok=True)
        trial = Attempt(Hears(), began, Place(folder=folder, tidy=tidy))
        trial.keep(saved)
        for step in (5, 6, 7, 8):
            trial.report(step, 0.1)
            trial.keep_now()
        names = {each.name for each in folder.iterdir()}
        assert names == left if tidy else len(names) == left


def test_nothing_is_kept_twice_or_without_a_way(tmp_path, elapsed):
    hears = Hears()
    trial = Attempt(hears, ASKED, Place(folder=tmp_path, every=1.0))
    elapsed["now"] = 10.0
    trial.report(5, 0.1)  # nobody has said how
    trial.keep_now()
    assert hears.kept == []
    trial.keep(saved)
    trial.keep_now()
    trial.keep_now()
    assert [step for step, _ in hears.kept] == [5]
    homeless = Attempt(hears, ASKED)
    homeless.keep(saved)
    homeless.report(6, 0.1)
    homeless.keep_now()
    assert [step for step, _ in hears.kept] == [5]


def test_a_checkpoint_of_the_objectives_own_counts_as_one(tmp_path):
    hears = Hears()
    trial = Attempt(hears, ASKED, Place(folder=tmp_path))
    trial.keep(saved)
    trial.report(5, 0.1)
    trial.checkpoint(5, "s3://mine/5")
    trial.keep_now()
    assert hears.kept == [(5, "s3://mine/5")]


def test_it_leaves_its_machine_after_the_step_at_hand(tmp_path):
    hears, leaving = Hears(), []
    trial = Attempt(hears, ASKED, Place(folder=tmp_path, leaving=lambda: bool(leaving)))
    trial.keep(saved)
    trial.report(5, 0.1)
    leaving.append(True)
    with pytest.raises(Left):
        trial.report(6, 0.1)
    assert [step for step, _ in hears.kept] == [6]


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path):
    def breaks(path):
        path.write_text("half")
        raise OSError("the disk is full")

    hears = Hears()
    trial = Attempt(hears, ASKED, Place(folder=tmp_path, every=math.inf))
    trial.keep(breaks)
    trial.report(5, 0.1)
    with pytest.raises(OSError, match="full"):
        trial.keep_now()
    assert hears.kept == [] and list(tmp_path.iterdir()) == []


def test_a_study_is_told_and_what_is_kept_is_found_again(tmp_path):
    study = Study({"x": [1]}, trials=1)
    first = study.ask()
    trial = Attempt(study, first, Place(folder=tmp_path, per_second=0.0))
    trial.keep(saved)
    trial.report(1, 0.5, dollars=2.0, seconds=30.0)
    trial.keep_now()
    study.requeue(first, "it was revoked")
    again = study.ask()
    assert (again.step, again.checkpoint) == (1, str(tmp_path / "trial-0-1-1"))
    assert (again.dollars, again.seconds) == (2.0, 30.0)
