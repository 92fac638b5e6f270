"""Searches whose probes are booked at EC2, acted out: what they cost, what is refused before, and kills."""

import functools
import logging
import os
import signal
import threading
from pathlib import Path

import pytest

from ec2_machines import REGION, TYPES, Machines
from s3_stage import new_bucket, s3_server, use
from tradewind import clock
from tradewind.advice.measuring.ec2 import Plan
from tradewind.advice.measuring.local import LocalMeasurer
from tradewind.advice.measuring.ray import RayMeasurer
from tradewind.data.catalogs import COLUMNS
from tradewind.errors import Misuse
from tradewind.session import advise_measuring
from tradewind.session.advise import advise, booking_quotes, replay_advice, resume_advice
from tradewind.session.advise_candidates import candidates_of
from tradewind.session.advise_measuring import measurer_of, overhead_of, payable
from tradewind.session.advise_records import history_in
from tradewind.session.advise_spec import make_advise_spec
from tradewind.session.cleaning import clean_run


@pytest.fixture(scope="module")
def server():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with s3_server() as url:
        yield url


@pytest.fixture
def stage(server, tmp_path, monkeypatch):
    use(monkeypatch, server)
    quick = functools.partial(Plan, look=0.1, beat=0.2, settle=0.3)
    monkeypatch.setattr(advise_measuring, "Plan", quick)
    with Machines(tmp_path / "machines") as stage:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", stage.url)
        stage.client, stage.bucket = new_bucket(server)
        yield stage
        assert not stage.running()


def asked(tmp_path, stage, **more):
    prices = f"{','.join(COLUMNS)}\n"
    for name, (cpus, gib, price) in TYPES.items():
        prices += f"{name},{cpus},{gib},0,,0,0,{REGION},{price},2020-01-01,acted\n"
    (tmp_path / "prices.csv").write_text(prices)
    (tmp_path / "job").mkdir(exist_ok=True)
    fields = {
        "name": "job", "folder": str(tmp_path / "job"), "advisor": "exhaustive", "budget": 5,
        "command": ["sh", "-c", "sleep 0.$((8 / $TRADEWIND_VCPUS))"], "time_limit": "60s",
        "types": {"names": [*TYPES], "region": REGION, "prices": str(tmp_path / "prices.csv")},
        "measure": {"kind": "aws", "image": "ami-1", "store": f"s3://{stage.bucket}/probes"},
        "out": str(tmp_path / "job" / "runs"), **more,
    }  # fmt: skip
    return fields


def test_each_candidate_is_booked_measured_and_charged_by_its_lease(tmp_path, stage):
    told = []
    found = advise(**asked(tmp_path, stage), console=told.append)
    assert found.outcome == "done" and found.probes == 2 == stage.rented()
    rows = {row.name: row for row in found.rows}
    assert {row.status for row in rows.values()} == {"done"}
    assert rows["1xc9.large"].seconds >= 0.4 and rows["1xc9.large"].dollars == pytest.approx(
        3.0 * rows["1xc9.large"].seconds / 3600
    )
    assert found.settings["workers.instance_types"] == [found.recommendation.name.removeprefix("1x")]
    ended = history_in(Path(found.directory)).ended
    assert all(each.charged > each.dollars for each in ended), "booting and ending are paid for too"
    assert found.spent == pytest.approx(sum(each.charged for each in ended))
    assert "  booking c9.xlarge@xx-north-1a, on demand, $6 an hour: at most $1.6 for this probe" in told
    assert "never yet tried against AWS itself" in found.notes[0]
    assert replay_advice(found.directory) == 3
    assert not stage.client.list_objects_v2(Bucket=stage.bucket).get("Contents")


def test_a_probe_outlives_its_driver_and_is_not_paid_for_twice(tmp_path, stage):
    fields = asked(tmp_path, stage, probes=1, command=["sh", "-c", "touch begun; sleep 1; echo end"])
    booking_quotes(make_advise_spec(fields))
    driver = os.fork()
    if not driver:
        try:
            advise(**fields)
        finally:
            os._exit(1)
    passed, nobody = clock.stopwatch(), threading.Event()
    while not stage.made("begun").exists():
        assert passed() < 40, "it was never booked"
        nobody.wait(0.02)
    os.kill(driver, signal.SIGKILL)
    os.waitpid(driver, 0)
    (directory,) = (tmp_path / "job" / "runs").glob("job*")
    found = resume_advice(directory)
    assert found.outcome == "done" and found.probes == 1 == stage.rented()
    (ended,) = history_in(directory).ended
    assert ended.status == "done" and ended.seconds >= 1 and ended.charged > ended.dollars
    assert (directory / "probes" / ended.attempt / "output.log").read_text() == "end\n"
    assert not clean_run(directory, wait=0.0).ended


