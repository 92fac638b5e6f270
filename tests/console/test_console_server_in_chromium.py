"""A real grid of real jobs, watched and killed in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import CHROMIUM, Chromium

from tradewind.clock import stopwatch
from tradewind.data.runs import process_identity
from tradewind.data.trial_store import TrialStore
from tradewind.providers import local_leftovers
from tradewind.session.grid.search import GridSearch
from tradewind.tuning.search.grid import FullGrid
from tradewind.tuning.study import Study

PRICES = """zone,instance_type,time,price
us-east-1a,p2.xlarge,2020-02-01T00:00:00Z,0.3
us-east-1a,p2.xlarge,2020-02-09T00:00:00Z,0.3
"""
MIDDLE = """(() => {
  const path = document.querySelector('.curve .seen');
  const at = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM());
  return [at.x, at.y];
})()"""
"""Where the middle of the first line is on the screen."""
LINES = "[...document.querySelectorAll('.curve')].map(each => each.dataset.trial)"


def endless(folder: Path) -> GridSearch:
    """Two settings of a job that would take an hour, one at a time."""
    rows = "".join(f"{1 if k % 3 else -1:+d} {1 + k % 5}:1 {7 + k % 6}:0.5\n" for k in range(400))
    (folder / "rows.libsvm").write_text(rows)
    (folder / "prices.csv").write_text(PRICES)
    base = {
        "dataset": str(folder / "rows.libsvm"), "n_workers": 1, "n_ps": 1, "epochs": 500_000,
        "parts": 2, "policy": "on_demand",
        "provider": {"kind": "local", "history": str(folder / "prices.csv"), "boot": 5},
    }  # fmt: skip
    return GridSearch(
        "LinearLearner", base, [["learning_rate", "minibatch_size"]], [[0.01, 0.1], [20]],
        num_jobs=1, out=folder / "runs", name="watched",
    )  # fmt: skip


def processes(store: TrialStore, folder: Path) -> list[int]:
    """Those of the trials that run: the driver's own children, and all of their leases."""
    trials = store.trials("watched").all()
    runs = folder / "runs" / "watched"
    places = [runs / each.driver.replace("/", "+") / str(each.number) for each in trials]
    places += [Path(each.checkpoint) / "logs" for each in trials if each.checkpoint]
    return sorted({found.pid for place in places for found in local_leftovers.leftovers(place)})


def choose(page: Chromium, name: str, value: str) -> None:
    """Choose an option of a list, as a user does who types its name."""
    page.ask(f"document.querySelector('#{name}').value = '{value}'")
    page.ask(f"document.querySelector('#{name}').dispatchEvent(new Event('change'))")


def made_up(store: TrialStore) -> None:
    """A second study of seven trials; nothing of it was trained."""
    study = Study({"x": list(range(7))}, name="made-up", search=FullGrid(), store=store, direction="maximize")
    for trial in [study.ask() for _ in range(7)]:
        assert trial is not None
        for step in (1, 2, 4):
            study.report(trial, step, trial["x"] * step, dollars=0.1 * step, seconds=10.0 * step)
        study.tell(trial, 4.0 * trial["x"])


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_line_is_clicked_and_its_trial_is_gone_within_five_seconds(tmp_path, capfd):
    search = endless(tmp_path)
    search.run(UI=True, wait=False)
    try:
        assert search.url.startswith("http://127.0.0.1:") and search.url in capfd.readouterr().err
        with TrialStore(tmp_path / "runs/watched/trials.sqlite") as store, Chromium(tmp_path) as page:
            made_up(store)
            page.open(search.url)
            page.wait_for("document.querySelector('#study').options.length == 2")
            choose(page, "study", "made-up")
            page.wait_for("document.querySelectorAll('.curve').length == 7")
            page.click_on("input[value=worst]")
            assert page.ask(LINES) == ["0", "1", "2", "3", "4"], "where more is better"
            page.click_on("input[value=best]")
            assert page.ask(LINES) == ["6", "5", "4", "3", "2"]
            assert page.ask("document.querySelector('#dollars').innerText") == "$2.80"
            choose(page, "chart", "updates")
            assert page.ask("document.querySelector('.curve').dataset.points") == "2"
            page.screenshot(tmp_path / "made-up.png")
            choose(page, "chart", "dollars")
            choose(page, "study", "watched")
            page.click_on("input[value=all]")

            page.wait_for("document.querySelectorAll('.curve').length == 1")
            before = page.ask("+document.querySelector('.curve').dataset.points")
            page.wait_for(f"+document.querySelector('.curve').dataset.points > {max(before, 1)}")
            states = page.ask("document.querySelector('#states').innerText")
            assert "1 running" in states and "1 waiting" in states, "no more than num_jobs at a time"
            assert page.ask("document.querySelector('#workers').innerText") == "1"
            assert search.get_num_lambdas() == 1 and search.get_cost_per_sec() > 0
            for _ in range(9):  # the line may be drawn anew between the look and the click
                page.click(*page.ask(MIDDLE))
                if page.ask("chosen") == 0:
                    break
            assert page.ask("!document.querySelector('#kill').hidden")
            told = page.ask("document.querySelector('#chosen').innerText")
            assert "Trial 0" in told and "learning_rate" in told and "minibatch_size" in told
            alive = processes(store, tmp_path)
            assert len(alive) >= 3, "its own, and those of two leases"
            page.screenshot(tmp_path / "before.png")
            page.click_on("#kill")
            passed = stopwatch()
            page.wait_for("trials.get(0).state == 'stopped'", 5)
            assert not any(map(process_identity, alive)) and passed() < 5
            stopped = store.trials("watched")[0]
            assert stopped.state == "stopped" and stopped.reason == "it was killed in the console"
            page.wait_for("document.querySelector('#kill').disabled")
            page.wait_for("trials.get(1).state == 'running'")  # its place is taken
            page.screenshot(tmp_path / "after.png")
            page.click_on("#kill-all")
            page.wait_for("document.querySelector('#kill-all').innerText == 'Really kill 1 trial?'")
            page.click_on("#kill-all")
            passed = stopwatch()
            assert search.wait(5) and passed() < 5
            page.wait_for("[...trials.values()].every(each => each.state == 'stopped')")
            assert page.problems == []
            assert not processes(store, tmp_path)
            (top,) = search.get_top(2)
            assert top.number == 0 and search.get_cost() == top.dollars > 0
    finally:
        search.kill_all()
        search.close()
