"""The laws of measurers on EC2 acted out: real scripts of real instances, over a real store; and its own."""

import itertools
import logging
import os
import re
import signal

import boto3
import pytest

from ec2_machines import CATALOG, REGION, Machines
from s3_stage import new_bucket, s3_server, use
from tradewind import clock
from tradewind.advice.measuring import ec2
from tradewind.advice.measuring.ec2 import Ec2Measurer, Plan, Wanted
from tradewind.advice.measuring.interface import INTERRUPTED, Measurer, Order, Room
from tradewind.advice.measuring.local import LOG
from tradewind.data.s3_store import S3Store
from tradewind.errors import Misuse, Unreachable
from tradewind.market.measured_runs import DONE, FAILED, STOPPED
from tradewind.market.offers import Terms
from tradewind.providers.aws.client import Ec2, Links
from tradewind.providers.aws.requests import Settings
from tradewind.providers.ledger import LEDGER, Ledger, accounts
from tradewind.session.cleaning import clean_run, driver_name
from tradewind.testing.measurers import MeasurerLaws

WANTED = {
    "fits": Wanted("c9.large", 3.0), "too large": Wanted("c9.large", 3.0), "cheap": Wanted("c9.large", 2.0)
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server, monkeypatch):
    use(monkeypatch, server)
    _, name = new_bucket(server)
    return name


@pytest.fixture
def stage(tmp_path, monkeypatch):
    with Machines(tmp_path / "machines") as stage:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", stage.url)
        yield stage
        assert not stage.running(), "an instance is left"


def plan(bucket, **more):
    settings = Settings(region=REGION, types=("c9.large",), image="ami-1")
    fields = {
        "settings": settings, "store": f"s3://{bucket}/some/prefix", "terms": Terms.ON_DEMAND,
        "time_limit": 60.0, "boot_limit": 20.0, "leave": ("machines", "probes"), "look": 0.1, "beat": 0.2,
        "settle": 0.3, **more,
    }  # fmt: skip
    return Plan(**fields)


def measurer(bucket, **more):
    number, tell, name = itertools.count(), more.pop("tell", lambda words: None), more.pop("name", "driver")
    names = more.pop("names", lambda: f"{name} {next(number)}")
    return Ec2Measurer(plan(bucket, **more), CATALOG, WANTED, names=names, tell=tell)


class TestEc2(MeasurerLaws):
    @pytest.fixture(autouse=True)
    def _made(self, tmp_path, stage, bucket):
        self.stage, self.bucket = stage, bucket
        self.folder, self.work = tmp_path, tmp_path / "probes"
        self.measurer = self.make()
        yield
        self.measurer.close()

    def make(self) -> Measurer:
        return measurer(self.bucket)

    def made_there(self, name):
        return self.stage.made(name)


def order(folder, *command, name="001-1", limit=None, **more):
    return Order(name, command, str(folder), {}, Room(), limit, STOPPED, "fits", **more)


@pytest.fixture
def job(tmp_path):
    """A folder with nothing in it, for commands to be sent from."""
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def never():
    return False