def test_the_search_ends_where_the_rest_does_not_pay_for_a_probe(tmp_path, stage):
    found = advise(**asked(tmp_path, stage, budget=0.9))
    assert found.outcome == "done" and found.probes == 1 == stage.rented()
    assert "does not pay for a probe of 1xc9.xlarge" in found.reason
    assert replay_advice(found.directory) == 2


def test_what_is_taken_back_again_and_again_is_given_up(tmp_path, stage):
    found = advise(**asked(tmp_path, stage, probes=1, command=["sleep", "30"]), console=taking_back(stage))
    (probe,) = history_in(Path(found.directory)).probes
    assert probe.status == "failed" and "after 3 attempts in a row" in probe.words and stage.rented() == 3


def taking_back(stage):
    """A console that has EC2 take back whatever is booked, as soon as it runs."""

    def take(words):
        if "booking" not in words:
            return

        def when_it_runs(number):
            nobody = threading.Event()
            while len(stage.machines) < number or not list(stage.folder.glob(f"*{number:x}/tmp.*/work")):
                nobody.wait(0.02)
            stage.take_back([*stage.machines][number - 1])

        threading.Thread(target=when_it_runs, args=(len(stage.machines) + 1,), daemon=True).start()

    return take


def test_what_would_be_booked_is_told_and_nothing_is(tmp_path, stage):
    quotes = booking_quotes(make_advise_spec(asked(tmp_path, stage)))
    assert [(each.candidate, each.zone, each.per_hour, each.seconds) for each in quotes] == [
        ("1xc9.large", "xx-north-1a", 3.0, 960.0), ("1xc9.xlarge", "xx-north-1a", 6.0, 960.0),
    ]  # fmt: skip
    assert [each.most for each in quotes] == pytest.approx([0.8, 1.6])
    assert not stage.rented() and not (tmp_path / "job" / "runs").exists()
    with pytest.raises(Misuse, match="nothing is booked"):
        booking_quotes(make_advise_spec(asked(tmp_path, stage, measure="local")))


def test_what_cannot_be_booked_is_refused_before_anything_is(tmp_path, stage):
    where = asked(tmp_path, stage)["measure"]
    (tmp_path / "large").mkdir()
    with (tmp_path / "large" / "sparse").open("wb") as file:
        file.truncate(2**40)
    for change, word in (
        ({"budget": 0.7}, r"budget: \$0.7 pays for no probe: .* \$0.8"),
        ({"measure": {**where, "image": "ami-gone"}}, "image"),
        ({"measure": {**where, "zones": ["xx-north-1z"]}}, "zones"),
        ({"measure": {**where, "store": "s3://no-such-bucket-here/x"}}, "no-such-bucket-here"),
        ({"folder": str(tmp_path / "large")}, "folder: .* is more than"),
    ):
        with pytest.raises(Misuse, match=word):
            advise(**asked(tmp_path, stage, **change))
    assert not stage.rented() and not (tmp_path / "job" / "runs").exists()


def test_other_measurers_cost_nothing_beside_the_run(tmp_path):
    spec = make_advise_spec({"command": ["true"], "sizes": {"vcpus": [1], "per_vcpu_hour": 3.6}})
    found = candidates_of(spec)
    assert isinstance(measurer_of(spec, found.configurations, found.types), LocalMeasurer)
    assert overhead_of(spec.measure) == 0.0 and payable(0.001, 3.6, spec) == pytest.approx(1.0)
    ray = make_advise_spec(
        {"command": ["true"], "sizes": {"vcpus": [1], "per_vcpu_hour": 3.6}, "measure": "ray"}
    )
    assert isinstance(measurer_of(ray, found.configurations, found.types), RayMeasurer)
