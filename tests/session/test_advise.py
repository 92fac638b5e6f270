"""Searches from a spec to a recommendation, with real commands: their ends, their records, and kills."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from tradewind import clock
from tradewind.advice.configuration.rules import exhaustive
from tradewind.data.runs import RunIndex
from tradewind.errors import Corrupt, Diverged, Misuse
from tradewind.session.advise import advise, replay_advice, resume_advice
from tradewind.session.advise_records import RECORDS, Ended, history_in
from tradewind.session.spec import read_spec
from tradewind.session.tune_spec import make_tune_spec

JOB = """
import os, sys, time
held = bytearray(int(48e6))
held[::4096] = b"x" * len(held[::4096])
cores = len(os.sched_getaffinity(0))
work = 0.24 / cores
while time.process_time() < work: pass
open("runs.txt", "a").write(f"{os.environ['TRADEWIND_CONFIGURATION']} {sys.argv[1]} {cores}\\n")
"""
"""Needs 48 MB, and the less time the more processors."""


def asked(tmp_path, **more):
    (tmp_path / "job.py").write_text(JOB)
    fields = {
        "name": "job", "command": [sys.executable, "job.py", "{vcpus}"], "folder": str(tmp_path),
        "sizes": {"vcpus": [0.5, 1], "memory_gib": [0.03, 0.25], "per_vcpu_hour": 3.6, "per_gib_hour": 0.36},
        "advisor": "exhaustive", "current": "1x1cpu-0.25gib", "out": str(tmp_path / "runs"), **more,
    }  # fmt: skip
    return {key: value for key, value in fields.items() if value is not None}


def test_a_command_is_run_where_it_tells_most_and_the_best_is_recommended(tmp_path):
    told = []
    found = advise(**asked(tmp_path), console=told.append)
    assert found.outcome == "done" and found.reason == "Every configuration was tried." and found.probes == 4
    rows = {row.name: row for row in found.rows}
    assert {name: row.status for name, row in rows.items()} == {
        "1x0.5cpu-0.03gib": "failed", "1x1cpu-0.03gib": "failed",
        "1x0.5cpu-0.25gib": "done", "1x1cpu-0.25gib": "done",
    }  # fmt: skip
    best = found.recommendation
    assert best is not None and best.name.endswith("0.25gib") and rows[best.name].recommended
    assert best.dollars == pytest.approx(min(row.dollars for row in found.rows if row.status == "done"))
    assert rows["1x0.5cpu-0.25gib"].seconds >= 0.24 and "memory" in rows["1x1cpu-0.03gib"].words
    saving = 1 - best.dollars / rows["1x1cpu-0.25gib"].dollars
    assert best.saving == pytest.approx(saving)
    # The command was told what it runs on, and each run was charged at its price.
    lines = (tmp_path / "runs.txt").read_text().splitlines()
    assert sorted(lines) == ["1x0.5cpu-0.25gib 0.5 1", "1x1cpu-0.25gib 1 1"]
    history = history_in(Path(found.directory))
    prices = {each.name: each.per_hour for each in history.asked.configurations}
    for each in history.probes:
        assert each.dollars == pytest.approx(prices[each.configuration] * each.seconds / 3600)
    assert found.spent == pytest.approx(sum(each.dollars for each in history.probes))
    assert replay_advice(found.directory) == 5
    assert sum("probe" in words for words in told) == 4
    (run,) = RunIndex(tmp_path / "runs").list()
    assert run.state == "done" and run.cost == pytest.approx(found.spent)
    # What is over is told again, and nothing is run.
    again = resume_advice(found.directory)
    assert replace(again, rows=()) == replace(found, rows=()) and again.rows == found.rows
    assert len((tmp_path / "runs.txt").read_text().splitlines()) == 2


def test_train_and_tune_read_what_is_recommended(tmp_path):
    rows = "workload,program,configuration,per_hour,seconds,status,machines,vcpus,memory_gib\n"
    rows += "me,me,4xm4.large,0.4,100,done,4,2,8\nme,me,2xm4.xlarge,0.4,90,done,2,4,16\n"
    (tmp_path / "past.csv").write_text(rows)
    found = advise(runs=str(tmp_path / "past.csv"), workload="me", advisor="exhaustive")
    assert found.outcome == "done" and found.recommendation is not None
    assert found.recommendation.name == "2xm4.xlarge" and found.settings == {
        "workers.count": 2, "workers.vcpus": 4.0, "workers.memory_gib": 16.0,
        "workers.instance_types": ["m4.xlarge"],
    }  # fmt: skip
    (tmp_path / "spec.toml").write_text('[learner]\nkind = "LinearLearner"\n[data]\npath = "adult"\n')
    spec = read_spec(tmp_path / "spec.toml", found.settings)
    assert spec.workers.count == 2 and spec.workers.instance_types == ("m4.xlarge",)
    tuned = make_tune_spec({"tune": {"space": {"x": [1]}}}, overrides=found.settings, of_function=True)
    assert (tuned.workers.vcpus, tuned.workers.memory_gib) == (4.0, 16.0)


def test_the_table_that_is_written_is_read_by_specs(tmp_path):
    found = advise(**asked(tmp_path, probes=1, sizes={"vcpus": [1], "per_vcpu_hour": 3.6}, current=None))
    text = (Path(found.directory) / "recommended.toml").read_text()
    assert text.startswith("# job: 1x1cpu") and "[workers]\ncount = 1\nvcpus = 1.0\n" in text
    (tmp_path / "s.toml").write_text('[learner]\nkind = "LinearLearner"\n[data]\npath = "adult"\n' + text)
    assert read_spec(tmp_path / "s.toml").workers.vcpus == 1.0


def test_no_probe_costs_more_than_what_is_left_of_the_budget(tmp_path):
    command = ["sleep", "20"]
    sizes = {"vcpus": [1], "per_vcpu_hour": 3.6}
    found = advise(**asked(tmp_path, command=command, budget=0.0012, sizes=sizes, current=None))
    assert found.outcome == "done"
    (probe,) = history_in(Path(found.directory)).probes
    assert probe.status == "stopped" and 1.1 <= probe.seconds < 6
    assert found.recommendation is None


def test_a_time_limit_ends_any_run_as_timed_out(tmp_path):
    found = advise(**asked(tmp_path, command=["sleep", "20"], time_limit="200ms", probes=2))
    assert [each.status for each in history_in(Path(found.directory)).probes] == ["timed_out"] * 2
    assert found.reason == "2 probes were made, as many as were asked for." and found.recommendation is None


def test_all_that_fails_is_told_as_such(tmp_path):
    found = advise(**asked(tmp_path, command=["sh", "-c", "echo no such file >&2; exit 2"]))
    assert found.outcome == "done" and found.recommendation is None
    assert all("no such file" in row.words for row in found.rows)
    assert "nothing can be recommended" in (Path(found.directory) / "recommended.toml").read_text()


DRIVER = """
import json, sys
from tradewind.session.advise import advise
print(advise(**json.loads(sys.argv[1])).directory)
"""


def processes_of(word):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def until(true, seconds=40.0):
    passed, nobody = clock.stopwatch(), threading.Event()
    while not true():
        assert passed() < seconds, "it never came to that"
        nobody.wait(0.02)


def test_a_killed_driver_leaves_nothing_running_and_loses_nothing(tmp_path):
    word = f"4{os.getpid()}"
    # The second probe hangs the first time, and only then.
    script = f'echo "$TRADEWIND_CONFIGURATION" >> made; if [ "$(wc -l < made)" = 2 ]; then sleep {word}; fi'
    fields = asked(tmp_path, command=["sh", "-c", script], current=None)
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, json.dumps(fields)], start_new_session=True)
    try:
        until(lambda: processes_of(word))
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    until(lambda: not processes_of(word), 10.0)
    (run,) = RunIndex(tmp_path / "runs").list()
    assert run.state == "crashed"
    before = (Path(run.directory) / RECORDS).read_bytes()
    found = resume_advice(run.directory)
    assert (Path(run.directory) / RECORDS).read_bytes().startswith(before)
    assert found.outcome == "done" and found.probes == 4
    ended = history_in(Path(run.directory)).ended
    assert [each.status for each in ended] == ["done", "interrupted", "done", "done", "done"]
    assert ended[1].configuration == ended[2].configuration and ended[1].dollars > 0
    assert found.spent == pytest.approx(sum(each.dollars for each in ended))
    made = (tmp_path / "made").read_text().splitlines()
    assert len(made) == 5 and made[1] == made[2], "each probe once, but the one that was cut off"
    assert replay_advice(run.directory) == 5


def test_a_search_cut_off_after_any_record_goes_on_to_the_same_end(tmp_path):
    """The records as a kill leaves them: cut within any one. What was recorded stays as it is."""
    fields = asked(tmp_path, command=["true"], sizes={"vcpus": [1, 2], "per_vcpu_hour": 3.6}, current=None)
    found = advise(**fields)
    records = Path(found.directory) / RECORDS
    whole = records.read_bytes().splitlines(keepends=True)
    assert len(whole) == 8
    for kept in (7, 6, 5, 3):
        records.write_bytes(b"".join(whole[:kept]) + whole[kept][: len(whole[kept]) // 2])
        again = resume_advice(found.directory)
        assert again.outcome == "done" and again.probes == 2 and again.recommendation is not None
        assert records.read_bytes().startswith(b"".join(whole[:kept]))
        # A probe that ended before its end was recorded is not made again.
        assert not [each for each in history_in(Path(found.directory)).ended if each.status == "interrupted"]
        assert replay_advice(found.directory) == 3
        whole = records.read_bytes().splitlines(keepends=True)


def test_records_that_were_altered_are_told(tmp_path):
    found = advise(**asked(tmp_path, command=["true"], probes=1, current=None))
    records = Path(found.directory) / RECORDS
    records.write_bytes(records.read_bytes().replace(b"by price", b"by chance"))
    with pytest.raises(Corrupt):
        replay_advice(found.directory)


def test_a_suggestion_that_would_now_be_another_is_told(tmp_path, monkeypatch):
    found = advise(**asked(tmp_path, command=["true"], probes=1, current=None))
    before = exhaustive.Exhaustive.next
    monkeypatch.setattr(
        exhaustive.Exhaustive, "next", lambda self, view: replace(before(self, view), reason="another")
    )
    with pytest.raises(Diverged, match="after 0 probes"):
        replay_advice(found.directory)


PAST = """workload,program,configuration,per_hour,seconds,status,vcpus
other,other,a,1,100,done,1
other,other,b,2,40,done,2
other,other,c,4,30,done,4
me,me,a,1,200,done,1
me,me,z,1.5,200,done,1.5
"""


def test_past_runs_alone_tell_the_next_probe(tmp_path):
    (tmp_path / "past.csv").write_text(PAST)
    found = advise(runs=str(tmp_path / "past.csv"), workload="me", advisor="cherrypick", current="a")
    assert found.outcome == "suggested" and found.next in ("b", "c") and found.reason
    assert found.recommendation is not None and found.recommendation.name == "a"
    assert found.directory == "" and not (tmp_path / "runs").exists()


def test_past_runs_of_others_and_of_this_one_are_told_apart(tmp_path):
    (tmp_path / "past.csv").write_text(PAST)
    candidates = [{"name": name, "per_hour": 3.6, "vcpus": cores} for name, cores in (("a", 1), ("b", 2))]
    fields = asked(tmp_path, command=["true"], candidates=candidates, sizes=None, current="a")
    found = advise(**fields, runs=str(tmp_path / "past.csv"), workload="me")
    history = history_in(Path(found.directory))
    assert [each.configuration for each in history.probes] == ["b"], "what was tried before is not again"
    assert "1 past runs are of this workload, 2 of 1 others; 2 are on" in found.notes[1]
    assert {row.name: row.status for row in found.rows} == {"a": "past", "b": "done"}


def test_what_cannot_be_run_is_told_before_anything_is(tmp_path):
    for change, field in (
        ({"command": [sys.executable, "{vcpu}"]}, "command"),
        ({"sizes": {"vcpus": [1, 4096], "per_vcpu_hour": 1}, "current": None}, "vcpus"),
        ({"current": "2x1cpu"}, "name"),
        ({"sizes": {"vcpus": [1, 1], "per_vcpu_hour": 1}, "current": None}, "name"),
    ):
        with pytest.raises(Misuse) as told:
            advise(**asked(tmp_path, **change))
        assert told.value.field == field and told.value.fix, change
    assert not (tmp_path / "runs").exists()
    with pytest.raises(Misuse, match="no advice"):
        resume_advice(tmp_path)


def test_ended_records_are_values():
    one = Ended(attempt="a", configuration="b", at=1.0, status="done", seconds=1.0, dollars=0.1)
    assert one == replace(one) and one.seen == {}