def kept_in(bucket, server):
    client = boto3.client("s3", endpoint_url=server, region_name="us-east-1")
    return [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", ())]


STEPS = (
    "before booking.json", "after booking.json", "after put bundle", "after Asked", "after RunInstances",
    "after Answered", "before get alive", "before Closed", "after Closed", "after measured.json",
    "after delete task",
)  # fmt: skip
"""What a driver does for a probe, in its order: it is killed right before or after."""


def _word(key):
    return re.match(r"[a-z]+", key.split("/")[-1])[0]


def kill_at(step):
    """Have this process kill itself when it comes to a step."""

    def at(place, name, called):
        def wrapped(*arguments, **named):
            label = called(*arguments)
            if step == f"before {label}":
                os.kill(os.getpid(), signal.SIGKILL)
            found = inner(*arguments, **named)
            if step == f"after {label}":
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        inner = getattr(place, name)
        setattr(place, name, wrapped)

    at(ec2, "write_durably", lambda path, content: path.name)
    at(Ledger, "write", lambda self, entry: type(entry).__name__)
    at(Ec2, "_send", lambda self, request: "" if "DryRun" in request.arguments else request.operation)
    for name in ("put", "get", "delete"):
        at(S3Store, name, lambda self, key, *_, name=name: f"{name} {_word(key)}")


def test_a_driver_killed_at_any_step_loses_nothing_and_books_once(tmp_path, job, stage, bucket, server):
    def probe(number):
        work = tmp_path / "runs" / f"run-{number}" / "probes"
        script = f"echo once >> {tmp_path}/made-{number}; sleep 0.3; echo over"
        return order(job, "sh", "-c", script), work

    measurer(bucket).quote("fits")  # the client's model of EC2 is read once, before the forks
    drivers = []
    for number, step in enumerate(STEPS):
        child = os.fork()
        if not child:
            try:
                kill_at(step)
                asked, work = probe(number)
                measurer(bucket, name=f"driver-{number}").measure(asked, work, never)
            finally:
                os._exit(1)
        drivers.append(child)
    for step, child in zip(STEPS, drivers, strict=True):
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, step
    booked = {}
    for number, step in enumerate(STEPS):
        again = measurer(bucket, name=f"again-{number}")
        asked, work = probe(number)
        found = again.recover(asked, work, never)
        made = tmp_path / f"made-{number}"
        mine = [
            each for each in stage.machines.values() if each.tags["tradewind:driver"] == f"driver-{number} 0"
        ]
        booked[step] = len(mine)
        assert len(mine) == (found is not None), step
        assert all(each.state == "terminated" for each in mine), step
        if found is None:
            assert not made.exists(), step
        else:
            assert (found.status, made.read_text()) == (DONE, "once\n"), (step, found)
            assert (work / asked.name / LOG).read_text() == "over\n"
            assert again.recover(asked, work, never) == found
        ledger = accounts(work.parent / LEDGER)
        assert all(account.closed for account in ledger), step
        again.close()
    assert [booked[step] for step in STEPS] == [0] * 4 + [1] * 7
    left = [each for each in kept_in(bucket, server) if "bundle" not in each]
    assert not left, "the store is left as it was, but for bundles of drivers killed before they said so"


def test_what_a_killed_driver_left_is_cleaned_and_told_as_interrupted(tmp_path, job, stage, bucket):
    work = tmp_path / "run-1" / "probes"
    asked = order(job, "sleep", "30")
    child = os.fork()
    if not child:
        try:
            kill_at("after get alive")
            measurer(bucket, names=driver_name).measure(asked, work, never)
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    assert len(stage.running()) == 1
    cleaned = clean_run(work.parent, wait=0.2)
    assert [each.id for each in cleaned.ended] == [*stage.machines] and not stage.running()
    found = measurer(bucket).recover(asked, work, never)
    assert found is not None and found.status == INTERRUPTED and found.charged > 0
    assert not clean_run(work.parent, wait=0.0).ended


def test_what_ec2_takes_back_is_interrupted_and_free_in_its_first_hour(tmp_path, job, stage, bucket):
    def stop():
        if stage.made("begun").exists():
            stage.take_back(*stage.machines)
        return False

    asked = order(job, "sh", "-c", "touch begun; sleep 30")
    found = measurer(bucket, terms=Terms.SPOT).measure(asked, tmp_path / "probes", stop)
    assert found.status == INTERRUPTED and "took i-" in found.words and found.charged == 0
    asks = [form for action, form in stage.asked if action == "RunInstances"]
    (rented,) = [form for form in asks if "DryRun" not in form]
    assert rented["InstanceMarketOptions.SpotOptions.MaxPrice"] == "3.0", "no more than the candidate's"
    assert rented["InstanceInitiatedShutdownBehavior"] == "terminate" and "KeyName" not in rented


def test_one_that_never_comes_up_is_ended_and_has_failed(tmp_path, job, bucket, monkeypatch):
    with Machines(tmp_path / "machines", boots=False) as stage:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", stage.url)
        found = measurer(bucket, boot_limit=0.5).measure(order(job, "true"), tmp_path / "probes", never)
        assert found.status == FAILED and "never came up" in found.words and found.charged > 0
        assert stage.rented() == 1 and not stage.running()


def test_another_zone_is_asked_where_one_has_no_room_and_then_the_candidate_has_failed(
    tmp_path, job, stage, bucket
):  # fmt: skip
    told = []
    mine = measurer(bucket, terms=Terms.SPOT, tell=told.append)
    stage.refuse("RunInstances", "DryRunOperation", status=412)
    stage.refuse("RunInstances", "InsufficientInstanceCapacity", status=500)
    found = mine.measure(order(job, "true"), tmp_path / "run" / "probes", never)
    assert found.status == DONE and len(told) == 2
    assert "c9.large@xx-north-1b, spot, $1 an hour: at most $0.5667" in told[0] and "xx-north-1a" in told[1]
    stage.refuse("RunInstances", "DryRunOperation", status=412)
    stage.refuse("RunInstances", "InsufficientInstanceCapacity", status=500, times=2)
    found = mine.measure(order(job, "true", name="2"), tmp_path / "run" / "probes", never)
    assert found.status == FAILED and "No zone" in found.words and found.charged == 0
    assert stage.rented() == 1
    mine.close()


def test_an_instance_whose_program_dies_ends_all_the_same(tmp_path, job, stage, bucket):
    script = "kill -9 $(ps -o ppid= -p $$)"
    found = measurer(bucket).measure(order(job, "sh", "-c", script), tmp_path / "probes", never)
    assert found.status == INTERRUPTED and "without a word" in found.words
    (room,) = (stage.room(id) for id in stage.machines)
    # A power-off is set before anything else: 300 s to fetch, 60 s to run, 300 s to end.
    assert (room / "shutdowns").read_text() == "-P +11\n-P now\n"


def test_only_what_is_there_at_that_price_is_booked(tmp_path, job, stage, bucket, monkeypatch):
    mine = measurer(bucket)
    quote = mine.quote("fits")
    assert (quote.type, quote.zone, quote.per_hour, quote.seconds) == ("c9.large", "xx-north-1a", 3.0, 680.0)
    assert quote.most == pytest.approx(3.0 * 680 / 3600)
    for name, room, machines, field in (
        ("unknown", Room(1.0), 1, "type"), ("fits", Room(1.0), 2, "machines"),
        ("fits", Room(0.5), 1, "vcpus"), ("fits", Room(3.0), 1, "vcpus"),
        ("fits", Room(1.0, 5 << 30), 1, "memory_gib"),
        ("cheap", Room(2.0), 1, "per_hour"),
    ):  # fmt: skip
        with pytest.raises(Misuse) as told:
            mine.check(name, room, machines)
        assert told.value.field == field and told.value.fix, name
    for change, word in (
        ({"settings": Settings(region=REGION, types=("c9.large",), image="ami-gone")}, "image"),
        ({"store": "s3://no-such-bucket-of-mine/x"}, "refused"),
        ({"time_limit": 8 * 86400.0}, "7"),
    ):
        with pytest.raises(Misuse, match=word):
            measurer(bucket, **change).check("fits", Room(1.0), 1)
    assert not stage.rented()


class Ending:
    """Credentials of a session that ends in so many seconds."""

    def __init__(self, left):
        self.left = left

    def get_frozen_credentials(self):
        return self

    def refresh_needed(self, refresh_in):
        return refresh_in > self.left


def test_links_outlast_the_probe_or_none_is_made(bucket):
    links = Links(bucket, "us-east-1")
    links.check(7 * 86400.0)
    assert "X-Amz-Expires=61&" in links.put("a", 61) and f"/{bucket}/a?" in links.get("a", 1)
    links._credentials = Ending(3600)
    links.check(3600)
    with pytest.raises(Misuse, match="these credentials end within 2 hours"):
        links.check(7200)


def test_an_instance_that_falls_silent_is_ended_and_has_failed(tmp_path, job, stage, bucket, monkeypatch):
    monkeypatch.setattr(ec2, "_SILENCE", 0.5)
    asked = order(job, "sh", "-c", "kill -STOP $PPID; sleep 30")
    found = measurer(bucket).measure(asked, tmp_path / "probes", never)
    assert found.status == FAILED and "fell silent" in found.words and found.seconds < 10


def test_a_store_out_of_our_reach_for_a_while_is_no_silence(tmp_path, job, stage, bucket, monkeypatch):
    monkeypatch.setattr(ec2, "_SILENCE", 0.8)
    inner, since = S3Store.get, []

    def get(self, key):
        if since and since[0]() < 1.5:
            raise Unreachable("the network is down")
        if since:
            (tmp_path / "on").touch()
        found = inner(self, key)
        if key.endswith("alive.json") and not since:
            since.append(clock.stopwatch())
        return found

    monkeypatch.setattr(S3Store, "get", get)
    asked = order(job, "sh", "-c", f"until [ -e {tmp_path}/on ]; do sleep 0.05; done")
    found = measurer(bucket).measure(asked, tmp_path / "probes", never)
    assert found.status == DONE and found.seconds > 1
