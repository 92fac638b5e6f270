"""Cleaning is certain: a driver is killed at every call to EC2, before it and while it is under way."""

import functools
import io
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tradewind import clock
from tradewind.clock import stopwatch
from tradewind.data.runs import RunIndex
from tradewind.errors import Misuse
from tradewind.market.instances import Pool
from tradewind.market.offers import Bid, Terms
from tradewind.providers.aws.client import Ec2
from tradewind.providers.aws.requests import DRIVER, RUN, Settings, instances, run_instances
from tradewind.providers.aws.sightings import sightings
from tradewind.providers.aws.sweeping import LIVE, sweep
from tradewind.providers.ledger import LEDGER, Asked, Ledger, Opened, accounts
from tradewind.providers.local_leftovers import leftovers, marked
from tradewind.session.cleaning import clean_region, clean_run, clean_runs, driver_name, lives

DRIVERS = Path(__file__).parent


PRICE = (
    b"<DescribeSpotPriceHistoryResponse><spotPriceHistorySet><item><instanceType>c5.large</instanceType>"
    b"<productDescription>Linux/UNIX</productDescription><spotPrice>0.04</spotPrice>"
    b"<timestamp>2026-01-01T00:00:00.000Z</timestamp><availabilityZone>us-east-1b</availabilityZone></item>"
    b"</spotPriceHistorySet></DescribeSpotPriceHistoryResponse>"
)
"""In the documented shape; moto makes prices up, and takes a second to."""


class Moto:
    """A moto server on a real socket, that kills whoever sends the request number `at`.

    With `arrives` that request is under way by then: it is done, and answered to nobody, right after the next
    request since `overtake` was set.
    """

    def __init__(self):
        self.app = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.lock, self.known = threading.RLock(), threading.Event()
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.kill_at(-1)

    def kill_at(self, number, arrives=False):
        self.known.clear()
        self.count, self.at, self.victim, self.arrives = 0, number, None, arrives
        self.under_way, self.overtake = None, False
        self.last = b""

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ = {**environ, "wsgi.input": io.BytesIO(body)}
        with self.lock:
            self.count += 1
            hit = self.count == self.at
            if hit:
                self.last = body
            if not hit and b"Action=DescribeSpotPriceHistory" in body:
                start_response("200 OK", [("Content-Type", "text/xml"), ("Content-Length", str(len(PRICE)))])
                return [PRICE]
            if not hit:
                answer = list(self.app(environ, start_response))
                if self.overtake and self.under_way is not None:
                    late, self.under_way = self.under_way, None
                    list(self.app(late, lambda *_: None))
                return answer
        self.known.wait()
        os.kill(self.victim, signal.SIGKILL)
        if self.arrives:
            self.under_way = environ
        start_response("500 Gone", [("Content-Length", "0")])
        return [b""]


@pytest.fixture(scope="module")
def moto():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = Moto()
    moto.thread.start()
    yield moto
    moto.server.shutdown()
    moto.thread.join()
    moto.server.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setitem(sweep.__kwdefaults__, "every", 0.05)


@pytest.fixture
def ec2(moto):
    ec2 = Ec2("us-east-1", endpoint_url=moto.url)
    yield ec2
    ec2.close()


def alive(ec2, **tags):
    return sightings(clock.run(ec2.ask(instances(tags or {DRIVER: "*"}, states=LIVE))))


def test_a_driver_killed_at_any_call_leaves_nothing_behind(moto, ec2, tmp_path):
    program = subprocess.Popen(
        [sys.executable, str(DRIVERS / "renting_driver.py"), moto.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    left, killed, by_surprise = [], 0, 0
    try:
        for at, arrives in ((n, each) for n in itertools.count(1) for each in (False, True)):
            if arrives and b"Action=Describe" in moto.last:
                continue  # it changes nothing, whether or not it arrives
            folder = tmp_path / f"run-{at}-{arrives}"
            folder.mkdir()
            moto.kill_at(at, arrives)
            program.stdin.write(f"{folder}\n")
            program.stdin.flush()
            moto.victim = int(program.stdout.readline())
            moto.known.set()
            code = int(program.stdout.readline())
            calls, moto.at = moto.count, -1
            if code == 0:
                assert at == calls + 1, "the last call but one was the last to be killed at"
                assert not alive(ec2, **{RUN: folder.name}), "it closed"
                break
            assert code == -signal.SIGKILL
            killed += 1
            before = len(alive(ec2, **{RUN: folder.name}))
            would = clean_run(folder, dry_run=True)
            assert len(would.ended) == before == len(alive(ec2, **{RUN: folder.name}))
            moto.overtake = True
            cleaned = clean_run(folder, wait=0.2)
            assert moto.under_way is None
            assert not alive(ec2, **{RUN: folder.name})
            left.append(before)
            by_surprise += max(0, len(cleaned.ended) - before)
            again = clean_run(folder, wait=0.0)
            assert not again.ended and not again.plan
            assert all(account.closed for account in accounts(folder / LEDGER))
    finally:
        moto.kill_at(-1)
        program.stdin.close()
        program.wait(20)
        program.stdout.close()
    assert killed >= 14 and max(left) == 2, "the driver held two leases when it was killed"
    assert by_surprise == 3, "each of its three requests was once granted when the driver was dead"


def rent(ec2, driver, run="run"):
    settings = Settings(region="us-east-1", types=("c5.large",), image="ami-12c6146b")
    bid = Bid(Pool("c5.large", "us-east-1b"), Terms.SPOT)
    request = run_instances(settings, bid, take=f"t-{driver}", driver=driver, run=run)
    (seen,) = sightings(clock.run(ec2.ask(request)))
    return seen.id


@functools.cache
def dead_driver():
    """The name of a driver of this machine that has ended."""
    script = "from tradewind.session.cleaning import driver_name; print(driver_name())"
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_driver_is_known_by_more_than_its_number():
    ours, dead = driver_name(), dead_driver()
    assert lives(ours) is True and lives(dead) is False and ours != driver_name()
    host, number, identity, salt = ours.split("/")
    boot, _, start = identity.partition(":")
    assert lives(f"{host}/{number}/{boot}:{int(start) + 1}/{salt}") is False, "the number is another's now"
    assert lives(f"elsewhere/{number}/{identity}/{salt}") is None
    assert lives(f"{host}/{number}/other-boot:{start}/{salt}") is None
    assert lives("") is None and lives("///") is None
    assert len(ours) < 256


def test_a_region_is_cleaned_of_the_dead_only(moto, ec2):
    dead, living, foreign = dead_driver(), driver_name(), "elsewhere/1/boot:1/00"
    lost, held, far = (rent(ec2, each) for each in (dead, living, foreign))
    told = clean_region("us-east-1", endpoint_url=moto.url, dry_run=True)
    assert [each.id for each in told.ended] == [lost] and {each.id for each in told.left} == {held, far}
    assert [each.operation for each in told.plan] == ["TerminateInstances"] and told.uncertain
    assert {each.id for each in alive(ec2)} == {lost, held, far}
    told = clean_region("us-east-1", endpoint_url=moto.url, wait=0.1)
    assert [each.id for each in told.ended] == [lost] and {each.id for each in told.left} == {held, far}
    assert {each.id for each in alive(ec2)} == {held, far}
    told = clean_region("us-east-1", endpoint_url=moto.url, force=True, wait=0.0)
    assert {each.id for each in told.ended} == {held, far} and not told.left and not told.uncertain
    assert not alive(ec2)
    with pytest.raises(Misuse, match="region"):
        clean_region("us east", endpoint_url=moto.url)


def test_what_a_living_driver_holds_is_let_be(moto, ec2, tmp_path):
    driver = driver_name()
    ledger = Ledger(tmp_path / LEDGER)
    ledger.write(Opened(at=0.0, provider="aws", driver=driver, region="us-east-1", endpoint_url=moto.url))
    ledger.write(Asked(at=0.0, take="t", pool="c5.large@us-east-1b", terms="spot", count=1))
    lease = rent(ec2, driver)
    with pytest.raises(Misuse, match="--force"):
        clean_run(tmp_path)
    assert [each.id for each in alive(ec2)] == [lease]
    assert [each.id for each in clean_run(tmp_path, force=True, wait=0.1).ended] == [lease]
    assert not alive(ec2)


def test_a_run_that_the_record_says_is_driven_is_let_be(tmp_path):
    folder = tmp_path / "run-1"
    folder.mkdir()
    index = RunIndex(tmp_path)
    run = index.begin("run", "{}", folder)
    with pytest.raises(Misuse, match=f"process {os.getpid()} is driving it"):
        clean_run(folder)
    told = clean_runs(tmp_path)
    assert [each.driver for each in told.left] == ["run-1"] and not told.ended and not told.uncertain
    index.update(run.id, state="paused")
    assert not clean_run(folder).ended and not clean_runs(tmp_path).left
    with pytest.raises(Misuse, match="no such run"):
        clean_run(tmp_path / "run-2")
    assert clean_runs(tmp_path / "none").ended == () and not (tmp_path / "none").exists()


LOCAL_DRIVER = """
import asyncio, os, sys
from pathlib import Path
from tradewind import clock
from tradewind.data.runs import RunIndex
from tradewind.market.offers import Bid, Terms
from tradewind.providers.local import LocalProvider
from tradewind.testing.providers import START, A, steady

folder = Path(sys.argv[1])

async def main():
    RunIndex(folder.parent).begin("run", "{}", folder)
    agent = (sys.executable, "-m", "tradewind.runtimes.agent", "--listen", "{address}")
    provider = LocalProvider(steady((0, 86_000)), boot_command=agent, directory=folder / "logs")
    await provider.open()
    (lease,) = await provider.take(Bid(A, Terms.ON_DEMAND))
    while not os.path.exists(lease.instance.address.removeprefix("unix:")):
        await clock.sleep_until(clock.now() + 0.01)
    print(provider.process_group(lease.id), flush=True)
    await asyncio.Event().wait()

clock.run(main(), start=START)
"""


def test_instances_here_that_hang_are_ended(tmp_path):
    folder = tmp_path / "run-1"
    folder.mkdir()
    driver = subprocess.Popen(
        [sys.executable, "-c", LOCAL_DRIVER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    group = int(driver.stdout.readline())
    stranger = subprocess.Popen(
        ["sleep", "60"], env=marked(os.environ, tmp_path / "run-2" / "logs", "lease-0001")
    )
    try:
        # A stopped agent does not see that its driver is gone, and heeds no notice.
        os.killpg(group, signal.SIGSTOP)
        driver.kill()
        driver.wait()
        found = {each.pid for each in leftovers(folder / "logs")}
        assert group in found and len(found) >= 2, "the agent and its nursery"
        assert {int(each.id) for each in clean_runs(tmp_path, dry_run=True).ended} == found
        told = clean_runs(tmp_path)
        assert {int(each.id) for each in told.ended} >= found and not leftovers(folder / "logs")
        passed = stopwatch()
        while Path(f"/proc/{group}/stat").exists() and passed() < 10:
            pass
        assert not clean_runs(tmp_path).ended
        assert stranger.poll() is None
    finally:
        driver.kill()
        driver.stdout.close()
        driver.wait()
        stranger.kill()
        stranger.wait()
